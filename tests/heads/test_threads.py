"""Heads are found, cut and used in several threads, and nothing that other threads see changes."""

import logging
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import tiny_encoders as tiny
import torch
import transformers
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification, PreTrainedModel

from irp_hf.checkpoints.repository import loading
from irp_hf.errors import HeadCutError
from irp_hf.heads import HeadCut, open_head
from irp_hf.heads.dummies import dummy_inputs, model_without_weights
from irp_hf.heads.head import Head, evaluation_mode
from irp_hf.heads.tracing import InThisThread, record_calls

SMALL = BertConfig(**tiny.LAYERS, **tiny.VOCAB, num_labels=3)


def elsewhere(work: Callable[[], Any]) -> Any:
    """What `work` gives in another thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(20)


def patched() -> list[Any]:
    """What context managers of accelerate and transformers put something else in the place of."""
    inits = [value for name, value in sorted(vars(torch.nn.init).items()) if name.endswith("_")]
    methods = [nn.Module.register_parameter, nn.Module.register_buffer, torch.empty, torch.zeros, torch.linspace]
    return [*inits, *methods, PreTrainedModel.init_weights, PreTrainedModel.tie_weights, torch.get_default_dtype()]


def layer() -> tuple[str, bool]:
    """Where a layer lies that is made now, and whether it has values as torch gives them."""
    weight = nn.Linear(64, 32).weight
    return weight.device.type, bool(weight.is_cpu and 0.1 < weight.abs().max() <= 0.1251)


class Spy(BertForSequenceClassification):
    """Looks about while it is being made."""

    seen: list[Any] = []

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.seen += [patched(), elsewhere(layer)]


def test_a_model_without_weights_is_made_and_nothing_is_patched() -> None:
    """If it fails, layers that another thread makes meanwhile lie on "meta", or hold whatever was in memory."""
    Spy.seen.clear()
    before = patched()
    model = model_without_weights(Spy, SMALL)
    assert Spy.seen == [before, ("cpu", True)]
    assert patched() == before
    assert layer() == ("cpu", True)
    assert all(parameter.is_cpu for parameter in model.parameters())


def test_its_buffers_have_their_values() -> None:
    """If it fails, positions are zeros, and a head is sought in another computation than the model's."""
    model, true = model_without_weights(BertForSequenceClassification, SMALL), BertForSequenceClassification(SMALL)
    buffers = dict(true.named_buffers())
    assert buffers
    assert dict(model.named_buffers()).keys() == buffers.keys()
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in model.named_buffers())


class Late(BertForSequenceClassification):
    """Fills a buffer some other way than by making a tensor of values."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.register_buffer("later", torch.empty(3).fill_(2.0))


def test_a_buffer_without_values_is_refused(refusal: Any) -> None:
    """If it fails, the head of such a model computes with other numbers, without a word."""
    assert "later" in refusal(model_without_weights, Late, SMALL, error=HeadCutError)


def test_one_model_is_cut_by_four_threads_and_used_by_a_fifth() -> None:
    """If it fails, one thread's hooks end another's forward, or stay in the heads that it copied."""
    model = tiny.model("bert", AutoModelForSequenceClassification, **tiny.LAYERS, **tiny.VOCAB, num_labels=3)
    batch = dummy_inputs(model, "text", 3)
    logits, vectors = model(**batch).logits, HeadCut(model, **batch).features(**batch)
    ended = threading.Event()

    def use() -> bool:
        right = True
        while not ended.is_set():
            right &= torch.equal(model(**batch).logits, logits)
        return right

    with ThreadPoolExecutor(5) as pool:
        using = pool.submit(use)
        cuts = [cut.result() for cut in [pool.submit(HeadCut, model, **batch) for _ in range(4)]]
        ended.set()
        assert using.result()
    for cut in cuts:
        assert torch.equal(cut.features(**batch), vectors)
        pickle.dumps(cut.head_only())
    assert not any(hook for module in model.modules() for hook in module._forward_pre_hooks.values())


def test_a_head_keeps_no_hook_of_another_thread() -> None:
    """If it fails, a head that was made while another thread traced the model cannot be pickled, or stops at random."""
    model = tiny.model("bert", AutoModelForSequenceClassification, **tiny.LAYERS, **tiny.VOCAB, num_labels=3)
    batch = dummy_inputs(model, "text", 3)
    with record_calls(model, lambda call: None):
        head = elsewhere(lambda: HeadCut(model, **batch)).head_only()
        hooks = [hook for module in head.model.modules() for hook in module._forward_pre_hooks.values()]
        own = [module for module in head.model.modules() if all(module is not other for other in model.modules())]
    assert hooks
    assert not any(isinstance(hook, InThisThread) for module in own for hook in module._forward_pre_hooks.values())


class Kept(logging.Handler):
    """What a user sees of a logger."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def test_what_loads_is_quiet_in_its_own_thread_alone() -> None:
    """If it fails, a warning of another thread is lost, or the verbosity stays changed for ever."""
    verbosity, library, kept = transformers.utils.logging.get_verbosity(), logging.getLogger("transformers"), Kept()
    logger = transformers.utils.logging.get_logger("transformers.models")
    library.addHandler(kept)
    try:
        with loading("a model"):
            assert transformers.utils.logging.get_verbosity() == verbosity
            logger.warning("a table of unused weights")
            logger.error("a reason to fail")
            elsewhere(lambda: logger.warning("news of another thread"))
        logger.warning("later")
        assert kept.lines == ["a reason to fail", "news of another thread", "later"]
        assert not any(handler.filters for handler in library.handlers)
    finally:
        library.removeHandler(kept)


class Dropping(nn.Module):
    """All dropout, and a way to wait inside."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout, self.entered, self.leave = nn.Dropout(0.5), threading.Event(), threading.Event()

    def forward(self, x: Tensor) -> Tensor:
        if not self.entered.is_set():
            self.entered.set()
            assert self.leave.wait(20)
        return self.dropout(x)


def test_a_head_rests_until_the_last_thread_has_its_answer() -> None:
    """If it fails, a thread that is done first puts dropout back to work in another's predictions."""
    scorer, x = Dropping(), torch.eye(40)
    head = Head(scorer)
    head.train()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(head.predict, x)
        assert scorer.entered.wait(20)
        second = head.predict(x)  # begins later and ends sooner
        assert not scorer.dropout.training
        scorer.leave.set()
        assert first.result(20).tolist() == second.tolist() == list(range(40))
    assert scorer.dropout.training
    with evaluation_mode(head):
        assert not scorer.training
    assert scorer.training


def test_heads_open_in_threads(tmp_path) -> None:
    """The case of a server: four threads open one folder at once."""
    model = tiny.model("bert", AutoModelForSequenceClassification, **tiny.LAYERS, **tiny.VOCAB, num_labels=3)
    tiny.save(tmp_path, model, tiny.tokenizer())
    x, before = torch.randn(5, 16, generator=torch.Generator().manual_seed(0)), patched()
    wanted = open_head(tmp_path)(x)
    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(wanted, got) for got in pool.map(lambda _: open_head(tmp_path)(x), range(8)))
    assert patched() == before
