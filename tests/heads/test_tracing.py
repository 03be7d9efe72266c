"""Hooks that watch and change what goes into modules, and leave nothing behind."""

import pickle
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from architectures.judge import anatomy
from torch import Tensor, nn
from transformers.modeling_outputs import SequenceClassifierOutput

from irp_hf.errors import HeadCutError
from irp_hf.heads.tracing import (
    Call,
    Entry,
    changer,
    inside,
    logits_of,
    map_tensors,
    owner_of,
    record_calls,
    replace_inputs,
    replace_output,
)


class Twice(nn.Module):
    """Calls `layer` two times, by position and by name, and `outer.inner` once."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Identity()
        self.layer.forward = lambda input, ids=None: input  # type: ignore[method-assign, assignment]
        self.outer = nn.Sequential()
        self.outer.add_module("inner", nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        ids = torch.arange(len(x))
        return self.outer(self.layer(x, ids=ids) + self.layer(input=x))


class Answers(nn.Module):
    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output

    def forward(self) -> Any:
        return self.output


@pytest.mark.parametrize("logits", [torch.zeros(3, 5), torch.zeros(3, 1, 5)])
def test_logits_are_found_in_whatever_a_model_gives(logits: Tensor) -> None:
    for output in (logits, (logits, None), SequenceClassifierOutput(loss=torch.zeros(()), logits=logits)):
        assert logits_of(Answers(output), {}) is logits


@pytest.mark.parametrize(
    ("output", "got"),
    [
        (torch.zeros(3, 7, 5), "(3, 7, 5)"),
        (torch.zeros(5), "(5,)"),
        (SequenceClassifierOutput(logits=torch.zeros(2, 3, 4, 5)), "(2, 3, 4, 5)"),
        (("words",), "a str"),
    ],
)
def test_what_is_no_logits_is_refused(output: Any, got: str, refusal: Any) -> None:
    """Scores of tokens, of a generation model say, would otherwise be taken for a classification."""
    text = refusal(logits_of, Answers(output), {}, error=HeadCutError)
    assert "Answers" in text
    assert got in text


def test_each_call_is_recorded_in_order_with_its_floating_tensors() -> None:
    """Where a head begins would be sought in another order than that of the forward."""
    model, x, calls = Twice(), torch.ones(2, 3), list[Call]()
    with record_calls(model, calls.append):
        model(x)
    assert [(c.name, c.nth) for c in calls] == [("layer", 0), ("layer", 1), ("outer", 0), ("outer.inner", 0)]
    assert [[slot for slot, _ in c.tensors] for c in calls] == [[0], ["input"], [0], [0]]  # ids are no floats
    assert calls[0].tensors[0][1] is x


def test_one_input_is_replaced_and_no_other() -> None:
    """A head would read the vectors of another call."""
    model, x, zero = Twice(), torch.ones(2, 3), lambda _, value: 0 * value
    for entries, want in (
        ([Entry("layer", 0, 0)], 1),
        ([Entry("layer", 1, "input")], 1),
        ([Entry("layer", 0, 0), Entry("layer", 1, "input")], 0),
        ([Entry("outer.inner", 0, 0)], 0),
        ([Entry("layer", 2, 0)], 2),  # there is no third call
        ([], 2),
    ):
        with replace_inputs(model, entries, zero):
            assert torch.equal(model(x), want * x), entries
        assert torch.equal(model(x), 2 * x)


def test_calls_are_counted_from_the_start_each_time() -> None:
    """The second batch would go through unchanged."""
    model, x = Twice(), torch.ones(2, 3)
    for _ in range(2):
        with replace_inputs(model, [Entry("layer", 0, 0)], lambda _, value: 0 * value):
            assert torch.equal(model(x), x)


def test_an_output_is_replaced_until_that_ends() -> None:
    """A model would go on giving what it gave while it was traced."""
    model, x = Twice(), torch.ones(2, 3)
    end = replace_output(model.layer, lambda output: output + 1)
    assert torch.equal(model(x), 4 * x)
    end()
    assert torch.equal(model(x), 2 * x)


def test_no_hook_stays_when_the_model_fails() -> None:
    """A hook left on a user's model would change it for good."""

    class Odd(Exception):
        pass

    def fail(*_: Any) -> Any:
        raise Odd

    model, x = Twice(), torch.ones(2, 3)
    before = anatomy(model)
    with pytest.raises(Odd), record_calls(model, fail):
        model(x)
    with pytest.raises(Odd), replace_inputs(model, [Entry("layer", 1, "input"), Entry("outer", 0, 0)], fail):
        model(x)
    assert anatomy(model) == before


def test_calls_of_another_thread_are_neither_recorded_nor_changed() -> None:
    """Two threads share a model: one reads features while the other classifies."""
    model, x, calls = Twice(), torch.ones(2, 3), list[Call]()
    end = replace_output(model.layer, lambda output: 0 * output)
    with (
        record_calls(model, calls.append),
        replace_inputs(model, [Entry("outer", 0, 0)], lambda _, value: 0 * value),
        ThreadPoolExecutor(1) as other,
    ):
        assert torch.equal(other.submit(model, x).result(), 2 * x)
    end()
    assert calls == []


def first_call() -> int:
    return 0


def halve(_: Entry, value: Tensor) -> Tensor:
    return value / 2


def test_a_changer_pickles() -> None:
    """A saved head carries such hooks."""
    hook = pickle.loads(pickle.dumps(changer([Entry("layer", 0, 0)], first_call, halve)))
    assert hook(nn.Identity(), (torch.tensor(4.0),), {"other": 1}) == ((torch.tensor(2.0),), {"other": 1})


def test_tensors_are_mapped_wherever_they_lie() -> None:
    pair = namedtuple("pair", "left right")
    tree = {"a": [torch.ones(1), 2, None], "b": pair(torch.ones(1), (torch.ones(1), "text"))}
    mapped = map_tensors(lambda tensor: tensor * 3, tree)
    assert mapped == {
        "a": [torch.tensor([3.0]), 2, None],
        "b": pair(torch.tensor([3.0]), (torch.tensor([3.0]), "text")),
    }
    assert tree["a"][0] == 1


def test_the_output_of_a_model_keeps_its_class() -> None:
    """Heads ask it for attributes, and slice it."""
    output = SequenceClassifierOutput(logits=torch.ones(1), hidden_states=(torch.ones(1), torch.ones(1)))
    mapped = map_tensors(lambda tensor: tensor * 3, output)
    assert isinstance(mapped, SequenceClassifierOutput)
    assert mapped.logits == 3
    assert mapped[1] == (3, 3)
    assert mapped.loss is None
    assert output.logits == 1


@pytest.mark.parametrize(
    ("name", "scope", "is_inside"),
    [("a.b", "a", True), ("a", "a", False), ("ab", "a", False), ("a", "", True), ("", "", False), ("a", "a.b", False)],
)
def test_inside(name: str, scope: str, is_inside: bool) -> None:
    assert inside(name, scope) == is_inside


def test_the_owner_of_a_module() -> None:
    model = Twice()
    assert owner_of(model, "layer") == (model, "layer")
    assert owner_of(model, "outer.inner") == (model.outer, "inner")
