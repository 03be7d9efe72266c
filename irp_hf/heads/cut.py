"""Cut any classification model at the input of its head, with no table of architectures.

One traced forward lists the calls of all modules. The head begins where the backbone's whole effect on the logits passes
through one vector per row; autograd shows where, since behind such a place nothing else of the backbone has a gradient. Where
scores are made per token and pooled afterwards (decoder-only classifiers), the vector is the same pooling of what the scorer
reads.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from irp_hf.arithmetic import own_arithmetic
from irp_hf.errors import HeadCutError, first_line, kind_of, refusal
from irp_hf.heads.chance import OwnChance
from irp_hf.heads.other_answers import NAME_A_CLASSIFIER, ONE_ANSWER, other_answer
from irp_hf.heads.replay import HeadReplay, Source
from irp_hf.heads.tracing import (
    Call,
    Entry,
    inside,
    logits_of,
    map_tensors,
    record_calls,
    replace_inputs,
    replace_output,
)

TOLERANCE = 1e-5  # of the largest logit, where the dtype allows it
PASS_A_FUNCTION = "Pass the head as a function from vectors to logits."


class HeadCut:
    """A classification model, and the place where its head begins.

    `features(**inputs)` is what the head reads, `(n, dim)`; `head_only()` makes logits of such vectors alone.
    """

    dim: int
    """Width of what the head reads."""
    num_labels: int

    @own_arithmetic()
    def __init__(self, model: nn.Module, **inputs: Any) -> None:
        """Cut `model`, a classifier in eval mode, by what it does with `inputs`, one batch of at least two different rows.

        Raises `HeadCutError` where there is no such place, or where the head alone does not give the model's own logits, on
        this batch and on another of its rows. The model is left as it was.
        """
        _check(model)
        self.model = model
        runs = own_errors(type(model).__name__, "a model that runs while it is cut at its head", PASS_A_FUNCTION)
        with runs, OwnChance(0):
            inputs = map_tensors(Tensor.clone, inputs)  # made in inference mode they would be of no use to autograd
            logits = self._logits(inputs)
            rows, self.num_labels = len(logits), logits.shape[-1]
            if ((logits - logits[:1]).abs() <= TOLERANCE * logits.abs().max()).all():
                raise refusal(
                    f"A batch to cut {type(model).__name__} with",
                    "rows that get different logits, since any head suits equal ones",
                    f"the same logits for {'its only row' if rows == 1 else f'all {rows} rows'}",
                    "Give two different rows or more.",
                    HeadCutError,
                )
            self._sources, self._tokens = self._find(inputs, rows)
            self.dim = sum(source.width for source in self._sources)
            self._head = self._replay(_take(inputs, rows, [0]))
            self.verify(**inputs)
            self.verify(**_take(inputs, rows, [rows - 1, 0]))

    def head_only(self) -> HeadReplay:
        """The head without the backbone, from `(n, dim)` to logits `(n, num_labels)`; it shares its weights with the model."""
        return self._head

    @own_arithmetic()
    def features(self, **inputs: Any) -> Tensor:
        """What the head reads of each row of a batch, `(n, dim)`; the forward stops there."""
        return self._vectors(inputs) if self._tokens is None else self._pooled(inputs)

    @own_arithmetic()
    def verify(self, **inputs: Any) -> None:
        """Raise `HeadCutError` where `head(features(x))` is not the model's logits, to 1e-5 of the largest in float32."""
        expected = self._logits(inputs)
        with OwnChance(0):
            vectors = self.features(**inputs)
        with OwnChance(1):  # chance has no part in a head
            got = self._head(vectors)
        dtype = torch.finfo(expected.dtype)
        error = float((got - expected).abs().max() / expected.abs().max().clamp(min=dtype.tiny))
        if got.shape != expected.shape or not error <= max(TOLERANCE, 8 * dtype.eps):
            raise refusal(
                f"The head of {type(self.model).__name__} alone",
                f"the model's own logits for a batch of {len(expected)}",
                f"others (off by {error:.1e} of the largest)",
                PASS_A_FUNCTION,
                HeadCutError,
            )

    @own_arithmetic()
    def _vectors(self, inputs: Mapping[str, Any]) -> Tensor:
        read: dict[Entry, Tensor] = {}
        firsts = [source.entries[0] for source in self._sources]

        def grab(entry: Entry, value: Tensor) -> Tensor:
            read[entry] = value
            if len(read) == len(firsts):
                raise _Enough
            return value

        with replace_inputs(self.model, firsts, grab):
            try:
                self.model(**inputs)
            except _Enough:
                return torch.cat([read[entry] for entry in firsts], 1)
        raise refusal(
            type(self.model).__name__,
            "a batch on which it comes to its head",
            "one on which it does not",
            "Give inputs like those it was cut with.",
            HeadCutError,
        )

    @own_arithmetic()
    def _pooled(self, inputs: Mapping[str, Any]) -> Tensor:
        """Autograd says with which weights the pooling reads the tokens' scores; what the scorer read is pooled alike."""
        (entry,) = self._sources[0].entries
        tokens: list[Tensor] = []
        scores: list[Tensor] = []

        def grab(_: Entry, value: Tensor) -> Tensor:
            tokens.append(value.detach())
            return value

        def leaf(output: Tensor) -> Tensor:
            torch.set_grad_enabled(True)  # from here to the end of the forward; the backbone needs no graph
            scores.append(output.detach().requires_grad_())
            return scores[-1]

        inputs = map_tensors(Tensor.clone, dict(inputs))  # made in inference mode they would be of no use here
        with replace_inputs(self.model, [entry], grab), ExitStack() as hooks:
            hooks.callback(replace_output(self.model.get_submodule(entry.name), leaf))
            logits = logits_of(self.model, inputs)
        (weights,) = torch.autograd.grad(logits.select(-1, 0).sum(), scores[entry.nth])
        # Of each token, one channel of the scores is in the first logit and the others are not: (n, t, c) -> (n, t).
        return torch.einsum("nt,ntd->nd", weights.sum(-1).to(tokens[0].dtype), tokens[0])

    @own_arithmetic()
    def _logits(self, inputs: Mapping[str, Any]) -> Tensor:
        with OwnChance(0):  # a few architectures hash at random
            return logits_of(self.model, inputs)

    @own_arithmetic()
    def _replay(self, row: Mapping[str, Any]) -> HeadReplay:
        return HeadReplay(self.model, self._sources, row, self._tokens)

    def _find(self, inputs: Mapping[str, Any], rows: int) -> tuple[list[Source], int | None]:
        """What the head reads, and how many tokens, where it reads tokens."""
        names: list[str] = []
        with record_calls(self.model, lambda call: names.append(call.name)):
            self._logits(inputs)
        scope = ""
        while inner := [name for name in names if inside(name, scope)]:
            backbone = _child(inner[0], scope)
            last = max(i for i, name in enumerate(names) if name == backbone or inside(name, backbone))
            parts = {_child(name, scope) for name in names[: last + 1] if inside(name, scope)}
            taint = _Taint(self.model, inputs, parts & set(names))
            tail = self._calls_after(last, inputs)
            found = taint.vectors(_tensors(tail, 2, rows)) or taint.scorer(_tensors(tail, 3, rows))
            if found is not None:
                return found
            scope = backbone  # everything lies one level down
        raise refusal(
            type(self.model).__name__,
            "a part that reads one vector per row and that all of the backbone passes through",
            "none",
            PASS_A_FUNCTION,
            HeadCutError,
        )

    def _calls_after(self, last: int, inputs: Mapping[str, Any]) -> list[Call]:
        """With their tensors; keeping those of the backbone, too, would take its size in memory."""
        calls: list[Call] = []
        places = itertools.count()

        def keep(call: Call) -> None:
            if next(places) > last:
                calls.append(call)

        with record_calls(self.model, keep):
            self._logits(inputs)
        return calls


