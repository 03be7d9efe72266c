"""What a function, or an object that is called, holds at a moment: so that a later edit of it does not go unseen."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import suppress
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from irp_hf.checkpoints.samples import sampled
from irp_hf.encoding.looks import FEW, PLAIN, Look, told_of_processor

DEEPEST, MOST = 6, 2000  # objects in objects, and all of them
LONGEST = 64  # lists and tables of settings; longer ones are vocabularies
WHOLE = 1 << 16  # bytes of an array that is compared in full
FOR_ALL = 1 << 16  # rows of a larger one, each of which is met
OWN, INSTALLED = __name__.partition(".")[0], ("site-packages", "dist-packages")
OPAQUE = (type, ModuleType, BuiltinFunctionType, torch.device, torch.dtype, torch.Generator)


class Held:
    """What a function holds: its object's attributes, its closure, and the globals of its own module that it names.

    Tensors and arrays count by place, version and a number of each row, models and tokenizers as `Look` sees them, plain values
    by themselves. What lies deeper, in objects without attributes or beyond this process is not seen.
    """

    def __init__(self, function: Any) -> None:
        """Look at it now."""
        self._function = function
        self._looks: dict[int, tuple[nn.Module, Look]] = {}
        self.renew()

    def is_still_so(self, num_items: int = FEW) -> bool:
        """Whether nothing of it was changed since; of models as `Look` has it."""
        then, looks = self._then, list(self._looks.values())
        return self._now()[0] == then[0] and all(look.is_still_so(num_items) for _, look in looks)

    def renew(self) -> None:
        """Take it as it is now: what it writes itself while it runs is no edit."""
        self._looks = {key: looked for key, looked in self._looks.items() if looked[1].is_still_so()}
        self._then = self._now()
        held = set(map(id, self._then[1]))
        self._looks = {key: looked for key, looked in self._looks.items() if key in held}

    def _now(self) -> tuple[list[Any], list[Any]]:
        """What can be compared, and the objects that it is about, which live as long as it is compared."""
        told: list[Any] = []
        kept: list[Any] = []
        seen: set[int] = set()
        left = [(self._function, 0)]
        while left and len(kept) < MOST:
            value, depth = left.pop()
            if type(value) in (*PLAIN, bytes, complex):
                told.append(value)
                continue
            told.append(id(value))
            if id(value) in seen or isinstance(value, OPAQUE):
                continue
            seen.add(id(value))
            kept.append(value)
            if isinstance(value, Tensor):
                told.append(_of_tensor(value))
            elif isinstance(value, np.ndarray):
                told.append(_of_array(value))
            elif isinstance(value, nn.Module):
                if id(value) not in self._looks:
                    self._looks[id(value)] = value, Look(value, ())
            elif isinstance(value, PreTrainedTokenizerBase):
                told.append(told_of_processor(value))
            elif depth < DEEPEST:
                left += [(held, depth + 1) for held in _inside(value)]
        return told, kept


def _inside(value: Any) -> Iterator[Any]:
    """What a container, a function or an object holds, in an order that stays."""
    if isinstance(value, dict | list | tuple):
        yield len(value)
        if len(value) <= LONGEST:
            yield from [*value, *value.values()] if isinstance(value, dict) else value
    elif isinstance(value, MethodType):
        yield from (value.__self__, value.__func__)
    elif isinstance(value, functools.partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, FunctionType):
        yield from (value.__defaults__, value.__kwdefaults__, *_enclosed(value))
        if _is_users(value):
            yield from _named(value)
    else:
        for name, held in list(getattr(value, "__dict__", {}).items()):
            if "cache" not in name:
                yield name
                yield held


def _enclosed(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # it is not set yet
            yield cell.cell_contents


def _named(function: FunctionType) -> Iterator[Any]:
    """The globals that its code may name: objects, and functions of the user's own; a plain value may be anybody's."""
    for name in function.__code__.co_names:
        held = function.__globals__.get(name)
        if type(held) in PLAIN or isinstance(held, OPAQUE) or (isinstance(held, FunctionType) and not _is_users(held)):
            continue
        yield held


def _is_users(function: FunctionType) -> bool:
    """Whether it is of no installed package, nor of this one."""
    installed = any(folder in function.__code__.co_filename for folder in INSTALLED)
    return not installed and str(function.__module__).partition(".")[0] != OWN


def _of_tensor(tensor: Tensor) -> Any:
    if tensor.is_meta or tensor.layout is not torch.strided:
        return tuple(tensor.shape)
    version = tensor.is_inference() or tensor._version
    numbers = [torch.cat(group).cpu().numpy().tobytes() for group in sampled([tensor])]
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), version, numbers


def _of_array(array: np.ndarray[Any, Any]) -> Any:
    place = array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str
    if array.dtype.hasobject or not array.size:
        return place
    row = array.size // len(array) if array.ndim > 1 else 1
    step = 1 if array.nbytes <= WHOLE else max(1, row - 1, array.size // FOR_ALL)
    return *place, array.flat[::step].tobytes()
