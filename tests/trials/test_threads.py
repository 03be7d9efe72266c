"""Eight threads at once that open heads, load models, cut one model, translate and make layers: nothing is ever wrong."""

import logging
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import stitched
import tiny_encoders as tiny
import torch
import transformers
from torch import nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel, pipeline

from irp_hf import AnchoredSpace, IRPAdapter
from irp_hf.encoding import encode
from irp_hf.heads import HeadCut, open_head
from irp_hf.heads.dummies import dummy_inputs

SECONDS, SEED = 12, 0


def state_of_the_process() -> dict[str, object]:
    """What context managers of accelerate and transformers change, and all threads see."""
    inits = {f"init.{name}": value for name, value in vars(torch.nn.init).items() if name.endswith("_")}
    return inits | {
        "register_parameter": nn.Module.register_parameter,
        "register_buffer": nn.Module.register_buffer,
        "init_weights": PreTrainedModel.init_weights,
        "tie_weights": PreTrainedModel.tie_weights,
        "empty": torch.empty,
        "linspace": torch.linspace,
        "dtype": torch.get_default_dtype(),
        "verbosity": transformers.utils.logging.get_verbosity(),
        "filters": [handler.filters for handler in logging.getLogger("transformers").handlers],
        "device": torch.tensor([0.0]).device,
    }


def check_layer(width: int) -> None:
    layer = nn.Linear(width, 64)
    assert layer.weight.device.type == "cpu"
    assert layer.weight.dtype == torch.float32
    bound = width**-0.5
    assert 0.9 * bound < layer.weight.abs().max() <= 1.0001 * bound
    assert 0.4 * bound < layer.weight.std() < 0.8 * bound


@pytest.mark.slow
def test_threads_do_not_disturb_each_other(tmp_path: Path, adapters: dict[str, IRPAdapter], digits) -> None:
    """If it fails, a server that loads models in threads makes layers without weights, for as long as it runs."""
    text, picture = (stitched.save(tmp_path / kind, kind) for kind in ("text", "image"))
    tiny.save(tmp_path / "bert", tiny.model("bert", **tiny.LAYERS, **tiny.VOCAB), tiny.tokenizer())
    adapters["kernel"].save_pretrained(tmp_path / "adapter")
    adapters["kernel"].source.save_pretrained(tmp_path / "space")
    shared = AutoModelForSequenceClassification.from_pretrained(text).eval()
    batch = dummy_inputs(shared, "text", 3)
    vectors = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    heads = {folder: open_head(folder)(vectors) for folder in (text, picture)}
    logits = shared(**batch).logits
    read = HeadCut(shared, **batch).features(**batch)
    rows, _ = encode(tmp_path / "bert", tiny.texts(9), pooling="mean", device="cpu")
    wanted = adapters["kernel"].translate(digits.held_source)
    stitched.identity(stitched.record("text"), stitched.record("text")).save_pretrained(tmp_path / "identity")
    classify = pipeline("irp-stitch", model=str(tmp_path / "identity"), encoder=str(text), head=str(text), device="cpu")
    texts = tiny.texts(5)
    answers = [classify([one], top_k=3)[0] for one in texts]

    def opens(folder: Path) -> None:
        assert torch.equal(open_head(folder)(vectors), heads[folder])

    def loads() -> None:
        adapter = IRPAdapter.from_pretrained(tmp_path / "adapter")
        assert (adapter.translate(digits.held_source) == wanted).all()
        assert len(AnchoredSpace.from_pretrained(tmp_path / "space").anchors) == len(digits.source)

    def encodes() -> None:
        assert torch.equal(encode(tmp_path / "bert", tiny.texts(9), pooling="mean", device="cpu")[0], rows)

    def classifies() -> None:
        count = random.choice((2, 3))
        for told, wanted_labels in zip(classify(texts, batch_size=1, top_k=count), answers, strict=True):
            assert told == wanted_labels[:count]

    def cuts() -> None:
        assert torch.equal(HeadCut(shared, **batch).features(**batch), read)
        assert torch.equal(shared(**batch).logits, logits)

    works: list[Callable[[], None]] = [
        lambda: opens(text),
        lambda: opens(picture),
        classifies,
        loads,
        encodes,
        cuts,
        cuts,
        lambda: check_layer(random.choice((32, 100, 256))),
    ]
    before = state_of_the_process()
    wrong, done = at_once(works)
    assert len(wrong) == 0, f"{len(wrong)} of {sum(done) + len(wrong)}, the first: {wrong[0]!r}"
    assert min(done) > 0, done
    after = state_of_the_process()
    assert [name for name in before if before[name] != after[name]] == []
    check_layer(64)


def at_once(works: list[Callable[[], None]]) -> tuple[list[BaseException], list[int]]:
    """Do each again and again in a thread of its own; what went wrong, and how often each was done."""
    wrong, done = list[BaseException](), [0] * len(works)
    chance, end = random.Random(SEED), time.monotonic() + SECONDS
    begins = [chance.random() / 50 for _ in works]

    def repeat(number: int) -> None:
        time.sleep(begins[number])
        while time.monotonic() < end:
            try:
                works[number]()
                done[number] += 1
            except BaseException as error:  # counted, so that one thread's does not end the trial
                wrong.append(error)

    threads = [threading.Thread(target=repeat, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong, done
