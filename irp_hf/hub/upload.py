"""Push a folder to the Hub as one commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypedDict

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError

from irp_hf.checks import check_flag, check_names, check_text
from irp_hf.hub.errors import hub_errors, none_if_missing
from irp_hf.hub.ids import COMMIT, check_repo_id, check_revision

CARD = "README.md"
ATTEMPTS = 8  # at a commit, while others commit to the same branch
BEHIND = 412  # what the Hub answers where somebody committed since
Check = Callable[[set[str], Callable[[str], Path | None]], None]
"""Is given the names of a repository's files and what fetches one of them, and raises where nothing may be committed."""


class PushOptions(TypedDict, total=False):
    """What every push takes by name; see `AnchoredSpace.push_to_hub`."""

    private: bool | None
    token: str | bool | None
    revision: str | None
    create_pr: bool
    commit_message: str | None
    commit_description: str | None
    exist_ok: bool


KEYWORDS = tuple(PushOptions.__annotations__)


def check_keywords(given: Iterable[str], *more: str) -> None:
    """Raise `InputError` for a keyword that a push does not have."""
    check_names("push_to_hub", given, (*KEYWORDS, *more))


def full_id(repo_id: str, token: str | bool | None = None) -> str:
    """user/name, for a bare name the user's own; raises `InputError` for what can be no id, `HubError` for no user."""
    check_repo_id(repo_id)
    with hub_errors(repo_id, pushing=True):
        return repo_id if "/" in repo_id else f"{HfApi(token=token).whoami()['name']}/{repo_id}"


def push(
    folder: Path,
    repo_id: str,
    card: Callable[[str | None], str],
    *,
    repo_type: str = "model",
    private: bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    commit_message: str | None = None,
    commit_description: str | None = None,
    token: str | bool | None = None,
    exist_ok: bool = True,
    replaced: Sequence[str] = (),
    check: Check | None = None,
) -> CommitInfo:
    """Push `folder` as one commit, onto the newest state of a branch, which is made where it is missing.

    `card` makes the README.md of the one that is there, or None. Files named in `replaced` are removed from the repository
    where the folder has none of that name. `check` looks at what stands in the repository and may refuse the commit; a
    pull request is for its owner to judge.

    Raises `InputError` for options of other types, what `check` raises, and `HubError` where the Hub refuses or the
    connection breaks: then nothing was published.
    """
    check_revision(revision)
    if private is not None:
        check_flag("private", private, "Leave it out for what the account has set.")
    check_flag("create_pr", create_pr, "True proposes the change instead of making it.")
    check_flag("exist_ok", exist_ok, "False refuses a repository that exists.")
    for name, text in (("commit_message", commit_message), ("commit_description", commit_description)):
        if text is not None:
            check_text(name, text, "Write one, or leave it out.")
    api = HfApi(token=token, library_name="irp_hf", library_version=_version())
    where: dict[str, Any] = dict(repo_id=repo_id, repo_type=repo_type)
    with hub_errors(repo_id, revision, pushing=True):
        api.create_repo(**where, private=private, exist_ok=exist_ok)
        if revision and not create_pr and not COMMIT.fullmatch(revision) and not revision.startswith("refs/"):
            if check is not None and not api.revision_exists(**where, revision=revision):
                _check(check, api, where, api.repo_info(**where))  # the branch begins as this
            api.create_branch(**where, branch=revision, exist_ok=True)
        attempts = 0
        while True:
            attempts += 1
            info = api.repo_info(**where, revision=revision)
            if check is not None and not create_pr:
                _check(check, api, where, info)
            (folder / CARD).write_text(card(_card_of(api, where, info.sha)), encoding="utf-8")
            try:
                commit: CommitInfo = api.create_commit(  # upload_folder may make several
                    **where,
                    operations=_operations(folder, info, replaced),
                    revision=revision,
                    create_pr=create_pr,
                    parent_commit=info.sha,
                    commit_message=commit_message or "Upload with irp_hf",
                    commit_description=commit_description,
                )
                return commit
            except HfHubHTTPError as error:
                if error.response.status_code != BEHIND or attempts == ATTEMPTS:
                    raise


def _operations(folder: Path, info: Any, replaced: Sequence[str]) -> list[CommitOperationAdd | CommitOperationDelete]:
    """Put every file of `folder` there, and take away what it replaces with nothing."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    added = {path.relative_to(folder).as_posix(): path for path in files}
    there = {sibling.rfilename for sibling in info.siblings or ()}
    gone = [CommitOperationDelete(name) for name in replaced if name in there and name not in added]
    return [*(CommitOperationAdd(name, path) for name, path in added.items()), *gone]


def _check(check: Check, api: HfApi, where: dict[str, Any], info: Any) -> None:
    """Let `check` look at the repository as `info` tells it."""
    names = {sibling.rfilename for sibling in info.siblings or ()}
    check(names, lambda name: _fetched(api, where, name, info.sha))


def _card_of(api: HfApi, where: dict[str, Any], commit: str | None) -> str | None:
    """The text of the card at a commit, to the byte."""
    card = _fetched(api, where, CARD, commit)
    return None if card is None else card.read_bytes().decode()


def _fetched(api: HfApi, where: dict[str, Any], name: str, commit: str | None) -> Path | None:
    """A file of a commit; None where it has none of that name."""
    file = none_if_missing(api.hf_hub_download, **where, filename=name, revision=commit)
    return None if file is None else Path(file)


def _version() -> str | None:
    """Of this library, where it is installed and not run from its source alone."""
    try:
        return version("irp_hf")
    except PackageNotFoundError:
        return None
