"""The head without its backbone: what it keeps, and that it can be moved, copied, pickled and shared."""

import copy
import gc
import pickle
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from architectures import build
from torch import Tensor

from irp_hf.errors import InputError
from irp_hf.heads.cut import HeadCut
from irp_hf.heads.replay import HeadReplay

TEXT = ("Bert", "Roberta", "DistilBert", "Bart", "T5", "GPT2", "XLNet")
NAMES = (
    *(f"{name}ForSequenceClassification" for name in TEXT),
    "DeiTForImageClassificationWithTeacher",
    "ResNetForImageClassification",
    "Wav2Vec2ForSequenceClassification",
)


@pytest.fixture(scope="module", params=NAMES)
def cut(request: Any) -> HeadCut:
    """Not to be changed."""
    model, batch = build(request.param)
    return HeadCut(model, **batch(3))


@pytest.fixture(scope="module")
def head(cut: HeadCut) -> HeadReplay:
    return cut.head_only()


@pytest.fixture(scope="module")
def vectors(cut: HeadCut) -> Tensor:
    """Not of any text or picture: a translation's are not, either."""
    return torch.randn(6, cut.dim, generator=torch.Generator().manual_seed(0))


def close(got: Tensor, want: Tensor) -> bool:
    return torch.allclose(got, want, atol=1e-5 * float(want.detach().abs().max()))


def test_rows_do_not_see_each_other(head: HeadReplay, vectors: Tensor) -> None:
    """One row or many: the template of one traced row is repeated for each."""
    scores = head(vectors)
    for row in range(len(vectors)):
        assert close(head(vectors[row : row + 1]), scores[row : row + 1])
    assert close(head(vectors.repeat(20, 1)), scores.repeat(20, *[1] * (scores.dim() - 1)))
    assert close(head(vectors), scores)


def test_every_entry_of_the_vectors_matters(head: HeadReplay, vectors: Tensor) -> None:
    """The gradient flows through the head, for whoever trains what comes before it."""
    leaf = vectors.clone().requires_grad_()
    scores = head(leaf)
    scores.square().sum().backward()
    assert leaf.grad is not None
    assert bool((leaf.grad != 0).any(0).all())
    step = 1e-3 * torch.randn(vectors.shape, generator=torch.Generator().manual_seed(1)).double()
    double = copy.deepcopy(head).double()
    x = vectors.double().requires_grad_()
    (slope,) = torch.autograd.grad(double(x).sum(), x)
    change = (double(x + step / 100) - double(x - step / 100)).sum()
    assert float(change) == pytest.approx(float((slope * step / 50).sum()), rel=1e-3)


def test_copies_and_pickles_give_the_same(head: HeadReplay, vectors: Tensor) -> None:
    scores = head(vectors)
    for twin in (copy.deepcopy(head), pickle.loads(pickle.dumps(head))):
        assert torch.equal(twin(vectors), scores)
        with torch.no_grad():
            for parameter in twin.parameters():
                parameter.zero_()
        assert not torch.equal(twin(vectors), scores)
    assert torch.equal(head(vectors), scores)


def test_a_head_moves(head: HeadReplay, vectors: Tensor) -> None:
    """What it remembers of the traced row moves with its weights."""
    for dtype in (torch.float64, torch.bfloat16):
        cast = copy.deepcopy(head).to(dtype)
        scores = cast(vectors.to(dtype))
        assert scores.dtype == dtype
        assert torch.allclose(scores.float(), head(vectors), atol=0.1 * float(head(vectors).detach().abs().max()))


def test_a_head_moves_to_another_device() -> None:
    """What stays behind would fail there; "meta" stands for a device on any machine."""
    model, batch = build("RobertaForSequenceClassification")
    head = copy.deepcopy(HeadCut(model, **batch(3)).head_only()).to("meta")
    assert head(torch.zeros(2, head.dim, device="meta")).device.type == "meta"


def test_another_width_is_refused(head: HeadReplay, refusal: Any) -> None:
    for shape in ((2, head.dim + 1), (head.dim,), (2, 3, head.dim)):
        text = refusal(head, torch.zeros(shape), error=InputError)
        assert f"(n, {head.dim})" in text
        assert str(shape) in text
    assert "a list" in refusal(head, [[0.0] * head.dim], error=InputError)


def test_a_head_works_after_it_refused(head: HeadReplay, vectors: Tensor) -> None:
    scores = head(vectors)
    with pytest.raises(InputError):
        head(vectors[:, 1:])
    assert torch.equal(head(vectors), scores)


def test_threads_share_a_head(head: HeadReplay, vectors: Tensor) -> None:
    """Each run has its own vectors and its own count of calls."""
    parts = [vectors[:rows] for rows in range(1, 7)]
    wanted = [head(part) for part in parts]

    def work(seed: int) -> bool:
        turns = [(turn + seed) % 6 for turn in range(20)]
        return all(close(head(parts[turn]), wanted[turn]) for turn in turns)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_it_names_its_tensors_as_the_model_does(cut: HeadCut, head: HeadReplay) -> None:
    """By these names they are read from a checkpoint."""
    stored = cut.model.state_dict()
    own = head.model.state_dict()
    assert own
    assert all(torch.equal(stored[name], tensor) for name, tensor in own.items())


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("BertForSequenceClassification", {"classifier"}),
        ("RobertaForSequenceClassification", {"classifier.dense", "classifier.out_proj"}),
        ("DistilBertForSequenceClassification", {"pre_classifier", "classifier"}),
        ("BartForSequenceClassification", {"classification_head.dense", "classification_head.out_proj"}),
        ("LlamaForSequenceClassification", {"score"}),
        ("XLNetForSequenceClassification", {"sequence_summary.summary", "logits_proj"}),
        ("DeiTForImageClassificationWithTeacher", {"cls_classifier", "distillation_classifier"}),
        ("ResNetForImageClassification", {"classifier.1"}),
    ],
)
def test_it_holds_the_heads_weights_and_lets_go_of_the_backbone(name: str, parts: set[str]) -> None:
    """A stitched model would otherwise keep the target's whole encoder in memory."""
    model, batch = build(name)
    head = HeadCut(model, **batch(3)).head_only()
    assert {key.rpartition(".")[0] for key in head.model.state_dict()} == parts
    kept = {id(parameter) for parameter in head.parameters()}
    backbone = [weakref.ref(parameter) for parameter in model.parameters() if id(parameter) not in kept]
    assert backbone
    del model, batch
    gc.collect()
    assert [ref for ref in backbone if ref() is not None] == []
    assert head(torch.randn(2, head.dim)).isfinite().all()


def test_it_shares_its_weights_with_the_model() -> None:
    """No second copy: who goes on training the model sees it in the head."""
    model, batch = build("BertForSequenceClassification")
    cut = HeadCut(model, **batch(3))
    z = cut.features(**batch(3))
    with torch.no_grad():
        model.classifier.bias += 1
    assert torch.equal(cut.head_only()(z), model.classifier(z))
