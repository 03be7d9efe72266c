"""What rescaling does to a head: against a slow loop, by what must hold exactly, and that the head is left as it was."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from says import says
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from irp_hf.analysis import scale_invariance as module
from irp_hf.analysis.scale_invariance import FACTORS, ScaleInvariance, ScalePoint, scale_invariance
from irp_hf.errors import InputError
from irp_hf.evaluation import Measure
from irp_hf.heads import open_head

POWERS = (0.125, 0.5, 2.0, 16.0)  # exact in floating point


class Call(nn.Module):
    """Gives what a function gives."""

    def __init__(self, function: Callable) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: object) -> object:
        return self.function(x)


cosine = partial(Call, torch.cos)


def head(activation: Callable[[], nn.Module] = nn.ReLU, bias: bool = True, seed: int = 0) -> nn.Sequential:
    """Of three layers, 6 wide inside, 4 classes; in evaluation mode."""
    torch.manual_seed(seed)
    first, second, last = nn.Linear(5, 6, bias), nn.Linear(6, 6, bias), nn.Linear(6, 4, bias)
    return nn.Sequential(first, activation(), second, activation(), last).double().eval()


def vectors(n: int = 60, seed: int = 0) -> Tensor:
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def shares(result: ScaleInvariance) -> dict[float, float]:
    return {point.factor: point.agreement.mean for point in result.points}


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=4), st.booleans())
def test_every_share_is_the_one_of_a_loop(seed: int, factors: list[float], centered: bool):
    """Users would trust a head for labels that it does not give."""
    called, x = head(nn.Tanh, seed=seed), vectors(seed=seed)
    center = x.mean(0) if centered else torch.zeros(5, dtype=torch.float64)
    true = torch.randint(4, (60,), generator=torch.Generator().manual_seed(seed))
    result = scale_invariance(called, x, true, factors=factors, center=x.mean(0) if centered else None)
    assert [point.factor for point in result.points] == sorted({1.0, *factors})
    for point in result.points:
        stays = right = 0
        for row, label in zip(x, true, strict=True):
            given_label = int(called(center + point.factor * (row - center)).argmax())
            stays += given_label == int(called(row).argmax())
            right += given_label == int(label)
        assert point.agreement.mean == pytest.approx(stays / 60)
        assert point.accuracy is not None
        assert point.accuracy.mean == pytest.approx(right / 60)
        assert point.agreement.low <= point.agreement.mean <= point.agreement.high


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([None, "0", "1", "2", "3"]))
def test_relu_without_biases_is_scale_invariant(seed: int, layer: str | None):
    """The probe would find fault with a head that has none: such a network is positively homogeneous."""
    result = scale_invariance(head(bias=False, seed=seed), vectors(seed=seed), factors=POWERS, layer=layer)
    assert set(shares(result).values()) == {1.0}


@pytest.mark.parametrize("layer", [None, "0", "1", "2"])
def test_the_cosine_is_not(layer: str | None):
    """The probe would find no fault with a head that has one."""
    called = head(cosine)
    nn.init.normal_(called[0].weight)
    nn.init.normal_(called[2].weight)
    nn.init.zeros_(called[4].bias)
    assert shares(scale_invariance(called, vectors(), factors=[16], layer=layer))[16] < 0.9


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4))
def test_rescaling_a_layer_is_rescaling_the_inputs_of_what_follows(seed: int, cut: int):
    """Another layer would be rescaled than the one named, or twice."""
    whole, x = head(cosine, seed=seed), vectors(seed=seed)
    with torch.no_grad():
        middle = whole[:cut](x)
    expected = scale_invariance(whole[cut:], middle, factors=POWERS).points
    assert scale_invariance(whole, x, factors=POWERS, layer=str(cut - 1)).points == expected


def test_a_point_that_stays_is_the_origin_of_a_shifted_head():
    """A translation restores the scale about the anchors' mean: its errors would be looked for about another point."""
    whole, x = head(nn.Tanh), vectors() + 3
    center = x.mean(0)
    shifted = lambda rows: whole(rows.double() + center)  # noqa: E731
    about = shares(scale_invariance(whole, x, center=center.tolist(), factors=POWERS))
    assert about == pytest.approx(shares(scale_invariance(shifted, x - center, factors=POWERS)), abs=1 / 60)
    assert about != shares(scale_invariance(whole, x, factors=POWERS))


