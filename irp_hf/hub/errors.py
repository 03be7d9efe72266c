"""What the client of the Hub raises, in words that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from irp_hf.errors import HubError, InputError, IRPError


def told(error: Exception, repo_id: str, revision: str | None = None, pushing: bool = False) -> HubError:
    """What the client of the Hub raised, in two sentences."""
    end = " Nothing was published." if pushing else ""
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
    if isinstance(error, GatedRepoError):
        return HubError(f"{repo_id!r} is gated, and this token has no access. Ask for it on the Hub.{end}")
    if status == 401 and not isinstance(error, RepositoryNotFoundError):
        return HubError(f"The Hub does not know this token. Log in with `hf auth login`, or pass another.{end}")
    if isinstance(error, RepositoryNotFoundError):
        return HubError(
            f"The Hub has no {repo_id!r}, or none that this token may see. Check the name; for a private one log in with "
            f"`hf auth login`, or pass token=.{end}"
        )
    if isinstance(error, RevisionNotFoundError):
        return HubError(f"{repo_id!r} has no revision {revision!r}. Name a branch, a tag or a commit of it.{end}")
    if not status:
        why = type(error.__cause__ or error).__name__
        if pushing:
            return HubError(f"The connection to the Hub broke while pushing {repo_id!r} ({why}). Push again.{end}")
        return HubError(
            f"The Hub cannot be reached, and the cache does not hold all of {repo_id!r} ({why}). "
            "Check the connection; once fetched, it loads without one."
        )
    if status == 403:
        return HubError(
            f"This token may not do that with {repo_id!r}. Pass one that may write there, or propose the change with "
            f"create_pr=True.{end}"
        )
    if status == 409:
        return HubError(f"{repo_id!r} exists already. Choose another name, or leave out exist_ok=False.{end}")
    return HubError(f"The Hub refused {repo_id!r} ({_said(error)}). Try again later.{end}")


@contextmanager
def speaking(repo_id: str, revision: str | None = None, pushing: bool = False) -> Iterator[None]:
    """Turn what the client of the Hub raises into a `HubError`."""
    try:
        yield
    except IRPError:
        raise
    except HFValidationError as error:
        raise InputError(f"{repo_id!r} is no id on the Hub. Name one, as in user/name.") from error
    except Exception as error:  # the client has its own, and those of what it is built on
        raise told(error, repo_id, revision, pushing) from error


def _said(error: Exception) -> str:
    """The last line of what the Hub said, without the address of the request."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__