class _Enough(Exception):
    """All that the head reads is there."""


class _Taint:
    """Whether the backbone still reaches the logits when some tensors are cut out of autograd's graph."""

    def __init__(self, model: nn.Module, inputs: Mapping[str, Any], parts: set[str]) -> None:
        self.model, self.inputs, self.parts = model, inputs, parts

    def vectors(self, candidates: list[tuple[Tensor, tuple[Entry, ...]]]) -> tuple[list[Source], None] | None:
        """The earliest of the tensors `(n, d)` through which all passes; several, where it takes several."""
        chosen: list[tuple[Tensor, tuple[Entry, ...]]] = []
        complete = False
        for candidate in reversed(candidates):
            if not complete:
                chosen = [candidate, *chosen]
                complete = self._stopped_by(chosen)
            elif self._stopped_by([candidate]):
                chosen = [candidate]
            else:
                break
        return ([Source(tensor.shape[1], entries) for tensor, entries in chosen], None) if complete else None

    def scorer(self, candidates: list[tuple[Tensor, tuple[Entry, ...]]]) -> tuple[list[Source], int] | None:
        """The last of the tensors `(n, t, d)`, where all passes through it."""
        if not candidates or not self._stopped_by(candidates[-1:]):
            return None
        tensor, entries = candidates[-1]
        return [Source(tensor.shape[2], entries[-1:])], tensor.shape[1]

    @torch.enable_grad()
    def _stopped_by(self, chosen: list[tuple[Tensor, tuple[Entry, ...]]]) -> bool:
        leaves: list[Tensor] = []

        def leaf(tensor: Tensor) -> Tensor:
            if not tensor.is_floating_point():
                return tensor
            leaves.append(tensor.detach().requires_grad_())
            return leaves[-1].clone()  # some heads write into what they get, and a leaf forbids it

        entries = [entry for _, group in chosen for entry in group]
        with replace_inputs(self.model, entries, lambda _, value: value.detach()), ExitStack() as hooks:
            for part in self.parts:
                hooks.callback(replace_output(self.model.get_submodule(part), lambda output: map_tensors(leaf, output)))
            hooks.enter_context(OwnChance(0))
            logits = logits_of(self.model, self.inputs)
        if not logits.requires_grad:
            return True
        return all(grad is None for grad in torch.autograd.grad(logits.sum(), leaves, allow_unused=True))


