"""The routes of the Hub of the tests: what they are given, what they answer, and how they are found."""

import contextlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote

from hub_server.store import Account, Refused, Store

KIND = r"/api/(?P<kind>model|dataset|space)s"
REPO = KIND + r"/(?P<name>[^/]+/[^/]+)"
GIT = r"/(?:(?P<kind>dataset|space)s/)?(?P<name>[^/]+/[^/]+)"


class File(NamedTuple):
    """Whose bytes an answer carries."""

    repo: str
    path: str
    commit: str


@dataclass
class Call:
    """A request, as the routes see it."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    account: Account | None

    def json(self) -> Any:
        return json.loads(self.body or b"{}")

    def option(self, name: str, default: str = "") -> str:
        return self.query.get(name, [default])[0]


@dataclass
class Answer:
    """What a route answers: JSON, unless it is bytes."""

    content: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    file: File | None = None

    def payload(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else json.dumps(self.content, default=str).encode()


class Hub(Protocol):
    """What the routes ask of the Hub."""

    store: Store
    lfs_from: int
    page: int

    @property
    def url(self) -> str: ...
    @property
    def storage_url(self) -> str: ...


Route = Callable[..., Answer]
ROUTES: list[tuple[tuple[str, ...], re.Pattern[str], bool, Route]] = []


def reads(methods: str, pattern: str) -> Callable[[Route], Route]:
    return registered(methods, pattern, False)


def writes(methods: str, pattern: str) -> Callable[[Route], Route]:
    """One at a time."""
    return registered(methods, pattern, True)


def registered(methods: str, pattern: str, writing: bool) -> Callable[[Route], Route]:
    def register(route: Route) -> Route:
        ROUTES.append((tuple(methods.split()), re.compile(pattern), writing, route))
        return route

    return register


def served(method: str, path: str) -> tuple[Route, dict[str, str], bool] | None:
    """The route of an address, what it is given, and whether it writes."""
    for methods, pattern, writing, route in ROUTES:
        found = pattern.fullmatch(path)
        if found and method in methods:
            return (
                route,
                {name: unquote(value) for name, value in found.groupdict().items() if value is not None},
                writing,
            )
    return None


def dispatch(hub: Hub, call: Call) -> Answer:
    found = served(call.method, call.path)
    if found is None:
        raise Refused(404, f"No such address: {call.method} {call.path}")
    route, parts, writing = found
    with hub.store.lock if writing else contextlib.nullcontext():
        return route(hub, call, **parts)


def ranged(call: Call, data: bytes, headers: dict[str, str], file: File) -> Answer:
    """Bytes of a file, or the part of them that the request asks for."""
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"} | headers
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", call.headers.get("Range", ""))
    if asked is None or asked[0] == "bytes=-":
        return Answer(data, 200, headers, file)
    start = int(asked[1]) if asked[1] else max(len(data) - int(asked[2]), 0)
    stop = min(int(asked[2]) + 1, len(data)) if asked[1] and asked[2] else len(data)
    if start >= stop:
        return Answer(b"", 416, headers | {"Content-Range": f"bytes */{len(data)}"})
    return Answer(data[start:stop], 206, headers | {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}, file)
