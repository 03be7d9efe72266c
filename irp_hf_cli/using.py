"""`classify`: labels by a head that was built for another encoder."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from irp_hf_cli.frame import Done, command
from irp_hf_cli.options import Column, Name, Split
from irp_hf_cli.reading import open_table


def add(app: typer.Typer) -> None:
    """Add the command of this file."""
    command(app, example='irp-hf classify minilm-to-topic "How far is the moon?" "Who wrote it?" --top-k 2')(classify)


def classify(
    adapter: Annotated[
        str, typer.Argument(help="A folder or an id of the Hub; - connects two spaces, --encoder and --head.")
    ],
    inputs: Annotated[
        list[str] | None, typer.Argument(help="Texts, or paths of pictures; none reads lines from stdin.")
    ] = None,
    table: Annotated[str | None, typer.Option(help="A file, a folder or a data set.", show_default=False)] = None,
    column: Column = "text",
    split: Split = "train",
    name: Name = None,
    encoder: Annotated[
        str | None, typer.Option(help="A folder or an id; by default the adapter's.", show_default=False)
    ] = None,
    head: Annotated[
        str | None, typer.Option(help="A folder or an id; by default the adapter's.", show_default=False)
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(help="How many labels; by default 1 of texts, 5 of pictures.", show_default=False)
    ] = None,
    function_to_apply: Annotated[str | None, typer.Option(help="softmax, sigmoid or none.", show_default=False)] = None,
    return_confidence: Annotated[
        bool, typer.Option("--return-confidence", help="Also how sure the translation is.")
    ] = False,
    batch_size: Annotated[int, typer.Option(help="How many items at a time.")] = 32,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...", show_default=False)] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Let code of both repositories run.")
    ] = False,
) -> Done:
    """Classify texts or pictures.

    The adapter's encoder feeds a head that was built for another one, as the pipeline irp-stitch does.
    """
    if table is not None and inputs:
        raise typer.BadParameter("give inputs, or a --table, and not both.")
    from irp_hf import IRPAdapter, IRPStitchPipeline
    from irp_hf.data.columns import column_of

    if table is not None:
        items: Any = column_of(open_table(table, split, name), column)
    else:
        items = inputs or [line.rstrip("\n") for line in sys.stdin if line.strip()]
    parts = {"encoder": encoder, "head": head, "device": device}
    chosen: dict[str, Any] = {key: value for key, value in parts.items() if value is not None}
    if trust_remote_code:
        chosen |= {"encoder_trust_remote_code": True, "head_trust_remote_code": True}
    stitched = IRPStitchPipeline(None if adapter == "-" else IRPAdapter.from_pretrained(adapter), **chosen)
    call = {"top_k": top_k, "function_to_apply": function_to_apply}
    given = {key: value for key, value in call.items() if value is not None}
    answers = stitched(items, batch_size=batch_size, return_confidence=return_confidence, **given)
    answers = [answer if isinstance(answer, list) else [answer] for answer in answers]
    lines = ["\t".join([*map(_label, labels), *_shown(items[row])]) for row, labels in enumerate(answers)]
    return Done("\n".join(lines), {"kind": "labels", "answers": answers})


def _label(one: dict[str, Any]) -> str:
    from irp_hf.errors import printable
    from irp_hf.evaluation.printed import number

    sure = f" ({number(one['confidence'])})" if "confidence" in one else ""
    return f"{printable(one['label'])} {number(one['score'])}{sure}"


def _shown(item: Any) -> list[str]:
    """A text, or the path of a picture; of a picture itself nothing."""
    from irp_hf.errors import printable

    return [printable(item)] if isinstance(item, str) else []
