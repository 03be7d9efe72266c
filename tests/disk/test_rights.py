"""Folders and files that this user may not read are said to be so: they may well be whole, and are not missing."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import stitched
import tiny_encoders as tiny
from says import says

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter, find_spaces
from irp_hf.encoding import encode
from irp_hf.errors import DamagedFolderError, InputError, MissingFolderError
from irp_hf.heads import open_head

NOBODY = 65534
pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights as POSIX has them")


@contextlib.contextmanager
def without_rights(path, mode=0):
    """Within it nobody but root may read `path`, and this process is not root."""
    before, me = path.stat().st_mode, os.geteuid()
    path.chmod(mode)
    if me == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if me == 0:
            os.seteuid(me)
        path.chmod(before)


@pytest.fixture(scope="module")
def places(adapters):
    """One folder of each kind, where other users may look."""
    root = Path(tempfile.mkdtemp())
    root.chmod(0o755)
    adapters["kernel"].save_pretrained(root / "adapter")
    adapters["kernel"].source.save_pretrained(root / "space")
    AnchorSet(["one", "two", "three"]).save_pretrained(root / "anchors")
    stitched.save(root / "head", "text")
    tiny.save(root / "encoder", tiny.model("bert", **tiny.LAYERS | tiny.VOCAB), tiny.tokenizer())
    for item in (root, *root.rglob("*")):
        item.chmod(0o755 if item.is_dir() else 0o644)
    yield root
    shutil.rmtree(root)


OURS = {
    "adapter": (IRPAdapter.from_pretrained, ["config.json", "model.safetensors"]),
    "space": (AnchoredSpace.from_pretrained, ["config.json", "model.safetensors"]),
    "anchors": (AnchorSet.from_pretrained, ["anchor_set.json", "data", "data/anchors-00000-of-00001.parquet"]),
}
OTHERS = {
    "head": (open_head, ["config.json", "model.safetensors"]),
    "encoder": (
        lambda folder: encode(folder, ["a"], pooling="mean", device="cpu"),
        ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"],
    ),
}
CASES = [(kind, part) for kind, (_, parts) in (OURS | OTHERS).items() for part in ("", *parts)]


def refused(call, folder, refusal):
    text = refusal(call, folder)
    assert says(text, os.strerror(13), "who may read it")
    assert not says(text, "again")
    assert "Errno" not in text


@pytest.mark.parametrize(("kind", "part"), CASES)
def test_what_may_not_be_read(places, refusal, kind, part):
    """A user would save or fetch again what is whole, or look for a file that is there."""
    call, _ = (OURS | OTHERS)[kind]
    with without_rights(places / kind / part):
        refused(call, places / kind, refusal)
    with without_rights(places):
        refused(call, places / kind, refusal)
    call(places / kind)


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("mode", [0o444, 0o111])
def test_a_folder_that_may_be_listed_or_entered_alone(places, refusal, kind, mode):
    """What lies in it cannot be looked at, and its loader would raise whatever it meets first."""
    with without_rights(places / kind, mode):
        refused(OTHERS[kind][0], places / kind, refusal)


def test_a_module_that_may_not_be_read(tmp_path_factory, refusal):
    """A pooling that cannot be read would be taken for a model that is broken."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    root = Path(tempfile.mkdtemp())
    try:
        inner = tiny.save(root / "inner", tiny.model("bert", **tiny.LAYERS | tiny.VOCAB), tiny.tokenizer())
        parts = [Transformer(str(inner)), Pooling(stitched.WIDTH)]
        SentenceTransformer(modules=parts, device="cpu").save(str(root / "st"))
        for item in (root, *root.rglob("*")):
            item.chmod(0o755 if item.is_dir() else 0o644)
        for part in ("1_Pooling", "1_Pooling/config.json", "modules.json", "model.safetensors"):
            with without_rights(root / "st" / part):
                refused(lambda folder: encode(folder, ["a"], device="cpu"), root / "st", refusal)
        with without_rights(root / "st" / "README.md"):  # which nobody reads
            assert np.isfinite(np.asarray(encode(root / "st", ["a"], device="cpu")[0])).all()
    finally:
        shutil.rmtree(root)


def test_the_family(places):
    """`except` for what is missing would catch what is there."""
    with without_rights(places), pytest.raises(DamagedFolderError) as caught:
        IRPAdapter.from_pretrained(places / "adapter")
    assert not isinstance(caught.value, MissingFolderError)
    with without_rights(places / "anchors" / "anchor_set.json"), pytest.raises(InputError, match="who may read"):
        find_spaces(str(places / "anchors"))
