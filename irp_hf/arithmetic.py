"""Arithmetic of our own: torch as it computes where nobody set a mode of it, whatever the caller has set.

Autocast, inference mode and the default device are modes of a thread; they end inside `own_arithmetic`, for this thread
alone. The default dtype is one of the whole process: no code here relies on it. How exactly float32 is multiplied is
another: `keeps_products` tells.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import wraps
from typing import Any, TypeVar, cast

import torch
from torch import _C, Tensor, nn

from irp_hf.errors import refusal

Function = TypeVar("Function", bound=Callable[..., Any])
DEVICES = ("cpu", "cuda", "mps", "xpu", "hpu", "mtia", "xla", "privateuseone")  # that have an autocast
CPU = torch.device("cpu")
FAKE = _C._TorchDispatchModeKey.FAKE
OUTSIDE = "Call it outside; adapter(embeddings=x) and adapter.translate(x) can be called there."
ROUNDED = ("bf16", "tf32")  # what float32 may be rounded to before it is multiplied


class own_arithmetic:
    """Within it, or within a function that it decorates, none of the caller's modes changes a result.

    No autograd takes part; with `gradients` it does where the caller has it on. What is made in it are no inference tensors.
    Raises `InputError` in a `FakeTensorMode`, which follows shapes alone: there only what has `gradients` can be done.
    """

    def __init__(self, gradients: bool = False) -> None:
        self._gradients = gradients
        self._before: bool | None = None
        self._stack: ExitStack | None = None

    def __enter__(self) -> None:
        compiling = torch.compiler.is_compiling()
        if not self._gradients and not compiling and _follows_shapes():
            expected, got = "tensors that hold values", "a FakeTensorMode, in which none does"
            advice = "Call it outside of that mode; adapter(embeddings=x) can be called in it."
            raise refusal("torch", expected, got, advice)
        before = torch.is_grad_enabled()
        wanted = self._gradients and before
        if modes := _to_end(compiling):
            self._stack = ExitStack()
            for mode in modes:
                self._stack.enter_context(mode)
            self._stack.enter_context(torch.set_grad_enabled(wanted))  # the end of inference mode sets it too
        elif wanted != before:
            _C._set_grad_enabled(wanted)
            self._before = before

    def __exit__(self, *error: Any) -> None:
        if self._stack is not None:
            self._stack.__exit__(*error)
        elif self._before is not None:
            _C._set_grad_enabled(self._before)

    def __call__(self, function: Function) -> Function:
        """The decorated function; each call has one of its own, as it may call itself, and run in several threads."""

        @wraps(function)
        def inside(*args: Any, **options: Any) -> Any:
            with own_arithmetic(self._gradients):
                return function(*args, **options)

        return cast(Function, inside)


def _to_end(compiling: bool) -> list[AbstractContextManager[Any]]:
    """What ends each of the caller's modes that is on; nearly always none is."""
    modes: list[AbstractContextManager[Any]] = []
    if compiling or _is_autocast_on():
        modes += [torch.autocast(device, enabled=False) for device in DEVICES if torch.is_autocast_enabled(device)]
    if compiling:
        return modes  # no other mode is a part of a graph
    if torch.is_inference_mode_enabled():
        modes.append(torch.inference_mode(False))
    # A default device is such a mode. Any other than "meta" holds values, and our own code names its device.
    if _C._len_torch_function_stack() and torch.get_default_device().type == "meta":
        modes.append(CPU)
    return modes


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def keeps_products(device: torch.device) -> bool:
    """Whether the process multiplies float32 as float32 there, and not rounded first to save time.

    `torch.set_float32_matmul_precision` sets it, among others. Where it is rounded, a kernel's coefficients, which nearly
    cancel each other, give wrong vectors.
    """
    try:  # what torch.backends.mkldnn.matmul.fp32_precision says, in a fifth of the time
        return _C._get_fp32_precision_getter("cuda" if device.type == "cuda" else "mkldnn", "matmul") not in ROUNDED
    except AttributeError:  # before torch 2.9
        return torch.get_float32_matmul_precision() == "highest"


def working_dtype(dtype: torch.dtype, device: torch.device, double: bool = False) -> torch.dtype:
    """In which to compute on vectors of `dtype`: float32, or float64 where that is what they are or what it takes.

    `double`: float32 would amplify rounding. It is float64 then, where the device has any.
    """
    if double and device.type == "mps":  # which has none
        return torch.float32
    exact = double or dtype == torch.float64 or not keeps_products(device)
    return torch.float64 if exact else torch.float32


def values_known() -> bool:
    """Whether values can be looked at: not while torch compiles, exports, traces or follows shapes, nor inside `torch.func`."""
    return not (torch.compiler.is_compiling() or _C._is_tracing() or inside_func() or _follows_shapes())


def is_plain() -> bool:
    """Whether values are known, and no mode is on that `own_arithmetic` ends, but for gradients."""
    known = values_known() and not _is_autocast_on()
    return known and not torch.is_inference_mode_enabled() and not _C._len_torch_function_stack()


def _is_autocast_on() -> bool:
    """Whether it is on for any device; of MPS torch's own answer does not know."""
    return _C._is_any_autocast_enabled() or torch.is_autocast_enabled("mps")


def inside_func() -> bool:
    """Whether a transform of `torch.func` is at work: `vmap` allows no random numbers, for one."""
    return _C._functorch.peek_interpreter_stack() is not None


def check_values(name: str, tensor: Tensor) -> None:
    """Raise `InputError` for a tensor that stands for others: inside `torch.func`, or where torch follows shapes alone."""
    if _C._functorch.is_functorch_wrapped_tensor(tensor):
        expected, got = "tensors that hold values", "one inside torch.func (vmap, grad, ...), which stands for many"
        raise refusal(name, expected, got, OUTSIDE)
    if type(tensor).__name__ == "FakeTensor":
        raise refusal(name, "tensors that hold values", "a FakeTensor, which has a shape alone", "Give the real ones.")


def _follows_shapes() -> bool:
    """Whether a `FakeTensorMode` is on."""
    return _C._get_dispatch_mode(FAKE) is not None


def check_evaluating(name: str, module: nn.Module | None) -> None:
    """Raise `InputError` where a part of the module `name` was put into training mode, whose dropout changes each result."""
    if module is not None and any(part.training for part in module.modules()):
        got = "one in training mode, whose dropout makes other vectors each time"
        raise refusal(name, "a model in evaluation mode", got, "Call its eval() first.")
