"""HTTP for the Hub of the tests: requests are recorded and counted, connections break where a test asks for it."""

import socket
import struct
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from hub_server.calls import Answer, Call, File
from hub_server.store import Account, Refused

CHUNK = 1 << 16


@dataclass
class Request:
    """What came in and went out. `received` and `sent` count bytes of bodies, those of broken connections too."""

    method: str
    path: str  # with its query
    storage: bool  # asked of the storage host, not of the Hub
    token: str | None
    user: str | None = None
    status: int | None = None  # None: no answer was begun
    received: int = 0
    sent: int = 0
    file: File | None = None
    ranged: bool = False


@dataclass
class Cut:
    """The next `times` requests that match break after so many bytes of their body."""

    pattern: str
    after: int
    times: int
    reset: bool


class Server(Protocol):
    """What the wire asks of the Hub."""

    def record(self, request: Request) -> None: ...
    def account(self, token: str | None) -> Account | None: ...
    def answer(self, call: Call) -> Answer: ...
    def take_cut(self, line: str) -> Cut | None: ...


class Broken(Exception):
    """A cut is due."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two packets
    server: "Listener"

    def setup(self) -> None:
        super().setup()
        self.server.open_connections.add(self.connection)

    def finish(self) -> None:
        self.server.open_connections.discard(self.connection)
        super().finish()

    def log_message(self, *_: Any) -> None:
        pass

    def respond(self) -> None:
        hub = self.server.hub
        token = self.headers.get("Authorization", "").removeprefix("Bearer ").strip() or None
        self.request_ = Request(self.command, self.path, self.server.storage, token, ranged="Range" in self.headers)
        hub.record(self.request_)
        self.cut = hub.take_cut(f"{self.command} {self.path}")
        try:
            body = self.receive()
            answer = self.answered(hub, token, body)
            if self.cut and self.command in ("POST", "PUT", "DELETE"):
                raise Broken  # all was received and done, but nobody hears of it
            self.send(answer)
        except Broken:
            self.drop()
        except OSError:  # the other side went away
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = respond

    def answered(self, hub: Server, token: str | None, body: bytes) -> Answer:
        parts = urlsplit(self.path)
        try:
            account = hub.account(token)
            self.request_.user = account.name if account else None
            return hub.answer(Call(self.command, parts.path, parse_qs(parts.query), dict(self.headers), body, account))
        except Refused as refusal:
            headers = {"X-Error-Message": refusal.message}
            headers |= {"X-Error-Code": refusal.code} if refusal.code else {}
            headers |= {"X-Repo-Commit": refusal.commit} if refusal.commit else {}
            return Answer({"error": refusal.message}, refusal.status, headers)

    def receive(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.take(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.take(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def take(self, size: int) -> bytes:
        """So many bytes of the body, as far as a cut allows."""
        allowed = size
        if self.cut is not None and self.command != "GET":
            allowed = min(size, self.cut.after - self.request_.received)
        data = self.rfile.read(allowed)
        self.request_.received += len(data)
        if len(data) < size:
            raise Broken
        return data

    def send(self, answer: Answer) -> None:
        body = answer.payload()
        self.request_.status, self.request_.file = answer.status, answer.file
        self.send_response(answer.status)
        for name, value in ({"Content-Type": "application/json"} | answer.headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        kept = body if self.cut is None else body[: self.cut.after]
        for start in range(0, len(kept), CHUNK):
            part = kept[start : start + CHUNK]
            self.request_.sent += len(part)  # before the write: whoever has read all of it finds it counted
            self.wfile.write(part)
        if self.cut is not None:
            raise Broken

    def drop(self) -> None:
        self.close_connection = True
        if self.cut is not None and self.cut.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()
            self.connection.close()


class Listener(ThreadingHTTPServer):
    """A port, which refuses connections until `listen`, and again after `refuse`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, hub: Server, storage: bool, port: int = 0):
        super().__init__(("127.0.0.1", port), Handler, bind_and_activate=False)
        self.hub, self.storage, self.open_connections = hub, storage, set[socket.socket]()
        self.server_bind()  # a port that is bound and does not listen refuses, and nobody else gets it
        self.url = f"http://127.0.0.1:{self.server_port}"

    def listen(self) -> "Listener":
        self.server_activate()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def refuse(self) -> "Listener":
        """Stop, with the connections that are open; a listener on the same port takes over."""
        self.shutdown()
        self.server_close()
        for connection in list(self.open_connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # closed meanwhile
                self.open_connections.discard(connection)
        return Listener(self.hub, self.storage, self.server_port)
