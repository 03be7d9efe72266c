"""The README's code runs as it stands."""

import re
from pathlib import Path

import numpy as np
import pytest
import tiny_encoders as tiny
from sklearn.datasets import load_digits
from transformers import AutoModelForSequenceClassification

from irp_hf import AnchorSet

README = Path(__file__).resolve().parent.parent.parent / "README.md"
ARRAYS, TEXTS, STITCH, MODULE, SHARE = re.findall(
    r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_arrays_snippet(here, capsys):
    """If it fails, the first thing that a new user copies does not work."""
    pixels = load_digits().data.astype(np.float32)[:400]
    other = np.tanh(pixels @ np.random.RandomState(0).randn(64, 48).astype(np.float32) / 32)
    np.save("source_anchors.npy", pixels[:200])
    np.save("target_anchors.npy", other[:200])
    np.save("source.npy", pixels[200:])
    names: dict = {}
    exec(ARRAYS, names)
    assert names["y"].shape == (200, 48)
    assert names["c"].shape == (200,)
    np.testing.assert_array_equal(names["adapter"].translate(pixels[200:]), names["y"])
    assert "kernel" in capsys.readouterr().out


def test_the_texts_snippet(here):
    """If it fails, the way by anchor sets and spaces is not what the README says. Two functions stand in for the Hub."""

    def letters(texts):
        return np.array([[text.count(letter) for letter in "aeioulnrst "] for text in texts], dtype=np.float32)

    def lengths(texts):
        counts = letters(texts)
        return np.column_stack([np.tanh(counts), counts.sum(1, keepdims=True)])

    random = np.random.RandomState(0)
    dataset = [{"text": " ".join(random.choice(["late", "rain", "house", "tree", "song"], 6))} for _ in range(3000)]
    code = TEXTS.replace("num_anchors=1500", "num_anchors=60")
    code = code.replace('"sentence-transformers/all-MiniLM-L6-v2"', "letters")
    code = code.replace('"sentence-transformers/all-mpnet-base-v2"', "lengths")
    names = {"dataset": dataset, "letters": letters, "lengths": lengths}
    exec(code, names)
    assert isinstance(names["anchors"], AnchorSet)
    assert names["back"].config.source_size == 12


@pytest.fixture
def encoders(here):
    """A sentence-transformers model and a classifier as the README means them, in folders: no hub can be reached."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    tiny.save(here / "bert", tiny.model("bert", **tiny.LAYERS, **tiny.VOCAB), tiny.tokenizer())
    SentenceTransformer(modules=[Transformer("bert"), Pooling(16)], device="cpu").save("minilm")
    classifier = tiny.model("roberta", AutoModelForSequenceClassification, **tiny.LAYERS, **tiny.VOCAB, num_labels=4)
    tiny.save(here / "topics", classifier, tiny.tokenizer())
    return {"sentence-transformers/all-MiniLM-L6-v2": "minilm", "me/roberta-topic-classifier": "topics"}


def on_folders(code, encoders):
    for name, folder in encoders.items():
        code = code.replace(name, folder)
    return code.replace('model="minilm-to-topic"', 'model="minilm-to-topic", encoder="minilm", head="topics"')


def test_the_stitching_snippet(encoders):
    """If it fails, a stitched classifier does not come of the lines that the README gives."""
    names = {"anchors": AnchorSet(tiny.texts(40)), "texts": tiny.texts(3)}
    exec(on_folders(STITCH, encoders), names)
    (answer,) = names["classify"]("w1 w2")
    assert answer["label"] in {f"LABEL_{i}" for i in range(4)}
    answers = names["classify"](tiny.texts(3), top_k=3, return_confidence=True)
    assert [len(answer) for answer in answers] == [3, 3, 3]
    assert "confidence" in answers[0][0]


def test_the_sentence_transformers_snippet(encoders):
    """If it fails, a sentence-transformers model does not end with a translation as the README says."""
    from irp_hf import AnchoredSpace, IRPAdapter

    random = np.random.RandomState(0)
    source = AnchoredSpace.encode("minilm", AnchorSet(tiny.texts(30)))
    target = AnchoredSpace.from_embeddings(random.randn(len(source.anchors), 24).astype(np.float32))
    adapter = IRPAdapter.connect(source, target, method="kernel")
    names = {"adapter": adapter, "texts": tiny.texts(5)}
    exec(on_folders(MODULE, encoders), names)
    assert names["model"].encode(tiny.texts(5)).shape == (5, 24)


def test_the_sharing_snippet(hub, folders, monkeypatch, capsys):
    """If it fails, what is shared cannot be found, fetched or connected as the README says."""
    monkeypatch.setenv("HF_TOKEN", hub.token("me"))
    hub.upload("sentence-transformers/all-MiniLM-L6-v2", folders / "encoder")
    hub.upload("me/roberta-topic-classifier", folders / "topics")
    names = {"anchors": AnchorSet(tiny.texts(40))}
    exec(SHARE.replace("you/", "me/"), names)
    assert "me/minilm-anchored" in capsys.readouterr().out
    (answer,) = names["classify"]("w1 w2")
    assert answer["label"].startswith("LABEL_")
    assert "report.json" in hub.files("me/minilm-to-topic")
