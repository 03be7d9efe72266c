"""A device that is not the CPU, on every machine: tensors of it hold CPU memory, and refuse what a GPU refuses.

Of one that mixes devices, or multiplies integers, a GPU makes an error where the CPU makes none. Here it shows without a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

ELSEWHERE = torch.device("lazy", 0)  # a device that no build of torch has, and that its indexing lets through
CPU = torch.device("cpu")
OF_FLOATS = {"mm", "mv", "bmm", "addmm", "addmv", "baddbmm", "dot", "addbmm", "linalg_lstsq"}
INTO = {"copy_", "index_put_", "_index_put_impl_"}
ACROSS = {*INTO, "_to_copy", "index", "index_put", "_unsafe_index_put"}
"""Operations that take tensors of two devices; the first ones write."""


class There(Tensor):
    """A tensor of that device."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> There:
        return Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=ELSEWHERE,
        )

    def __init__(self, inner: Tensor) -> None:
        self.inner = inner

    def __repr__(self) -> str:
        return f"There({self.inner})"

    def tolist(self) -> Any:
        return self.inner.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError("can't convert a tensor of another device to numpy. Use Tensor.cpu() first.")

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


class _Made(TorchFunctionMode):
    """`torch.tensor` fills its result before any operation is seen."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor, torch.asarray) and kwargs.get("device") == ELSEWHERE:
            return func(*args, **kwargs | {"device": CPU}).to(ELSEWHERE)
        if func is Tensor.new_tensor and isinstance(args[0], There):
            return func(args[0].inner, *args[1:], **kwargs).to(ELSEWHERE)
        return func(*args, **kwargs)


@contextmanager
def elsewhere() -> Iterator[torch.device]:
    """While it lasts there is such a device."""
    with _Made(), _Mode():
        yield ELSEWHERE


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """One operation of torch, on the device of its tensors."""
    name, asked = func.overloadpacket.__name__, kwargs.get("device")
    flat, spec = tree_flatten((args, kwargs))
    tensors = [one for one in flat if isinstance(one, Tensor)]
    there = any(isinstance(one, There) for one in tensors)
    if there:
        refuse(name, args[0], tensors)
    here = [
        one.inner if isinstance(one, There) else CPU if isinstance(one, torch.device) and one == ELSEWHERE else one
        for one in flat
    ]
    inner_args, inner_kwargs = tree_unflatten(here, spec)
    found = func(*inner_args, **inner_kwargs)
    if name in INTO:
        return args[0]
    home = there if asked is None else asked == ELSEWHERE
    known = {id(one.inner): one for one in tensors if isinstance(one, There)}  # that are changed in place

    def wrap(one: Any) -> Any:
        return known[id(one)] if id(one) in known else There(one) if home and isinstance(one, Tensor) else one

    return tree_map(wrap, found)


def refuse(name: str, first: Any, tensors: list[Tensor]) -> None:
    """Raise what a GPU raises for such an operation, of some tensors of which one is there."""
    if name not in ACROSS and any(one.dim() and not isinstance(one, There) for one in tensors):
        raise RuntimeError(f"Expected all tensors to be on the same device, but {name} got one of the CPU")
    if name == "index" and not isinstance(first, There):
        raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
    if name in OF_FLOATS and any(not one.is_floating_point() for one in tensors):
        raise NotImplementedError(f'"{name}" not implemented for integers')
