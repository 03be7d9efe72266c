"""Paragraphs, tables and pictures as one piece of HTML for a notebook or a page, light or dark.

Its colours are those of the text around it, thinned or mixed with a hue, and its backgrounds let the page through: so it suits
every theme of Jupyter, VS Code, Colab and Gradio, and needs to know none. Where styles are taken out, as on GitHub, plain
paragraphs and tables are left.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape

SETTINGS = "settings"  # a column too wide for a page: it stands below the names of the first
SURE = " ±"  # between a mean and half its interval
HUES = {"one": "#2f7fb8", "two": "#cf6a35", "warning": "#d19a2a"}
STYLE = f"""
.irp-hf {{ --irp-faint: rgba(127,127,127,.13); --irp-line: rgba(127,127,127,.32); --irp-muted: rgba(127,127,127,1);
  --irp-one: {HUES["one"]}; --irp-two: {HUES["two"]}; --irp-chosen: rgba(47,127,184,.13); --irp-warned: rgba(209,154,42,.14);
  max-width: 76rem; line-height: 1.5; overflow-wrap: anywhere; color: inherit; background: transparent; }}
@supports (color: color-mix(in srgb, red, blue)) {{ .irp-hf {{ --irp-muted: color-mix(in srgb, currentColor 72%, transparent);
  --irp-one: color-mix(in srgb, {HUES["one"]} 68%, currentColor);
  --irp-two: color-mix(in srgb, {HUES["two"]} 78%, currentColor); }} }}
.irp-hf p {{ margin: .7em 0; max-width: 48rem; color: inherit; }}
.irp-hf p.irp-caption {{ color: var(--irp-muted); }}
.irp-hf p.irp-warning {{ padding: .55em .9em; border-left: 4px solid {HUES["warning"]}; border-radius: 4px;
  background: var(--irp-warned); }}
.irp-hf .irp-wide {{ overflow-x: auto; margin: 1em 0; }}
.irp-hf table.irp-table {{ border-collapse: collapse; border: 0; margin: 0; width: auto; font-size: .95em; color: inherit;
  background: transparent; font-variant-numeric: tabular-nums; overflow-wrap: normal; }}
.irp-hf .irp-table tr {{ background: transparent !important; border: 0; }}
.irp-hf .irp-table :is(th, td) {{ padding: .45em .9em !important; border: 0 !important; background: transparent;
  border-bottom: 1px solid var(--irp-faint) !important; text-align: right !important; vertical-align: baseline !important;
  color: inherit; font-weight: 400; white-space: nowrap; max-width: none; }}
.irp-hf .irp-table :is(th[scope=row], .irp-left) {{ text-align: left !important; }}
.irp-hf .irp-table thead th {{ border-bottom: 1px solid var(--irp-line) !important; color: var(--irp-muted);
  vertical-align: bottom !important; white-space: normal; min-width: 4.5em; font-size: .92em; }}
.irp-hf .irp-table tbody tr:hover {{ background: var(--irp-faint) !important; }}
.irp-hf .irp-table tbody tr.irp-chosen {{ background: var(--irp-chosen) !important; }}
.irp-hf .irp-table .irp-chosen > :is(th, td) {{ font-weight: 600; }}
.irp-hf .irp-table .irp-chosen > th {{ box-shadow: inset 3px 0 var(--irp-one); }}
.irp-hf .irp-table :is(small, .irp-sure) {{ color: var(--irp-muted); font-weight: 400; font-size: .85em; }}
.irp-hf .irp-table small {{ display: block; max-width: 26em; white-space: normal; }}
.irp-hf .irp-pictures {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); gap: 1em 1.5em;
  margin: 1.4em 0; }}
.irp-hf .irp-pictures:has(> :nth-child(4):last-child) {{ max-width: 56rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); }}
.irp-hf .irp-pictures svg {{ width: 100%; max-width: 32rem; height: auto; }}
"""


def page(
    parts: Sequence[str | list[list[str]]],
    mark: str,
    left: Collection[str],
    warnings: Collection[str] = (),
    pictures: Sequence[str] = (),
) -> str:
    """Paragraphs and tables, in their order, as one `<div>`, all their text escaped; `pictures` (SVG) follow the first table.

    A line of a table whose first cell begins with `mark` is the chosen one; columns that are called as in `left` hold text,
    the others numbers. Paragraphs in `warnings` stand out.
    """
    pieces: list[str] = []
    for place, part in enumerate(parts):
        if isinstance(part, str):
            kind = "warning" if part in warnings else "caption" if place == 0 else ""
            pieces.append(_paragraph(part, kind))
            continue
        pieces.append(_table(part, mark, left))
        if pictures:
            pieces.append(f'<div class="irp-pictures">{"".join(pictures)}</div>')
            pictures = ()
    return "\n".join(['<div class="irp-hf">', f"<style>{STYLE}</style>", *pieces, "</div>"])


def _paragraph(text: str, kind: str) -> str:
    role = ' role="note"' if kind == "warning" else ""
    return f"<p{_classed(kind)}{role}>{escape(text)}</p>"


def _table(table: list[list[str]], mark: str, left: Collection[str]) -> str:
    """In a box that scrolls by itself, where the page is narrower than the table."""
    header, *lines = table
    below = header.index(SETTINGS) if SETTINGS in header[1:] else None
    kept = [column for column in range(len(header)) if column != below]
    texts = {column for column in kept if column == 0 or header[column] in left}
    heads = "".join(
        f'<th scope="col"{_classed("left" if column in texts else "")}>{escape(header[column])}</th>' for column in kept
    )
    rows = []
    for line in lines:
        small = f"<small>{escape(line[below])}</small>" if below is not None and line[below] else ""
        cells = "".join(
            f"<td{_classed('left' if column in texts else '')}>{_figure(line[column])}</td>" for column in kept[1:]
        )
        chosen = _classed("chosen" if line[0].startswith(mark) else "")
        rows.append(f'<tr{chosen}><th scope="row">{escape(line[0])}{small}</th>{cells}</tr>')
    body = f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="irp-wide"><table class="irp-table">{body}</table></div>'


def _figure(cell: str) -> str:
    """A cell, in which the interval is paler than the number."""
    mean, sure, half = cell.partition(SURE)
    return f'{escape(mean)}<span class="irp-sure">{SURE}{escape(half)}</span>' if sure else escape(cell)


def _classed(kind: str) -> str:
    return f' class="irp-{kind}"' if kind else ""
