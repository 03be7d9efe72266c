"""The cut itself, on models whose head is known: what it gives, what it leaves alone, what it refuses."""

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from accelerate import cpu_offload, dispatch_model
from architectures import Batch, build, logits
from architectures.judge import anatomy
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

from irp_hf.errors import HeadCutError
from irp_hf.heads.cut import HeadCut
from irp_hf.heads.tracing import map_tensors

BERT, LLAMA, GPT2 = (f"{name}ForSequenceClassification" for name in ("Bert", "Llama", "GPT2"))
RESNET, DEIT = "ResNetForImageClassification", "DeiTForImageClassificationWithTeacher"
KINDS = (BERT, LLAMA, RESNET, DEIT)


class Small(nn.Module):
    """`x (n, 6)` -> backbone -> `(n, 8)` -> head -> `(n, 3)`."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone, self.head = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.backbone(x).tanh())


class ReadsTheInput(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * x[:, :1]


class ReadsTwoOutputs(Small):
    """The pooled vector goes through the head, and the hidden states go past it."""

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.backbone(torch.stack([x, x.flip(1)], 1))
        return self.head(hidden[:, 0]) + hidden.mean(1)[:, :3]


class ReadsAPosition(Small):
    """No gradient tells that the head reads it."""

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.backbone(x)
        return self.head(hidden) + hidden.argmax(1)[:, None]


class DropsOutAlways(Small):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(x), 0.5, training=True)


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 6))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T


class FrozenBackbone(Small):
    """Autograd is off where the features are made, as in code that trains the head alone."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            z = self.backbone(x)
        return self.head(z)


X = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))


def error_of(cut: HeadCut, batch: Batch) -> float:
    """Over the largest logit."""
    want = logits(cut.model, batch)
    got = cut.head_only()(cut.features(**batch)).detach()
    return float((got - want).abs().max() / want.abs().max())


@pytest.mark.parametrize("name", KINDS)
def test_the_model_is_left_as_it_was(name: str) -> None:
    """A user goes on with the model, with its seeds and with its gradients."""
    model, batch = build(name)
    given = batch(3)
    before, parts, state = copy.deepcopy(model.state_dict()), anatomy(model), torch.get_rng_state()
    cut = HeadCut(model, **given)
    assert torch.equal(torch.get_rng_state(), state)
    cut.verify(**given)
    assert torch.equal(torch.get_rng_state(), state)
    cut.head_only()(cut.features(**given)).sum().backward()
    assert anatomy(model) == parts
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, batch(3)[key]) for key, value in given.items())


def test_the_features_are_those_that_the_head_reads() -> None:
    model, batch = build(BERT)
    cut = HeadCut(model, **batch(3))
    with torch.no_grad():
        want = model.bert(**batch(5)).pooler_output
    assert torch.equal(cut.features(**batch(5)), want)
    assert torch.equal(cut.head_only()(want), model.classifier(want))
    assert (cut.dim, cut.num_labels) == (32, 5)


def test_two_classifiers_that_read_two_tokens_get_both() -> None:
    """DeiT averages them: a cut that feeds one vector to both is wrong."""
    model, batch = build(DEIT)
    cut = HeadCut(model, **batch(3))
    assert cut.dim == 2 * model.config.hidden_size
    tokens = model.deit(**batch(5)).last_hidden_state
    assert torch.allclose(cut.features(**batch(5)), tokens[:, :2].flatten(1), atol=1e-6)


@pytest.mark.parametrize("name", [GPT2, LLAMA])
def test_a_scorer_of_tokens_is_pooled_at_the_last_that_is_no_padding(name: str) -> None:
    model, batch = build(name)
    cut, given = HeadCut(model, **batch(3)), batch(5)
    with torch.no_grad():
        hidden = model.base_model(**given).last_hidden_state
    last = given["attention_mask"].sum(1) - 1
    assert torch.allclose(cut.features(**given), hidden[torch.arange(5), last], atol=1e-5)


