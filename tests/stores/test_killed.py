"""Runs that end at any moment, by a signal that nobody can catch: what is seen is whole, and a second run ends as one would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_kinds import KINDS, Kind, parallel, some_rows

from irp_hf import InputError, IRPAdapter
from irp_hf.stores import base, files, open_store, translate_store
from irp_hf.stores import translate as translating
from irp_hf.stores.base import vectors_of
from irp_hf.stores.staging import Staging

NUM_ROWS = 2000
IN_FILES = [kind for kind in KINDS if kind.destination and ":" not in kind.destination]
SCRIPT = """
import sys
from irp_hf import IRPAdapter
from irp_hf.stores import translate_store
source, adapter, destination = sys.argv[1:]
adapter = IRPAdapter.from_pretrained(adapter)
print("begins", flush=True)
translate_store(source, adapter, destination, confidence=True, progress=False)
print("ends", flush=True)
"""
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no such signal")


@pytest.fixture(scope="module")
def adapter() -> IRPAdapter:
    return IRPAdapter.from_anchors(*parallel(200), method="whitened")


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few hundred rows, so that there are some."""
    for module in (base, translating):
        monkeypatch.setattr(module, "BLOCK_ROWS", 512)


def killed(run: Callable[[], Any]) -> bool:
    """Run in a process of its own; whether the signal ended it."""
    if not (process := os.fork()):
        try:
            run()
        finally:
            os._exit(1)
    return os.WIFSIGNALED(os.waitpid(process, 0)[1])


