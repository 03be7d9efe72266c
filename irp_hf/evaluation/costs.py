"""What a translation costs: multiplications, memory, time."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from irp_hf.evaluation.from_dict import Check, at_least
from irp_hf.maths.inverses.base import Folded, Translator, translator
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import Statistics

BATCH, REPEATS = 1000, 7  # rows translated at once, and how often, to measure time


@dataclass(frozen=True)
class Cost:
    """What translating one vector takes."""

    multiply_adds: int | None
    """None for a translator whose weights cannot be seen."""
    microseconds: float | None = field(compare=False)
    """In batches of 1,000, in float32 where the weights can be seen; None where not kept.

    No two measurements agree, so that equality leaves it out.
    """
    stored_bytes: int | None
    """All numbers that translation needs, in float32; None for a translator whose weights cannot be seen."""

    def checks(self) -> list[Check]:
        """Whether what was read can be true."""
        return [at_least(name, getattr(self, name), 0) for name in ("multiply_adds", "microseconds", "stored_bytes")]


def inverse_cost(folded: Folded, pairs: Pairs, lift: float = 0.0) -> Cost:
    """Count and time what a folded inverse does to 1,000 of the source's vectors at once."""
    folded = _single(folded)
    source, target = pairs.source_stats, pairs.target_stats
    translate = translator(folded, _single(source), _single(target), lift)
    return _cost(translate, _weights(folded), [source.mean, *target, *([source.scale] if lift else [])], pairs)


def baseline_cost(fitted: Any, pairs: Pairs) -> Cost:
    """The same for a translator of raw vectors: a callable on tensors."""
    fitted = _single(fitted)
    return _cost(fitted, _weights(fitted), [], pairs)


def _cost(translate: Translator, weights: list[Tensor], others: list[Tensor], pairs: Pairs) -> Cost:
    seen = bool(weights)
    return Cost(
        multiply_adds=sum(weight.numel() for weight in weights if weight.ndim == 2) if seen else None,
        microseconds=_microseconds(translate, pairs.source.float() if seen else pairs.source),
        stored_bytes=sum(w.numel() for w in (*weights, *others)) * torch.float32.itemsize if seen else None,
    )


def _single(fitted: Any) -> Any:
    """A copy whose tensors are float32; what is neither a dataclass nor a module stays as it is."""
    if isinstance(fitted, Tensor):
        return fitted.float() if fitted.is_floating_point() else fitted
    if isinstance(fitted, Statistics):
        return Statistics(*map(_single, fitted))
    if is_dataclass(fitted) and not isinstance(fitted, type):
        single = copy.copy(fitted)
        for entry in fields(fitted):
            object.__setattr__(single, entry.name, _single(getattr(fitted, entry.name)))  # it may be frozen
        return single
    if isinstance(fitted, nn.Module):
        fitted = copy.deepcopy(fitted)
        for module in fitted.modules():
            for name, value in vars(module).items():
                if isinstance(value, Tensor) or is_dataclass(value):
                    setattr(module, name, _single(value))
        return fitted.float()
    return fitted


def _weights(fitted: Any) -> list[Tensor]:
    """All tensors of a dataclass or a module, those of its parts too."""
    if isinstance(fitted, Tensor):
        return [fitted]
    if isinstance(fitted, nn.Module):
        own = [value for module in fitted.modules() for value in vars(module).values()]
        held = [value for value in own if isinstance(value, Tensor) or is_dataclass(value)]
        return [*fitted.parameters(), *(weight for value in held for weight in _weights(value))]
    if isinstance(fitted, Statistics):
        return list(fitted)
    if is_dataclass(fitted) and not isinstance(fitted, type):
        return [weight for entry in fields(fitted) for weight in _weights(getattr(fitted, entry.name))]
    return []


def _microseconds(translate: Translator, x: Tensor) -> float:
    """Least time per vector: what else the machine does only adds. Reading one number waits for whatever device."""
    batch = x[torch.arange(BATCH, dtype=torch.int64, device=x.device) % len(x)]
    times = []
    for _ in range(1 + REPEATS):  # the first warms up
        start = time.perf_counter()
        translate(batch)[-1, -1].item()
        times.append(time.perf_counter() - start)
    return min(times[1:]) / BATCH * 1e6
