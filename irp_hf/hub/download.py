"""Pin a revision to its commit, and fetch files of that commit; without a connection, as far as the cache has them."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import repo_folder_name

from irp_hf.errors import HubError, refusal, shown
from irp_hf.hub.errors import FETCH_ONCE, hub_errors, none_if_missing, to_hub_error
from irp_hf.hub.ids import COMMIT, check_repo_id, check_revision


@dataclass(frozen=True)
class Pinned:
    """A commit, and whether the Hub can be reached for more of it than the cache holds."""

    commit: str
    online: bool


def pin(
    repo_id: str,
    revision: str | None = None,
    token: str | bool | None = None,
    *,
    repo_type: str = "model",
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Pinned:
    """The commit that `revision`, a branch, a tag or a commit, is now.

    It takes one request of bounded time. Where the Hub cannot be reached, it is what the cache remembers.

    Raises `HubError` where the Hub refuses, and where it cannot be reached and the cache knows nothing, `InputError` for what
    can be no id, no revision or no folder.
    """
    check_repo_id(repo_id)
    check_revision(revision)
    cached = _Cached(repo_id, repo_type, cache_dir)
    known = cached.commit(revision)
    if local_files_only or constants.is_offline_mode():
        if known is None:
            why = "local_files_only" if local_files_only else "HF_HUB_OFFLINE"
            raise refusal(repr(repo_id), f"a copy in the cache, as {why} is set", "none", FETCH_ONCE, HubError)
        return Pinned(known, online=False)
    try:
        info = HfApi(token=token).repo_info(
            repo_id, repo_type=repo_type, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT
        )
    except Exception as error:  # the client has its own, and those of what it is built on
        refused = isinstance(error, HfHubHTTPError) and error.response.status_code < 500
        if known and (not refused or known == revision):  # of a commit, the cache holds all that it ever was
            return Pinned(known, online=False)
        raise to_hub_error(error, repo_id, revision) from error
    commit = str(info.sha)
    cached.remember(revision, commit)
    return Pinned(commit, online=True)


def fetch(
    repo_id: str,
    files: Sequence[str],
    revision: str | None = None,
    token: str | bool | None = None,
    *,
    repo_type: str = "model",
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
) -> tuple[Path, str]:
    """Files of one commit: the folder of the cache that holds them, and the commit.

    Without a connection, where the cache has an incomplete copy of the newest commit that it knows (somebody changed a card,
    say), an older complete one is taken.

    Raises `HubError` as `pin` does, and where a file is not there, `InputError` as `pin` does.
    """
    at = pin(repo_id, revision, token, repo_type=repo_type, cache_dir=cache_dir, local_files_only=local_files_only)
    commit = at.commit
    if not at.online:
        cached = _Cached(repo_id, repo_type, cache_dir)
        commit = cached.complete(files, commit, others=not (revision and COMMIT.fullmatch(revision)))
    options: dict[str, Any] = dict(
        repo_type=repo_type,
        token=token,
        cache_dir=cache_dir,
        local_files_only=not at.online,
        force_download=force_download and at.online,
    )
    with hub_errors(repo_id, revision):
        for file in files:
            found = none_if_missing(hf_hub_download, repo_id, file, revision=commit, **options)
            if found is None:
                subject, advice = f"{repo_id!r} at commit {commit[:8]}…", "Name a repository that has one."
                raise refusal(subject, f"a {file} in it", "none", advice, HubError)
            path = Path(found)
    return path.parents[len(PurePosixPath(file).parts) - 1], commit


class _Cached:
    """What the cache of the Hub knows of a repository."""

    def __init__(self, repo_id: str, repo_type: str, cache_dir: str | Path | None) -> None:
        if not isinstance(cache_dir, str | os.PathLike | None):
            raise refusal("cache_dir", "a folder", shown(cache_dir), "Leave it out for that of huggingface_hub.")
        home = Path(cache_dir or constants.HF_HUB_CACHE).expanduser()
        self.folder = home / repo_folder_name(repo_id=repo_id, repo_type=repo_type)

    def commit(self, revision: str | None) -> str | None:
        """The commit that a revision was last time, as long as something of it is there."""
        commit = revision if revision and COMMIT.fullmatch(revision) else None
        if commit is None:
            reference = self._reference(revision)
            commit = reference.read_text().strip() if reference.is_file() else None
        return commit if commit and (self.folder / "snapshots" / commit).is_dir() else None

    def remember(self, revision: str | None, commit: str) -> None:
        """Note what a branch or a tag is now, as the client does; a cache that cannot be written learns nothing."""
        reference = self._reference(revision)
        if revision == commit or (reference.is_file() and reference.read_text() == commit):
            return
        with contextlib.suppress(OSError):
            reference.parent.mkdir(parents=True, exist_ok=True)
            fresh = reference.with_name(f".{reference.name}.irp-{secrets.token_hex(4)}")
            try:
                fresh.write_text(commit)
                fresh.replace(reference)  # in one step: another process may read it now
            finally:
                fresh.unlink(missing_ok=True)

    def complete(self, files: Sequence[str], commit: str, others: bool) -> str:
        """`commit`, or the newest other one of which all files are there."""
        snapshots = self.folder / "snapshots"

        def has_all(folder: Path) -> bool:
            return all((folder / file).is_file() for file in files)

        if has_all(snapshots / commit) or not others:
            return commit
        whole = [folder for folder in snapshots.iterdir() if has_all(folder)]
        return max(whole, key=lambda folder: folder.stat().st_mtime).name if whole else commit

    def _reference(self, revision: str | None) -> Path:
        return self.folder / "refs" / (revision or constants.DEFAULT_REVISION)
