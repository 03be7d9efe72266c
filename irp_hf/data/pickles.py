"""Whether pickle can carry what a user handed in: it finds functions and classes by their names, and some have none."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import numpy as np
from torch import Tensor, nn

from irp_hf.errors import IRPError, first_line, kind_of, refusal

CARRYING = ("irp_hf", "torch", "transformers", "copyreg", "copy", "pickle")  # whose frames lie between a pickler and us


class Nowhere:
    """A file that keeps nothing."""

    def write(self, data: Any) -> int:
        """Take it, and forget it."""
        return len(data)


class Trial(pickle.Pickler):
    """Pickles everything but the numbers in tensors and arrays, which it always can."""

    def persistent_id(self, value: Any) -> Any:
        """True, which stands for such a one; None of all else."""
        plain = type(value) is np.ndarray and not value.dtype.hasobject
        return True if plain or type(value) in (Tensor, nn.Parameter) else None


def carries_code() -> bool:
    """Whether what pickles now is cloudpickle or dill, or is built on them: these carry functions and classes themselves."""
    frame = sys._getframe().f_back
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in CARRYING:
        frame = frame.f_back
    module = "" if frame is None else frame.f_globals.get("__name__", "")
    return "cloudpickle" in module or "dill" in module


def refuse_unpicklable(subject: str, value: Any) -> None:
    """Raise `InputError` for a value that pickle cannot carry: a lambda, a class that was made in a function, an open file."""
    if carries_code():
        return
    try:
        Trial(Nowhere(), pickle.HIGHEST_PROTOCOL).dump(value)
    except IRPError:
        raise
    except Exception as error:  # a user's own class may raise anything
        name = getattr(value, "__qualname__", None)
        got = f"{name} of {value.__module__}" if name else kind_of(value)
        advice = "Define functions and classes by their names at the top of a module, and hold no open file in them."
        raise refusal(subject, "what pickle can carry", f"{got} ({first_line(error)})", advice) from error
