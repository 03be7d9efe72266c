"""A file behind any URL, by the client of the Hub: of bounded size, in bounded time."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

from huggingface_hub import get_session

from irp_hf.errors import InputError, first_line, refusal

LARGEST_FILE = 1 << 28  # bytes, unpacked: two hours of sound, or a picture of 90 million pixels that nobody packed
SECONDS = 60.0  # that one file may take
MOST_REDIRECTS = 5
SCHEMES = ("http://", "https://")
REDIRECTS = (301, 302, 303, 307, 308)
PACKED = {"gzip": 47, "x-gzip": 47, "deflate": 47}  # what zlib unpacks, by its number for "look which of them it is"
CHUNK = 1 << 16


def fetch_url(url: str, timeout: float | None = SECONDS) -> bytes:
    """The bytes of the file at `url`, an address of http or https, within `timeout` seconds; None waits for any time.

    The address is asked from this machine: one that a stranger gives may lie in your own network.

    Raises `InputError` where it cannot be fetched, for more than `LARGEST_FILE` bytes, packed or unpacked, and for a redirect
    to what is neither http nor https.
    """
    end = None if timeout is None else time.monotonic() + timeout
    try:
        return _fetched(url, timeout, end)
    except InputError:
        raise
    except Exception as error:  # whatever the client of huggingface_hub raises
        expected, got = "a file that can be fetched", f"an error ({first_line(error)})"
        raise refusal(url, expected, got, "Check the address and the connection.") from error


def _fetched(url: str, timeout: float | None, end: float | None) -> bytes:
    address, session = url, get_session()
    for _ in range(MOST_REDIRECTS + 1):
        if not address.lower().startswith(SCHEMES):
            raise refusal(url, "an address of http or https", address, "Download the file yourself.")
        options: dict[str, Any] = dict(headers={"Accept-Encoding": "identity"}, timeout=timeout)
        # Redirects by hand: the client reads the whole body of each.
        with session.stream("GET", address, follow_redirects=False, **options) as response:
            if response.status_code not in REDIRECTS:
                response.raise_for_status()
                return _content(url, response, timeout, end)
            address = urljoin(address, response.headers["location"])
    got = f"more than {MOST_REDIRECTS} redirects"
    raise refusal(url, "a file that can be fetched", got, "Give the address where it lies.")


def _content(url: str, response: Any, timeout: float | None, end: float | None) -> bytes:
    """The body, unpacked as it comes, so that no more than the bound is ever there."""
    kind = response.headers.get("content-encoding", "identity").strip().lower()
    if kind not in ("identity", "", *PACKED):
        raise refusal(url, "a file as it is, or packed by gzip", f"one packed by {kind}", "Download it yourself.")
    content = bytearray()
    for piece in _unpacked(response.iter_raw(), PACKED.get(kind)):
        content += piece
        if len(content) > LARGEST_FILE:
            raise refusal(url, f"a file of at most {LARGEST_FILE:,} bytes", "a larger one", "Download it yourself.")
        if end is not None and time.monotonic() > end:
            advice = "Download it yourself, or give it more: timeout=."
            raise refusal(url, f"a file within {timeout:g} seconds", "one that takes longer", advice)
    return bytes(content)


def _unpacked(chunks: Iterator[bytes], window: int | None) -> Iterator[bytes]:
    if window is None:
        yield from chunks
        return
    stream = zlib.decompressobj(window)
    for chunk in chunks:
        while chunk:
            yield stream.decompress(chunk, CHUNK)
            chunk = stream.unconsumed_tail
    yield stream.flush()
    if not stream.eof:
        raise ValueError("what is packed ends too early")
