"""The translation of an adapter's tensors: put together once, and anew after any change of what it is made of."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from irp_hf.arithmetic import values_known, working_dtype
from irp_hf.configuration_irp import CONFIDENCE_GAMMA, JUDGED, IRPConfig
from irp_hf.maths.translation import Translation
from irp_hf.models.base import AnchoredModel
from irp_hf.models.rounding import translation_of

DECIDE = ("method", "gamma", "lift", CONFIDENCE_GAMMA, *JUDGED)  # values of the configuration which a translation needs


class TranslatingModel(AnchoredModel):
    """A model whose tensors are those of a translation."""

    config: IRPConfig
    _kept: tuple[Any, Translation] | None = None
    """The translation of the last call, and what it was made of."""

    def __getstate__(self) -> dict[str, Any]:
        """All but what only this process needs."""
        return {**super().__getstate__(), "_kept": None}

    def _translation(self, dtype: torch.dtype) -> Translation:
        """The stored tensors in the dtype in which vectors of `dtype` are computed; in their own it is put together once."""
        dtype, settings = self._dtype(dtype), vars(self.config)
        # What a hook or a parametrization makes anew is no tensor of its own.
        if "_hf_hook" in self.__dict__ or self._modules or self._buffers or not values_known():
            return self._translation_in(dtype)
        tensors = [tensor for tensor in self._parameters.values() if tensor is not None]
        state = [dtype, *map(settings.get, DECIDE), *map(id, tensors), *map(Tensor.data_ptr, tensors)]
        kept = self._kept
        if kept is not None and kept[0] == state:
            return kept[1]
        translation = self._translation_in(dtype)
        if all(tensor.dtype == dtype for tensor in tensors):  # a copy would not follow its tensor when that is changed
            self._kept = state, translation
        return translation

    def _translation_in(self, dtype: torch.dtype) -> Translation:
        """The stored tensors in `dtype`."""
        return translation_of(self.config, lambda name: cast(Tensor, getattr(self, name)).to(dtype))

    def _dtype(self, dtype: torch.dtype) -> torch.dtype:
        """In which vectors of `dtype` are computed."""
        return working_dtype(dtype, self.device, bool(vars(self.config).get("double")))
