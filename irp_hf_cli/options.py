"""Options that several commands have, by the names that they have in Python; what is given is checked by the library."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from irp_hf_cli.frame import Options

METHODS = ("auto", "kernel", "whitened", "rigid", "pruned")
OBJECTIVES = ("cosine", "neighbors", "recall", "retrieval", "agreement")
STRATEGIES = ("uniform", "stratified", "farthest", "kmeans")
FOLDS = ("rows", "clusters")

Out = Annotated[Path | None, typer.Option("--out", "-o", help="Where to write it.", show_default=False)]
Push = Annotated[str | None, typer.Option("--push", metavar="REPO_ID", help="Push it to the Hub.", show_default=False)]
Column = Annotated[str, typer.Option(help="Which column of the table holds the items.")]
Split = Annotated[str, typer.Option(help="Which split of a data set.")]
Name = Annotated[
    str | None, typer.Option("--name", help="Which configuration of a data set of the Hub.", show_default=False)
]
Progress = Annotated[
    bool | None,
    typer.Option("--progress/--no-progress", help="Show bars on stderr; by default on a terminal.", show_default=False),
]
MinNeighbors = Annotated[
    float | None,
    typer.Option(help="Exit with 1 where fewer of the ten nearest are kept than this share.", show_default=False),
]


def _option(kind: Any, words: str, *names: str, default: Any = None, choices: Iterable[str] = ()) -> tuple[Any, Any]:
    """An option and its default; the choices are offered by a shell, and checked by the library."""
    known = list(choices)
    complete = (lambda incomplete: [one for one in known if one.startswith(incomplete)]) if known else None
    words = f"{words}: {', '.join(known)}." if known else words
    shown = default is not None
    kind = kind | None if default is None else kind
    return Annotated[kind, typer.Option(*names, help=words, show_default=shown, autocompletion=complete)], default


FIT: Options = {
    "method": _option(str, "Inverse", default="auto", choices=METHODS),
    "objective": _option(str, "What decides", default="cosine", choices=OBJECTIVES),
    "head": _option(str, "Folder or id of a classifier, for --objective agreement."),
    "depth": _option(int, "Candidates, for --objective recall; 100 where it is not given."),
    "gamma": _option(float, "Of the kernel; what is not given is chosen from the anchors."),
    "ridge": _option(float, "λ, of the kernel and of whitened."),
    "balance": _option(float, "b, of whitened."),
    "lift": _option(float, "How much the lengths of the source's vectors count."),
    "rigid": _option(float, "How much a rotation counts beside the inverse."),
    "restoration": _option(float, "How much of the target's spectrum is restored, 0 to 1."),
    "num_landmarks": _option(int, "Of the kernel."),
    "num_subspaces": _option(int, "ω, of pruned."),
    "pruning_threshold": _option(float, "δ, of pruned."),
    "folds": _option(str, "What is held out", choices=FOLDS),
    "seed": _option(int, "Of folds, starts and samples."),
}
"""Those of `IRPAdapter.connect` and `from_anchors`."""

ENCODER: Options = {
    "pooling": _option(list[str], "Of a plain transformers model: mean, cls, ...; several are joined."),
    "prompt": _option(str, "The text in front of every item."),
    "prompt_name": _option(str, "The one of a sentence-transformers model's prompts."),
    "task": _option(str, "query or document, or a route of a sentence-transformers model."),
    "max_length": _option(int, "How many tokens of a text are read."),
    "truncate_dim": _option(int, "How many leading numbers of a vector are kept."),
    "normalize": _option(bool, "Unit length.", "--normalize/--no-normalize"),
    "at": _option(str, "head: what a classifier's head reads."),
    "modality": _option(str, "The side of a two-tower model: text, image or audio."),
    "batch_size": _option(int, "How many items at a time.", default=32),
    "device": _option(str, "cpu, cuda, ..."),
    "device_map": _option(str, "auto spreads a model over devices."),
    "dtype": _option(str, "float16, bfloat16, ..."),
    "revision": _option(str, "Branch, tag or commit of the encoder."),
    "subfolder": _option(str, "The folder inside the repository."),
    "variant": _option(str, "Which of several weights: fp16, say."),
    "trust_remote_code": _option(bool, "Let code of the repository run.", "--trust-remote-code", default=False),
    "progress": _option(bool, "Bars on stderr.", "--progress/--no-progress"),
}
"""Those of `irp_hf.encoding.encode`; a token is read where the Hub's client keeps it, since others see a command line."""

HUB: Options = {
    "private": _option(bool, "Whether it is, if it is made.", "--private/--public"),
    "revision": _option(str, "The branch, which is made where it is missing."),
    "create_pr": _option(bool, "Open a pull request instead.", "--create-pr", default=False),
    "commit_message": _option(str, "In a line."),
    "commit_description": _option(str, "In more."),
    "exist_ok": _option(
        bool, "--no-exist-ok refuses a repository that exists.", "--exist-ok/--no-exist-ok", default=True
    ),
}
"""Those of `push_to_hub`."""


def given(options: dict[str, Any], *groups: Options) -> dict[str, Any]:
    """What somebody gave of these groups of options: without those of which the library knows the default."""
    names = [name for group in groups for name in group]
    return {name: options[name] for name in names if options.get(name) not in (None, [])}


def check_somewhere(out: Any, push: str | None) -> None:
    """Raise a usage error where a result would go nowhere."""
    if out is None and push is None:
        raise typer.BadParameter("name where to write it, --out, or where to push it, --push.")
