"""What the system refuses is said in words, by everything that writes or reads a place, and nothing is left."""

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter, find_spaces
from irp_hf.encoding import encode
from irp_hf.encoding.open import open_encoder
from irp_hf.errors import DamagedFolderError, InputError, IRPError, MissingFolderError
from irp_hf.evaluation.plots import draw
from irp_hf.heads import open_head
from irp_hf.integrations.sentence_transformers import IRPTranslation
from irp_hf.parallel import encode_dataset, run_sharded

ITEMS = [f"w{row}" for row in range(4000)]


def vectors(items: list[str]) -> np.ndarray:
    return np.ones((len(items), 300), np.float32)


def picture(path: Any) -> None:
    """A large one, so that a small disk has no room for it."""
    noise = np.random.default_rng(0).random((300, 300))
    draw([lambda axes: axes.imshow(noise)], path, what="a figure")


@pytest.fixture(scope="module")
def writers(adapters: dict[str, IRPAdapter]) -> dict[str, Callable[[Any], Any]]:
    """All that writes to a place: each needs more than 64 kB."""
    adapter = IRPAdapter.from_anchors(
        *np.random.default_rng(0).normal(size=(2, 90, 200)), method="kernel", gamma=1, ridge=1
    )
    texts = AnchorSet([f"{row} " + "x" * 40 + str(hash(row * 7919)) for row in range(4000)])
    return {
        "adapter": adapter.save_pretrained,
        "space": adapter.source.save_pretrained,
        "anchors": texts.save_pretrained,
        "translation": lambda path: IRPTranslation(adapter).save(str(path)),
        "encode": lambda path: encode(vectors, ITEMS, out=suffixed(path)),
        "encode_dataset": lambda path: encode_dataset(
            vectors, Dataset.from_dict({"text": ITEMS}), "text", suffixed(path), progress=False
        ),
        "run_sharded": lambda path: run_sharded(vectors, ITEMS, path, progress=False),
        "picture": lambda path: picture(f"{path}.png" if isinstance(path, Path) else path),
    }


def suffixed(path: Any) -> Any:
    return f"{path}.npy" if isinstance(path, Path) else path


NAMES = ("adapter", "space", "anchors", "translation", "encode", "encode_dataset", "run_sharded", "picture")
READERS: dict[str, Callable[[Any], Any]] = {
    "adapter": IRPAdapter.from_pretrained,
    "space": AnchoredSpace.from_pretrained,
    "anchors": AnchorSet.from_pretrained,
    "translation": lambda path: IRPTranslation.load(os.fspath(path)),
    "find": lambda path: find_spaces(os.fspath(path)),
    "head": open_head,
}


def entries(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", ["nul", "half a character", "through a file", "too long", "a loop"])
def test_a_place_that_cannot_be(tmp_path, writers, refusal, name, place):
    """If it fails, a slip in a path ends in a bare error, or leaves rubbish."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to("loop")
    paths = {
        "nul": tmp_path / "a\0b",
        "half a character": tmp_path / "a\ud800b",
        "through a file": tmp_path / "file" / "x",
        "too long": tmp_path / ("n" * 300),
        "a loop": tmp_path / "loop" / "x",
    }
    refusal(writers[name], paths[place], error=InputError).encode()
    assert entries(tmp_path) == ["file", "loop"]


@pytest.mark.parametrize("name", ["adapter", "space", "anchors", "translation", "run_sharded"])
def test_the_root_is_no_place_for_a_save(writers, refusal, name):
    """If it fails, a slip in a variable ends in a bare error of pathlib."""
    refusal(writers[name], Path("/"), error=InputError)


@pytest.mark.parametrize("name", READERS)
def test_half_a_character_names_no_place(refusal, name):
    """If it fails, a damaged name ends in a bare UnicodeEncodeError, which cannot even be printed."""
    refusal(READERS[name], "a/\ud800b", error=IRPError).encode()


@pytest.mark.parametrize("name", NAMES)
def test_something_else_stands_there(tmp_path, writers, refusal, name):
    """If it fails, what a user has there is lost, or the refusal says nothing."""
    path = tmp_path / "x"
    if name in ("encode", "encode_dataset", "picture"):
        path = Path(f"{path}.png" if name == "picture" else suffixed(path))
        (path / "inner").mkdir(parents=True)
        refusal(writers[name], tmp_path / "x", error=InputError)
        assert entries(tmp_path) == [path.name, f"{path.name}/inner"]
    else:
        path.write_text("mine")
        refusal(writers[name], path, error=InputError)
        assert entries(tmp_path) == ["x"]
        assert path.read_text() == "mine"


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_grows_too_large(tmp_path, writers, refusal, name):
    """If it fails, a quota or a full disk ends a save in a bare error, or a signal, and perhaps takes the old state along."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        refusal(writers[name], tmp_path / "x", error=InputError)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert entries(tmp_path) == []


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    """A disk of 64 kB."""
    place = tmp_path_factory.mktemp("disk")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True)
    if done.returncode:
        pytest.skip("no disk may be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts as Linux has them")
