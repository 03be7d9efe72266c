"""What the client of the Hub raises, as a `HubError` that says what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from irp_hf.errors import HubError, IRPError, refusal, shown

CONNECT = "Check the connection; once fetched, it loads without one."
FETCH_ONCE = "Fetch it once with a connection; then it loads without one."

Found = TypeVar("Found")


@contextmanager
def hub_errors(repo_id: str, revision: str | None = None, pushing: bool = False) -> Iterator[None]:
    """Turn what the client of the Hub raises about a repository into a `HubError`."""
    try:
        yield
    except IRPError:
        raise
    except Exception as error:  # the client has its own, and those of what it is built on
        raise to_hub_error(error, repo_id, revision, pushing) from error


def none_if_missing(call: Callable[..., Found], *args: Any, **options: Any) -> Found | None:
    """What a call of the Hub's client gives; None where the repository has no such file.

    Without a connection, the client raises a kind of the same error for a file that the cache lacks; that one is raised on.
    """
    try:
        return call(*args, **options)
    except EntryNotFoundError as error:
        if isinstance(error, LocalEntryNotFoundError):
            raise
        return None


def to_hub_error(error: Exception, repo_id: str, revision: str | None = None, pushing: bool = False) -> HubError:
    """The error for what the client raised about a repository; while `pushing`, it also says that nothing was published."""
    subject, expected, got, advice = _worded(error, repr(repo_id), revision, pushing)
    return refusal(subject, expected, got, f"{advice} Nothing was published." if pushing else advice, HubError)


def _worded(error: Exception, name: str, revision: str | None, pushing: bool) -> tuple[str, str, str, str]:
    """Of what, what was expected, what came, and what to do."""
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
    if isinstance(error, GatedRepoError):
        return (
            name,
            "a token with access to it, as it is gated",
            "one without",
            "Ask for access on its page of the Hub.",
        )
    if isinstance(error, RepositoryNotFoundError):
        expected = "a repository of the Hub that this token may see"
        advice = "Check the name; for a private one log in with `hf auth login`, or pass token=."
        return name, expected, "none", advice
    if status == 401:
        return "token", "one that the Hub knows", "another", "Log in with `hf auth login`, or pass one as token=."
    if isinstance(error, RevisionNotFoundError):
        return f"revision of {name}", "one that it has", shown(revision), "Name a branch, a tag or a commit of it."
    if not status:
        why = type(error.__cause__ or error).__name__
        if pushing:
            return name, "a connection to the Hub while pushing", f"one that broke ({why})", "Push again."
        expected = "a connection to the Hub, or all that is needed in the cache"
        return name, expected, f"neither; the Hub cannot be reached ({why})", CONNECT
    if status == 403:
        advice = "Pass one that may write there, or propose the change with create_pr=True."
        return name, "a token that may do that with it", "one that may not", advice
    if status == 409:
        return name, "a name that is free", "one that exists", "Choose another name, or leave out exist_ok=False."
    return name, "the Hub to do it", f"its refusal ({_last_line(error)})", "Try again later."


def why_nothing_came(error: BaseException | None) -> str:
    """What to add to "neither", where a name is no folder and the Hub gave nothing for it."""
    if isinstance(error, RepositoryNotFoundError):
        return "neither, or one that this token may not see"
    if isinstance(error, HfHubHTTPError):
        return f"neither, as far as the Hub says ({_last_line(error)})"
    return f"no such folder, and the Hub cannot be reached ({type((error and error.__cause__) or error).__name__})"


def _last_line(error: Exception) -> str:
    """Of what the Hub answered, which is without the address of the request."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__
