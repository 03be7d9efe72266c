"""What the checked-out state costs against an earlier one: `python benchmarks/against.py 33c0ff3 [import load row ...]`.

Both run in processes of their own, which take turns at one task after the other, so that a busy machine slows both alike.
Printed are medians of the turns' best times, and their ratio. One thread: set `OMP_NUM_THREADS=1 MKL_NUM_THREADS=1`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 0.4  # that a turn takes at least, and at least one repetition

Task = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", help="commit, branch or tag")
    parser.add_argument("tasks", nargs="*", default=[], help=f"of {', '.join(TASKS)}; by default all")
    parser.add_argument("--turns", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        before = Path(temporary) / "before"
        subprocess.run(["git", "-C", ROOT, "worktree", "add", "--detach", "-q", before, options.before], check=True)
        try:
            print(f"| task | {options.before} | now | ratio |\n|---|---:|---:|---:|")
            for name in options.tasks or TASKS:
                compare(name, {"before": before, "now": ROOT}, options.turns)
        finally:
            subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", before], check=True)


def compare(name: str, places: dict[str, Path], turns: int) -> None:
    """A line of the table: the task of that name, by the code that lies in each place."""
    workers = {}
    for state, place in places.items():
        command = [sys.executable, __file__, "--work", name]
        environment = {**os.environ, "PYTHONPATH": str(place), "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
        pipe = subprocess.PIPE
        workers[state] = subprocess.Popen(command, env=environment, cwd=place, stdin=pipe, stdout=pipe, text=True)
    seconds: dict[str, list[float]] = {state: [] for state in workers}
    for _ in range(turns):
        for state, worker in workers.items():
            seconds[state].append(ask(worker))
    for worker in workers.values():
        worker.communicate("\n")
    before, now = (median(seconds[state]) for state in ("before", "now"))
    print(f"| {TASKS[name].__doc__} | {shown(before)} | {shown(now)} | ×{now / before:.2f} |", flush=True)


def ask(worker: subprocess.Popen[str]) -> float:
    """The best time, in seconds, of one more turn of a worker."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("go\n")
    worker.stdin.flush()
    if not (line := worker.stdout.readline()):
        raise SystemExit("That state cannot do this task: see above.")
    return float(line)


def work(name: str) -> None:
    """Take turns at a task for as long as somebody asks."""
    with tempfile.TemporaryDirectory() as folder:
        task = TASKS[name](Path(folder))
        task()
        while sys.stdin.readline().strip():
            best, end = float("inf"), time.perf_counter() + SECONDS
            while best == float("inf") or time.perf_counter() < end:
                start = time.perf_counter()
                task()
                best = min(best, time.perf_counter() - start)
            print(best, flush=True)


def shown(seconds: float) -> str:
    """A duration with three digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{1e6 * seconds:.3g} µs"


def _rows(k: int, width: int, seed: int = 0) -> Any:
    import torch

    hidden = torch.randn(k, 64, generator=torch.Generator().manual_seed(0))
    mix = torch.randn(64, width, generator=torch.Generator().manual_seed(seed))
    return (hidden @ mix).tanh() + 0.1 * torch.randn(k, width, generator=torch.Generator().manual_seed(seed + 1))


def _adapter(method: str, k: int = 1000, width: int = 384) -> Any:
    from irp_hf import IRPAdapter

    given: dict[str, float] = {"gamma": 2.0, "ridge": 1e-2} if method == "kernel" else {"balance": 1.0, "ridge": 1.0}
    fixed: dict[str, Any] = {**given, "restoration": 0.5, "lift": 0.0, "method": method}
    return IRPAdapter.from_anchors(_rows(k, width), _rows(k, width, 7), **fixed)


def _translate(method: str, count: int) -> Task:
    adapter, x = _adapter(method), _rows(count, 384, 3).numpy()
    return lambda: adapter.translate(x)


def imported(folder: Path) -> Task:
    """`import irp_hf`, a fresh process"""
    return lambda: subprocess.run([sys.executable, "-c", "import irp_hf"], check=True)


def linear_row(folder: Path) -> Task:
    """translate one row, linear map, 384 → 384"""
    return _translate("whitened", 1)


def kernel_row(folder: Path) -> Task:
    """translate one row, kernel of 1,000 landmarks"""
    return _translate("kernel", 1)


def linear_rows(folder: Path) -> Task:
    """translate 20,000 rows, linear map"""
    return _translate("whitened", 20_000)


def kernel_rows(folder: Path) -> Task:
    """translate 2,000 rows, kernel of 1,000 landmarks"""
    return _translate("kernel", 2_000)


def confidence(folder: Path) -> Task:
    """confidence of 2,000 rows, kernel of 1,000 landmarks"""
    adapter, x = _adapter("kernel"), _rows(2_000, 384, 3).numpy()
    return lambda: adapter.confidence(x)


def load(folder: Path) -> Task:
    """load an adapter of 1,000 anchors from a folder"""
    from irp_hf import IRPAdapter

    _adapter("kernel").save_pretrained(folder)
    return lambda: IRPAdapter.from_pretrained(folder)


def save(folder: Path) -> Task:
    """save it"""
    adapter = _adapter("kernel")
    return lambda: adapter.save_pretrained(folder)


def fit(folder: Path) -> Task:
    """fit a kernel to 600 anchors, everything chosen"""
    from irp_hf import IRPAdapter

    source, target = _rows(600, 384), _rows(600, 256, 7)
    return lambda: IRPAdapter.from_anchors(source, target, method="kernel")


def report(folder: Path) -> Task:
    """report of an adapter of 300 anchors"""
    adapter = _adapter("kernel", 300, 128)
    return lambda: adapter.report(progress=False)


def _encoder(folder: Path) -> str:
    """A small BERT with its tokenizer, in a folder."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = {word: number for number, word in enumerate(["[PAD]", "[UNK]", *map(str, range(1000))])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    size = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
    BertModel(BertConfig(vocab_size=len(words), **size)).save_pretrained(folder / "encoder")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    fast.save_pretrained(folder / "encoder")
    return str(folder / "encoder")


