"""`anchors` and `encode`: which items, and what an encoder makes of them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from irp_hf_cli.frame import Done, command, keep
from irp_hf_cli.options import ENCODER, STRATEGIES, Column, Name, Out, Push, Split, check_somewhere, given
from irp_hf_cli.reading import COLUMN, open_table, open_vectors

FILES = (".npy", ".parquet")
WITH_COLUMN = re.compile(
    r"(.*?\.(?:npy|parquet))#(.*)", re.DOTALL | re.IGNORECASE
)  # a file's name may hold the sign, too


def add(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(app, example="irp-hf anchors texts.csv --num-anchors 1500 --out anchors")(anchors)
    encoding = """irp-hf encode sentence-transformers/all-MiniLM-L6-v2 anchors --out minilm-anchored
irp-hf encode sentence-transformers/all-MiniLM-L6-v2 texts.csv --out texts.parquet"""
    command(app, example=encoding, options=ENCODER)(encode)


def anchors(
    table: Annotated[str, typer.Argument(help="A file, a folder or a data set of the Hub.")],
    out: Out = None,
    push: Push = None,
    column: Annotated[list[str], typer.Option(help="Which column holds the items; several become views.")] = ["text"],  # noqa: B006 - as typer writes a default
    num_anchors: Annotated[int, typer.Option(help="How many.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same one chooses the same items everywhere.")] = 0,
    strategy: Annotated[str, typer.Option(help=f"How: {', '.join(STRATEGIES)}.")] = "uniform",
    embeddings: Annotated[
        str | None, typer.Option(help="Vectors of all rows, for farthest and kmeans: a file.", show_default=False)
    ] = None,
    label_column: Annotated[str | None, typer.Option(help="For stratified.", show_default=False)] = None,
    split: Split = "train",
    name: Name = None,
    dataset_id: Annotated[str | None, typer.Option(help="Where the items come from.", show_default=False)] = None,
    license: Annotated[str | None, typer.Option(help="Of the items, as the Hub writes it.", show_default=False)] = None,
) -> Done:
    """Choose items that both sides will encode.

    They are saved, or pushed, as an anchor set: a data set like any other.
    """
    check_somewhere(out, push)
    from irp_hf import AnchorSet

    points = None if embeddings is None else open_vectors("embeddings", embeddings)
    chosen = AnchorSet.sample(
        open_table(table, split, name),
        column[0] if len(column) == 1 else column,
        num_anchors,
        seed,
        strategy,  # type: ignore[arg-type]
        points,
        label_column,
        dataset_id=dataset_id,
        license=license,
    )
    plain = {"num_items": len(chosen), "num_duplicates": chosen.num_duplicates, "fingerprint": chosen.fingerprint}
    return written(chosen, out, push, repr(chosen), {"kind": "anchor set", **plain, "views": list(chosen.views)})


def encode(
    encoder: Annotated[str, typer.Argument(help="A folder or an id of the Hub.")],
    items: Annotated[str, typer.Argument(help="An anchor set, or a table of texts or pictures.")],
    out: Out = None,
    push: Push = None,
    column: Column = "text",
    split: Split = "train",
    name: Name = None,
    view: Annotated[str | None, typer.Option(help="Which view of an anchor set.", show_default=False)] = None,
    background: Annotated[
        str | None, typer.Option(help="A table of other items, published beside the anchors.", show_default=False)
    ] = None,
    canary: Annotated[bool, typer.Option(help="Keep four items, to know the encoder by.")] = True,
    sample: Annotated[
        int | None, typer.Option(min=1, help="At most so many rows of a table, drawn at random.", show_default=False)
    ] = None,
    **options: Any,
) -> Done:
    """Encode anchors into a space, or any items.

    An anchor set becomes a space, a folder. Where --out ends in .npy or .parquet, a table's column, or an anchor set, becomes
    a file of vectors; a Parquet file carries the table's other columns over, and new.parquet#vector names the new one, which is
    "embedding" else. With --sample the file has the rows that were drawn, in their order, always the same ones. A run that was
    interrupted goes on where it was.
    """
    check_somewhere(out, push)
    chosen = given(options, ENCODER)
    if out is not None and _of_file(out)[0].suffix.lower() in FILES:
        if push is not None or background is not None:
            raise typer.BadParameter("a file of vectors has no --push and no --background: give a folder as --out.")
        return _vectors(encoder, items, out, column, (split, name), view, sample, chosen)
    if sample is not None:
        raise typer.BadParameter("--sample is for a Parquet file of a table's rows: give one as --out.")
    from irp_hf import AnchoredSpace, AnchorSet
    from irp_hf.errors import refusal, shown

    if os.path.isfile(items):
        advice = "Name such a file as --out, or draw an anchor set from the table first: irp-hf anchors."
        got = "--push alone" if out is None else shown(str(out))
        raise refusal(
            "--out", f"a file ending in {' or '.join(FILES)}, for vectors of the table {shown(items)}", got, advice
        )
    beside = None if background is None else open_table(background, split, name)[column]
    space = AnchoredSpace.encode(
        encoder, AnchorSet.from_pretrained(items), view, background=beside, canary=canary, **chosen
    )
    config = space.config
    plain = {"kind": "space", "num_anchors": config.num_anchors, "width": config.hidden_size}
    plain |= {
        "num_background": config.num_background,
        "encoder": config.encoder,
        "fingerprint": config.anchor_fingerprint,
    }
    return written(space, out, push, space.extra_repr(), plain)


def written(made: Any, out: Path | None, push: str | None, text: str, plain: dict[str, Any], **pushed: Any) -> Done:
    """Save what was made, and push it; what a command tells of that."""
    lines = [text]
    if out is not None:
        made.save_pretrained(out)
        keep(f"{out} is written.")
        lines.append(f"Written to {out}.")
    commit = None
    if push is not None:
        commit = made.push_to_hub(push, **pushed)
        lines.append(f"Pushed to {commit.repo_url.repo_id} at {commit.oid[:8]}.")
    at = None if commit is None else {"id": commit.repo_url.repo_id, "revision": commit.oid}
    return Done("\n".join(lines), {**plain, "out": None if out is None else str(out), "pushed": at})


def _of_file(out: Path) -> tuple[Path, str]:
    """A file, and the column that it shall have behind a #; a folder has none."""
    named = WITH_COLUMN.fullmatch(str(out))
    return (out, "") if named is None else (Path(named[1]), named[2])


