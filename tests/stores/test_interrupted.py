"""Runs that run out of room, that two start at once, or into a database that are killed: a store is whole or not there."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from database_kinds import DATABASES
from store_kinds import KINDS as FILES
from store_kinds import Kind, parallel, some_rows

from irp_hf import InputError, IRPAdapter
from irp_hf.stores import base, open_store, staging, translate_store
from irp_hf.stores import translate as translating

resource = pytest.importorskip("resource")  # which Windows has not
NUM_ROWS, SMALL_BLOCKS, KILLS = 1500, 512, 2
ONE_OF_EACH = ("npy", "parquet", "faiss-flat", "lancedb-table", "qdrant-collection", "chroma")
"""A writer of its own each: the others differ in what they hold, which the contract asks."""
WRITTEN = [kind for kind in [*FILES, *DATABASES] if kind.name in ONE_OF_EACH]
SCRIPT = """
import sys
from irp_hf import IRPAdapter
from irp_hf.stores import base, translate, translate_store
size, source, adapter, destination = sys.argv[1:]
sys.modules["irp_hf.stores.translate"].BLOCK_ROWS = base.BLOCK_ROWS = int(size)
adapter = IRPAdapter.from_pretrained(adapter)
print("begins", flush=True)
translate_store(source, adapter, destination, progress=False)
"""
of_each_kind = pytest.mark.parametrize("kind", WRITTEN, ids=lambda kind: kind.name)


@pytest.fixture(scope="module")
def adapter() -> IRPAdapter:
    return IRPAdapter.from_anchors(*parallel(200), method="whitened")


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch):
    for module in (base, translating):
        monkeypatch.setattr(module, "BLOCK_ROWS", SMALL_BLOCKS)


def made(kind: Kind, folder: Path) -> tuple[str, str]:
    """The addresses of a source in a new folder, and of a destination there."""
    folder.mkdir()
    return kind.make(folder, some_rows(parallel(NUM_ROWS, seed=5)[0])), kind.destination.format(folder=folder)


def contents(folder: Path, kind: Kind) -> dict[str, str]:
    """What a destination in one file is made of, byte for byte; of a database, what its own library reads."""
    files = {path.name: path.read_bytes() for path in folder.glob("moved*") if path.is_file()}
    rows = (
        {name: repr(np.asarray(values).tolist()).encode() for name, values in kind.read(folder).items()}
        if not files
        else {}
    )
    return {name: hashlib.sha256(told).hexdigest() for name, told in {**files, **rows}.items()}


def is_there(destination: str) -> bool:
    try:
        open_store(destination).close()
    except InputError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in WRITTEN if kind in DATABASES], ids=lambda kind: kind.name)
def test_killed_at_any_moment(kind: Kind, adapter: IRPAdapter, tmp_path: Path):
    """If it fails, a power cut costs an index or a table, leaves half of one, or makes another than a quiet night would."""
    adapter.save_pretrained(tmp_path / "adapter")
    source, destination = made(kind, tmp_path / "quiet")
    took = in_another_process(source, tmp_path / "adapter", destination)
    assert took is not None
    expected = contents(tmp_path / "quiet", kind)

    folder = tmp_path / "killed"
    source, destination = made(kind, folder)
    with open_store(source) as store:
        before = store.digest()
    chance, killed = random.Random(0), 0
    for number in range(KILLS):
        seconds = took * (number + chance.random()) / KILLS
        killed += in_another_process(source, tmp_path / "adapter", destination, seconds) is None
        if is_there(destination) and not list(folder.glob("*.parts/run.json")):  # it had ended
            break
        assert not is_there(destination) or contents(folder, kind) == expected
    else:
        assert in_another_process(source, tmp_path / "adapter", destination) is not None
    assert killed
    assert contents(folder, kind) == expected
    with open_store(source) as store:
        assert store.digest() == before


def in_another_process(source: str, adapter: Path, destination: str, kill_after: float | None = None) -> float | None:
    """Seconds that a translation takes from the time on when all is imported; None where it was killed before its end."""
    command = [sys.executable, "-c", SCRIPT, str(SMALL_BLOCKS), source, str(adapter), destination]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begins\n"
        begun = time.perf_counter()
        try:
            process.wait(kill_after)
        except subprocess.TimeoutExpired:
            process.kill()
            return None
        assert process.returncode == 0
        return time.perf_counter() - begun


@of_each_kind
def test_two_runs_at_once(kind: Kind, adapter: IRPAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """If it fails, two processes write one destination, and each removes what the other keeps."""
    source, destination = made(kind, tmp_path / "store")
    whole, refused = translating._Work._translated, []

    def twice(self: Any, batch: Any, start: int) -> Any:
        if start == SMALL_BLOCKS and not refused:
            refused.append(True)
            with pytest.raises(InputError, match="in use"):
                translate_store(source, adapter, destination)
        return whole(self, batch, start)

    monkeypatch.setattr(translating._Work, "_translated", twice)
    assert translate_store(source, adapter, destination).num_rows == NUM_ROWS
    assert refused
    assert len(kind.read(tmp_path / "store")["vectors"]) == NUM_ROWS


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file grows beyond so many bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize("size", [20_000, 100_000], ids=["of a block", "of the whole"])
@of_each_kind
def test_a_disk_that_is_full(size: int, kind: Kind, adapter: IRPAdapter, tmp_path: Path):
    """If it fails, a user reads another library's traceback, finds half a store, or begins again from the first row."""
    source, destination = made(kind, tmp_path / "store")
    with open_store(source) as store:
        before = store.digest()
    with largest_file(size), pytest.raises(InputError, match=r"can be written.* Make room"):
        translate_store(source, adapter, destination)
    assert not is_there(destination)
    with open_store(source) as store:
        assert store.digest() == before
    translate_store(source, adapter, destination)
    assert len(kind.read(tmp_path / "store")["vectors"]) == NUM_ROWS
    assert not [name for name in os.listdir(tmp_path / "store") if name.endswith(".parts")]


