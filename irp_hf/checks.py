"""Checks of what a caller asks for: numbers, counts, choices, lists. Each raises `InputError` in the same words."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, TypeVar

from irp_hf.errors import refusal, shown

Choice = TypeVar("Choice")

LARGEST_BATCH = 2**31 - 1  # what counts items further down has 32 bits
ALIKE = 0.7  # how much of a misspelt keyword must be that of another
MOST_WORKERS = 1024  # each is a process


def check_count(name: str, value: Any, least: int = 1, most: int | None = None, advice: str = "") -> int:
    """A whole number from `least` to `most` as an `int`; numpy's count, booleans do not."""
    if is_count(value) and int(value) >= least and (most is None or int(value) <= most):
        return int(value)
    bounds = f"from {least} to {most}" if most is not None else f"of at least {least}"
    raise refusal(name, f"a whole number {bounds}", shown(value), advice or f"Give one {bounds}.")


def check_number(
    name: str,
    value: Any,
    least: float | None = None,
    most: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
    advice: str = "",
) -> float:
    """A number as a `float`, from `least` or above `above`, to `most` or below `below`; numpy's count, booleans do not."""
    if is_number(value):
        number = _float(value)
        low = (least is None or number >= least) and (above is None or number > above)
        high = (most is None or number <= most) and (below is None or number < below)
        if low and high and number == number:
            return number
    bounds = [
        f"{word} {bound:g}"
        for word, bound in (("at least", least), ("above", above), ("at most", most), ("below", below))
        if bound is not None
    ]
    expected = " ".join(["a number", " and ".join(bounds)]).strip()
    raise refusal(name, expected, shown(value), advice or "Give a number in that range.")


def check_choice(
    name: str, value: Any, choices: Iterable[Choice], advice: str = "Choose one of them.", *, typed: bool = True
) -> Choice:
    """The one of `choices` that equals `value`, whatever kind of text that is; no boolean is a number.

    Of a text that somebody `typed`, the refusal names the one that is most like it, and else gives the `advice`.
    """
    known = list(choices)
    for choice in known:
        if isinstance(value, type(choice)) and isinstance(value, bool) == isinstance(choice, bool) and value == choice:
            return choice
    raise refusal(name, f"one of {quoted(known)}", shown(value), written(value, known, advice) if typed else advice)


def written(value: Any, names: Iterable[Any], advice: str) -> str:
    """The advice to write the one of `names` that is most like a misspelt `value`, in whatever case; else that `advice`."""
    lower = {name.lower(): name for name in names if isinstance(name, str)}
    given = value.lower().replace(" ", "_") if isinstance(value, str) else ""
    meant = difflib.get_close_matches(given, lower, 1, ALIKE)
    return f"Write {lower[meant[0]]!r}." if meant else advice


def check_list(name: str, values: Any, *, least: int = 0, advice: str = "Give a list, of one if need be.") -> list[Any]:
    """Several values as a list; a single one, a string or a dictionary too, is refused, and so are fewer than `least`."""
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise refusal(name, "several values", shown(values), advice)
    try:
        several = list(values)
    except TypeError as error:  # an array of no dimension
        raise refusal(name, "several values", shown(values), advice) from error
    if len(several) < least:
        raise refusal(name, f"at least {least} {'value' if least == 1 else 'values'}", f"{len(several)}", advice)
    return several


def check_absent(option: str, value: Any, why: str, show: Callable[[Any], str] = shown) -> None:
    """Raise `InputError` where an option was given that means nothing here; `show=kind_of` keeps a secret."""
    if value is not None:
        raise refusal(option, f"nothing, since {why}", show(value), f"Leave {option} out.")


def check_names(subject: str, given: Iterable[str], known: Iterable[str], near: Iterable[str] = ()) -> None:
    """Raise `InputError` for a keyword that is not `known`, naming the one that is most like it, of these or else of `near`."""
    names, near = list(dict.fromkeys(known)), list(near)
    for name in given:
        if name not in names:
            meant = _meant(name, names) or _meant(name, near)
            if meant:
                raise refusal(subject, f"the keyword {meant!r}", repr(name), f"Write {meant}=.")
            raise refusal(subject, f"any of the keywords {', '.join(names)}", repr(name), "Leave it out.")


def _meant(name: Any, known: Sequence[str]) -> str | None:
    """Which of the `known` names is most like this one; of two, the one of the same letters."""
    alike = difflib.get_close_matches(name, known, 3, ALIKE)
    same = [one for one in alike if sorted(one) == sorted(name)]
    return next(iter(same or alike), None)


def is_count(value: Any) -> bool:
    """Whether it is a whole number of Python or numpy, and no boolean."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether it is a real number of Python or numpy, and no boolean."""
    return isinstance(value, Real) and not isinstance(value, bool)


def quoted(names: Sequence[Any] | Iterable[Any]) -> str:
    """'one', 'two', 'three'."""
    return ", ".join(map(repr, names))


def check_flag(name: str, value: Any, advice: str = "Give one of them.") -> bool:
    """True or False; nothing else that Python takes for one of them, as "no" would be True."""
    if not isinstance(value, bool):
        raise refusal(name, "True or False", shown(value), advice)
    return value


def check_text(name: str, value: Any, advice: str = "Give a text.") -> str:
    """A text, of Python's `str`; half of a character that takes two is none, and no file holds it."""
    if not isinstance(value, str):
        raise refusal(name, "a text", shown(value), advice)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise refusal(name, "a text of Unicode", shown(value), advice) from error
    return value


def check_alias(option: str, value: Any, alias: str, other: Any) -> Any:
    """The value of an option that goes by a second name, `alias`; raises `InputError` where both are given."""
    if value is None:
        return other
    check_absent(alias, other, f"{option} is given, and is the same option")
    return value


def check_batch_size(value: Any) -> int:
    """How many items are taken at a time, as an `int`."""
    return check_count("batch_size", value, 1, LARGEST_BATCH, "32 suits most encoders.")


def check_workers(value: Any) -> int:
    """How many processes read items besides this one, 0 or more, as an `int`."""
    return check_count("num_workers", value, 0, MOST_WORKERS, "0 reads them in this process; 4 suits most machines.")


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return float("inf")
