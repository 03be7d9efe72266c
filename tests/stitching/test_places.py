"""Encoders, heads and adapters that lie in a folder of a repository, or are one of several weights beside each other."""

import json
import shutil

import pytest
import stitched
import tiny_encoders as tiny
import torch
from says import says
from transformers import pipeline

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter
from irp_hf.encoding import encode
from irp_hf.errors import InputError
from irp_hf.heads import open_head
from irp_hf.stitching.model import StitchedModel

TEXTS = tiny.texts(6)


@pytest.fixture(scope="module")
def nested(classifier, tmp_path_factory):
    """A folder whose folder "models/small" holds a classifier, with weights of a variant "half" beside the others."""
    root = tmp_path_factory.mktemp("nested") / "many"
    shutil.copytree(classifier, root / "models/small")
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(classifier)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(0.5)
    model.save_pretrained(root / "models/small", variant="half")
    (root / "README.md").write_text("many")
    return root


def test_a_folder_inside_of_a_folder(nested, classifier):
    """It would be opened at the top, where there is nothing, or refused as an unknown keyword."""
    options = dict(at="head", subfolder="models/small")
    vectors, record = encode(nested, TEXTS, **options)
    assert torch.equal(vectors, encode(classifier, TEXTS, at="head")[0])
    assert record["subfolder"] == "models/small"
    x = torch.randn(3, stitched.WIDTH)
    assert torch.equal(open_head(nested, subfolder="models/small")(x), open_head(classifier)(x))
    half = encode(nested, TEXTS, variant="half", **options)[0]
    assert not torch.allclose(half, vectors, atol=1e-3)
    head = open_head(nested, subfolder="models/small", variant="half")
    assert not torch.allclose(head(x), open_head(classifier)(x), atol=1e-3)


@pytest.mark.slow
def test_a_folder_of_a_repository_is_recorded_and_opened_again(nested, hub, monkeypatch, tmp_path):
    """A pipeline that opens what the adapter names would look at the top of the repository, or for other weights."""
    hub.upload("me/many", nested)
    monkeypatch.setenv("HF_TOKEN", hub.token("me"))
    places = dict(subfolder="models/small", variant="half")
    x = torch.randn(3, stitched.WIDTH)
    assert torch.equal(open_head("me/many", **places)(x), open_head(nested, **places)(x))
    assert torch.equal(encode("me/many", TEXTS, at="head", **places)[0], encode(nested, TEXTS, at="head", **places)[0])
    anchors = AnchorSet(tiny.texts(40))
    space = AnchoredSpace.encode("me/many", anchors, at="head", **places)
    adapter = IRPAdapter.connect(space, space, **stitched.IDENTITY)
    adapter.save_pretrained(tmp_path / "a/adapter")
    named = pipeline("irp-stitch", model=str(tmp_path / "a/adapter"))
    given = StitchedModel(
        nested,
        tmp_path / "a",
        nested,
        adapter_subfolder="adapter",
        head_subfolder="models/small",
        head_variant="half",
        on_mismatch="ignore",
        **places,
    )
    assert torch.equal(named.stitched.predict(TEXTS).logits, given.predict(TEXTS).logits)
    words = dict(encoder_subfolder="models/small", head_subfolder="models/small", on_mismatch="ignore")
    whole = pipeline("irp-stitch", model=adapter, encoder=nested, head=nested, **words)
    assert not torch.allclose(whole.stitched.predict(TEXTS).logits, given.predict(TEXTS).logits, atol=1e-3)


@pytest.mark.parametrize("subfolder", ["..", "/etc", "a/../..", "a\\b", "\0", 3, b"a", "a//b"])
def test_a_folder_that_leads_out(subfolder, nested, refusal):
    """A stranger's record could name any folder of the disk."""
    for call in (
        lambda: encode(nested, TEXTS, at="head", subfolder=subfolder),
        lambda: open_head(nested, subfolder=subfolder),
    ):
        assert says(refusal(call, error=InputError), "subfolder")


def test_what_is_not_there(nested, classifier, refusal):
    """A raw error of transformers would say that no file of some name was found."""
    assert says(refusal(open_head, nested, subfolder="gone", error=InputError), "subfolder", "'gone'")
    assert says(refusal(open_head, classifier, variant="half", error=InputError), "topics", "half")
    assert says(refusal(encode, classifier, TEXTS, at="head", variant="half", error=InputError), "topics", "half")
    for variant in ("../x", "", 3, "a/b"):
        assert says(refusal(open_head, classifier, variant=variant, error=InputError), "variant")
    assert says(refusal(open_head, torch.nn.Linear(2, 2), subfolder="a", error=InputError), "subfolder", "Linear")
    assert says(refusal(encode, len, TEXTS, variant="half", error=InputError), "variant", "function")


def test_weights_in_several_files(nested, tmp_path, classifier):
    """The index of a variant has a name of its own."""
    folder = shutil.copytree(nested / "models/small", tmp_path / "parts")
    names = list(_tensors(folder / "model.half.safetensors"))
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.half.safetensors")
    wanted = open_head(folder, variant="half")(torch.ones(1, stitched.WIDTH))
    for part in range(2):
        save_file(
            {n: tensors[n] for n in names[part::2]}, folder / f"model.half-0000{part}.safetensors", {"format": "pt"}
        )
    (folder / "model.half.safetensors").unlink()
    weight_map = {name: f"model.half-0000{place % 2}.safetensors" for place, name in enumerate(names)}
    (folder / "model.safetensors.index.half.json").write_text(json.dumps({"weight_map": weight_map}))
    assert torch.equal(open_head(folder, variant="half")(torch.ones(1, stitched.WIDTH)), wanted)


def _tensors(file):
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        return list(opened.keys())
