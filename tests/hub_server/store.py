"""What the Hub of the tests holds: accounts, repositories, commits, pull requests; in memory, lost with the process."""

import copy
import hashlib
import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from typing import Literal

Files = Mapping[str, "Blob"]
Need = Literal["read", "write", "pull"]  # "pull": open a pull request, or push to one's own
COUNTER = itertools.count()


class Refused(Exception):
    """An answer that is no success: its status, `X-Error-Message` and `X-Error-Code`."""

    def __init__(self, status: int, message: str, code: str | None = None, commit: str | None = None):
        super().__init__(message)
        self.status, self.message, self.code, self.commit = status, message, code, commit


@dataclass(frozen=True)
class Account:
    """Who a token speaks for, and whether it may write."""

    name: str
    role: str
    organisations: tuple[str, ...] = ()

    def owns(self, repo_id: str) -> bool:
        return repo_id.split("/")[0] in (self.name, *self.organisations)


@dataclass(frozen=True)
class Blob:
    """The content of a file; `lfs` says that git holds a pointer only."""

    data: bytes
    lfs: bool

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def in_git(self) -> bytes:
        if not self.lfs:
            return self.data
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.data)}\n".encode()

    @cached_property
    def oid(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.in_git) + self.in_git).hexdigest()


@dataclass(frozen=True)
class Commit:
    """A state of a repository, never changed once it is there."""

    oid: str
    parent: str | None
    title: str
    message: str
    author: str
    date: str
    files: Files


@dataclass
class PullRequest:
    """A branch `refs/pr/<num>` that asks to be merged into main."""

    num: int
    title: str
    author: str
    date: str
    base: Commit
    status: str
    merged: str | None = None

    @property
    def ref(self) -> str:
        return f"refs/pr/{self.num}"


@dataclass
class Repo:
    """Commits and the refs that name them, by their full names (`refs/heads/main`)."""

    kind: str
    name: str
    private: bool
    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    pulls: list[PullRequest] = field(default_factory=list)

    def commit(self, revision: str) -> Commit:
        """The commit that a branch, a tag, a full ref or a hash (seven characters suffice) names."""
        ref = self.full_name(revision)
        if ref is not None:
            return self.commits[self.refs[ref]]
        for oid, commit in list(self.commits.items()):
            if len(revision) >= 7 and oid.startswith(revision):
                return commit
        raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def full_name(self, revision: str) -> str | None:
        names = (f"refs/heads/{revision}", f"refs/tags/{revision}", revision)
        return next((name for name in names if name in self.refs), None)

    def branch(self, revision: str) -> str:
        """The full name of a ref that takes commits."""
        ref = self.full_name(revision)
        if ref is None or ref.startswith("refs/tags/"):
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return ref

    def add(self, ref: str, files: Files, title: str, author: str, message: str = "") -> Commit:
        """A commit on what `ref` names; afterwards `ref` names it."""
        date, parent = now(), self.refs.get(ref)
        oid = hashlib.sha1(f"{next(COUNTER)} {self.name} {ref} {parent} {date}".encode()).hexdigest()
        self.commits[oid] = Commit(oid, parent, title, message, author, date, dict(files))
        self.refs[ref] = oid
        return self.commits[oid]

    def history(self, revision: str) -> list[Commit]:
        """The newest first."""
        commits = [self.commit(revision)]
        while (parent := commits[-1].parent) is not None:
            commits.append(self.commits[parent])
        return commits

    def open_pull(self, title: str, author: str, base: Commit, status: str = "open") -> PullRequest:
        pull = PullRequest(len(self.pulls) + 1, title, author, now(), base, status)
        self.pulls.append(pull)
        self.refs[pull.ref] = base.oid
        return pull

    def pull(self, num: int) -> PullRequest:
        if not 0 < num <= len(self.pulls):
            raise Refused(404, "Discussion not found")
        return self.pulls[num - 1]

    def merge(self, pull: PullRequest, author: str) -> Commit:
        """What the pull request changed, applied to main."""
        old, new, main = pull.base.files, self.commit(pull.ref).files, self.commit("main").files
        files = {path: blob for path, blob in main.items() if path in new or path not in old}
        files |= {path: blob for path, blob in new.items() if old.get(path) != blob}
        commit = self.add("refs/heads/main", files, f"{pull.title} (#{pull.num})", author)
        pull.status, pull.merged = "merged", commit.oid
        return commit


class Store:
    """All that the Hub knows. Whoever changes it holds `lock`; readers need not."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.tokens: dict[str, Account] = {}
        self.repos: dict[tuple[str, str], Repo] = {}
        self.objects: dict[str, bytes] = {}  # LFS, by sha256

    def copy(self) -> "Store":
        other = Store()
        other.tokens, other.objects = dict(self.tokens), dict(self.objects)
        other.repos = copy.deepcopy(self.repos)
        return other

    def create(self, kind: str, name: str, private: bool, author: str) -> Repo:
        repo = self.repos[kind, name] = Repo(kind, name, private)
        repo.add("refs/heads/main", {}, "initial commit", author)
        return repo

    def open(self, kind: str, name: str, account: Account | None, need: Need = "read") -> Repo:
        """The repository, if `account` may do with it what it needs."""
        if need != "read":
            account = writer(account)
        repo = self.repos.get((kind, name))
        owned = account is not None and account.owns(name)
        if repo is None or (repo.private and not owned):
            # The real Hub gives 401 no code; the client then guesses from the address, but from https ones only.
            raise Refused(401 if account is None else 404, "Repository not found", "RepoNotFound")
        if need == "write" and not owned:
            raise Refused(403, "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request")
        return repo


def writer(account: Account | None) -> Account:
    if account is None:
        raise Refused(401, "Invalid username or password.")
    if account.role != "write":
        raise Refused(403, "Forbidden: you must use a write token to upload to a repository.")
    return account


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
