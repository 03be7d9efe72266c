"""The errors that irp_hf raises on purpose, and the one way in which all of them are worded."""

from __future__ import annotations

import shlex
import sys
import warnings
from typing import Any, TypeVar


class IRPError(Exception):
    """The root of every error that irp_hf raises on purpose."""


class InputError(IRPError, ValueError):
    """Numbers, items or options that cannot be used as given."""


class AnchorMismatchError(IRPError, ValueError):
    """Two sides that should hold the same anchors in the same order hold different ones."""


class DiscoveryError(IRPError, ValueError):
    """Rows of two spaces of which nothing says how they belong together."""


class TooLargeError(IRPError, MemoryError):
    """What was asked for takes more memory than there is."""


class DamagedFolderError(IRPError, OSError):
    """A saved folder that is incomplete, altered or not ours."""


class MissingFolderError(DamagedFolderError, InputError):
    """A saved folder that is not there."""


class OtherModelError(DamagedFolderError):
    """A saved folder of another kind of model than is to be loaded."""


class HubError(IRPError, OSError):
    """The Hub refused, lacks what was asked for, or cannot be reached."""


class MissingDependencyError(IRPError, ImportError):
    """An optional package that is needed here is not installed."""


class HeadCutError(IRPError, ValueError):
    """A classification model that cannot be cut at the input of its head."""


class FitWarning(UserWarning):
    """A fit whose use is in doubt: rows that do not belong together, or anchors that tell too little."""


Refusal = TypeVar("Refusal", bound=IRPError)

LONGEST = 120  # characters of a value that an error shows
LONGEST_LINE = 300  # characters of what another library says
LONGEST_PART = 1_000  # characters of what was expected, say: a list of names may be long, a stranger's megabytes not
INSTALL = "Run: pip install {}"
OURS = ("irp_hf", "torch", "transformers", "contextlib", "functools")  # whose lines tell a user nothing


def refusal(subject: str, expected: str, got: str, advice: str, kind: type[Refusal] = InputError) -> Refusal:  # type: ignore[assignment]
    """An error in two sentences: `subject: expected this, got that.` and then what to do.

    `got` says the value as it came, `shown(value)` where a user chose it. `advice` is one sentence or more, each with its
    full stop. Names and texts in it may be a stranger's: what a terminal would obey is escaped, and what is long is cut.
    """
    subject, expected, got, advice = (printable(part, LONGEST_PART) for part in (subject, expected, got, advice))
    return kind(f"{subject}: expected {expected}, got {got}. {advice}")


def missing(subject: str, package: str, install: str) -> MissingDependencyError:
    """The error for an optional package; `install` is what pip installs: a package, or an extra as `irp_hf[plots]`."""
    advice = INSTALL.format(" ".join(map(shlex.quote, install.split())))  # a shell would read brackets as a pattern
    return refusal(subject, f"the package {package}", "an ImportError of it", advice, MissingDependencyError)


def shown(value: Any) -> str:
    """A value as Python writes it, on one line; of a long one both ends, since the end of a path tells most."""
    whole: Any = value
    if isinstance(value, str | bytes) and len(value) > LONGEST:  # megabytes need not be escaped to be cut
        whole = whole[:LONGEST] + whole[-LONGEST:]
    try:
        text = repr(whole) if isinstance(value, str | bytes) else " ".join(repr(value).split())
    except Exception:  # whole numbers of thousands of digits have no text, and what a stranger wrote may raise anything
        text = f"{value.bit_length():,} bits of a whole number" if isinstance(value, int) else kind_of(value)
    return printable(text, LONGEST)


def printable(text: str, longest: int = LONGEST) -> str:
    """A stranger's text on one line of at most `longest` characters, of which a terminal obeys none.

    Codes that move, colour or clear, marks that turn the direction of reading, what has no width and lone surrogates stand as
    Python escapes them; of a long text both ends stay.
    """
    half = (longest - 1) // 2
    if len(text) > longest:
        text = f"{text[:half]}…{text[-half:]}"
    if text.isprintable():
        return text
    text = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "surrogatepass").decode() for letter in text
    )
    return text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"


def kind_of(value: Any) -> str:
    """What a value is: `a list`, `an Image`, `the class Linear`, `None`."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = type(value).__name__
    return f"an {name}" if name[0] in "AEIOUaeiou" or name == "ndarray" else f"a {name}"


def reason_of(error: BaseException) -> str:
    """Why the system refused something, in its own words; else the first line of the error's text."""
    return getattr(error, "strerror", None) or first_line(error)


def first_line(error: BaseException) -> str:
    """Of an error's text, printable and without its full stop; the error's class where it has no text."""
    return printable(str(error).strip().partition("\n")[0].rstrip("."), LONGEST_LINE) or type(error).__name__


def is_panic(error: BaseException) -> bool:
    """Whether it is what libraries in Rust raise where they gave up, which is no `Exception`."""
    return type(error).__name__ == "PanicException"


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line of the user's own that led here, however many calls of irp_hf and of torch lie between."""
    depth, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in OURS:
        depth, frame = depth + 1, frame.f_back
    warnings.warn(message, category, stacklevel=depth)
