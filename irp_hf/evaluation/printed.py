"""A result in words: numbers, tables and paragraphs, in a terminal, in Markdown and in a notebook."""

from __future__ import annotations

import html
import textwrap
from abc import ABC, abstractmethod

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


def rounded(value: float) -> str:
    """A positive number for reading: `3.2`, `56`, `120,000`."""
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


Table = list[list[str]]
MARK = "▸ "  # in front of the row that was chosen
LEFT = ("method", "settings")  # columns of words


def aligned(table: Table) -> str:
    """The first column to the left, with room for the mark; numbers to the right."""
    first, *numbers = zip(*table, strict=True)
    names = [cell if cell.startswith(MARK) else " " * len(MARK) + cell for cell in first]
    columns = [[cell.ljust(max(map(len, names))) for cell in names]]
    columns += [[cell.rjust(max(map(len, column))) for cell in column] for column in numbers]
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def markdown(table: Table) -> str:
    """Columns of numbers to the right."""
    header, *lines = ([" ".join(cell.split()).replace("|", "\\|") for cell in line] for line in table)
    rule = ["---" if name in LEFT else "---:" for name in header]
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, rule, *lines))


def as_html(table: Table) -> str:
    """One `<table>`, its cells escaped."""
    tags = ["th", *["td"] * (len(table) - 1)]
    lines = [
        "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in line) for tag, line in zip(tags, table, strict=True)
    ]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def signed(value: float) -> str:
    """A difference with its sign: `+.046`."""
    return ("+" if value >= 0 else "") + number(value)


def number(value: float) -> str:
    """Three decimals, and no zero before the point: `.552`."""
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.3f}"
