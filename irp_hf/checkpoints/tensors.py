"""Single tensors of a repository's safetensors files: from the disk, or from the Hub by the ranges of bytes that hold them."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from huggingface_hub import cached_assets_path, constants, get_hf_file_metadata, hf_hub_url
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    build_hf_headers,
    hf_raise_for_status,
    http_backoff,
)
from safetensors.torch import save
from torch import Tensor

from irp_hf.checkpoints.limits import WEIGHTS
from irp_hf.checkpoints.repository import Repository
from irp_hf.checkpoints.shards import SAVE_AGAIN, index_name, weight_map
from irp_hf.checkpoints.stored import LENGTH, Entry, entries_of, header_length, tensor_file, tensor_of
from irp_hf.disk.atomic import written_file
from irp_hf.disk.leftovers import remove_leftovers
from irp_hf.errors import HubError, InputError, IRPError, first_line, reason_of, refusal
from irp_hf.hub.errors import CONNECT, hub_errors, none_if_missing

Shape = tuple[int, ...]
Span = tuple[int, int]
"""Where bytes begin, and where they end."""

FIRST = 100_000  # bytes that are asked for first: huggingface_hub counted that 97 % of the Hub's headers are shorter
GAP = 1 << 16  # bytes between two spans that one request takes along: one more waits as long as some of these take
ATTEMPTS = 3
ITS_CONFIGURATION = "Give it the configuration that it was saved with."


def stored_tensors(
    repository: Repository, shapes: Mapping[str, Shape], token: str | bool | None
) -> dict[str, Tensor] | None:
    """Tensors of these names and shapes from the repository's safetensors; None where one is not there under its name.

    Of a file on the Hub their bytes alone are fetched, and kept. Raises `InputError` for a damaged file and for a tensor of
    another shape, `HubError` where the Hub does not give them.
    """
    if repository.commit is None or repository.cached(repository.weights_name(WEIGHTS)):
        return _from_files(repository, shapes, token)
    kept = _kept_path(repository, list(shapes))
    with (
        contextlib.suppress(ValueError, OSError),
        tensor_file(kept) as file,
    ):  # broken or not there: it is fetched again
        return _complete(repository, {name: file.read(name) for name in file.entries}, shapes)
    tensors = _from_files(repository, shapes, token)
    if tensors is not None:
        remove_leftovers(kept)
        with contextlib.suppress(OSError), written_file(kept) as file:  # on a read-only disk nothing is kept
            file.write(save({name: tensor.contiguous() for name, tensor in tensors.items()}))
    return tensors


def _from_files(
    repository: Repository, shapes: Mapping[str, Shape], token: str | bool | None
) -> dict[str, Tensor] | None:
    whole = _from_file(
        repository, repository.weights_name(WEIGHTS), shapes, token
    )  # transformers looks in this order, too
    if whole is not None:
        return _complete(repository, whole, shapes)
    places = _places(repository, list(shapes), token)
    tensors: dict[str, Tensor] = {}
    for file_name in set(places.values()):
        here = {name: shape for name, shape in shapes.items() if places[name] == file_name}
        found = _from_file(repository, file_name, here, token)
        if found is None:
            return None
        tensors |= found
    return _complete(repository, tensors, shapes)


def _from_file(
    repository: Repository, file_name: str, shapes: Mapping[str, Shape], token: str | bool | None
) -> dict[str, Tensor] | None:
    """Those of the tensors that one file holds; None where there is no such file."""
    file = repository.cached(file_name)
    if file is None:
        return read_tensors(repository, file_name, shapes, token) if repository.online else None
    try:
        with tensor_file(file) as stored:
            here = [name for name in shapes if name in stored.entries]
            for name in here:
                _check_shape(repository, name, stored.entries[name].shape, shapes[name])
            return {name: stored.read(name) for name in here}
    except IRPError:
        raise
    except (ValueError, OSError) as error:
        raise _damaged(repository, file_name, reason_of(error)) from error


def _complete(
    repository: Repository, tensors: dict[str, Tensor], shapes: Mapping[str, Shape]
) -> dict[str, Tensor] | None:
    """The tensors, where all are there; raises `InputError` where one has another shape."""
    for name, shape in shapes.items():
        if name in tensors:
            _check_shape(repository, name, tuple(tensors[name].shape), shape)
    return tensors if shapes.keys() <= tensors.keys() else None


def _places(repository: Repository, names: list[str], token: str | bool | None) -> dict[str, str]:
    """The file of each tensor, as the index says; raises `InputError` where that names no file of the repository."""
    weights = repository.weights_name(WEIGHTS)
    places = weight_map(repository, index_name(repository), token)
    if places is None:
        if repository.commit is not None and not repository.online:
            raise refusal(
                f"Tensors of {repository.name}",
                "them in the cache, since the Hub cannot be reached",
                f"neither {weights} nor its index there",
                CONNECT,
                HubError,
            )
        return dict.fromkeys(names, weights)
    return {name: places.get(name, weights) for name in names}


def _kept_path(repository: Repository, names: list[str]) -> Path:
    """Where the tensors of these names are kept, once they were read, for when there is no connection."""
    which = [*sorted(names), *filter(None, (repository.subfolder, repository.variant))]
    digest = hashlib.sha256(json.dumps(which).encode()).hexdigest()[:16]
    folder = cached_assets_path("irp_hf", namespace=repository.path, subfolder=str(repository.commit))
    return folder / f"{digest}.safetensors"


# One file on the Hub.


class RemoteFile:
    """A file on the Hub of which parts are read; the token goes to the Hub alone, not to where it keeps its files."""

    def __init__(self, repository: Repository, name: str, token: str | bool | None) -> None:
        """Ask where it lies and how large it is; raises `EntryNotFoundError` where there is none, `HubError` otherwise."""
        self.repository, self.name = repository, name
        url = hf_hub_url(repository.path, repository.inside(name), revision=repository.commit)
        headers = build_hf_headers(token=token, library_name="irp_hf")
        metadata: Any = get_hf_file_metadata(url, token=token, timeout=constants.HF_HUB_ETAG_TIMEOUT)
        self.url, self.size = metadata.location, int(metadata.size or 0)
        if urlsplit(self.url).netloc != urlsplit(url).netloc:
            headers.pop("authorization", None)
        self.headers = headers

    def read(self, start: int, stop: int) -> bytes:
        """Bytes from `start` up to `stop`, by one request; raises `HubError` where others come."""
        if stop <= start:
            return b""
        asked = {**self.headers, "Range": f"bytes={start}-{stop - 1}"}
        response: Any = http_backoff("GET", self.url, headers=asked, max_retries=ATTEMPTS, timeout=60)
        hf_raise_for_status(response)
        content: bytes = response.content
        if response.status_code == 200 and len(content) == self.size:  # a server that knows no ranges
            return content[start:stop]
        if len(content) != stop - start:
            subject = f"{self.name} of {self.repository.name} on the Hub"
            raise refusal(subject, f"{stop - start:,} bytes", f"{len(content):,}", "Try again.", HubError)
        return content


def read_tensors(
    repository: Repository, name: str, shapes: Mapping[str, Shape], token: str | bool | None
) -> dict[str, Tensor] | None:
    """Those of the tensors, of these shapes, that a file on the Hub holds; None where there is no such file.

    Two requests do where the tensors are neighbours: one for the header, one for them; the first alone where all of them
    lie in the file's first 100 kB. Raises `InputError` for a damaged file and for another shape, before a tensor is read, and
    `HubError`.
    """
    with hub_errors(repository.path, repository.commit):
        file = none_if_missing(RemoteFile, repository, name, token)
        if file is None:
            return None
        first = file.read(0, min(FIRST, file.size))
        entries, data = _header(file, first)
        for key in (name for name in shapes if name in entries):  # the first of several always, in words
            _check_shape(repository, key, entries[key].shape, shapes[key])
        spans = {key: (data + entries[key].start, data + entries[key].stop) for key in shapes if key in entries}
        content = _contents(file, spans, first)
    try:
        return {key: tensor_of(entries[key], part) for key, part in content.items()}
    except ValueError as error:
        raise _damaged(repository, name, first_line(error)) from error


def _header(file: RemoteFile, first: bytes) -> tuple[dict[str, Entry], int]:
    """What the file holds, and where its tensors begin; `first` are its first bytes."""
    try:
        data = LENGTH + header_length(first, file.size)
        return entries_of(first[LENGTH:data] + file.read(len(first), data), file.size - data), data
    except IRPError:
        raise
    except ValueError as error:
        raise _damaged(file.repository, file.name, first_line(error)) from error


def _contents(file: RemoteFile, spans: Mapping[str, Span], first: bytes) -> dict[str, bytes]:
    """The bytes of each span, in as few requests as pay; `first` are the file's first bytes, which are here."""
    pieces = [(0, first)]
    for start, stop in _joined(span for span in spans.values() if span[1] > len(first)):
        pieces.append((start, file.read(start, stop)))
    content: dict[str, bytes] = {}
    for key, (start, stop) in spans.items():
        begin, piece = next(p for p in pieces if p[0] <= start and stop <= p[0] + len(p[1]))
        content[key] = piece[start - begin : stop - begin]
    return content


def _joined(spans: Iterable[Span]) -> list[Span]:
    """The spans in order; those that touch, or nearly, as one."""
    joined: list[Span] = []
    for start, stop in sorted(spans):
        if joined and start <= joined[-1][1] + GAP:
            start, last = joined.pop()
            stop = max(stop, last)
        joined.append((start, stop))
    return joined


def _check_shape(repository: Repository, name: str, stored: tuple[Any, ...], shape: Shape) -> None:
    if stored != shape:
        subject = f"{name} of {repository.name}"
        raise refusal(subject, f"shape {shape}, as its config.json has it", f"{stored!s:.80}", ITS_CONFIGURATION)


def _damaged(repository: Repository, file_name: str, why: str) -> InputError:
    return refusal(
        f"{file_name} of {repository.name}", "a whole safetensors file", f"a damaged one ({why})", SAVE_AGAIN
    )