def test_a_scorer_of_tokens_reads_the_same_whatever_the_padding() -> None:
    """Left or right, alone or beside a longer text."""
    model, batch = build(LLAMA)
    cut, given = HeadCut(model, **batch(3)), batch(5)
    padded = cut.features(**given)
    for row, length in enumerate(given["attention_mask"].sum(1)):
        ids = given["input_ids"][row : row + 1, :length]
        for left, right in ((0, 0), (3, 0), (0, 7)):
            alone = {
                "input_ids": nn.functional.pad(ids, (left, right)),
                "attention_mask": nn.functional.pad(torch.ones_like(ids), (left, right)),
            }
            assert torch.allclose(cut.features(**alone)[0], padded[row], atol=1e-5), (row, left, right)


@pytest.mark.parametrize(
    ("name", "mode"), [(BERT, torch.no_grad), *((name, torch.inference_mode) for name in (LLAMA, DEIT))]
)
def test_autograd_may_be_off_while_cutting_and_reading(name: str, mode: Callable[[], Any]) -> None:
    """Pipelines run in inference mode; the cut asks autograd where the head is."""
    model, batch = build(name)
    want = HeadCut(model, **batch(3)).features(**batch(5))
    with mode():
        made_inside = batch(3)
        cut = HeadCut(model, **made_inside)
        assert torch.allclose(cut.features(**batch(5)), want, atol=1e-6)
        assert error_of(cut, batch(5)) < 1e-5
    assert HeadCut(model, **made_inside).dim == cut.dim


@pytest.mark.parametrize(
    ("name", "dtype"), [(LLAMA, torch.float16), (BERT, torch.bfloat16), (RESNET, torch.float64), (DEIT, torch.bfloat16)]
)
def test_other_dtypes(name: str, dtype: torch.dtype) -> None:
    model, batch = build(name)
    model.to(dtype)
    given = [{k: v.to(dtype) if v.is_floating_point() else v for k, v in batch(rows).items()} for rows in (3, 5)]
    cut = HeadCut(model, **given[0])
    z = cut.features(**given[1])
    assert z.dtype == cut.head_only()(z).dtype == dtype
    assert error_of(cut, given[1]) < 8 * torch.finfo(dtype).eps


def test_a_model_whose_backbone_is_frozen() -> None:
    cut = HeadCut(FrozenBackbone().eval(), x=X)
    assert torch.equal(cut.features(x=X), cut.model.backbone(X))


def test_a_regression_head_is_a_head() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1)).eval()
    cut = HeadCut(model, input=X)
    assert cut.num_labels == 1
    assert torch.allclose(cut.head_only()(cut.features(input=X)), model(X))


@pytest.mark.parametrize("model_class", [ReadsTheInput, ReadsTwoOutputs, ReadsAPosition, DropsOutAlways])
def test_a_head_that_reads_more_than_a_vector_is_never_silently_wrong(model_class: type[Small], refusal: Any) -> None:
    """Its labels would be those of another model, with no error."""
    text = refusal(HeadCut, model_class().eval(), x=X, error=HeadCutError)
    assert model_class.__name__ in text
    assert "off by " in text or "got none" in text


