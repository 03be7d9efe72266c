"""Which kind of store an address leads to, to be read or to be written; each kind is imported where it is named."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from irp_hf.errors import refusal, shown
from irp_hf.stores.address import EXAMPLES, Address
from irp_hf.stores.base import Plan, Store, Writer


class Kind(NamedTuple):
    """Where a kind of store is defined."""

    module: str
    opens: str
    """What opens an address there."""
    writes: str | None
    """What makes a `Writer` of an address and a `Plan`; None where nothing of this kind is written."""


PARQUET = Kind("tables", "open_files", "ParquetWriter")
ARROW = Kind("tables", "open_files", "ArrowWriter")
FAISS = Kind("faiss_index", "FaissStore", "FaissWriter")
FOLDER = Kind("tables", "open_files", "FolderWriter")
DATA_SET = Kind("hub_data", "DataSetStore", "DataSetWriter")
SUFFIXES = {
    ".npy": Kind("npy", "NpyStore", "NpyWriter"),
    ".safetensors": Kind("safetensors", "SafetensorsStore", "SafetensorsWriter"),
    ".parquet": PARQUET,
    ".pq": PARQUET,
    ".arrow": ARROW,
    ".feather": ARROW,
    ".ipc": ARROW,
    ".faiss": FAISS,
    ".index": FAISS,
}
SCHEMES = {
    "datasets": DATA_SET,
    "lancedb": Kind("lance", "LanceStore", "LanceWriter"),
    "qdrant": Kind("qdrant", "QdrantStore", "QdrantWriter"),
    "chroma": Kind("chroma", "ChromaStore", "ChromaWriter"),
}


def open_store(address: Any, name: str = "source") -> Store:
    """The stored vectors at an address: a path, or a text as `irp_hf.stores.address` has it; nothing there is changed.

    Raises `InputError` where nothing is there, or nothing that holds vectors, and `MissingDependencyError` without the package
    of that kind of store.
    """
    found = Address.of(name, address)
    kind = _kind_of(found, name)
    opened: Callable[[Address], Store] = getattr(import_module(f"irp_hf.stores.{kind.module}"), kind.opens)
    return opened(found)


def opened_store(address: Any, name: str, stack: ExitStack) -> Store:
    """An opened store as it is, or the one at an address, which is closed with the `stack`."""
    return address if isinstance(address, Store) else stack.enter_context(open_store(address, name))


def writer_at(address: Address) -> type[Writer]:
    """What writes a destination at an address; raises `InputError` where nothing of that kind is written."""
    kind = _kind_of(address, "destination")
    if kind.writes is None:
        expected, advice = "a kind of store that can be written", "Name a .parquet file, say."
        raise refusal("destination", expected, shown(str(address)), advice)
    found: type[Writer] = getattr(import_module(f"irp_hf.stores.{kind.module}"), kind.writes)
    return found


def open_writer(address: Address, plan: Plan) -> Writer:
    """A new destination at an address; raises `InputError` where something is there, or nothing can be written."""
    made: Callable[[Address, Plan], Writer] = writer_at(address)
    return made(address, plan)


def _kind_of(address: Address, name: str) -> Kind:
    if address.scheme is not None:
        return SCHEMES[address.scheme]
    path = Path(address.place)
    if (kind := SUFFIXES.get(path.suffix.lower())) is not None and not path.is_dir():
        return kind
    if path.is_dir():
        from irp_hf.stores.hub_data import is_saved_set

        return DATA_SET if is_saved_set(path) else FOLDER
    if name == "destination" and not path.suffix:
        return FOLDER
    missing = "nothing there" if not os.path.exists(path) else "another file"
    expected = f"one of {', '.join(SUFFIXES)}, or a folder of them"
    raise refusal(name, expected, f"{shown(str(address))}, {missing}", f"Name one: {EXAMPLES}.")
