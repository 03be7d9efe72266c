"""A save into the folder of another model: the encoder would be lost, with whatever it took to train it."""

import json
import os
import shutil

import numpy as np
import pytest
import stitched
import tiny_encoders as tiny
from says import says
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import pipeline

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter
from irp_hf.errors import InputError

ROWS = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
KINDS = ("sentences", "plain", "shards", "pickle", "lora", "space", "dense", "nobody's")


def space():
    return AnchoredSpace.from_embeddings(ROWS)


def adapter():
    return IRPAdapter.from_anchors(ROWS, ROWS[:, :5] ** 3, method="whitened", balance=1.0, ridge=0.1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("models")
    bert = tiny.model("bert", **tiny.LAYERS, **tiny.VOCAB)
    tiny.save(place / "plain", bert, tiny.tokenizer())
    modules = [Transformer(str(place / "plain")), Pooling(16), Dense(16, 8)]
    SentenceTransformer(modules=modules, device="cpu").save(str(place / "sentences"))
    shutil.copytree(place / "sentences" / "2_Dense", place / "dense")
    bert.save_pretrained(place / "shards", max_shard_size="10KB")
    (place / "shards" / "config.json").unlink()
    for name, file in (("pickle", "pytorch_model.bin"), ("lora", "adapter_model.safetensors")):
        (place / name).mkdir()
        (place / name / file).write_bytes(b"weights")
    space().save_pretrained(place / "space")
    (place / "nobody's").mkdir()
    (place / "nobody's" / "config.json").write_text(json.dumps({"rate": 3}))
    return place


def contents(folder):
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("make", [space, adapter])
@pytest.mark.parametrize("kind", KINDS)
def test_another_model_is_not_replaced(folders, tmp_path, kind, make, refusal):
    """Whatever it is, by its folder and by a link to it; nothing of it is touched, and nothing is left beside it."""
    folder, link, model = tmp_path / "theirs", tmp_path / "link", make()
    shutil.copytree(folders / kind, folder)
    link.symlink_to(folder)
    before = contents(folder)
    if (kind, make) == ("space", space):
        model.save_pretrained(folder)  # its own kind
        return
    for place in (folder, link, str(folder) + os.sep):
        text = refusal(model.save_pretrained, place, error=InputError)
        assert says(text, model.config.model_type, "Give another folder.")
    assert contents(folder) == before
    assert sorted(item.name for item in tmp_path.iterdir()) == ["link", "theirs"]


def test_a_working_directory_is_none_either(folders, tmp_path, monkeypatch, refusal):
    """It is saved to file by file, in another way."""
    folder = tmp_path / "theirs"
    shutil.copytree(folders / "plain", folder)
    before = contents(folder)
    monkeypatch.chdir(folder)
    for place in (".", folder):
        assert says(refusal(space().save_pretrained, place, error=InputError), "'bert'", "Give another folder.")
    assert contents(folder) == before


def test_a_pipeline_does_not_save_over_its_encoder(folders, tmp_path, refusal):
    """`pipe.save_pretrained` looks like what saves an encoder too."""
    folder = stitched.save(tmp_path / "topics", "text")
    named = stitched.identity(stitched.record("topics"))
    pipe = pipeline("irp-stitch", model=named, encoder=str(folder), head=str(folder), device="cpu")
    assert says(refusal(pipe.save_pretrained, folder, error=InputError), "'roberta'")
    assert pipeline("text-classification", model=str(folder), device="cpu")("w1")


def test_what_holds_no_other_model_is_saved_to(tmp_path):
    """Its own kind, also where that is damaged; a card, an anchor set or notes beside it; a tokenizer alone."""
    AnchorSet(["a", "b"]).save_pretrained(tmp_path)
    (tmp_path / "README.md").write_text("mine")
    tiny.tokenizer().save_pretrained(tmp_path)
    for _ in range(2):
        space().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "irp_anch')
    (tmp_path / "pytorch_model.bin").write_bytes(b"something")
    space().save_pretrained(tmp_path)
    assert AnchoredSpace.from_pretrained(tmp_path).checksum() == space().checksum()
    assert (tmp_path / "README.md").read_text() == "mine"
    assert len(AnchorSet.from_pretrained(tmp_path)) == 2


def anything(file):
    file.write_bytes(b"mine")


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("source_anchors.pt", anything),
        ("anchors.safetensors", anything),
        ("model_vectors.safetensors", anything),
        ("head.pt", anything),
        ("head.onnx", anything),
        ("head.joblib", anything),
        ("meta.json", anything),
        ("notes.h5", anything),
        ("vectors.bin", anything),
        ("config.json", lambda file: file.write_text("\n")),
    ],
)
def test_a_users_own_files_are_no_other_model(tmp_path, name, make):
    """Tensors beside a save stay what they are, and a configuration of nothing is none: a refusal would be in the way."""
    make(tmp_path / name)
    before = contents(tmp_path)
    space().save_pretrained(tmp_path)
    assert AnchoredSpace.from_pretrained(tmp_path).checksum() == space().checksum()
    if name != "config.json":
        assert before.items() <= contents(tmp_path).items()


@pytest.mark.parametrize(
    "name",
    [
        *("model.safetensors", "model.fp16.safetensors", "model-00001-of-00002.safetensors", "adapter_config.json"),
        *("model.safetensors.index.json", "pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json"),
        *("model_index.json", "config_sentence_transformers.json", "tf_model.h5", "flax_model.msgpack", "qwen-q4.gguf"),
        *(
            "model.onnx",
            "model.joblib",
            "sklearn_model.joblib",
            "bert.skops",
            "open_clip_config.json",
            "saved_model.pb",
        ),
    ],
)
@pytest.mark.parametrize("config", [None, b""])
def test_files_of_a_model_whose_configuration_is_gone_are_kept(tmp_path, name, config, refusal):
    """They would be replaced, be read in place of ours, or lie there as weights of ours."""
    anything(tmp_path / name)
    if config is not None:
        (tmp_path / "config.json").write_bytes(config)
    before = contents(tmp_path)
    assert says(refusal(space().save_pretrained, tmp_path, error=InputError), f"'{name}'", "Give another folder.")
    assert contents(tmp_path) == before


def test_a_model_of_spacy_is_told_by_two_files(tmp_path, refusal):
    """Each of them alone is anybody's."""
    for name in ("meta.json", "config.cfg"):
        anything(tmp_path / name)
    assert says(refusal(adapter().save_pretrained, tmp_path, error=InputError), "'config.cfg'")


def test_what_stands_beside_a_save_of_ours_is_no_reason_to_refuse_the_next(tmp_path):
    """A user may export a model of another library into the folder of an adapter."""
    space().save_pretrained(tmp_path)
    anything(tmp_path / "model.onnx")
    space().save_pretrained(tmp_path)
    assert (tmp_path / "model.onnx").read_bytes() == b"mine"


def test_a_save_of_ours_that_lost_its_configuration_is_replaced(tmp_path):
    """Its code file tells whose weights these are."""
    for broken in (lambda file: file.unlink(), lambda file: file.write_text("")):
        space().save_pretrained(tmp_path)
        broken(tmp_path / "config.json")
        space().save_pretrained(tmp_path)
        assert AnchoredSpace.from_pretrained(tmp_path).checksum() == space().checksum()


def test_an_anchor_set_replaces_no_model(folders, tmp_path):
    """Its files have names of their own: an encoder beside them stays as it was."""
    folder = tmp_path / "theirs"
    shutil.copytree(folders / "sentences", folder)
    before = contents(folder)
    AnchorSet(["a", "b"]).save_pretrained(folder)
    assert before.items() <= contents(folder).items()
