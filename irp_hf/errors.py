"""The errors that irp_hf raises on purpose, and the one way in which all of them are worded."""

from __future__ import annotations

from typing import Any, TypeVar


class IRPError(Exception):
    """The root of every error that irp_hf raises on purpose."""


class InputError(IRPError, ValueError):
    """Numbers, items or options that cannot be used as given."""


class AnchorMismatchError(IRPError, ValueError):
    """Two sides that should hold the same anchors in the same order hold different ones."""


class DamagedFolderError(IRPError, OSError):
    """A saved folder that is incomplete, altered or not ours."""


class OtherModelError(DamagedFolderError):
    """A saved folder of another kind of model than is to be loaded."""


class HubError(IRPError, OSError):
    """The Hub refused, lacks what was asked for, or cannot be reached."""


class MissingDependencyError(IRPError, ImportError):
    """An optional package that is needed here is not installed."""


class HeadCutError(IRPError, ValueError):
    """A classification model that cannot be cut at the input of its head."""


Refusal = TypeVar("Refusal", bound=IRPError)

LONGEST = 120  # characters of a value that an error shows
INSTALL = "Run: pip install {}"


def refusal(subject: str, expected: str, got: str, advice: str, kind: type[Refusal] = InputError) -> Refusal:  # type: ignore[assignment]
    """An error in two sentences: `subject: expected this, got that.` and then what to do.

    `got` says the value as it came, `shown(value)` where a user chose it. `advice` is one sentence or more, each with its
    full stop.
    """
    return kind(f"{subject}: expected {expected}, got {got}. {advice}")


def missing(subject: str, package: str, install: str) -> MissingDependencyError:
    """The error for an optional package; `install` is what pip installs: a package, or an extra as `irp_hf[plots]`."""
    advice = INSTALL.format(install)
    return refusal(subject, f"the package {package}", "an ImportError of it", advice, MissingDependencyError)


def shown(value: Any) -> str:
    """A value as Python writes it, on one line; of a long one both ends, since the end of a path tells most."""
    text = repr(value) if isinstance(value, str | bytes) else " ".join(repr(value).split())
    half = (LONGEST - 1) // 2
    return text if len(text) <= LONGEST else f"{text[:half]}…{text[-half:]}"


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
    """Of an error's text, without its full stop; the error's class where it has no text."""
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
