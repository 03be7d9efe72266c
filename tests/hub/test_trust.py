"""Code of a repository runs where it is trusted, for that part alone, and never elsewhere."""

import json

import numpy as np
import pytest
import tiny_encoders as tiny
import torch
from published import ENCODER, TOPICS
from transformers import AutoModelForSequenceClassification, pipeline

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter, StitchedModel
from irp_hf.encoding import encode
from irp_hf.errors import InputError
from irp_hf.heads import open_head

CODE = """
from transformers import {kind}Config, {kind}Model, {kind}ForSequenceClassification

class MineConfig({kind}Config):
    model_type = "mine"

class MineModel({kind}Model):
    config_class = MineConfig

class MineClassifier({kind}ForSequenceClassification):
    config_class = MineConfig
"""


@pytest.fixture
def theirs(published, tmp_path):
    """An encoder and a classifier of classes of their own, with the weights of plain ones."""
    bert = tiny.model("bert", **tiny.LAYERS, **tiny.VOCAB)
    topics = tiny.model(
        "roberta", AutoModelForSequenceClassification, **tiny.LAYERS, **tiny.VOCAB, num_labels=3, type_vocab_size=2
    )
    for name, model, kind in (("encoder", bert, "Bert"), ("topics", topics, "Roberta")):
        folder = tiny.save(tmp_path / name, model, tiny.tokenizer())
        config = json.loads((folder / "config.json").read_text())
        classes = {"AutoModel": "MineModel", "AutoModelForSequenceClassification": "MineClassifier"}
        auto_map = {auto: f"mine.{found}" for auto, found in ({"AutoConfig": "MineConfig"} | classes).items()}
        config |= {"model_type": "mine", "auto_map": auto_map}
        config["architectures"] = ["MineModel" if kind == "Bert" else "MineClassifier"]
        published.upload(f"you/{name}", folder)
        files = {"config.json": json.dumps(config).encode(), "mine.py": CODE.format(kind=kind).encode()}
        published.upload(f"you/{name}", files)
    return tmp_path


def refused(text, name):
    """Who brings code, and what to pass after reading it."""
    assert name in text
    assert "trust_remote_code=True" in text


def test_a_trusted_encoder(theirs, refusal):
    """Encoders that transformers does not know could not be used at all."""
    texts = tiny.texts(5)
    refused(refusal(encode, "you/encoder", texts, pooling="mean", device="cpu", error=InputError), "you/encoder")
    vectors, record = encode("you/encoder", texts, pooling="mean", device="cpu", trust_remote_code=True)
    plain, _ = encode(str(theirs / "encoder"), texts, pooling="mean", device="cpu")
    np.testing.assert_array_equal(vectors, plain)
    assert record["id"] == "you/encoder"


def test_a_trusted_head(theirs, refusal):
    """The same for classifiers, at their heads and as heads."""
    refused(refusal(open_head, "you/topics", error=InputError), "you/topics")
    vectors = torch.linspace(-1, 1, 48).reshape(3, 16)
    head = open_head("you/topics", trust_remote_code=True)
    np.testing.assert_array_equal(head(vectors), open_head(str(theirs / "topics"))(vectors))
    inputs, _ = encode("you/topics", tiny.texts(4), at="head", device="cpu", trust_remote_code=True)
    plain, _ = encode(str(theirs / "topics"), tiny.texts(4), at="head", device="cpu")
    np.testing.assert_array_equal(inputs, plain)


def test_each_part_is_trusted_for_itself(theirs, refusal):
    """Trust in an encoder would run the code of a classifier, too."""
    anchors = AnchorSet(tiny.texts(40))
    trusted = dict(trust_remote_code=True, device="cpu")
    source = AnchoredSpace.encode("you/encoder", anchors, pooling="mean", **trusted)
    target = AnchoredSpace.encode("you/topics", anchors, at="head", **trusted)
    adapter = IRPAdapter.connect(source, target, method="kernel", gamma=1.0, ridge=0.1)
    both = dict(encoder_trust_remote_code=True, head_trust_remote_code=True)
    for left_out, name in (("encoder", "you/encoder"), ("head", "you/topics")):
        some = {key: value for key, value in both.items() if not key.startswith(left_out)}
        refused(refusal(pipeline, "irp-stitch", model=adapter, **some, error=InputError), name)
    answer = pipeline("irp-stitch", model=adapter, device="cpu", **both)("w1 w2")
    assert answer[0]["label"].startswith("LABEL_")
    stitched = StitchedModel(adapter=adapter, head_trust_remote_code=True, **trusted)
    assert stitched.predict(["w1"]).logits.shape == (1, 3)


@pytest.mark.parametrize("path", ["..", "../../x", "/etc", "a/../../b", "C:\\x", 3])
def test_modules_that_lie_outside(published, refusal, path):
    """A sentence-transformers model could be put together of files of this machine."""
    modules = json.loads(published.files(ENCODER)["modules.json"])
    modules[1]["path"] = path
    published.upload("you/outside", published.files(ENCODER))
    published.upload("you/outside", {"modules.json": json.dumps(modules).encode()})
    text = refusal(encode, "you/outside", ["w1", "w2"], error=InputError)
    for words in ("modules.json", "you/outside", repr(path)):
        assert words in text


def test_pickles_are_not_read(published, refusal, tmp_path):
    """Whoever unpickles runs what somebody wrote."""
    files = {name: data for name, data in published.files(TOPICS).items() if name != "model.safetensors"}
    published.upload("you/pickled", files | {"pytorch_model.bin": b"\x80\x04."})
    for open_it in (
        lambda: open_head("you/pickled"),
        lambda: encode("you/pickled", ["w1", "w2"], pooling="mean"),
        lambda: encode("you/pickled", ["w1", "w2"], at="head"),
    ):
        refusal(open_it, error=InputError)
    assert published.downloaded("you/pickled", "pytorch_model.bin") == 0


def test_no_token_in_options():
    """It would stand in every log of a failure."""
    from irp_hf.encoding.base import Options

    assert "secret" not in repr(Options(token="hf_secret"))