def _texts(count: int) -> list[str]:
    return [" ".join(str((7 * i + j) % 1000) for j in range(5 + i % 20)) for i in range(count)]


def encode_text(folder: Path) -> Task:
    """encode one text with a loaded model (64 wide)"""
    from transformers import AutoModel, AutoTokenizer

    from irp_hf.encoding import encode

    place = _encoder(folder)
    model = AutoModel.from_pretrained(place).eval()
    tokenizer = AutoTokenizer.from_pretrained(place)
    return lambda: encode(model, _texts(1), processor=tokenizer, pooling="mean", progress=False)


def encode_texts(folder: Path) -> Task:
    """encode 1,000 texts by a folder, the model loaded anew"""
    from irp_hf.encoding import encode

    place, texts = _encoder(folder), _texts(1000)
    return lambda: encode(place, texts, pooling="mean", progress=False)


def finished(folder: Path) -> Task:
    """`encode(out=)` that finished before, 1,000 texts by a folder"""
    from irp_hf.encoding import encode

    place, texts = _encoder(folder), _texts(1000)
    return lambda: encode(place, texts, out=str(folder / "rows.npy"), pooling="mean", progress=False)


def space(folder: Path) -> Task:
    """a space of 300 texts by a folder"""
    from irp_hf import AnchoredSpace, AnchorSet

    place, anchors = _encoder(folder), AnchorSet(_texts(300))
    return lambda: AnchoredSpace.encode(place, anchors, pooling="mean", progress=False)


def _pipeline(folder: Path) -> Callable[[], Any]:
    """What opens a stitched pipeline of folders, with a head of five classes."""
    import torch
    from transformers import pipeline

    from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter

    place, anchors = _encoder(folder), AnchorSet(_texts(300))
    space = AnchoredSpace.encode(place, anchors, pooling="mean", progress=False)
    IRPAdapter.connect(space, space, method="whitened", restoration=0.5).save_pretrained(folder / "adapter")
    head = torch.nn.Linear(64, 5).eval()
    return lambda: pipeline("irp-stitch", model=str(folder / "adapter"), encoder=place, head=head)


def open_pipeline(folder: Path) -> Task:
    """open a stitched pipeline of folders"""
    return _pipeline(folder)


def classify(folder: Path) -> Task:
    """classify one text with it"""
    texts, stitched = _texts(1), _pipeline(folder)()
    return lambda: stitched(texts)


TASKS: dict[str, Callable[[Path], Task]] = {
    "import": imported,
    "row": linear_row,
    "kernel-row": kernel_row,
    "rows": linear_rows,
    "kernel-rows": kernel_rows,
    "confidence": confidence,
    "load": load,
    "save": save,
    "fit": fit,
    "report": report,
    "encode-text": encode_text,
    "encode": encode_texts,
    "finished": finished,
    "space": space,
    "pipeline": open_pipeline,
    "classify": classify,
}

if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2])
    else:
        main()
