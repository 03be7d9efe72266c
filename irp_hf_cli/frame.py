"""The frame around every command: results on stdout, all else on stderr, refusals in words, and the exit code."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn, TextIO

import typer

DONE, REFUSED, INTERRUPTED = 0, 1, 130  # 2 is typer's, for usage
NOTHING_KEPT = "Nothing was written."
TRACEBACK = "IRP_HF_TRACEBACK"  # set, it shows where an error arose: for those who report one
Command = Callable[..., "Done"]
Options = Mapping[str, tuple[Any, Any]]
"""The names of options, each with its annotation and its default."""


@dataclass(frozen=True)
class Done:
    """What a command gives."""

    text: str
    """For people."""
    plain: dict[str, Any]
    """The same for machines: plain values, as JSON holds them."""
    enough: bool = True
    """False where it is below what was asked for, which the exit code tells."""


class Kept:
    """What stands on the disk when a command is interrupted, in words."""

    words = NOTHING_KEPT


def keep(words: str) -> None:
    """Say what is kept from now on, if the command is interrupted."""
    Kept.words = words


def say(text: str) -> None:
    """Tell people something that is no result."""
    typer.echo(text, err=True)


def command(app: typer.Typer, *, example: str, options: Options | None = None) -> Callable[[Command], Command]:
    """Make a function a command of `app`, whose help ends with the example, one line or several.

    The function's parameters are the command's, and where it takes `**options` these are, too; all get `--json`. It returns
    what there is to print, and prints nothing itself.
    """

    def make(function: Command) -> Command:
        own = inspect.signature(function, eval_str=True).parameters.values()
        parameters = [one for one in own if one.kind is not inspect.Parameter.VAR_KEYWORD]
        for name, (annotation, default) in {**(options or {}), **JSON}.items():
            kind = inspect.Parameter.KEYWORD_ONLY
            parameters.append(inspect.Parameter(name, kind, default=default, annotation=annotation))

        def run(*, as_json: bool, **given: Any) -> NoReturn:
            raise typer.Exit(_framed(lambda: function(**given), as_json))

        run.__name__, run.__doc__ = function.__name__, function.__doc__
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        lines = "".join(f"\n  {line}" for line in example.splitlines())
        app.command(epilog=f"\b\nExample:{lines}")(run)
        return function

    return make


JSON: Options = {
    "as_json": (Annotated[bool, typer.Option("--json", help="Print one object of JSON.", show_default=False)], False)
}


def _framed(call: Callable[[], Done], as_json: bool) -> int:
    """Run a command, print what it gives or why it was refused, and return the exit code."""
    Kept.words, stdout = NOTHING_KEPT, sys.stdout
    with contextlib.redirect_stdout(sys.stderr), _warnings_in_a_line():  # whatever a library prints is no result
        try:
            done = call()
        except KeyboardInterrupt:
            say(f"Interrupted. {Kept.words}")
            return INTERRUPTED
        except (typer.BadParameter, typer.Exit):  # which typer tells
            raise
        except Exception as error:
            return _refused(error, stdout if as_json else None)
    _print(stdout, json.dumps(done.plain, ensure_ascii=False) if as_json else done.text)
    return DONE if done.enough else REFUSED


def _refused(error: Exception, machine: TextIO | None) -> int:
    """Say why in one text, whatever was raised, and to a machine also of which kind."""
    errors = sys.modules.get("irp_hf.errors")  # without it nothing of ours was raised
    text, kind = str(error), type(error).__name__
    if errors is None or not isinstance(error, errors.IRPError):
        said = text.strip().partition("\n")[0].rstrip(".") or "without a word"
        text = f"irp-hf: expected no {kind}, got one ({said}). {TRACEBACK}=1 shows where it arose, for a report of it."
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error, file=sys.stderr)
    say(text)
    if machine is not None:
        _print(machine, json.dumps({"refused": text, "kind": kind}, ensure_ascii=False))
    return REFUSED


def _print(stdout: TextIO, text: str) -> None:
    """Print a result. Who stops reading it, as `head` does, gets no more, and hears nothing of that."""
    try:
        print(text, file=stdout, flush=True)
    except BrokenPipeError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())  # which Python flushes at the end
    except UnicodeEncodeError:  # a terminal that has not all letters
        encoding = getattr(stdout, "encoding", None) or "ascii"
        print(text.encode(encoding, "backslashreplace").decode(encoding), file=stdout, flush=True)


@contextlib.contextmanager
def _warnings_in_a_line() -> Iterator[None]:
    """Show a warning as its text, without the line of code that nobody here wrote."""

    def show(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
        say(f"Warning: {' '.join(str(message).split())}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
