"""The README's code runs as it stands."""

import re
from pathlib import Path

import pytest
import tiny_encoders as tiny
from transformers import AutoModelForSequenceClassification

from irp_hf import AnchorSet

README = Path(__file__).resolve().parent.parent.parent / "README.md"
FIRST, CLASSIFY, VIEWS, SHARE = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)

IMPORTS = (
    "from transformers import pipeline\nfrom irp_hf import AnchoredSpace, AnchorSet, IRPAdapter\n"  # of the first job
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_first_lines_print_what_the_readme_says(here, capsys):
    """If it fails, the first thing that a new user pastes does not work, or shows other numbers."""
    exec(FIRST, {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2
    for line in printed:
        name, _, share = line.rpartition(" ")
        assert f"`{name} {float(share):.3f}`" in README.read_text(encoding="utf-8")


def test_each_job_takes_at_most_eight_lines():
    """If it fails, what looks easy has grown."""
    for code in (CLASSIFY, VIEWS, SHARE):
        assert len([line for line in code.splitlines() if line and not line.startswith("#")]) <= 8
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 130


@pytest.fixture
def encoders(here):
    """A sentence-transformers model and a classifier as the README means them, in folders: no hub can be reached."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    tiny.save(here / "bert", tiny.model("bert", **tiny.LAYERS, **tiny.VOCAB), tiny.tokenizer())
    SentenceTransformer(modules=[Transformer("bert"), Pooling(16)], device="cpu").save("minilm")
    classifier = tiny.model("roberta", AutoModelForSequenceClassification, **tiny.LAYERS, **tiny.VOCAB, num_labels=4)
    tiny.save(here / "topics", classifier, tiny.tokenizer())
    return {
        "sentence-transformers/all-MiniLM-L6-v2": "minilm",
        "me/spanish-encoder": "minilm",
        "me/roberta-topic-classifier": "topics",
    }


def on_folders(code, encoders):
    for name, folder in encoders.items():
        code = code.replace(name, folder)
    return code.replace('model="minilm-to-topic"', 'model="minilm-to-topic", encoder="minilm", head="topics"')


def test_the_classifier_snippet(encoders):
    """If it fails, a stitched classifier does not come of the lines that the README gives."""
    names = {"texts": tiny.texts(40)}
    exec(on_folders(CLASSIFY, encoders).replace("num_anchors=1500", "num_anchors=40"), names)
    (answer,) = names["classify"]("w1 w2")
    assert answer["label"] in {f"LABEL_{i}" for i in range(4)}
    answers = names["classify"](tiny.texts(3), top_k=3, return_confidence=True)
    assert [len(answer) for answer in answers] == [3, 3, 3]
    assert "confidence" in answers[0][0]


def test_the_views_snippet(encoders):
    """If it fails, a head does not read another language by the lines that the README gives."""
    names = {"english": tiny.texts(40), "spanish": tiny.texts(40)[::-1]}
    code = on_folders(VIEWS, encoders).replace("model=IRPAdapter", 'encoder="minilm", head="topics", model=IRPAdapter')
    exec(IMPORTS + code, names)
    (answer,) = names["classify"]("w1 w2")
    assert answer["label"] in {f"LABEL_{i}" for i in range(4)}


def test_the_sharing_snippet(hub, folders, monkeypatch):
    """If it fails, what is shared cannot be fetched or connected as the README says."""
    monkeypatch.setenv("HF_TOKEN", hub.token("me"))
    hub.upload("sentence-transformers/all-MiniLM-L6-v2", folders / "encoder")
    hub.upload("me/roberta-topic-classifier", folders / "topics")
    names = {"anchors": AnchorSet(tiny.texts(40))}
    exec(
        "from transformers import pipeline\nfrom irp_hf import AnchoredSpace, AnchorSet\n"
        + SHARE.replace("you/", "me/"),
        names,
    )
    (answer,) = names["classify"]("w1 w2")
    assert answer["label"].startswith("LABEL_")
    assert {"README.md", "model.safetensors"} <= {*hub.files("me/minilm-anchored")}