@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk(small_disk, writers, refusal, name):
    """The same on a disk that is full: a map of a file without room would end the process by SIGBUS."""
    text = refusal(writers[name], small_disk / "x", error=InputError)
    assert os.strerror(28) in text
    assert entries(small_disk) == []
    with contextlib.suppress(OSError), open(small_disk / "all", "wb", buffering=0) as rest:
        while True:
            rest.write(bytes(4096))
    refusal(writers[name], small_disk / "x", error=InputError)
    assert entries(small_disk) == ["all"]
    (small_disk / "all").unlink()


AS_NOBODY = """
import os, sys
from irp_hf import AnchorSet, IRPAdapter
from irp_hf.errors import DamagedFolderError, InputError
place = sys.argv[1]
os.setgid(65534); os.setuid(65534)
for call, kind in (
    (AnchorSet(["one", "two"]).save_pretrained, InputError),
    (IRPAdapter.from_pretrained, DamagedFolderError),
    (AnchorSet.from_pretrained, DamagedFolderError),
):
    try:
        call(place + "/x")
    except kind as error:
        print("refused")
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.slow
def test_another_users_place(tmp_path):
    """Permission denied, which root never meets."""
    (tmp_path / "x").mkdir()
    tmp_path.chmod(0o700)
    done = subprocess.run([sys.executable, "-c", AS_NOBODY, tmp_path], capture_output=True, text=True, cwd="/")
    assert done.stdout == "refused\n" * 3, done.stderr


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("place", ["missing", "a file", "broken link", "too long", "through a file"])
def test_a_folder_that_is_not_there(tmp_path, refusal, name, place):
    """If it fails, the same slip is one error here and another there, and `except` catches half of them."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    paths = {
        "missing": tmp_path / "gone",
        "a file": tmp_path / "file",
        "broken link": tmp_path / "link",
        "too long": tmp_path / ("n" * 300),
        "through a file": tmp_path / "file" / "x",
    }
    refusal(READERS[name], paths[place], error=MissingFolderError)


@pytest.mark.parametrize("name", [name for name in READERS if name != "head"])
def test_files_that_are_folders(tmp_path, refusal, name):
    """If it fails, a folder that was unpacked wrongly ends in a bare error of the system."""
    for file in ("config.json", "model.safetensors", "anchor_set.json", "data/anchors-00000-of-00001.parquet"):
        (tmp_path / file).mkdir(parents=True)
    refusal(READERS[name], tmp_path, error=IRPError)


def test_an_encoder_that_is_not_there(refusal):
    from irp_hf.encoding.base import Options

    error = InputError
    refusal(open_encoder, "./no-such-folder", Options(), error=error)
    assert issubclass(MissingFolderError, DamagedFolderError)
