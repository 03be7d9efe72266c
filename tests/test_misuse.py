"""What users do by mistake: misspelt options; pairs, bytes and paths where texts belong; paths that are no text."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import stitched
import tiny_encoders as tiny
import torch
from datasets import Dataset
from says import says
from transformers import pipeline

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter
from irp_hf.encoding import encode
from irp_hf.errors import InputError
from irp_hf.parallel import encode_dataset
from irp_hf.stitching.model import StitchedModel

ROWS = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
SPACE, SET = AnchoredSpace.from_embeddings(ROWS), AnchorSet(tiny.texts(9))
HEAD = torch.nn.Linear(stitched.WIDTH, 3)


def lengths(items):
    return np.array([[len(item), 1.0, 2.0] for item in items], np.float32)


def joined(items):
    return lengths([item + "." for item in items])


MISSPELT = {
    "encode a space": (lambda **o: AnchoredSpace.encode(lengths, SET, **o), {"poling": "mean"}, "pooling"),
    "encode a space, canary": (lambda **o: AnchoredSpace.encode(lengths, SET, **o), {"canari": False}, "canary"),
    "check a space": (lambda **o: SPACE.check(lengths, **o), {"prompts": "a"}, "prompt"),
    "check a space, mismatch": (lambda **o: SPACE.check(lengths, **o), {"on_mismach": "warn"}, "on_mismatch"),
    "connect": (lambda **o: IRPAdapter.connect(SPACE, SPACE, **o), {"gama": 1.0}, "gamma"),
    "from_anchors": (lambda **o: IRPAdapter.from_anchors(ROWS, ROWS, **o), {"objectiv": "cosine"}, "objective"),
    "reverse": (lambda **o: stitched.identity().reverse(**o), {"num_landmark": 9}, "num_landmarks"),
    "to_relative": (lambda **o: SPACE.to_relative(ROWS, **o), {"rigde": 0.1}, "ridge"),
    "to_absolute": (lambda **o: SPACE.to_absolute(ROWS[:, :1], **o), {"balanc": 0.5}, "balance"),
    "push": (lambda **o: SPACE.push_to_hub("me/x", **o), {"privat": True}, "private"),
    "push an adapter": (
        lambda **o: stitched.identity().push_to_hub("me/x", **o),
        {"comit_message": "a"},
        "commit_message",
    ),
    "push anchors": (lambda **o: SET.push_to_hub("me/x", **o), {"licence": "mit"}, "license"),
    "stitch": (
        lambda **o: StitchedModel(stitched.embed, stitched.identity(), HEAD, **o),
        {"poling": "mean"},
        "pooling",
    ),
    "stitch, head": (
        lambda **o: StitchedModel(stitched.embed, stitched.identity(), HEAD, **o),
        {"head_revison": "main"},
        "head_revision",
    ),
    "pipeline": (
        lambda **o: pipeline("irp-stitch", model=stitched.identity(), encoder=stitched.embed, head=HEAD, **o),
        {"topk": 2},
        "top_k",
    ),
    "encode_dataset": (
        lambda **o: encode_dataset(lengths, Dataset.from_dict({"text": ["a"]}), "text", "v.npy", **o),
        {"max_lenght": 2},
        "max_length",
    ),
}


@pytest.mark.parametrize("name", MISSPELT)
def test_a_misspelt_option_is_named_with_the_one_that_is_meant(name, refusal, tmp_path, monkeypatch):
    """Python's TypeError speaks of `__init__()` of a class that the user has never seen."""
    monkeypatch.chdir(tmp_path)
    call, options, meant = MISSPELT[name]
    text = refusal(call, **options, error=InputError)
    assert says(text, repr(next(iter(options))), f"Write {meant}=.")
    text = refusal(call, qqq=1, error=InputError)
    assert says(text, "'qqq'", "Leave it out.")
    assert not list(tmp_path.iterdir())


def test_a_misspelt_option_of_loading(refusal, tmp_path):
    """The folder would be called damaged, or transformers speak of `__init__()`."""
    SPACE.save_pretrained(tmp_path / "space")
    text = refusal(AnchoredSpace.from_pretrained, tmp_path / "space", revison="main", error=InputError)
    assert says(text, "from_pretrained", "Write revision=.")


PAIR = {"text": "a", "text_pair": "b"}


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (["a", "b", PAIR, "c"], ["item 2, a pair of texts", "TypeError", "text_pair", "let it join"]),
        ([PAIR], ["item 0, a pair of texts"]),
        (["a", "b", b"c"], ["item 2, a bytes"]),
        (["a", Path("b")], ["item 1, a PosixPath"]),
        ([3, 4], ["items 0 to 1", "TypeError"]),
        (["a", {"text": "b"}], ["item 1, a dict"]),
    ],
)
def test_items_that_a_function_cannot_read_are_named(items, words, refusal):
    """The function's own error comes from deep inside, and says nothing of which item it was."""
    text = refusal(encode, joined, items, error=InputError)
    assert says(text, "the function joined", *words)
    anchors = stitched.rough()

    def embed(texts):
        return stitched.embed([text + "" for text in texts])

    assert says(refusal(StitchedModel(embed, anchors, HEAD).predict, items, error=InputError), *words[:1])


def test_a_row_far_into_a_table_is_named(refusal):
    """By its place in the batch a reader would look at another row."""
    items = ["a"] * 70
    items[68] = 3
    assert says(refusal(encode, joined, items, batch_size=8, error=InputError), "item 68, an int")


class Unreachable(Exception):
    """What a client of some service raises."""


def test_what_else_a_function_raises_is_the_users(tmp_path):
    """Who tries again where a service is busy would wait for that error in vain."""

    def busy(items):
        raise Unreachable

    with pytest.raises(Unreachable):
        encode(busy, ["a"])
    with pytest.raises(Unreachable):
        StitchedModel(busy, stitched.rough(), HEAD).predict(["a"])


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no file has such a name")
def test_a_folder_whose_name_is_no_text_is_refused_before_anything_is_written(refusal, tmp_path):
    """A space would be saved there that nobody can load."""
    place = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    for thing in (SPACE, stitched.identity(), SET):
        assert says(refusal(thing.save_pretrained, place, error=InputError), "a path in UTF-8")
        assert says(refusal(thing.save_pretrained, Path(place, "inner"), error=InputError), "a path in UTF-8")
    assert not list(tmp_path.iterdir())
    os.mkdir(place)
    for kind in (AnchoredSpace, AnchorSet):
        assert says(refusal(kind.from_pretrained, place, error=InputError), "a path in UTF-8", "Rename")