def now(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(number: int, function: Any) -> Any:
    """The function, which is not reached the time of that number."""
    calls = []

    def counted(*values: Any, **named: Any) -> Any:
        calls.append(1)
        return now() if len(calls) == number else function(*values, **named)

    return counted


MOMENTS: dict[str, tuple[Any, str, int]] = {
    "between two blocks": (Staging, "write", 3),
    "when all rows are kept": (files.FileWriter, "finish", 1),
    "before it is known as whole": (Staging, "set_done", 1),
    "before it has its name": (files, "_publish", 1),
    "before a file has its name": (files, "_give_name", 1),
    "between two files": (files, "_give_name", 2),
    "before blocks are removed": (Staging, "remove", 1),
    "while blocks are removed": (Path, "unlink", 9),
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("kind", IN_FILES, ids=lambda kind: kind.name)
@pytest.mark.usefixtures("small_blocks")
def test_at_each_moment(kind: Kind, moment: str, adapter: IRPAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """If it fails, a store is half there, or what was done can neither be gone on with nor got rid of."""
    whole, part = tmp_path / "whole", tmp_path / "part"
    whole.mkdir()
    part.mkdir()
    source = kind.make(tmp_path, some_rows(parallel(NUM_ROWS, seed=5)[0]))
    translate_store(source, adapter, kind.destination.format(folder=whole))
    place, name, number = MOMENTS[moment]
    destination = kind.destination.format(folder=part)
    with monkeypatch.context() as context:
        context.setattr(place, name, at_call(number, getattr(place, name)))
        was_killed = killed(lambda: translate_store(source, adapter, destination))
    if not was_killed:
        assert (moment, len(list(whole.iterdir()))) == ("between two files", 1)
    shown = Path(destination.partition("#")[0])
    if shown.exists():
        assert tree(shown) == tree(whole / shown.name)
    if was_killed:
        translate_store(source, adapter, destination)
    assert tree(part) == tree(whole)


def tree(folder: Path) -> dict[str, bytes]:
    files = [folder] if folder.is_file() else [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("kind", IN_FILES, ids=lambda kind: kind.name)
def test_a_file_that_comes_meanwhile_stays(
    kind: Kind, adapter: IRPAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """If it fails, what another program wrote in the hours of a run is gone."""
    source, destination = kind.make(tmp_path, some_rows(parallel(900, seed=5)[0])), kind.destination
    destination = destination.format(folder=tmp_path)
    place = Path(destination.partition("#")[0])
    finish = files.FileWriter.finish

    def late(self: Any, record: Any) -> Any:
        place.write_text("another's")
        return finish(self, record)

    with monkeypatch.context() as context:
        context.setattr(files.FileWriter, "finish", late)
        with pytest.raises(InputError, match="exists already"):
            translate_store(source, adapter, destination)
    assert place.read_text() == "another's"
    beside = [path.name for path in tmp_path.iterdir() if path.name.startswith("moved")]
    assert sorted(beside) == sorted([place.name, f"{place.name}.parts"])
    with pytest.raises(InputError, match="exists already"):
        translate_store(source, adapter, destination)
    assert place.read_text() == "another's"
    place.unlink()
    assert translate_store(source, adapter, destination).num_rows == 900
    assert len(kind.read(tmp_path)["vectors"]) == 900


@pytest.mark.usefixtures("small_blocks")
def test_what_is_made_is_read_again_before_it_has_its_name(
    adapter: IRPAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """If it fails, what the disk or a library spoilt is searched for years."""
    source = tmp_path / "source.npy"
    np.save(source, parallel(900, seed=5)[0])
    from irp_hf.stores.npy import NpyWriter

    write = NpyWriter._write

    def spoilt(self: Any, place: Path, *rest: Any) -> None:
        write(self, place, *rest)
        with place.open("r+b") as file:
            file.seek(5000)
            file.write(b"\1" * 64)

    with monkeypatch.context() as context:
        context.setattr(NpyWriter, "_write", spoilt)
        with pytest.raises(InputError, match="vectors that were written"):
            translate_store(source, adapter, tmp_path / "moved.npy")
    assert not (tmp_path / "moved.npy").exists()
    translate_store(source, adapter, tmp_path / "moved.npy")
    with open_store(tmp_path / "moved.npy") as store:
        assert store.num_rows == 900


@pytest.mark.usefixtures("small_blocks")
def test_a_source_that_was_mended_begins_anew(adapter: IRPAdapter, tmp_path: Path):
    """If it fails, a row of NaN leaves a folder that must be found and removed by hand."""
    vectors, source = parallel(NUM_ROWS, seed=5)[0], tmp_path / "source.npy"
    for row in (1333, 1999):  # the latter is one of the sample
        spoilt = vectors.copy()
        spoilt[row, 2] = np.nan
        np.save(source, spoilt)
        with pytest.raises(InputError, match=f"Row {row} "):
            translate_store(source, adapter, tmp_path / "moved.npy")
        assert list(tmp_path.iterdir()) == [source]
    np.save(source, vectors)
    assert translate_store(source, adapter, tmp_path / "moved.npy").num_rows == NUM_ROWS


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [kind for kind in IN_FILES if kind.name in ("npy", "parquet")], ids=lambda kind: kind.name
)
def test_at_random_moments(kind: Kind, adapter: IRPAdapter, tmp_path: Path):
    """As above, of a run with whole blocks, where nobody chose the moment."""
    whole, random = tmp_path / "whole", np.random.RandomState(0)
    whole.mkdir()
    adapter.save_pretrained(tmp_path / "adapter")
    source = kind.make(tmp_path, some_rows(parallel(60_000, seed=5)[0]))
    begun = time.monotonic()
    translate_store(source, adapter, kind.destination.format(folder=whole), confidence=True)
    takes, ended = time.monotonic() - begun, 0
    for number in range(2):
        part = tmp_path / str(number)
        part.mkdir()
        destination = kind.destination.format(folder=part)
        command = [sys.executable, "-c", SCRIPT, source, str(tmp_path / "adapter"), destination]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "begins\n"
            time.sleep(random.uniform(0, takes))
            process.kill()
            ended += process.stdout.read() == ""
        if tree(part).keys() != tree(whole).keys():
            translate_store(source, adapter, destination, confidence=True)
        assert tree(part) == tree(whole)
    assert ended
    with open_store(kind.destination.format(folder=whole)) as store:
        found = np.concatenate([vectors_of(batch, store.column) for batch in store.batches()])
    assert np.isfinite(found).all()
