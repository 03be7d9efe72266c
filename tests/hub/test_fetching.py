"""A file behind a URL: of bounded size however it is packed, in bounded time, and from the network alone."""

import gzip
import http.server
import threading
import time
import zlib

import pytest
from says import says

from irp_hf.errors import InputError
from irp_hf.hub import fetching
from irp_hf.hub.fetching import fetch_url

BOMB = gzip.compress(bytes(20_000_000))
CONTENT = b"a picture, say" * 1000


class Hostile(http.server.BaseHTTPRequestHandler):
    """A server that answers as its addresses say."""

    protocol_version = "HTTP/1.0"

    def log_message(self, *args):
        """Quiet."""

    def answer(self, body=b"", code=200, **headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path = self.path.strip("/")
        if path.startswith("hop"):
            number = int(path[3:])
            self.answer(BOMB, 302, location=f"/hop{number - 1}" if number else "/plain", content_encoding="gzip")
        elif path == "slow":
            self.answer(b"x")
            with_pauses(self.wfile)
        else:
            answers = {
                "plain": lambda: self.answer(CONTENT),
                "gzip": lambda: self.answer(gzip.compress(CONTENT), content_encoding="gzip"),
                "deflate": lambda: self.answer(zlib.compress(CONTENT), content_encoding="deflate"),
                "bomb": lambda: self.answer(BOMB, content_encoding="gzip"),
                "twice": lambda: self.answer(gzip.compress(BOMB), content_encoding="gzip, gzip"),
                "broken": lambda: self.answer(BOMB[:50] + b"x" * 100, content_encoding="gzip"),
                "large": lambda: self.answer(bytes(2_000_000)),
                "file": lambda: self.answer(code=302, location="file:///etc/passwd"),
                "nowhere": lambda: self.answer(code=302),
            }
            answers.get(path, lambda: self.answer(code=404))()


def with_pauses(file):
    for _ in range(100):
        try:
            file.write(b"x")
            file.flush()
        except OSError:
            return
        time.sleep(0.05)


@pytest.fixture(scope="module")
def address():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.parametrize("path", ["plain", "gzip", "deflate", "hop3"])
def test_files_as_servers_send_them(address, path):
    """Pictures on honest servers could not be read."""
    assert fetch_url(f"{address}/{path}") == CONTENT


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("bomb", ["1,000,000"]),
        ("large", ["1,000,000"]),
        ("twice", ["gzip, gzip"]),
        ("broken", ["an error"]),
        ("hop9", ["5 redirects"]),
        ("file", ["http", "file:///etc/passwd"]),
        ("nowhere", ["location"]),
        ("missing", ["404"]),
    ],
)
def test_what_is_refused(address, path, words, refusal, monkeypatch):
    """An address could fill the memory, lead to files of this machine, or go round for ever."""
    monkeypatch.setattr(fetching, "LARGEST_FILE", 1_000_000)
    assert says(refusal(fetch_url, f"{address}/{path}", error=InputError), f"{address}/{path}", *words)


def test_a_slow_server(address, refusal):
    """One byte now and then would hold the pipeline for days: each byte resets the client's own clock."""
    begin = time.monotonic()
    assert says(refusal(fetch_url, f"{address}/slow", 0.3, error=InputError), f"{address}/slow", "0.3 seconds")
    assert time.monotonic() - begin < 3
