"""Run the head of a classification model alone: its own forward, the backbone's parts replaced by what they gave once."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import Self

from irp_hf.errors import refusal
from irp_hf.heads.tracing import (
    Entry,
    InThisThread,
    changer,
    count_call,
    inside,
    logits_of,
    map_tensors,
    owner_of,
    record_calls,
    replace_output,
    shape_or_kind,
)


@dataclass(frozen=True)
class Source:
    """A tensor that the head reads, and the calls that it enters by."""

    width: int
    entries: tuple[Entry, ...]


@dataclass
class _Replay:
    """One run of a head."""

    rows: int
    values: dict[Entry, Tensor]
    counts: dict[str, int] = field(default_factory=dict)
    """How many calls of each module came before the last one."""


_REPLAY: ContextVar[_Replay] = ContextVar("replay")  # so that two threads may run one head


def _count(name: str) -> int:
    return count_call(_REPLAY.get().counts, name)


def _vector(entry: Entry, _: Tensor) -> Tensor:
    return _REPLAY.get().values[entry]


class HeadReplay(nn.Module):
    """From what a head reads, `(n, dim)`, to its logits, `(n, num_labels)`.

    It is the classification model's own forward: each part of the backbone gives what it gave for one traced row, and
    the vectors go in where the head begins, whatever stood there.
    """

    def __init__(self, model: nn.Module, sources: list[Source], row: Mapping[str, Any], tokens: int | None) -> None:
        """The head of `model`, which is left as it is; the head shares its modules with it.

        `row` is a batch of one; `tokens` is how many tokens it has, where each token is scored: the vector then stands at all.
        """
        super().__init__()
        self.sources, self.row, self.tokens = sources, dict(row), tokens
        self.dim = sum(source.width for source in sources)
        entries = [entry for source in sources for entry in source.entries]
        recorded = _recorded(model, entries, row)
        self.model = _copied(model, [*recorded, *(entry.name for entry in entries)])
        for name, outputs in recorded.items():
            owner, child = owner_of(self.model, name)
            owner._modules[child] = _Template(name, outputs, vars(model.get_submodule(name)))
        for name in {entry.name for entry in entries}:
            group = [entry for entry in entries if entry.name == name]
            hook = changer(group, partial(_count, name), _vector)
            self.model.get_submodule(name).register_forward_pre_hook(hook, with_kwargs=True)
        self.only_layer: str | None = None
        self._keep(self._used())

    def forward(self, vectors: Tensor) -> Tensor:
        """Logits `(n, num_labels)` of `vectors (n, dim)`; raises `InputError` for another shape."""
        if not isinstance(vectors, Tensor) or vectors.dim() != 2 or vectors.shape[1] != self.dim:
            got = shape_or_kind(vectors)
            advice = "Give what its own encoder, or an adapter to it, gives."
            raise refusal("The head's vectors", f"a tensor of shape (n, {self.dim})", got, advice)
        if self.only_layer is not None:
            layer = self.model.get_submodule(self.only_layer)
            return functional.linear(vectors, layer.weight, layer.bias)  # type: ignore[arg-type]
        return self._replay(vectors)

    def _replay(self, vectors: Tensor) -> Tensor:
        values: dict[Entry, Tensor] = {}
        for source, part in zip(self.sources, vectors.split([s.width for s in self.sources], 1), strict=True):
            value = part if self.tokens is None else part[:, None].expand(-1, self.tokens, -1)
            values |= dict.fromkeys(source.entries, value)
        token = _REPLAY.set(_Replay(len(vectors), values))
        try:
            return logits_of(self.model, map_tensors(_repeat(len(vectors)), self.row))
        finally:
            _REPLAY.reset(token)

    def _used(self) -> set[str]:
        """The modules that the head calls. Where they hold a single linear layer, which most heads are, it runs alone."""
        used: set[str] = set()
        like = next(tensor for tensor in self.model.parameters() if tensor.is_floating_point())
        trial = torch.linspace(-1, 1, 3 * self.dim, dtype=like.dtype, device=like.device).view(3, -1)
        with record_calls(self.model, lambda call: used.add(call.name)):
            logits = self._replay(trial)
        layers = [name for name in used if self.model.get_submodule(name)._parameters]
        layer = self.model.get_submodule(layers[0]) if len(layers) == 1 else None
        if type(layer) is nn.Linear and layer.in_features == self.dim:
            straight = functional.linear(trial, layer.weight, layer.bias)
            close = torch.finfo(like.dtype).eps * 100 * logits.abs().max()
            if straight.shape == logits.shape and ((straight - logits).abs() <= close).all():
                self.only_layer = layers[0]
        return used

    def _keep(self, used: set[str]) -> None:
        """Forget what neither head nor template needs, so that nothing of the backbone is kept."""
        unused = list(_outermost(self.model, lambda name: not any(n == name or inside(n, name) for n in used)))
        names = [name for name in unused if any(True for _ in self.model.get_submodule(name).parameters())]
        self.model = _copied(self.model, names)
        for name in names:
            owner, child = owner_of(self.model, name)
            owner._modules[child] = nn.Module()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """The traced row moves with the weights."""
        self.row = map_tensors(fn, self.row)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


class _Template(nn.Module):
    """Stands where a part of the backbone stood: gives its recorded one-row outputs, repeated for the batch."""

    def __init__(self, name: str, outputs: list[Any], attributes: Mapping[str, Any]) -> None:
        super().__init__()
        self._name, self._outputs = name, outputs
        for key, value in attributes.items():  # sizes, say: some models ask their parts for them
            if not key.startswith("_") and (value is None or isinstance(value, (int, float, str, tuple))):
                setattr(self, key, value)

    def forward(self, *_args: Any, **_kwargs: Any) -> Any:
        replay = _REPLAY.get()
        repeat = _repeat(replay.rows)  # and own it: some heads write into what they get
        return map_tensors(lambda tensor: repeat(tensor).clone(), self._outputs[_count(self._name)])

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._outputs = [map_tensors(fn, output) for output in self._outputs]
        return self


def _recorded(model: nn.Module, entries: list[Entry], row: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Each part of the backbone, as large as can be, with its outputs for `row`, one for each call."""
    calls: list[tuple[str, int]] = []
    with record_calls(model, lambda call: calls.append((call.name, call.nth))):
        logits_of(model, row)
    first = min(calls.index((entry.name, entry.nth)) for entry in entries)
    before, after = ({name for name, _ in part} for part in (calls[:first], calls[first:]))

    def is_part(name: str) -> bool:
        return name in before and name not in after and not any(e.name == name or inside(e.name, name) for e in entries)

    recorded: dict[str, list[Any]] = {name: [] for name in _outermost(model, is_part)}
    endings = [replace_output(model.get_submodule(name), outputs.append) for name, outputs in recorded.items()]
    try:
        logits_of(model, row)
    finally:
        for end in endings:
            end()
    return {name: [_slim(output) for output in outputs] for name, outputs in recorded.items()}


