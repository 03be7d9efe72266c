"""Record and replace what goes into the modules of a model, and what comes out of them, while it runs: forward hooks."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor, nn

from irp_hf.errors import HeadCutError, kind_of, refusal
from irp_hf.turns import Turns

HOOKING = Turns()  # torch counts hooks without a lock, and of two with one number the first would be lost
Slot = int | str
"""The place of an argument: its position or its name."""


class Entry(NamedTuple):
    """An argument of one call of one module."""

    name: str
    nth: int
    """How many calls of the same module come before."""
    slot: Slot


class Call(NamedTuple):
    """A call of a module, and the floating-point tensors among its arguments."""

    name: str
    nth: int
    tensors: list[tuple[Slot, Tensor]]


class InThisThread:
    """A hook for the calls that this thread makes: another may run, or cut, the same model. It is there for a while only."""

    def __init__(self, hook: Callable[..., Any]) -> None:
        self._hook, self._thread = hook, threading.get_ident()

    def __call__(self, *args: Any) -> Any:
        """What the hook gives; nothing in another thread."""
        return self._hook(*args) if threading.get_ident() == self._thread else None


def logits_of(model: nn.Module, inputs: Mapping[str, Any]) -> Tensor:
    """The logits of a batch, `(n, num_labels)` or `(n, 1, num_labels)`; raises `HeadCutError` where `model` gives others."""
    output = model(**inputs)
    logits = getattr(output, "logits", None)
    if logits is None:
        logits = output if isinstance(output, Tensor) else output[0]
    if not isinstance(logits, Tensor) or logits.dim() not in (2, 3) or (logits.dim() == 3 and logits.shape[1] != 1):
        raise refusal(
            f"Logits of {type(model).__name__}",
            "shape (n, num_labels)",
            shape_or_kind(logits),
            "Name a model with a classification head.",
            HeadCutError,
        )
    return logits


def shape_or_kind(value: Any) -> str:
    """The shape of a tensor, and what anything else is, for an error."""
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else kind_of(value)


@contextmanager
def record_calls(model: nn.Module, record: Callable[[Call], None]) -> Iterator[None]:
    """Call `record` before each call of a module inside `model` by this thread."""
    counts: dict[str, int] = {}

    def recorder(name: str) -> Callable[..., None]:
        def pre(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            record(Call(name, count_call(counts, name), _floats(args, kwargs)))

        return pre

    with ExitStack() as hooks:
        for name, module in model.named_modules():
            if name:
                hooks.callback(_before(module, InThisThread(recorder(name))))
        yield


@contextmanager
def replace_inputs(
    model: nn.Module, entries: Iterable[Entry], change: Callable[[Entry, Tensor], Tensor]
) -> Iterator[None]:
    """Replace each tensor that this thread gives to `model` at `entries` by what `change` makes of it."""
    by_name: dict[str, list[Entry]] = {}
    for entry in entries:
        by_name.setdefault(entry.name, []).append(entry)
    counts: dict[str, int] = {}
    with ExitStack() as hooks:
        for name, group in by_name.items():
            hook = InThisThread(changer(group, partial(count_call, counts, name), change))
            hooks.callback(_before(model.get_submodule(name), hook))
        yield


def count_call(counts: dict[str, int], name: str) -> int:
    """Count a call of module `name`, and say how many came before."""
    counts[name] = counts.get(name, -1) + 1
    return counts[name]


def changer(
    group: list[Entry], count: Callable[[], int], change: Callable[[Entry, Tensor], Tensor]
) -> Callable[..., Any]:
    """A forward pre-hook for one module; `count` says how many of its calls came before."""
    return partial(_change, group, count, change)  # no closure, so that what has the hook can be pickled


def replace_output(module: nn.Module, change: Callable[[Any], Any]) -> Callable[[], None]:
    """Let `module` give `change(output)` in place of its output, in this thread; returns what ends that.

    Where `change` returns None, the output stays.
    """
    with HOOKING.taken():
        return module.register_forward_hook(InThisThread(lambda _module, _args, output: change(output))).remove


def map_tensors(function: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """`tree` with `function` of each tensor in it; dictionaries (a model's output is one), lists and tuples are followed."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, dict):
        mapped = copy.copy(tree)  # keeps the class of a ModelOutput
        for key, value in list(tree.items()):
            mapped[key] = map_tensors(function, value)
        return mapped
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(map_tensors(function, value) for value in tree))
    if isinstance(tree, list | tuple):
        return type(tree)(map_tensors(function, value) for value in tree)
    return tree


def inside(name: str, scope: str) -> bool:
    """Whether module `name` lies inside module `scope`; "" is the model."""
    return name.startswith(f"{scope}.") if scope else bool(name)


def owner_of(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The module that holds `name`, and the name that it has there."""
    owner, _, child = name.rpartition(".")
    return model.get_submodule(owner), child


def _change(
    group: list[Entry],
    count: Callable[[], int],
    change: Callable[[Entry, Tensor], Tensor],
    _module: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    nth, positional, named = count(), list(args), dict(kwargs)
    for entry in group:
        if entry.nth == nth:
            place: Any = positional if isinstance(entry.slot, int) else named
            place[entry.slot] = change(entry, place[entry.slot])
    return tuple(positional), named


def _before(module: nn.Module, hook: InThisThread) -> Callable[[], None]:
    """Call `hook` before each call of `module`; returns what ends that."""
    with HOOKING.taken():
        return module.register_forward_pre_hook(hook, with_kwargs=True).remove


def _floats(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[Slot, Tensor]]:
    slots: list[tuple[Slot, Any]] = [*enumerate(args), *kwargs.items()]
    return [(slot, value) for slot, value in slots if isinstance(value, Tensor) and value.is_floating_point()]
