"""The server, and what a test may see of it and do to it."""

import contextlib
import re
import threading
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import hub_server.routes  # noqa: F401  (registers its addresses, as commits does)
from hub_server.calls import Answer, Call, dispatch, served
from hub_server.commits import by_lfs
from hub_server.store import Account, Blob, Refused, Store
from hub_server.wire import Cut, Listener, Request

ORGANISATION = "sentence-transformers"
ACCOUNTS = {"me": ("write", "read"), "you": ("write", "read"), "reader": ("read",)}


class Hub:
    """A Hub and its storage, each on a port of loopback; `listen` starts them."""

    def __init__(self) -> None:
        self._hub, self._storage = Listener(self, storage=False), Listener(self, storage=True)
        self._cutting = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Nothing but the accounts: me (of the organisation), you, reader."""
        self.store = Store()
        for name, roles in ACCOUNTS.items():
            for role in roles:
                organisations = (ORGANISATION,) if name == "me" else ()
                self.store.tokens[token(name, role)] = Account(name, role, organisations)
        self.requests: list[Request] = []
        self._cuts: list[Cut] = []
        self.lfs_from = 10_000_000  # bytes: files at least this large go by LFS
        self.page = 1000  # repositories in one page of a listing

    # What a test asks.

    @property
    def url(self) -> str:
        return self._hub.url

    @property
    def storage_url(self) -> str:
        return self._storage.url

    def token(self, name: str, role: str | None = None) -> str:
        """The token of an account; its write token, where it has one."""
        return token(name, role or ACCOUNTS[name][0])

    def files(self, repo_id: str, revision: str = "main", repo_type: str = "model") -> dict[str, bytes]:
        commit = self.store.repos[repo_type, repo_id].commit(revision)
        return {path: blob.data for path, blob in commit.files.items()}

    def commits(self, repo_id: str, revision: str = "main", repo_type: str = "model") -> list[str]:
        """Their hashes, the newest first."""
        return [commit.oid for commit in self.store.repos[repo_type, repo_id].history(revision)]

    def downloaded(self, repo_id: str = "*", file: str = "*", commit: str = "*") -> int:
        """Bytes of files sent; patterns as of the shell."""
        return sum(
            request.sent
            for request in list(self.requests)
            if request.file and all(map(fnmatchcase, request.file, (repo_id, file, commit)))
        )

    # What a test does.

    def upload(
        self,
        repo_id: str,
        files: Path | Mapping[str, bytes],
        *,
        repo_type: str = "model",
        private: bool = False,
        revision: str = "main",
    ) -> str:
        """Put a folder, or files of any name, straight into a repository, new or old; returns the commit."""
        if isinstance(files, Path):
            files = {
                path.relative_to(files).as_posix(): path.read_bytes() for path in files.rglob("*") if path.is_file()
            }
        owner = repo_id.split("/")[0]
        with self.store.lock:
            repo = self.store.repos.get((repo_type, repo_id)) or self.store.create(repo_type, repo_id, private, owner)
            content = dict(repo.commit(revision).files)
            for path, data in files.items():
                content[path] = Blob(data, by_lfs(path, len(data), data[:512], self.lfs_from))
                self.store.objects[content[path].sha256] = data
            return repo.add(repo.branch(revision), content, "Upload", owner).oid

    def contents(self) -> Store:
        """A copy of all repositories, for `restore`."""
        with self.store.lock:
            return self.store.copy()

    def restore(self, contents: Store) -> None:
        """Let it hold what it held when `contents` was made."""
        self.store = contents.copy()

    def cut(self, pattern: str, after: int = 0, times: int = 1, reset: bool = False) -> None:
        """Break the next `times` requests whose "METHOD /path" the regular expression is found in.

        A download breaks after so many bytes. An upload breaks after so many bytes; one that is no longer than that
        is carried out, and its answer is lost. `reset`: not closed in order, which the client does not repeat by itself.
        """
        self._cuts.append(Cut(pattern, after, times, reset))

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Connections are refused; those that are open are dropped."""
        self._hub, self._storage = self._hub.refuse(), self._storage.refuse()
        try:
            yield
        finally:
            self.listen()

    def listen(self) -> "Hub":
        self._hub.listen()
        self._storage.listen()
        return self

    # What the connections ask.

    def record(self, request: Request) -> None:
        """Of addresses that the Hub serves: the client also asks for things of its own, now and then."""
        if served(request.method, request.path.split("?")[0]):
            self.requests.append(request)

    def account(self, given: str | None) -> Account | None:
        if given is None:
            return None
        if given not in self.store.tokens:
            raise Refused(401, "Invalid credentials in Authorization header")
        return self.store.tokens[given]

    def answer(self, call: Call) -> Answer:
        return dispatch(self, call)

    def take_cut(self, line: str) -> Cut | None:
        with self._cutting:
            for cut in self._cuts:
                if cut.times > 0 and re.search(cut.pattern, line):
                    cut.times -= 1
                    return cut
        return None


def token(name: str, role: str) -> str:
    """As long as real ones."""
    return "hf_" + (name + role).ljust(34, "x")