def test_a_fitted_classifier_and_its_own_names():
    """Labels would be compared with the wrong names, and accuracy be nonsense."""
    x = vectors(200).numpy()
    names = np.array(["left", "right"])[(x[:, 0] + 0.3 * x[:, 1] > 0).astype(int)]
    fitted = LogisticRegression().fit(x, names)
    result = scale_invariance(fitted, x, names.tolist(), factors=POWERS)
    for point in result.points:
        assert point.accuracy is not None
        assert point.accuracy.mean == pytest.approx(fitted.score(point.factor * x, names))
    assert scale_invariance(fitted, x).points[0].accuracy is None


def test_a_head_that_was_opened_counts_as_what_it_was(tmp_path: Any, refusal):
    """Accuracy would be .000 of a classifier that is right, for its classes were compared with the numbers of its logits."""
    x = vectors(200).numpy()
    y = (x[:, 0] > 0) + 3
    fitted = LogisticRegression().fit(x, y)
    opened = scale_invariance(open_head(fitted), x, y, factors=POWERS)
    assert opened == scale_invariance(fitted, x, y, factors=POWERS)
    assert opened.points[2].accuracy.mean == pytest.approx(fitted.score(x, y))

    names = dict(enumerate(["sport", "news", "food"]))
    model = transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, id2label=names
        )
    ).eval()
    model.save_pretrained(tmp_path)
    rows = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    numbers = model.classifier(rows).argmax(1)
    for given_head in (model, tmp_path, str(tmp_path), open_head(tmp_path)):
        for labels in (numbers, [names[int(place)] for place in numbers]):
            found = scale_invariance(given_head, rows, labels, factors=[1])
            assert found.points[0].accuracy.mean == 1
        text = refusal(scale_invariance, given_head, rows, numbers + 3, error=InputError)
        assert says(text, "labels", "0 to 2")
    assert says(refusal(scale_invariance, head(), vectors(), [4] * 60, error=InputError), "labels", "0 to 3", "got 4")


def test_large_inputs_are_read_in_chunks_of_the_same_result(monkeypatch: pytest.MonkeyPatch):
    """Memory would grow with the data, or the chunks be put together in another order."""
    called, x = head(cosine), vectors(50)
    whole = [scale_invariance(called, x, layer=layer) for layer in (None, "2")]
    monkeypatch.setattr(module, "CHUNK", 7)
    assert [scale_invariance(called, x, layer=layer) for layer in (None, "2")] == whole


def test_the_first_of_several_outputs_is_the_one_that_counts():
    """Blocks of transformers return tuples: their hidden states would not be rescaled."""
    first = Call(lambda several: several[0])
    pair = nn.Sequential(Call(lambda x: (x - 1, None)), first)
    expected = scale_invariance(lambda x: x, vectors() - 1, factors=POWERS).points
    assert scale_invariance(pair, vectors().float(), factors=POWERS, layer="0").points == expected
    head_of_two = nn.Sequential(nn.Sequential(Call(lambda x: (x.cos(), None)), first), nn.Linear(5, 4))
    assert min(shares(scale_invariance(head_of_two, vectors().float(), factors=[1e-3], layer="0.0")).values()) < 1


