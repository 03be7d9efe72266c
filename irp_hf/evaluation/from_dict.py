"""Dataclasses from plain dicts and lists, as JSON has them: every value is checked on its way in."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from irp_hf.checks import is_count, is_number
from irp_hf.errors import InputError, refusal, shown

Kind = TypeVar("Kind")
ADVICE = "Give what to_dict returned, unchanged."
LONGEST = 1_000  # characters of a text: names and settings
MOST = 10_000_000  # entries of a list: there is one for each anchor
LARGEST = 10**15  # whole numbers: bytes, rows
ROUNDING = 1e-6  # by which a mean of values may lie beyond what it is a mean of
Check = tuple[bool, str, str, Any]
"""Whether a field can be true, its name, what was expected, and what came."""
TYPES: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    str: (
        f"a string of at most {LONGEST:,} characters",
        lambda value: isinstance(value, str) and len(value) <= LONGEST,
    ),
    int: (f"a whole number of at most {LARGEST:.0e}", lambda value: is_count(value) and abs(value) <= LARGEST),
    float: ("a number", is_number),
    bool: ("True or False", lambda value: isinstance(value, bool)),
}


def dataclass_from_dict(kind: type[Kind], value: Any, place: str) -> Kind:
    """The dataclass `kind`, of numbers, strings, tuples and other such dataclasses, whose `asdict` is `value`.

    `place` names the value in errors. Raises `InputError` for a value of another type, for a number that is not finite, for
    a field that is missing and for one that does not exist; and for one that cannot be true, by the `checks()` of its class.
    """
    if not isinstance(value, dict):
        raise _wrong(place, value, "a dictionary")
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    fields_of = f"the fields {', '.join(known)}"
    unknown = [name for name in value if name not in known]
    if unknown:
        raise refusal(place, fields_of, f"another, {shown(unknown[0])}", ADVICE)
    missing = [name for name in known if name not in value and known[name].default is MISSING]
    if missing:
        raise refusal(place, fields_of, f"none called {missing[0]!r}", ADVICE)
    types = get_type_hints(kind)
    read = kind(**{name: _read(types[name], entry, f"{place}.{name}") for name, entry in value.items()})
    for fits, name, expected, got in getattr(read, "checks", list)():
        if not fits:
            raise refusal(f"{place}.{name}", expected, shown(got), ADVICE)
    return read


def within(name: str, value: float | None, low: float, high: float) -> Check:
    """That a number, if it is there, lies from `low` to `high`, as far as rounding allows."""
    fits = value is None or low - ROUNDING <= value <= high + ROUNDING
    return fits, name, f"a number from {low:g} to {high:g}", value


def at_least(name: str, value: float | None, least: int) -> Check:
    """That a number, if it is there, is not below `least`."""
    return value is None or value >= least, name, f"a number of at least {least}", value


def _read(kind: Any, value: Any, place: str) -> Any:
    if isinstance(kind, UnionType):  # of one type and None
        return None if value is None else _read(get_args(kind)[0], value, place)
    if get_origin(kind) is tuple:  # of any length
        if not isinstance(value, list | tuple) or len(value) > MOST:
            raise _wrong(place, value, f"a list of at most {MOST:,}")
        return tuple(_read(get_args(kind)[0], entry, f"{place}[{row}]") for row, entry in enumerate(value))
    if is_dataclass(kind) and isinstance(kind, type):
        return dataclass_from_dict(kind, value, place)
    expected, is_one = TYPES[kind]
    if not is_one(value):
        raise _wrong(place, value, expected)
    if kind is float and not abs(value) <= sys.float_info.max:
        raise _wrong(place, value, "a finite number")
    return kind(value)


def _wrong(place: str, value: Any, expected: str) -> InputError:
    return refusal(place, expected, shown(value), ADVICE)