@of_each_kind
def test_a_run_that_ends_as_it_is_put_in_place(
    kind: Kind, adapter: IRPAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """If it fails, what a killed run has put in place already stops the run that would end its work."""
    source, destination = made(kind, tmp_path / "quiet")
    translate_store(source, adapter, destination, confidence=True)
    expected = contents(tmp_path / "quiet", kind)
    source, destination = made(kind, tmp_path / "store")
    with monkeypatch.context() as context:
        context.setattr(staging.Staging, "remove", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            translate_store(source, adapter, destination, confidence=True)
    assert is_there(destination)
    other = IRPAdapter.from_anchors(*parallel(150, seed=9), method="whitened")
    with pytest.raises(InputError, match=r"begun|exists already"):
        translate_store(source, other, destination, confidence=True)
    translate_store(source, adapter, destination, confidence=True)
    assert contents(tmp_path / "store", kind) == expected
    with pytest.raises(InputError, match=r"exists already|nothing there"):
        translate_store(source, adapter, destination, confidence=True)
    assert not [name for name in os.listdir(tmp_path / "store") if name.endswith(".parts")]


@pytest.mark.parametrize(("step", "name"), [("unlink", staging.JOURNAL), ("unlink", staging.LOCK), ("rmdir", "")])
@of_each_kind
def test_a_run_that_ends_as_it_removes_the_last(
    kind: Kind, step: str, name: str, adapter: IRPAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """If it fails, an empty folder lies beside a whole store for ever, and everybody asks what it is for."""
    source, destination = made(kind, tmp_path / "store")
    whole = getattr(Path, step)

    def stops(self: Path, *values: Any, **named: Any) -> None:
        place = self.parent if name else self
        if place.name.endswith(".parts") and self.name.endswith(name):
            raise KeyboardInterrupt
        whole(self, *values, **named)

    with monkeypatch.context() as context:
        context.setattr(Path, step, stops)
        with pytest.raises(KeyboardInterrupt):
            translate_store(source, adapter, destination)
    assert [name for name in os.listdir(tmp_path / "store") if name.endswith(".parts")]
    with pytest.raises(InputError, match=r"exists already|nothing there"):
        translate_store(source, adapter, destination)
    assert is_there(destination)
    assert not [name for name in os.listdir(tmp_path / "store") if name.endswith(".parts")]