def test_a_layer_that_cannot_be_rescaled_is_named(refusal):
    """The head would look scale invariant because nothing was rescaled."""
    text = refusal(scale_invariance, nn.Sequential(Call(list)), vectors(), layer="0", error=InputError)
    assert all(word in text for word in ("layer '0'", "a tensor", "a list"))
    idle = Call(lambda x: x)
    idle.unused = nn.Linear(2, 2)
    assert "layer 'unused'" in refusal(scale_invariance, idle, vectors(), layer="unused", error=InputError)


def test_the_head_is_left_as_it_was():
    """A head in training would stay in evaluation, or go on rescaling after a failure."""
    whole, x = head(), vectors()
    whole.train()
    whole[1].eval()
    modes = [part.training for part in whole.modules()]
    scale_invariance(whole, x, layer="2")
    failing = nn.Sequential(*head()[:3], nn.Linear(9, 9).double())
    failing.train()
    with pytest.raises(InputError, match=r"head.*\(60, 5\)"):
        scale_invariance(failing, x, layer="2")
    assert [part.training for part in whole.modules()] == modes
    assert all(part.training for part in (failing, failing[3]))
    assert not any(part._forward_hooks for part in (*whole.modules(), *failing.modules()))


LAYERS = "'0', '1', '2', '3', '4'"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layer": "5"}, ["layer", LAYERS, "got '5'"]),
        ({"layer": ""}, ["layer", LAYERS, "got ''"]),
        ({"layer": ["0"]}, ["layer", LAYERS, "got ['0']"]),
        *(
            ({"factors": [2, bad]}, ["factors", "1e-09", "1e+09", f"got {bad!r}"])
            for bad in (0, -1.5, float("nan"), float("inf"), "2", True)
        ),
        ({"factors": 2}, ["factors", "got 2"]),
        ({"labels": [0, 1]}, ["labels", "60 vectors", "shape (2,)"]),
        ({"labels": ["a"] * 60}, ["labels", "whole numbers from 0", "<U1"]),
        ({"labels": [-1] * 60}, ["labels", "whole numbers from 0", "-1"]),
        (
            {"labels": torch.zeros(60, dtype=torch.bfloat16, requires_grad=True)},
            ["labels", "whole numbers from 0", "float64"],
        ),
        ({"labels": [[0, 1], [0]] * 30}, ["labels", "unequal length"]),
        ({"center": [0.0, 1.0]}, ["center", "shape (5,)", "shape (2,)"]),
        ({"center": np.zeros(5), "layer": "1"}, ["center", "layer='1'"]),
    ],
)
def test_bad_options_are_refused_before_the_head_runs(options: dict, words: list[str], refusal):
    """A long computation would end in an error, or in numbers about something else."""
    called = head()
    called.register_forward_pre_hook(lambda *_: pytest.fail("the head ran"))
    text = refusal(scale_invariance, called, vectors(), error=InputError, **options)
    assert all(word in text for word in words)


def test_bad_vectors_and_heads_are_refused(refusal):
    """NaN would come out as labels that change, another width as an error of torch."""
    broken = vectors()
    broken[2, 0] = torch.nan
    fitted = LogisticRegression().fit(vectors().numpy(), np.arange(60) % 2)
    for called, x, options, words in (
        (head(), broken, {}, ["embeddings", "NaN", "2"]),
        (head(), vectors()[:, :3], {}, ["head", "(60, 3)"]),
        (3, vectors(), {}, ["head", "int"]),
        (lambda x: x, vectors(), {"layer": "0"}, ["layer", "got '0'"]),
        (head(), vectors(), {"center": np.full(5, np.inf)}, ["center", "infinity"]),
        (fitted, vectors(), {"labels": [7] * 60}, ["labels", "0, 1", "got 7"]),
        (fitted, vectors(), {"labels": [None] * 60}, ["labels", "0, 1", "got None"]),
    ):
        text = refusal(scale_invariance, called, x, error=InputError, **options)
        assert all(word in text for word in words), text


