"""Tables of words and numbers for a terminal, for Markdown and for a notebook."""

from __future__ import annotations

import html

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
