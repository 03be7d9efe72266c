"""What a probe found, in a terminal, in Markdown and in a notebook: a caption, tables, and what follows from them."""

from __future__ import annotations

import html
import textwrap
from abc import ABC, abstractmethod

from irp_hf.evaluation import Measure
from irp_hf.tables import Table, aligned, as_html, markdown

WIDTH = 100  # of the terminal


class Printed(ABC):
    """A result that says itself in words."""

    @abstractmethod
    def caption(self) -> str:
        """What was measured, and how."""

    @abstractmethod
    def tables(self) -> list[Table]:
        """The numbers."""

    @abstractmethod
    def conclusions(self) -> list[str]:
        """What follows for the user, a paragraph each."""

    def __str__(self) -> str:
        """For a terminal, 100 columns wide as far as the tables allow."""
        said = [textwrap.fill(text, WIDTH, break_on_hyphens=False) for text in (self.caption(), *self.conclusions())]
        return "\n\n".join([said[0], *map(aligned, self.tables()), *said[1:]])

    def to_markdown(self) -> str:
        """For a model card or a README."""
        return "\n\n".join([self.caption(), *map(markdown, self.tables()), *self.conclusions()]) + "\n"

    def _repr_html_(self) -> str:
        caption, *said = (f"<p>{html.escape(text)}</p>" for text in (self.caption(), *self.conclusions()))
        return "\n".join([caption, *map(as_html, self.tables()), *said])


def signed(measure: Measure) -> str:
    """A difference with its sign, as `+.012 ±.003`."""
    return ("+" if measure.mean >= 0 else "") + str(measure)


def sure(measure: Measure) -> bool:
    """Whether the interval of a difference leaves out zero."""
    return measure.low > 0 or measure.high < 0


def rounded(value: float) -> str:
    """A positive number for reading: `3.2`, `56`, `120,000`."""
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"
