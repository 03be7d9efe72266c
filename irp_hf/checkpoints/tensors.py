"""Tensors of a safetensors file on the Hub, read by ranges: its header, and the bytes of the tensors that are wanted."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from huggingface_hub import cached_assets_path, constants, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    build_hf_headers,
    hf_raise_for_status,
    http_backoff,
)
from safetensors import SafetensorError
from safetensors.torch import load

from irp_hf.checkpoints.repository import Repository
from irp_hf.errors import HubError, InputError
from irp_hf.hub.errors import speaking

LENGTH = 8  # bytes in front of the header, which say how long it is
LONGEST_HEADER = 100_000_000  # bytes; as the safetensors library has it
WIDEST = 8  # bytes of a number
ATTEMPTS = 3


class RemoteFile:
    """A file on the Hub of which parts are read; the token goes to the Hub alone, not to where it keeps its files."""

    def __init__(self, repository: Repository, name: str, token: str | bool | None) -> None:
        """Ask where it lies and how large it is; raises `EntryNotFoundError` where there is none, `HubError` otherwise."""
        self.repository, self.name = repository, name
        url = hf_hub_url(repository.path, name, revision=repository.commit)
        headers = build_hf_headers(token=token, library_name="irp_hf")
        metadata: Any = get_hf_file_metadata(url, token=token, timeout=constants.HF_HUB_ETAG_TIMEOUT)
        self.url, self.size = metadata.location, int(metadata.size or 0)
        if urlsplit(self.url).netloc != urlsplit(url).netloc:
            headers.pop("authorization", None)
        self.headers = headers

    def read(self, start: int, stop: int) -> bytes:
        """Bytes from `start` up to `stop`; raises `HubError` where other ones come."""
        if stop <= start:
            return b""
        wanted = {**self.headers, "Range": f"bytes={start}-{stop - 1}"}
        response: Any = http_backoff("GET", self.url, headers=wanted, max_retries=ATTEMPTS, timeout=60)
        hf_raise_for_status(response)
        content: bytes = response.content
        if response.status_code == 200 and len(content) == self.size:  # a server that knows no ranges
            return content[start:stop]
        if len(content) != stop - start:
            raise HubError(
                f"The Hub gave {len(content):,} bytes of {self.name} of {self.repository.name}, "
                f"not {stop - start:,}. Try again."
            )
        return content


def read_tensors(
    repository: Repository, name: str, wanted: Mapping[str, tuple[int, ...]], token: str | bool | None
) -> dict[str, Any] | None:
    """Those of the tensors `wanted`, of these shapes, that the file holds; None where there is no such file.

    Raises `InputError` for a damaged file and for another shape, before a tensor is read, and `HubError`.
    """
    with speaking(repository.path, repository.commit):
        try:
            file = RemoteFile(repository, name, token)
        except EntryNotFoundError as error:
            if isinstance(error, LocalEntryNotFoundError):
                raise
            return None
        header, data = _header(file)
        spans = {key: _span(file, key, header[key], wanted[key], file.size - data) for key in wanted if key in header}
        content = {key: file.read(data + start, data + stop) for key, (start, stop) in spans.items()}
    try:
        return load(_packed({key: header[key] for key in content}, content))
    except SafetensorError as error:
        raise _damaged(file, str(error)) from error


def _header(file: RemoteFile) -> tuple[dict[str, Any], int]:
    """What the file holds, and where its tensors begin."""
    if file.size < LENGTH:
        raise _damaged(file, f"it has {file.size} bytes")
    (length,) = struct.unpack("<Q", file.read(0, LENGTH))
    if length > min(LONGEST_HEADER, file.size - LENGTH):
        raise _damaged(file, f"its header is {length} bytes long, the file {file.size}")
    try:
        header = json.loads(file.read(LENGTH, LENGTH + length))
    except (ValueError, RecursionError) as error:
        raise _damaged(file, "its header is no JSON") from error
    if not isinstance(header, dict):
        raise _damaged(file, "its header is no JSON object")
    return header, LENGTH + length


def _span(file: RemoteFile, key: str, entry: Any, shape: tuple[int, ...], room: int) -> tuple[int, int]:
    """Where a tensor lies among the tensors' bytes."""
    try:
        (start, stop), stored = entry["data_offsets"], tuple(entry["shape"])
        right = type(start) is type(stop) is int and 0 <= start <= stop <= room
    except (KeyError, TypeError, ValueError):
        raise _damaged(file, f"its header is wrong about {key}") from None
    if stored != shape:
        raise InputError(
            f"{file.repository.name} holds {key} of shape {stored!s:.80}, where its config.json makes it {shape}. "
            "Give it the configuration that it was saved with."
        )
    numbers = 1
    for size in shape:
        numbers *= size
    if not right or stop - start > WIDEST * numbers:
        raise _damaged(file, f"its header is wrong about {key}")
    return start, stop


def _packed(entries: Mapping[str, Any], content: Mapping[str, bytes]) -> bytes:
    """A safetensors file of these tensors alone, which the library then checks."""
    header, place = {}, 0
    for key, data in content.items():
        header[key] = {**entries[key], "data_offsets": [place, place + len(data)]}
        place += len(data)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(content.values())


def _damaged(file: RemoteFile, why: str) -> InputError:
    return InputError(f"{file.name} of {file.repository.name} is damaged ({why}). Download or save it again.")


def kept_path(repository: Repository, names: list[str]) -> Path:
    """Where the tensors of these names are kept, once they were read, for when there is no connection."""
    digest = hashlib.sha256(json.dumps(sorted(names)).encode()).hexdigest()[:16]
    folder = cached_assets_path("irp_hf", namespace=repository.path, subfolder=str(repository.commit))
    return folder / f"{digest}.safetensors"
