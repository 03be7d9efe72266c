"""`report`: what to expect of an adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from irp_hf_cli.frame import Done, command, keep
from irp_hf_cli.options import MinNeighbors, Progress
from irp_hf_cli.reading import open_vectors


def add(app: typer.Typer) -> None:
    """Add the command of this file."""
    command(app, example="irp-hf report old-to-new --index-size 100000 --plot report.png")(report)


def report(
    adapter: Annotated[str, typer.Argument(help="A folder or an id of the Hub.")],
    index_size: Annotated[
        list[int] | None, typer.Option(help="Rows of your index; may be repeated.", show_default=False)
    ] = None,
    gallery: Annotated[
        str | None, typer.Option(help="The target's vectors that the index holds: a file.", show_default=False)
    ] = None,
    baselines: Annotated[
        list[str] | None, typer.Option(help="all, or names, repeated: Procrustes, ridge, ...", show_default=False)
    ] = None,
    head: Annotated[
        str | None, typer.Option(help="A classifier of the target: a folder or an id.", show_default=False)
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw it into this file.", show_default=False)] = None,
    min_neighbors: MinNeighbors = None,
    progress: Progress = None,
) -> Done:
    """Say what to expect of an adapter.

    It is measured on held-out anchors, beside baselines. With --min-neighbors the exit code is 1 where fewer are kept: by an
    index of --index-size that is translated, or else among the anchors.
    """
    from irp_hf import IRPAdapter
    from irp_hf.checks import check_number

    if min_neighbors is not None:
        check_number("min_neighbors", min_neighbors, 0, 1)
    named: Any = baselines[0] if baselines == ["all"] else baselines or None
    made = IRPAdapter.from_pretrained(adapter).report(
        head,
        progress,
        baselines=named,
        index_size=index_size or None,
        gallery=None if gallery is None else open_vectors("gallery", gallery),
    )
    if plot is not None:
        made.plot(plot)
        keep(f"{plot} is written.")
    kept = neighbors_kept(made)
    enough = min_neighbors is None or (kept is not None and kept >= min_neighbors)
    text = str(made) if enough else f"{made}\n\n{below(kept, min_neighbors)}"
    return Done(text, {"kind": "report", **made.to_dict(), "neighbors_kept": kept, "enough": enough}, enough)


def neighbors_kept(report: Any) -> float | None:
    """The share of the ten nearest that is kept, at the largest size that was asked for; None where nothing tells."""
    if report.index is not None:
        return float(report.index.shares[-1].moved.mean)
    chosen = next(row for row in report.rows if row.method == report.chosen)
    found = chosen.evaluation.measures().get("neighbors")
    return None if found is None else float(found.mean)


def below(kept: float | None, least: float | None) -> str:
    """That it is not enough, in words."""
    from irp_hf.evaluation.printed import number

    found = "nothing that tells" if kept is None else number(kept)
    return f"Neighbours kept: expected at least {number(least or 0)}, got {found}."