def _vectors(
    encoder: str,
    items: str,
    out: Path,
    column: str,
    of_table: tuple[str, str | None],
    view: str | None,
    sample: int | None,
    chosen: Any,
) -> Done:
    """Encode a column, or a view of an anchor set, into a file."""
    from irp_hf import AnchorSet
    from irp_hf.anchors.files import MANIFEST
    from irp_hf.checks import check_text
    from irp_hf.data.columns import column_of
    from irp_hf.encoding import encode
    from irp_hf_cli.writing import check_no_vectors, drawn, refuse_existing, write_parquet

    out, made = _of_file(out)
    if made and out.suffix.lower() != ".parquet":
        raise typer.BadParameter(f"{out.name} has no columns: leave out #{made}.")
    if sample is not None and (out.suffix.lower() != ".parquet" or Path(items, MANIFEST).is_file()):
        raise typer.BadParameter("--sample is for a Parquet file of a table's rows, which says which they are.")
    made, table = check_text("The column behind the #", made) or COLUMN, None
    if Path(items, MANIFEST).is_file():
        rows: Any = AnchorSet.from_pretrained(items).one_by_one(view)
    else:
        table = open_table(items, *of_table)
        table = table if sample is None else drawn(table, sample)
        rows = column_of(table, column)
    keep(f"What was encoded is kept beside {out}: the same command goes on from there.")
    if out.suffix.lower() == ".npy":
        vectors, record = encode(encoder, rows, out=out, **chosen)
    else:
        refuse_existing(out)
        check_no_vectors(table, made)
        rough = out.with_name(f"{out.name}.npy")  # as a file of numpy alone can go on where it was
        vectors, record = encode(encoder, rows, out=rough, **chosen)
        write_parquet(out, table, vectors, made)
        for file in (rough, Path(f"{rough}.json")):
            file.unlink(missing_ok=True)
    keep(f"{out} is written.")
    plain = {"kind": "vectors", "num_rows": len(vectors), "width": vectors.shape[1], "encoder": record, "out": str(out)}
    return Done(f"{len(vectors):,} vectors, {vectors.shape[1]} wide, written to {out}.", plain)
