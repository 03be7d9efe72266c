"""`connect` and `fit`: an adapter, of two spaces or of two files of vectors."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from irp_hf_cli.frame import Done, command
from irp_hf_cli.items import written
from irp_hf_cli.options import FIT, Out, Push, check_somewhere, given
from irp_hf_cli.reading import matched_rows, open_vectors

SIDES = ("source", "target")


def add(app: typer.Typer) -> None:
    """Add the commands of this file."""
    connecting = "irp-hf connect minilm-anchored mpnet-anchored --objective neighbors --out minilm-to-mpnet"
    command(app, example=connecting, options=FIT)(connect)
    fitted = "irp-hf fit old.parquet#embedding new.parquet#embedding --key id --objective neighbors --out old-to-new"
    command(app, example=fitted, options=FIT)(fit)


def connect(
    source: Annotated[str, typer.Argument(help="The space to translate from: a folder or an id of the Hub.")],
    target: Annotated[str, typer.Argument(help="The space to translate to.")],
    out: Out = None,
    push: Push = None,
    background: Annotated[
        bool | None, typer.Option(help="Use unpaired rows of both, or leave them out.", show_default=False)
    ] = None,
    pairs: Annotated[
        str | None, typer.Option(help="discover: match the rows of spaces of other anchors.", show_default=False)
    ] = None,
    **options: Any,
) -> Done:
    """Connect two spaces of the same anchors.

    No encoder is loaded. What decides is chosen from the anchors alone, out of fold.
    """
    check_somewhere(out, push)
    from irp_hf import IRPAdapter

    made = IRPAdapter.connect(source, target, background=background, pairs=pairs, **given(options, FIT))  # type: ignore[arg-type]
    return _told(made, out, push)


def fit(
    source: Annotated[
        str, typer.Argument(help="Vectors to translate from: x.npy, x.safetensors#name, x.parquet#column.")
    ],
    target: Annotated[str, typer.Argument(help="Vectors to translate to; row i of both is the same item.")],
    out: Out = None,
    push: Push = None,
    key: Annotated[
        str | None,
        typer.Option(help="A column of both Parquet files: rows with the same value are a pair.", show_default=False),
    ] = None,
    source_background: Annotated[
        str | None, typer.Option(help="Vectors of other items of the source: a file.", show_default=False)
    ] = None,
    target_background: Annotated[
        str | None, typer.Option(help="Vectors of other items of the target.", show_default=False)
    ] = None,
    unpaired: Annotated[bool, typer.Option("--unpaired", help="The files hold no pairs: match their rows.")] = False,
    **options: Any,
) -> Done:
    """Fit an adapter on two files of vectors."""
    check_somewhere(out, push)
    if unpaired and (key or source_background or target_background):
        raise typer.BadParameter("without pairs there is no --key and no background: leave them out, or --unpaired.")
    from irp_hf import IRPAdapter

    chosen, addresses = given(options, FIT), (source, target)
    rows = [open_vectors(f"{side} embeddings", place) for side, place in zip(SIDES, addresses, strict=True)]
    if unpaired:
        return _told(IRPAdapter.from_unpaired(*rows, **chosen), out, push)
    if key is not None:
        rows = _paired(rows, addresses, key)
    beside: Any = {
        f"{side}_background": open_vectors(f"{side}_background", place)
        for side, place in zip(SIDES, (source_background, target_background), strict=True)
        if place is not None
    }
    return _told(IRPAdapter.from_anchors(rows[0], rows[1], **(beside | chosen)), out, push)


def _paired(rows: list[Any], addresses: tuple[str, str], key: str) -> list[Any]:
    """The rows of both files that have a partner, in the source's order."""
    import torch

    from irp_hf.data.arrays import Rows
    from irp_hf_cli.frame import say

    names = (f"{SIDES[0]} embeddings", f"{SIDES[1]} embeddings")
    *numbers, total = matched_rows(names, addresses, key)
    say(f"{len(numbers[0]):,} pairs by {key}, of {total:,} rows.")
    sides = zip(rows, names, numbers, strict=True)
    return [Rows(side, name).take(torch.from_numpy(chosen)) for side, name, chosen in sides]


def _told(adapter: Any, out: Any, push: str | None) -> Done:
    """Write it, and tell what was chosen and how good it is out of fold."""
    from irp_hf.models.cards import choice, inverse

    config = adapter.config
    text = f"{adapter.extra_repr()}\ninverse: {inverse(config)}\nchosen by: {choice(config)}".replace("`", "")
    plain = {
        name: getattr(config, name) for name in ("method", "objective", "depth", "score", "num_anchors", "num_pairs")
    }
    plain |= {"source_width": config.source_size, "target_width": config.target_size, "checksum": adapter.checksum()}
    return written(adapter, out, push, text, {"kind": "adapter", **plain})
