"""`translate`: stored vectors, from one address to another."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import Annotated, Any

import typer

from irp_hf_cli.frame import Done, command, keep
from irp_hf_cli.options import MinNeighbors, Progress
from irp_hf_cli.reports import below, neighbors_kept

MEASURED = "Neighbours kept by an index of {rows:,} rows: {share}."


def add(app: typer.Typer) -> None:
    """Add the command of this file."""
    moving = """irp-hf translate old.parquet#embedding old-to-new moved.parquet#embedding --dry-run
irp-hf translate old.parquet#embedding old-to-new moved.parquet#embedding --confidence"""
    command(app, example=moving)(translate)


def translate(
    source: Annotated[
        str, typer.Argument(help="Stored vectors: a file, a folder#column, lancedb:folder#table.column, ...")
    ],
    adapter: Annotated[str, typer.Argument(help="A folder or an id of the Hub.")],
    destination: Annotated[str, typer.Argument(help="A new place for them, of any of these kinds.")],
    unit_length: Annotated[
        bool | None,
        typer.Option(
            "--unit-length/--no-unit-length", help="By default as the target's anchors have it.", show_default=False
        ),
    ] = None,
    confidence: Annotated[
        bool, typer.Option("--confidence", help="Add the expected cosine of each as a column.")
    ] = False,
    dtype: Annotated[
        str | None, typer.Option(help="float16 or float32; by default that of the source.", show_default=False)
    ] = None,
    limit: Annotated[int | None, typer.Option(help="So many rows, from the first on.", show_default=False)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing, and say what would come of it.")] = False,
    check: Annotated[bool, typer.Option(help="--no-check takes vectors that look like another encoder's.")] = True,
    min_neighbors: MinNeighbors = None,
    progress: Progress = None,
) -> Done:
    """Translate stored vectors into a new store.

    Ids, texts and metadata go with them, and the source is not changed. A run that was interrupted goes on where it was. With
    --min-neighbors nothing is written, and the exit code is 1, where an index of so many rows keeps fewer.
    """
    from irp_hf import IRPAdapter
    from irp_hf.checks import check_number
    from irp_hf.errors import IRPError
    from irp_hf.evaluation.printed import number
    from irp_hf.stores import open_store, translate_store

    if min_neighbors is not None:
        check_number("min_neighbors", min_neighbors, 0, 1)
    model = IRPAdapter.from_pretrained(adapter)
    options: Any = {"confidence": confidence, "dtype": dtype, "limit": limit, "check": check, "progress": progress}
    options |= {} if unit_length is None else {"unit_length": unit_length}
    kept, told = None, ""
    if dry_run or min_neighbors is not None:
        with open_store(source) as store, contextlib.ExitStack() as forgiven:
            rows = store.num_rows
            if min_neighbors is None:  # which nobody asked for: too few anchors tell nothing
                forgiven.enter_context(contextlib.suppress(IRPError))
            kept = neighbors_kept(model.report(index_size=rows, baselines=[], progress=progress))
            told = MEASURED.format(rows=rows, share=number(kept or 0))
    enough = min_neighbors is None or (kept is not None and kept >= min_neighbors)
    if not enough:
        text = f"{told}\n{below(kept, min_neighbors)} Nothing was written."
        return Done(text, {"kind": "translated", "neighbors_kept": kept, "enough": False}, enough=False)
    keep(f"What was translated is kept beside {destination}: the same command goes on from there.")
    made: Any = translate_store(source, model, destination, dry_run=dry_run, **options)
    text = f"{made}\n\n{told}" if told else str(made)
    return Done(text, {"kind": "translated", **asdict(made), "neighbors_kept": kept, "enough": True})
