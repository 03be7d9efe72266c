"""Judge a head cut of one model: exact, refused in words, or wrong.

A cut is what `irp_hf.heads.cut.HeadCut` is: made from a model and one batch, with `features`, `head_only`, `dim` and
`num_labels`.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from architectures import Batch, logits
from irp_hf.errors import IRPError

TOLERANCE = 1e-5  # of the largest logit
MOST_LAYERS = 0.5  # of the model's calls that a head may make; more is the model over again


class Verdict(NamedTuple):
    """The outcome, and the error over the largest logit, the words of the refusal, or the first fault."""

    outcome: str
    why: str


def judge(make_cut: Callable[..., Any], model: nn.Module, batch: Callable[[int], Batch]) -> Verdict:
    """Cut on a batch of 3 rows; use on that, on 5 longer rows, on one row, and on the 3 rows again."""
    batches = [batch(3), batch(5), batch(1), batch(3)]
    wanted = [logits(model, given) for given in batches]
    before = anatomy(model)
    try:
        cut = make_cut(model, **batches[0])
        head = cut.head_only()
        features = [seeded(cut.features, given) for given in batches]
        pairs = [*zip(features, wanted, strict=True), *parts(features, wanted)]
        with torch.no_grad():
            answers = [(z, head(z), want) for z, want in pairs]
        layers = [calls(model, **batches[0]), calls(head, features[0])]
    except IRPError as error:
        two_sentences = re.fullmatch(r".+\. .+\.", str(error), re.DOTALL)
        return Verdict("refused" if two_sentences else "wrong", f"{type(error).__name__}: {error}")
    except Exception as error:
        return Verdict("wrong", f"raises {type(error).__name__}: {error}")
    faults = [
        *misfits(cut, answers),
        *model_over_again(*layers),
        *changes(model, before, batches, wanted),
    ]
    return Verdict("wrong", faults[0]) if faults else Verdict("exact", f"{max(map(relative_error, answers)):.1e}")


def seeded(features: Callable[..., Tensor], given: Batch) -> Tensor:
    torch.manual_seed(0)  # as logits() does
    return features(**given).detach()


def parts(features: list[Tensor], wanted: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Rows out of their batch: the first batch once more, two rows of the second in another order, one row of it."""
    return [(features[i][rows], wanted[i][rows]) for i, rows in ((0, slice(None)), (1, [4, 1]), (1, slice(2, 3)))]


Answer = tuple[Tensor, Tensor, Tensor]  # features (n, dim), logits of the head and of the model, both (n, num_labels)


def relative_error(answer: Answer) -> float:
    _, got, want = answer
    return float((got - want).abs().max() / want.abs().max())


def misfits(cut: Any, answers: list[Answer]) -> Iterator[str]:
    for answer in answers:
        z, got, want = answer
        if z.shape != (len(want), cut.dim) or got.shape != want.shape or got.shape[-1] != cut.num_labels:
            yield f"shapes {tuple(z.shape)} -> {tuple(got.shape)}, wanted {(len(want), cut.dim)} -> {tuple(want.shape)}"
        elif z.shape == want.shape and torch.allclose(z, want):
            yield "the features are the logits"
        elif not relative_error(answer) <= TOLERANCE:  # NaN too
            yield f"off by {relative_error(answer):.1e} in a batch of {len(z)}"


def model_over_again(of_model: int, of_head: int) -> Iterator[str]:
    if of_head > MOST_LAYERS * of_model:
        yield f"the head is the model over again: it calls {of_head} of {of_model} layers"


def changes(model: nn.Module, before: Any, batches: list[Batch], wanted: list[Tensor]) -> Iterator[str]:
    if anatomy(model) != before:
        yield "the model has other modules or hooks after the cut"
    for given, want in zip(batches, wanted, strict=True):
        if not relative_error((want, logits(model, given), want)) <= TOLERANCE:
            yield "the model gives other logits after the cut"


def anatomy(model: nn.Module) -> list[tuple[Any, ...]]:
    """Which modules a model has, their mode, and how many hooks hang on them."""
    return [
        (name, id(module), module.training, len(module._forward_hooks), len(module._forward_pre_hooks))
        for name, module in model.named_modules()
    ]


@torch.no_grad()
def calls(module: nn.Module, *args: Any, **given: Any) -> int:
    """How many calls of layers, modules with parameters of their own, one forward makes."""
    layers: list[nn.Module] = []

    def count(layer: nn.Module, _: Any) -> None:
        if layer._parameters:
            layers.append(layer)

    hook = nn.modules.module.register_module_forward_pre_hook(count)
    try:
        module(*args, **given)
    finally:
        hook.remove()
    return len(layers)