class TestRefusals:
    def test_what_is_no_module(self, refusal: Any) -> None:
        assert "a str" in refusal(HeadCut, "bert-base", error=HeadCutError)

    def test_training_mode(self, refusal: Any) -> None:
        text = refusal(HeadCut, Small().train(), x=X, error=HeadCutError)
        assert "Small" in text
        assert "training mode" in text

    def test_generation_models(self, refusal: Any) -> None:
        model = GPT2LMHeadModel(
            GPT2Config(n_layer=1, n_embd=16, n_head=2, vocab_size=64, bos_token_id=0, eos_token_id=0)
        )
        text = refusal(HeadCut, model.eval(), input_ids=torch.arange(15).view(3, 5), error=HeadCutError)
        assert "GPT2LMHeadModel" in text
        assert "gives text" in text

    def test_modules_that_label_each_token(self, refusal: Any) -> None:
        """No class of transformers tells it, but the shape does."""
        text = refusal(HeadCut, nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 64)).eval(), input=torch.arange(6).view(2, 3),
                       error=HeadCutError)  # fmt: skip
        assert "(2, 3, 64)" in text

    def test_models_without_parts(self, refusal: Any) -> None:
        text = refusal(HeadCut, Functional().eval(), x=X, error=HeadCutError)
        assert text.startswith("Functional: ")
        assert "got none" in text

    @pytest.mark.parametrize("rows", [X[:1], X[:1].expand(3, -1)])
    def test_rows_that_are_all_alike(self, rows: Tensor, refusal: Any) -> None:
        """On them any head gives the model's logits: `ReadsTheInput` would pass."""
        text = refusal(HeadCut, ReadsTheInput().eval(), x=rows, error=HeadCutError)
        assert "ReadsTheInput" in text
        assert "the same logits for " + ("its only row" if len(rows) == 1 else "all 3 rows") in text

    def test_inputs_that_the_model_does_not_take(self, refusal: Any) -> None:
        text = refusal(HeadCut, Small().eval(), pixels=X, error=HeadCutError)
        assert text.startswith("Small: ")
        assert "TypeError" in text
        assert "unexpected keyword argument 'pixels'" in text

    def test_nan_weights(self, refusal: Any) -> None:
        """NaN compares as neither more nor less than a tolerance."""
        model = Small().eval()
        model.head.weight.data[0, 0] = torch.nan
        assert "off by nan" in refusal(HeadCut, model, x=X, error=HeadCutError)

    def test_weights_that_were_offloaded(self, refusal: Any) -> None:
        """Their hooks bring them for the model's own forward alone."""
        model, batch = build("RobertaForSequenceClassification")
        cpu_offload(model, torch.device("cpu"))
        assert "RobertaForSequenceClassification" in refusal(HeadCut, model, **batch(3), error=HeadCutError)

    def test_a_batch_that_ends_before_the_head(self, refusal: Any) -> None:
        class Leaves(Small):
            def forward(self, x: Tensor) -> Tensor:
                return x[:, :3] if (x > 100).any() else super().forward(x)

        cut = HeadCut(Leaves().eval(), x=X)
        assert refusal(cut.features, x=X + 1000, error=HeadCutError).startswith("Leaves: ")


def test_a_model_with_the_hooks_of_accelerate() -> None:
    model, batch = build("RobertaForSequenceClassification")
    want = HeadCut(model, **batch(3)).features(**batch(5))
    dispatch_model(model, {"": "cpu"}, force_hooks=True)
    cut = HeadCut(model, **batch(3))
    assert torch.equal(cut.features(**batch(5)), want)
    assert error_of(cut, batch(5)) < 1e-5


@pytest.mark.parametrize("name", [BERT, LLAMA])
def test_threads_read_features_of_one_model_and_classify_with_it(name: str) -> None:
    """A server's threads share the model: a hook of one must not catch the rows of another."""
    model, batch = build(name)
    cut = HeadCut(model, **batch(3))
    batches = [map_tensors(Tensor.clone, batch(rows)) for rows in (2, 3, 4, 5)]
    wanted = [(cut.features(**given), model(**given).logits) for given in batches]

    def work(seed: int) -> Iterator[bool]:
        for turn in range(12):
            given, (z, scores) = batches[(turn + seed) % 4], wanted[(turn + seed) % 4]
            yield torch.allclose(cut.features(**given), z, atol=1e-5)
            yield torch.allclose(model(**given).logits, scores, atol=1e-5)

    with ThreadPoolExecutor(4) as pool:
        assert all(all(results) for results in pool.map(lambda seed: list(work(seed)), range(4)))
