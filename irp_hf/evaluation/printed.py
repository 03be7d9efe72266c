"""A result as text: numbers, tables and paragraphs, in a terminal, in Markdown and in a notebook."""

from __future__ import annotations

import textwrap
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from irp_hf.cards.escaping import spoken
from irp_hf.errors import printable
from irp_hf.evaluation.html import page

WIDTH = 100  # of the terminal
LONGEST_CELL, LONGEST_TEXT = 200, 5_000  # characters: names in a result may be a stranger's
MARK = "▸ "  # in front of the row that was chosen
POOL = " among "  # in a title, before the number of rows that were searched
LEFT = ("method", "settings", "what is done")  # columns of text, not of numbers
Table = list[list[str]]
Part = str | Table


class Printed(ABC):
    """A result that prints as paragraphs and tables; the first line of a table is its header."""

    @abstractmethod
    def caption(self) -> str:
        """What was measured, and how."""

    @abstractmethod
    def tables(self) -> list[Table]:
        """The numbers."""

    @abstractmethod
    def conclusions(self) -> list[str]:
        """What follows for the user, a paragraph each."""

    def parts(self) -> list[Part]:
        """Paragraphs and tables in the order in which they are read."""
        return [self.caption(), *self.tables(), *self.conclusions()]

    def warnings(self) -> list[str]:
        """Those of the paragraphs that warn."""
        return []

    def pictures(self) -> list[str]:
        """What a page shows after the first table, each an `<svg>`."""
        return []

    def terminal_parts(self) -> list[Part]:
        """The same for a terminal, where a table must be narrow."""
        return self.parts()

    def __str__(self) -> str:
        """For a terminal, 100 columns wide as far as the tables allow."""
        return _joined(_each(self.terminal_parts(), printable), wrapped, aligned, "\n\n")

    def to_markdown(self) -> str:
        """For a model card or a README."""
        return _joined(_each(self.parts(), spoken), str, markdown, "\n\n") + "\n"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """For a prompt of IPython, and for what knows no HTML."""
        return {"text/plain": str(self)}

    def _repr_html_(self) -> str:
        """For a notebook, or a page."""
        warnings = [printable(text, LONGEST_TEXT) for text in self.warnings()]
        return page(_each(self.parts(), printable), MARK, LEFT, warnings, self.pictures())


def _each(parts: Sequence[Part], harmless: Callable[[str, int], str]) -> list[Part]:
    """The same parts, every paragraph and every cell of them made harmless where it will stand."""
    return [
        harmless(part, LONGEST_TEXT)
        if isinstance(part, str)
        else [[harmless(cell, LONGEST_CELL) for cell in line] for line in part]
        for part in parts
    ]


def _joined(parts: Sequence[Part], text: Callable[[str], str], table: Callable[[Table], str], between: str) -> str:
    return between.join(text(part) if isinstance(part, str) else table(part) for part in parts)


def wrapped(text: str) -> str:
    """A paragraph in lines of at most 100 columns."""
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)


def aligned(table: Table) -> str:
    """The first column to the left, with room for the mark; numbers to the right."""
    first, *numbers = zip(*_broken(table), strict=True)
    names = [cell if cell.startswith(MARK) else " " * len(MARK) + cell for cell in first]
    columns = [[cell.ljust(max(map(len, names))) for cell in names]]
    columns += [[cell.rjust(max(map(len, column))) for cell in column] for column in numbers]
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def _broken(table: Table) -> Table:
    """The table with a header of two lines, where titles say what was searched: `neighbours` above `among 1,000`."""
    first, *titles = table[0]
    if not any(POOL in title for title in titles):
        return table
    above = [title.partition(POOL)[0] if POOL in title else "" for title in titles]
    below = [POOL.lstrip() + title.partition(POOL)[2] if POOL in title else title for title in titles]
    return [["", *above], [first, *below], *table[1:]]


def markdown(table: Table) -> str:
    """Columns of numbers to the right."""
    header, *lines = ([" ".join(cell.split()).replace("|", "\\|") for cell in line] for line in table)
    rule = ["---" if name in LEFT else "---:" for name in header]
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, rule, *lines))


def number(value: float) -> str:
    """Three decimals, and no zero before the point: `.552`; what rounds to zero has no sign."""
    value = round(value, 3) + 0.0  # which makes 0 of -0
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.3f}"


def signed(value: float) -> str:
    """A difference with its sign: `+.046`."""
    return ("+" if round(value, 3) >= 0 else "") + number(value)


def rounded(value: float) -> str:
    """A positive number for reading: `3.2`, `56`, `120,000`."""
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"