def result(stays: list[float]) -> ScaleInvariance:
    """Of a head that keeps these shares at factors around 1."""
    both = zip([0.25, 0.5, 1, 2, 4], stays, strict=True)
    points = (ScalePoint(f, Measure(s, s - 0.01, s + 0.01), Measure(s / 2, 0, 1)) for f, s in both)
    return ScaleInvariance(tuple(points), 500, None, False)


@pytest.mark.parametrize(
    ("stays", "share", "low", "high"),
    [
        ([1, 1, 1, 1, 1], 0.99, 0.25, 4),
        ([0.9, 0.99, 1, 0.995, 0.98], 0.99, 0.5, 2),
        ([1, 0.9, 1, 0.9, 1], 0.99, 1, 1),  # what lies beyond a gap is not between
        ([1, 0.9, 1, 0.9, 1], 0.9, 0.25, 4),
    ],
)
def test_the_safe_range_reaches_to_the_first_scale_that_fails(stays: list, share: float, low: float, high: float):
    """Users would take a scale for safe at which labels change."""
    assert result(stays).safe_range(share) == (low, high)


def test_the_conclusion_says_the_range_in_words():
    """The user's question, over which range is my head safe, would not be answered."""
    said = result([1] * 5).conclusion()
    assert said == "At every scale that was tried, α from 0.25 to 4, at least 99 % of the labels stay."
    assert result([0.5, 1, 1, 1, 0.7]).conclusion() == (
        "For α from 0.5 to 2 at least 99 % of the labels stay; at α = 0.25 only .500 of them do."
    )
    assert result([0.5, 0.9, 1, 0.9, 0.7]).conclusion(0.95) == (
        "There is no scale but α = 1, of those tried, at which at least 95 % of the labels stay; "
        "at α = 0.25 only .500 of them do."
    )


@pytest.mark.parametrize("share", [0, -1, 1.1, float("nan"), "1", True])
def test_a_share_out_of_range_is_refused(share: object, refusal):
    """The range would be empty or everything."""
    text = refusal(result([1] * 5).safe_range, share, error=InputError)
    assert all(word in text for word in ("share", "above 0", "at most 1", f"got {share!r}"))


def test_the_table_has_a_line_for_every_scale():
    """A scale would be missing, or the head as it is not be marked."""
    said = str(result([0.5, 1, 1, 1, 0.7]))
    assert "500 vectors; the inputs multiplied by α; ± is half the 95 % interval." in said
    assert ["▸", "1", "1.000", "±.010", ".500", "±.500"] in [line.split() for line in said.splitlines()]
    assert len(result([1] * 5).tables()[0]) == 6
    x = vectors()
    assert "the output of layer '2' multiplied by α" in scale_invariance(head(), x, layer="2").caption()
    assert "the inputs' distance from their centre" in scale_invariance(head(), x, center=x[0]).caption()
    assert len(scale_invariance(head(), x).tables()[0][0]) == 2


def test_the_default_factors_are_closer_to_one_where_it_matters():
    """Translations miss the scale by a few per cent, not by 64 times: the range would be found too coarsely."""
    assert list(FACTORS) == sorted(FACTORS)
    assert 1 in FACTORS
    near = [factor for factor in FACTORS if 0.7 <= factor <= 1.4]
    assert all(high / low < 1.2 for low, high in pairwise(near))


def test_the_picture_shows_what_was_measured():
    """A line would belong to other numbers, or a panel hide the range."""
    axes = result([0.5, 1, 1, 1, 0.7]).plot().axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    assert lines["labels that stay"].get_ydata().tolist() == [0.5, 1, 1, 1, 0.7]
    assert lines["accuracy"].get_ydata().tolist() == [0.25, 0.5, 0.5, 0.5, 0.35]
    assert lines["accuracy"].get_xdata().tolist() == [0.25, 0.5, 1, 2, 4]
    assert axes.get_xscale() == "log"
    assert "accuracy" not in {line.get_label() for line in scale_invariance(head(), vectors()).plot().axes[0].lines}
