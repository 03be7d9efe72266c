"""Hyper-parameters of an inverse: their range, default and words stand on the field of its dataclass, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, cast

from irp_hf.checks import check_count, check_number

KEY = "hyperparameter"  # in the metadata of a field


@dataclass(frozen=True)
class Hyperparameter:
    """What is known of a hyper-parameter."""

    name: str
    symbol: str
    """In the paper, or in the field's own papers."""
    meaning: str
    default: float | None
    """Of an inverse that nobody tunes; None leaves it to the inverse."""
    least: float
    most: float
    open: bool = False
    """Whether the least itself is outside."""
    whole: bool = False
    grid: tuple[float, ...] = ()
    """What tuning tries, rising; empty leaves the default."""

    def check(self, value: Any) -> float:
        """`value` as a plain float or int; raises `InputError` where it is none or out of range."""
        if self.whole:
            return check_count(self.name, value, int(self.least), int(self.most))
        if self.open:
            return check_number(self.name, value, above=self.least, most=self.most)
        return check_number(self.name, value, self.least, self.most)

    @property
    def range(self) -> str:
        """The values that are allowed, as an interval or in words."""
        if self.whole:
            return f"whole, from {self.least:,}"
        return f"{'(' if self.open else '['}{self.least:g}, {self.most:g}]"


def hyperparameter(
    default: float | None,
    symbol: str,
    meaning: str,
    *,
    least: float = 0.0,
    most: float,
    open: bool = False,
    whole: bool = False,
    grid: tuple[float, ...] = (),
) -> Any:
    """A field of an inverse's dataclass; for the arguments see `Hyperparameter`."""
    known = dict(symbol=symbol, meaning=meaning, least=least, most=most, open=open, whole=whole, grid=grid)
    return field(default=default, metadata={KEY: known})


def lift() -> Any:
    """The field of an inverse to which the lengths of the source's vectors may tell something."""
    return hyperparameter(
        0.0,
        "h",
        "how much the lengths of the source's vectors count, in mean scales; 0 keeps angles alone",
        most=1e3,
        grid=(0.0, 0.5, 1.0, 2.0, 4.0),
    )


def hyperparameters_of(inverse: Any) -> dict[str, Hyperparameter]:
    """Those of an inverse or of its class, by name and in order; the seed is none."""
    return {
        entry.name: Hyperparameter(entry.name, default=cast(Any, entry.default), **entry.metadata[KEY])
        for entry in fields(inverse)
        if KEY in entry.metadata
    }
