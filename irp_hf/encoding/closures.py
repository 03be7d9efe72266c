"""Functions that were made inside others, as pickle and deepcopy can carry them: what they are made of, and what they hold."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, is_dataclass, replace
from types import CellType, CodeType, FunctionType
from typing import Any

OWN = __name__.partition(".")[0]
INSIDE = ".<locals>."


@dataclass(frozen=True)
class Closure:
    """One of this package's inner functions, by its place in the source, with the values that it holds."""

    module: str
    outer: str
    """The function of the module inside which it was made."""
    place: tuple[int, ...]
    """Which of the inner functions it is, from the outer one on."""
    values: tuple[Any, ...]
    defaults: tuple[Any, ...] | None

    def made(self) -> Callable[..., Any]:
        """The function, anew."""
        module = importlib.import_module(self.module)
        code = _outer_code(module, self.outer)
        for number in self.place:
            code = list(_inner(code))[number]
        cells = tuple(CellType(unpacked(value)) for value in self.values)
        return FunctionType(code, vars(module), code.co_name, self.defaults, cells)


def packed(value: Any) -> Any:
    """An inner function of ours as a `Closure`, and those that it holds; of what holds a token, all but that."""
    if is_dataclass(value) and not isinstance(value, type) and getattr(value, "token", None) is not None:
        return replace(value, token=None)
    if not isinstance(value, FunctionType) or INSIDE not in value.__qualname__ or not _is_own(value):
        return value
    outer = value.__qualname__.partition(INSIDE)[0]
    place = _place(_outer_code(importlib.import_module(value.__module__), outer), value.__code__)
    held = tuple(packed(cell.cell_contents) for cell in value.__closure__ or ())
    return Closure(value.__module__, outer, place, held, value.__defaults__)


def unpacked(value: Any) -> Any:
    """What `packed` was given."""
    return value.made() if isinstance(value, Closure) else value


def foreign(value: Any) -> Iterator[FunctionType]:
    """The functions that pickle cannot carry since somebody else made them inside another, among `packed` ones."""
    if isinstance(value, Closure):
        for held in value.values:
            yield from foreign(held)
    elif isinstance(value, FunctionType) and ("<locals>" in value.__qualname__ or "<lambda>" in value.__qualname__):
        yield value


def _is_own(function: FunctionType) -> bool:
    return function.__module__.partition(".")[0] == OWN


def _outer_code(module: Any, name: str) -> CodeType:
    found = module
    for part in name.split("."):
        found = getattr(found, part)
    code: CodeType = inspect.unwrap(found).__code__
    return code


def _inner(code: CodeType) -> Iterator[CodeType]:
    return (constant for constant in code.co_consts if isinstance(constant, CodeType))


def _place(outer: CodeType, wanted: CodeType) -> tuple[int, ...]:
    """The way from the outer function to the inner one."""
    for number, code in enumerate(_inner(outer)):
        if code == wanted:
            return (number,)
        below = _place(code, wanted)
        if below:
            return (number, *below)
    return ()
