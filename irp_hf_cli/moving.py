"""`translate`, `verify` and `reencode`: stored vectors, from one space to another, and true ones in their place."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import Annotated, Any

import typer

from irp_hf_cli.frame import Done, command, keep
from irp_hf_cli.options import ENCODER, MinNeighbors, Progress, given
from irp_hf_cli.reports import below, neighbors_kept

SETTINGS = {name: option for name, option in ENCODER.items() if name != "revision"}  # which the store itself names
Destination = Annotated[str, typer.Argument(help="The translated vectors.")]
Encoder = Annotated[
    str | None, typer.Argument(help="A folder or an id; by default the one that the store names.", show_default=False)
]
Text = Annotated[str, typer.Option(help="The column of texts that the vectors are of.")]
MEASURED = "Neighbours kept by an index of {rows:,} rows: {share}."


def add(app: typer.Typer) -> None:
    """Add the commands of this file."""
    moving = """irp-hf translate old.parquet#embedding old-to-new moved.parquet#embedding --dry-run
irp-hf translate old.parquet#embedding old-to-new moved.parquet#embedding --confidence"""
    command(app, example=moving)(translate)
    minilm = "sentence-transformers/all-MiniLM-L6-v2"
    asking = f"irp-hf verify moved.parquet#embedding {minilm} --text text --source old.parquet#embedding"
    command(app, example=asking, options=SETTINGS)(verify)
    encoding = f"irp-hf reencode moved.parquet#embedding {minilm} --text text --budget 100"
    command(app, example=encoding, options=SETTINGS)(reencode)


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
            report = model.report(index_size=rows, baselines=[], progress=progress)
            kept = neighbors_kept(report)
            told = MEASURED.format(rows=rows, share=number(kept or 0))
            told += "".join(f"\n{words}" for words in report.index.conclusions()[:1]) if report.index else ""
    enough = min_neighbors is None or (kept is not None and kept >= min_neighbors)
    if not enough:
        text = f"{told}\n{below(kept, min_neighbors)} Nothing was written."
        return Done(text, {"kind": "translated", "neighbors_kept": kept, "enough": False}, enough=False)
    keep(f"What was translated is kept beside {destination}: the same command goes on from there.")
    made: Any = translate_store(source, model, destination, dry_run=dry_run, **options)
    text = f"{made}\n\n{told}" if told else str(made)
    return Done(text, {"kind": "translated", **asdict(made), "neighbors_kept": kept, "enough": True})


def verify(
    destination: Destination,
    encoder: Encoder = None,
    text: Text = "text",
    label: Annotated[
        str | None, typer.Option(help="A column of classes, to compare by these too.", show_default=False)
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="The store of before, to compare with doing nothing.", show_default=False)
    ] = None,
    adapter: Annotated[
        str | None, typer.Option(help="What translated the store, to tell what it foretold.", show_default=False)
    ] = None,
    sample: Annotated[int, typer.Option(help="How many items are encoded.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    min_neighbors: MinNeighbors = None,
    **options: Any,
) -> Done:
    """Check a translated store.

    Some of its items are encoded for real, and searched. With --min-neighbors the exit code is 1 where fewer of their
    neighbours are found.
    """
    from irp_hf.checks import check_number
    from irp_hf.stores import verify_store

    if min_neighbors is not None:
        check_number("min_neighbors", min_neighbors, 0, 1)
    chosen = given(options, SETTINGS)
    found = verify_store(
        destination, encoder, text=text, label=label, source=source, adapter=adapter, sample=sample, seed=seed, **chosen
    )
    kept = float(found.neighbors.mean)
    enough = min_neighbors is None or kept >= min_neighbors
    told = str(found) if enough else f"{found}\n\n{below(kept, min_neighbors)}"
    return Done(told, {"kind": "verified", **asdict(found), "neighbors_kept": kept, "enough": enough}, enough)


def reencode(
    destination: Destination,
    encoder: Encoder = None,
    text: Text = "text",
    budget: Annotated[int | None, typer.Option(help="At most so many rows.", show_default=False)] = None,
    until: Annotated[
        float | None, typer.Option(help="Only rows of a confidence below this.", show_default=False)
    ] = None,
    order: Annotated[
        Any, typer.Option(help="found, what searches find most, or confidence, the least sure first.")
    ] = "found",
    **options: Any,
) -> Done:
    """Put true vectors into a store.

    Rows of a translated store are encoded for real, those first that searches find most; it was made with --confidence.
    The store changes in one step, at the end, and a run that was interrupted goes on where it was.
    """
    from irp_hf.stores import reencode as put_true

    keep(f"What was encoded is kept, and {destination} is as it was: the same command goes on from there.")
    done = put_true(
        destination, encoder, text=text, budget=budget, until=until, order=order, **given(options, SETTINGS)
    )
    return Done(str(done), {"kind": "reencoded", **asdict(done)})