def _check(model: Any) -> None:
    if not isinstance(model, nn.Module):
        raise refusal("model", "a classification model", kind_of(model), "Load it first.", HeadCutError)
    if isinstance(model, PreTrainedModel) and (answer := other_answer([type(model).__name__])) is not None:
        got = f"a model which gives {answer}"
        raise refusal(type(model).__name__, ONE_ANSWER, got, NAME_A_CLASSIFIER, HeadCutError)
    if model.training:
        raise refusal(
            type(model).__name__,
            "evaluation mode",
            "training mode, in which dropout is at work",
            "Call model.eval().",
            HeadCutError,
        )


def _tensors(calls: list[Call], dims: int, rows: int) -> list[tuple[Tensor, tuple[Entry, ...]]]:
    """The distinct tensors of `dims` dimensions and `rows` rows, in order, each with the outermost modules that read it."""
    grouped: dict[int, tuple[Tensor, list[Entry]]] = {}
    for call in calls:
        for slot, tensor in call.tensors:
            if tensor.dim() == dims and len(tensor) == rows:
                _, entries = grouped.setdefault(id(tensor), (tensor, []))
                if not any(inside(call.name, entry.name) for entry in entries):
                    entries.append(Entry(call.name, call.nth, slot))
    return [(tensor, tuple(entries)) for tensor, entries in grouped.values()]


def _child(name: str, scope: str) -> str:
    """The direct child of `scope` that is or holds `name`."""
    start = len(scope) + 1 if scope else 0
    return name[:start] + name[start:].partition(".")[0]


def _take(inputs: Mapping[str, Any], rows: int, which: list[int]) -> dict[str, Any]:
    """Some rows of a batch of `rows`."""
    return map_tensors(lambda t: t[which].clone() if t.dim() and len(t) == rows else t, dict(inputs))  # type: ignore[no-any-return]


@contextmanager
def own_errors(name: str, expected: str, advice: str) -> Iterator[None]:
    """Turn what an architecture or a processor raises on the way into a `HeadCutError`."""
    try:
        yield
    except HeadCutError:
        raise
    except Exception as error:
        got = f"{type(error).__name__} ({first_line(error)})"
        raise refusal(name, expected, got, advice, HeadCutError) from error
