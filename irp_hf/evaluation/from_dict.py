"""Dataclasses from plain dicts and lists, as JSON has them: every value is checked on its way in."""

from __future__ import annotations

import sys
from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from irp_hf.errors import InputError

Kind = TypeVar("Kind")
NAMES = {str: "a string", int: "a whole number", float: "a number"}


def from_plain(kind: type[Kind], value: Any, place: str) -> Kind:
    """The dataclass `kind`, of numbers, strings, tuples and other such dataclasses, whose `asdict` is `value`.

    `place` names the value in errors. Raises `InputError` for a value of another type, for a number that is not finite, for
    a field that is missing and for one that does not exist.
    """
    if not isinstance(value, dict):
        raise _wrong(place, value, "a dict")
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    strange = [name for name in value if name not in known]
    if strange:
        raise InputError(f"{place} has {strange[0]!r:.80}; there is no such field. Give what to_dict gave.")
    lacking = [name for name in known if name not in value and known[name].default is MISSING]
    if lacking:
        raise InputError(f"{place} lacks {lacking[0]!r}. Give what to_dict gave.")
    types = get_type_hints(kind)
    return kind(**{name: _read(types[name], entry, f"{place}.{name}") for name, entry in value.items()})


def _read(kind: Any, value: Any, place: str) -> Any:
    if isinstance(kind, UnionType):  # of one type and None
        return None if value is None else _read(get_args(kind)[0], value, place)
    if get_origin(kind) is tuple:  # of any length
        if not isinstance(value, list | tuple):
            raise _wrong(place, value, "a list")
        return tuple(_read(get_args(kind)[0], entry, f"{place}[{row}]") for row, entry in enumerate(value))
    if is_dataclass(kind) and isinstance(kind, type):
        return from_plain(kind, value, place)
    if isinstance(value, bool) or not isinstance(value, int | float if kind is float else kind):
        raise _wrong(place, value, NAMES[kind])
    if kind is float and not abs(value) <= sys.float_info.max:
        raise _wrong(place, value, "a finite number")
    return float(value) if kind is float else value


def _wrong(place: str, value: Any, wanted: str) -> InputError:
    return InputError(f"{place} is {value!r:.80}; {wanted} is wanted. Give what to_dict gave.")
