"""An adapter's records of its encoders: how they are opened, and encoders that encode otherwise than the anchors were."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import stitched
import tiny_encoders as tiny
import torch
from says import says
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tiny_encoders import LAYERS, VOCAB
from torch import nn
from transformers import pipeline

from irp_hf import InputError, StitchedModel
from irp_hf.encoding import encode

ROOT = Path(__file__).parent.parent.parent
WIDTH, TEXTS = stitched.WIDTH, tiny.texts(9)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Any:
    """A folder with an encoder that needs a pooling."""
    folder = tmp_path_factory.mktemp("encoders") / "plain"
    return tiny.save(folder, tiny.model("bert", **LAYERS, **VOCAB), tiny.tokenizer())


@pytest.fixture(scope="module")
def sentence(plain) -> SentenceTransformer:
    return SentenceTransformer(modules=[Transformer(str(plain)), Pooling(WIDTH, "mean")], device="cpu")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> Any:
    return stitched.save(tmp_path_factory.mktemp("classifiers") / "topics", "text")


@pytest.fixture(scope="module")
def head() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(WIDTH, 3).eval()


def mismatches(plain: Any, sentence: Any, classifier: Any) -> list[tuple[Any, ...]]:
    """The encoder's name, what then and now differs; what was recorded, the encoder now, and its settings."""
    mean, query = dict(at=None, pooling="mean"), dict(at=None, pooling="mean", prompt="query: ")
    return [
        ("plain", "pooling='mean'", "pooling='cls'", mean, plain, {"pooling": "cls"}),
        ("plain", "pooling='cls'", "pooling='mean'", mean | {"pooling": "cls"}, sentence, {}),
        ("plain", "prompt='query: '", "prompt='text: '", query, plain, {"prompt": "text: "}),
        ("plain", "prompt=None", "prompt='text: '", mean, plain, {"prompt": "text: "}),
        ("plain", "prompt='query: '", "prompt=None", query, plain, {"prompt": ""}),
        ("plain", "normalize=True", "normalize=False", mean | {"normalize": True}, plain, {"normalize": False}),
        ("topics", "at=None", "at='head'", {"at": None}, classifier, {"at": "head"}),
        ("plain", "at='head'", "at=None", {}, sentence, {}),
    ]


@pytest.mark.parametrize("case", range(8))
def test_an_encoder_that_encodes_otherwise(case, plain, sentence, classifier, head, refusal):
    """Is refused; where the user says so it is warned of, and used."""
    name, then, now, recorded, encoder, settings = mismatches(plain, sentence, classifier)[case]
    adapter = stitched.rough(stitched.record("then", **recorded))
    stitch = partial(StitchedModel, encoder, adapter, head, **settings)
    assert says(refusal(stitch, error=InputError), name, f"expected {then}", f"got {now}", "on_mismatch='warn'")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = stitch(on_mismatch="warn")
    assert len(caught) == 1
    assert says(str(caught[0].message), name, f"expected {then}", f"got {now}")
    assert caught[0].filename == __file__
    assert model.predict(TEXTS).logits.shape == (9, 3)


def test_what_is_recorded_is_used(plain, classifier, head):
    """Prompt, normalisation and view of the anchors hold for a folder and for a function; nothing is to be warned of."""
    recorded = stitched.record("then", at=None, pooling="cls", prompt="w7 ", normalize=True)
    adapter = stitched.rough(recorded)
    vectors = encode(plain, TEXTS, pooling="cls", prompt="w7 ", normalize=True, device="cpu")[0]
    with torch.no_grad():
        wanted = head(adapter.translate(vectors))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for encoder in (plain, lambda texts: encode(plain, texts, pooling="cls", device="cpu")[0]):
            found = StitchedModel(encoder, adapter, head).predict(TEXTS).logits
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
        at_head = stitched.rough(stitched.record("topics"))
        cut = StitchedModel(classifier, at_head, head).predict(TEXTS).logits
        function = StitchedModel(lambda x: encode(classifier, x, at="head", device="cpu")[0], at_head, head)
        torch.testing.assert_close(function.predict(TEXTS).logits, cut, atol=1e-5, rtol=1e-4)


def test_nothing_is_compared_that_nobody_knows(plain, head):
    """A space of embeddings made elsewhere says only its name."""
    model = StitchedModel(plain, stitched.rough("me/plain"), head, pooling="cls", prompt="w1 ", on_mismatch="refuse")
    assert model.predict(TEXTS).logits.shape == (9, 3)


COMMITS = {name: digit * 40 for name, digit in {"encoder": "a", "topics": "b", "adapter": "c"}.items()}
ONLINE = """
import json, sys
from transformers import pipeline
import irp_hf
pipe = pipeline("irp-stitch", model="me/adapter", device="cpu")
parts = [pipe.stitched.encoder.record.revision, pipe.stitched.head.record["revision"]]
pipe.save_pretrained("again")
again = pipeline("irp-stitch", model="again", device="cpu")
texts = json.loads(sys.argv[1])
named = pipeline("irp-stitch", model="again", encoder="me/encoder", head="me/topics", device="cpu")
print(json.dumps([parts, pipe(texts), again(texts), named(texts)]))
"""


def in_cache(folder: Path, name: str, cache: Path) -> None:
    """As the Hub's client keeps a repository: a later commit is main, and only the recorded one has the files."""
    repository = cache / f"models--me--{name}"
    shutil.copytree(folder, repository / "snapshots" / COMMITS[name])
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMITS[name] if name == "adapter" else "f" * 40)


def test_parts_that_the_adapter_names(plain, classifier, tmp_path):
    """With their commits, from the cache and with no connection; also after `save_pretrained`, in another process."""
    source = stitched.record("me/encoder", at=None, pooling="mean", revision=COMMITS["encoder"])
    adapter = stitched.rough(source, stitched.record("me/topics", revision=COMMITS["topics"]))
    adapter.save_pretrained(tmp_path / "adapter")
    for name, folder in {"encoder": plain, "topics": classifier, "adapter": tmp_path / "adapter"}.items():
        in_cache(folder, name, tmp_path / "cache")
    run = subprocess.run(
        [sys.executable, "-c", ONLINE, json.dumps(TEXTS)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "already registered" not in run.stderr
    commits, answers, again, named = json.loads(run.stdout)
    assert commits == [COMMITS["encoder"], COMMITS["topics"]]
    assert answers == again == named  # the same ids mean the same commits
    here = pipeline("irp-stitch", model=adapter, encoder=plain, head=classifier, device="cpu")(TEXTS)
    assert [answer["label"] for answer in answers] == [answer["label"] for answer in here]
    assert "custom_pipelines" not in json.loads((tmp_path / "again" / "config.json").read_text())
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == [
        "config.json",
        "hub_code.py",
        "model.safetensors",
    ]


def test_a_head_that_reads_other_vectors_than_the_target_was_encoded_with(plain, classifier, refusal):
    """Forgetting at="head" gives vectors of the right width and answers of chance."""
    adapter = stitched.identity(target=stitched.record("topics", at=None, pooling="mean"))
    options = dict(pooling="mean", device="cpu")
    text = refusal(StitchedModel, plain, adapter, classifier, **options, error=InputError)
    assert says(text, "head", "vectors of topics", "at='head'", "on_mismatch='warn'")
    with pytest.warns(UserWarning, match="vectors of topics"):
        StitchedModel(plain, adapter, classifier, on_mismatch="warn", **options)
    StitchedModel(plain, adapter, nn.Linear(WIDTH, 2), **options)  # a head of its own for those vectors
