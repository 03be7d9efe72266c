"""`irp-hf` itself: its commands, and what it says before any of them runs."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from irp_hf_cli import doctor, fitting, items, moving, reports, sharing, using

HELP = """Feed a head or an index built for one encoder from another, with no training.

An anchor set says which items both sides encode, a space holds what one encoder makes of them, and an adapter translates
from one space to another.

Results go to stdout, all else to stderr. Exit codes: 0 done, 1 refused or below --min-neighbors, 2 a command that is not
understood, 130 interrupted.
"""

BARS = ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS")  # read as these are imported

app = typer.Typer(
    name="irp-hf",
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for _group in (items, fitting, reports, moving, using, sharing, doctor):
    _group.add(app)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            found = version("irp_hf")
        except PackageNotFoundError:  # run from its source alone
            from irp_hf import __version__ as found
        typer.echo(found)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line as the name `irp-hf`, however it was started; bars of libraries are for a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        for name in BARS:
            os.environ.setdefault(name, "1")
    app(prog_name="irp-hf")
