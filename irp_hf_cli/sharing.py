"""`push` and `find`: the Hub."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from irp_hf_cli.frame import Done, command
from irp_hf_cli.kinds import open_saved
from irp_hf_cli.options import HUB, given


def add(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(app, example="irp-hf push minilm-anchored me/minilm-anchored --private", options=HUB)(push)
    command(app, example="irp-hf find me/anchors")(find)


def push(
    folder: Annotated[str, typer.Argument(help="An anchor set, a space or an adapter.")],
    repo_id: Annotated[str, typer.Argument(help="user/name, or a name of your own.")],
    license: Annotated[
        str | None, typer.Option(help="Of an anchor set's items, as the Hub writes it.", show_default=False)
    ] = None,
    report: Annotated[bool, typer.Option(help="Measure an adapter for its card.")] = True,
    **options: Any,
) -> Done:
    """Push a folder to the Hub.

    It goes there with its card, as one commit.
    """
    from irp_hf.checks import check_absent

    kind, saved = open_saved(folder)
    about = given(options, HUB)
    if kind == "anchor set":
        about |= {"license": license}
    else:
        check_absent("license", license, f"the folder holds {_a(kind)}, whose card names that of its anchors")
    if kind == "adapter":
        about |= {"report": report}
    commit = saved.push_to_hub(repo_id, **about)
    request = getattr(commit, "pr_url", None)
    where = request or f"{commit.repo_url.repo_id} at {commit.oid[:8]}"
    plain = {"kind": kind, "id": commit.repo_url.repo_id, "revision": commit.oid, "pull_request": request}
    return Done(f"Pushed {_a(kind)} to {where}.", plain)


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] == "a" else f"a {kind}"


def find(
    anchors: Annotated[
        str, typer.Argument(help="The folder or the id of an anchor set, a space or an adapter, or a fingerprint.")
    ],
) -> Done:
    """List spaces on the Hub by their anchors.

    Any two of them can be connected.
    """
    from irp_hf import find_spaces

    of: Any = open_saved(anchors)[1] if os.path.isdir(anchors) else anchors
    found = find_spaces(of)
    lines = [
        f"{space.id}\t{space.encoder or 'encoder not on the Hub'}\t{space.downloads:,} downloads"
        f"{chr(9) + 'private' if space.private else ''}"
        for space in found
    ]
    return Done("\n".join(lines) or "None.", {"kind": "spaces", "spaces": [vars(space) for space in found]})
