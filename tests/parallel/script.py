"""What `test_sharded.py` runs under `accelerate launch`: a task by its name, in a folder."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import stitched
import tiny_encoders as tiny
import torch
from accelerate import Accelerator
from datasets import Dataset
from many_pairs import sample

from irp_hf import IRPAdapter, StitchedModel
from irp_hf.errors import InputError
from irp_hf.models import PairSums
from irp_hf.parallel import encode_dataset, run_sharded

NUM_ROWS, BLOCK = 150, 16
ITEMS = [float(row) for row in range(NUM_ROWS)]
DATASET = Dataset.from_dict({"text": tiny.texts(NUM_ROWS)})


def two_arrays(items: Sequence[float]) -> dict[str, np.ndarray]:
    """Whose last bits depend on the block that they were made in."""
    x = np.array(items, dtype=np.float32)
    return {"waves": np.sin(np.outer(x, np.arange(5, dtype=np.float32))) + x.mean(), "rows": x.astype(np.int64)}


class Logged:
    """The same, noting the first row of every block; one process dies in its third."""

    __name__ = "two_arrays"

    def __init__(self, log: Path, dies: bool = False) -> None:
        self._log, self._dies, self._calls = log, dies, 0

    def __call__(self, items: Sequence[float]) -> dict[str, np.ndarray]:
        self._calls += 1
        if self._dies and self._calls == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        (self._log / f"{int(items[0])}").touch()
        return two_arrays(items)


def encode_in(folder: Path, name: str) -> torch.Tensor:
    model = folder / "model"
    return encode_dataset(model, DATASET, "text", folder / name, pooling="mean", batch_size=4, block_size=BLOCK)[0]


def stitched_in(folder: Path) -> StitchedModel:
    """The model of the folder, with an adapter and a head that are always the same."""
    adapter = stitched.rough("model")
    model = StitchedModel(folder / "model", adapter, torch.nn.Linear(stitched.WIDTH, 3), pooling="mean")
    with torch.no_grad():
        model.head.scorer.weight.copy_(torch.linspace(-1, 1, 3 * stitched.WIDTH).view(3, -1))
        model.head.scorer.bias.zero_()
    return model


def classify_in(folder: Path, name: str, dies: bool = False) -> dict[str, np.ndarray]:
    """Its logits and confidences; where it `dies`, in its third block."""
    model = stitched_in(folder)
    if dies:
        blocks, predict = itertools.count(1), model.predict

        def last(*args: Any, **kwargs: Any) -> Any:
            if next(blocks) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return predict(*args, **kwargs)

        model.predict = last
    return model.predict_dataset(DATASET, "text", folder / name, batch_size=4, return_confidence=True, block_size=BLOCK)


def main() -> None:
    task, folder = sys.argv[1], Path(sys.argv[2])
    accelerator = Accelerator()
    assert accelerator.num_processes == 2
    if task == "both":
        found = run_sharded(two_arrays, ITEMS, folder / "two", block_size=BLOCK)
        vectors = encode_in(folder, "two.npy")
        np.save(folder / f"seen-{accelerator.process_index}.npy", np.hstack([found["waves"], vectors.numpy()]))
    elif task == "die":
        run_sharded(Logged(folder / "first", accelerator.process_index == 1), ITEMS, folder / "two", block_size=BLOCK)
    elif task in ("classify", "classify and die"):
        classify_in(folder, "two", dies=task != "classify" and accelerator.process_index == 1)
    elif task == "sums":
        x, y = (side.float() for side in sample(4000))
        sums = PairSums(x[:2000], y[:2000], num_landmarks=100, seed=3)
        part = slice(2048) if accelerator.process_index == 0 else slice(2048, None)
        y[3000:3100] = y[3000:3100].roll(1, 0)  # of the second process
        sums.add(x[part], y[part])
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            adapter = IRPAdapter.from_sums(sums.over_processes())
        np.save(folder / f"sums-{accelerator.process_index}.npy", adapter.translate(x))
        doubts = [[str(one.message) for one in told], [doubt.words for doubt in adapter.fitted.doubts]]
        (folder / f"doubts-{accelerator.process_index}.json").write_text(json.dumps(doubts))
    elif task == "differ":
        try:
            run_sharded(two_arrays, ITEMS[accelerator.process_index :], folder / "two", block_size=BLOCK)
        except InputError as error:
            (folder / f"{accelerator.process_index}.txt").write_text(str(error))
            raise


if __name__ == "__main__":
    main()
