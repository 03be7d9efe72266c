"""A translation that was put together once, and whether what it was made of is still the same."""

from __future__ import annotations

from collections.abc import Mapping
from operator import is_
from typing import Any

import torch
from torch import Tensor

from irp_hf.configuration_irp import CONFIDENCE_GAMMA, JUDGED
from irp_hf.maths.translation import Translation

Tensors = Mapping[str, Tensor | None]
# Values of the configuration which make a translation, and which its confidence.
TRANSLATION, CONFIDENCE = ("method", "gamma", "lift", "rigid", "double"), ("unlifted", CONFIDENCE_GAMMA, *JUDGED)


class Kept:
    """A `translation`, of these tensors by name and these settings, that follows what is written into the tensors."""

    def __init__(self, tensors: Tensors, settings: Mapping[str, Any], translation: Translation) -> None:
        self.translation = translation
        self.is_single = translation.dtype == torch.float32 and translation.device.type == "cpu"
        needed = {id(tensor) for tensor in translation.tensors()}
        own = {name: tensor for name, tensor in tensors.items() if id(tensor) in needed}
        self._map, self._all = _Made(own, settings, TRANSLATION), _Made(tensors, settings, CONFIDENCE)

    def still(self, tensors: Tensors, settings: Mapping[str, Any], confidence: bool) -> bool:
        """Whether these are the same tensors, in the same place, and the same settings: of the map, or the `confidence` too."""
        return self._map.still(tensors, settings) and (not confidence or self._all.still(tensors, settings))


class _Made:
    """What something was made of: the tensors themselves, so that no other comes to have the identity of one that is gone."""

    def __init__(self, tensors: Tensors, settings: Mapping[str, Any], names: tuple[str, ...]) -> None:
        self._names, self._tensors = [*tensors], [*tensors.values()]
        self._there = [tensor for tensor in self._tensors if tensor is not None]
        self._addresses = [*map(Tensor.data_ptr, self._there)]
        self._decide, self._settings = names, [*map(settings.get, names)]

    def still(self, tensors: Tensors, settings: Mapping[str, Any]) -> bool:
        return (
            all(map(is_, map(tensors.get, self._names), self._tensors))
            and [*map(Tensor.data_ptr, self._there)] == self._addresses
            and [*map(settings.get, self._decide)] == self._settings
        )