def _slim(output: Any) -> Any:
    """An output that owns its memory, without the cache of keys and values that no head reads."""
    output = map_tensors(lambda tensor: tensor.detach().clone(), output)
    if isinstance(output, dict) and "past_key_values" in output:
        output["past_key_values"] = None
    return output


def _outermost(module: nn.Module, chosen: Callable[[str], bool], prefix: str = "") -> Iterator[str]:
    """Names of the modules that are chosen, none of them inside another."""
    for child_name, child in module.named_children():
        name = f"{prefix}{child_name}"
        if chosen(name):
            yield name
        else:
            yield from _outermost(child, chosen, f"{name}.")


def _copied(model: nn.Module, names: list[str]) -> nn.Module:
    """A copy of `model` and of the modules on the way to `names`, so that these can be replaced; the tensors are shared."""
    light: nn.Module = _shallow(model)
    done = {""}
    for name in names:
        steps = name.split(".")
        for depth in range(1, len(steps) + 1):
            path = ".".join(steps[:depth])
            if path not in done:
                done.add(path)
                owner, child = owner_of(light, path)
                owner._modules[child] = _shallow(owner._modules[child])
    return light


def _shallow(module: Any) -> Any:
    light = copy.copy(module)
    light._modules = dict(module._modules)
    for name in ("_forward_pre_hooks", "_forward_hooks"):  # without those of another thread that cuts the same model
        kept = [(key, hook) for key, hook in list(vars(module)[name].items()) if not isinstance(hook, InThisThread)]
        setattr(light, name, OrderedDict(kept))
    light._forward_pre_hooks_with_kwargs = OrderedDict(module._forward_pre_hooks_with_kwargs)
    light.__dict__.pop("forward", None)  # Accelerate puts one there that would run the original
    return light


def _repeat(rows: int) -> Callable[[Tensor], Tensor]:
    return lambda tensor: tensor.expand(rows, *tensor.shape[1:]) if tensor.dim() and len(tensor) == 1 else tensor
