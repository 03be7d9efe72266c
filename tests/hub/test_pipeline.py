"""The pipeline by an id alone: adapter, encoder and head come from the Hub, each at its commit, and no more than is needed."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tiny_encoders as tiny
from hub_server.start import empty_cache
from published import ENCODER, ROOT, TOPICS
from transformers import AutoModelForSequenceClassification, pipeline

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter, StitchedModel, find_spaces
from irp_hf.checkpoints.tensors import FIRST
from irp_hf.errors import AnchorMismatchError, HubError, InputError

WEIGHTS = "model.safetensors"
FRESH = """
import json, sys
import numpy as np
from irp_hf import IRPAdapter
from transformers import pipeline
name, texts, x = json.loads(sys.argv[1])
answers = pipeline("irp-stitch", model=name, device="cpu")(texts)
print(json.dumps([answers, IRPAdapter.from_pretrained(name).translate(np.array(x, np.float32)).tolist()]))
"""
# As somebody runs it who never heard of irp_hf, each case in a process of its own that has imported transformers alone.
REMOTE = """
import json, os, sys, traceback
import torch
import transformers.image_processing_utils, transformers.modeling_utils  # once for all that follow: it takes seconds
from transformers import AutoModel, pipeline

def auto(name):
    return type(AutoModel.from_pretrained(name, trust_remote_code=True)).__module__

def task(name):
    return pipeline("irp-stitch", model=name, trust_remote_code=True, device="cpu")("w1 w2")[0]["label"]

for before, call, name in json.loads(sys.argv[1]):
    child = os.fork()
    if not child:
        assert "irp_hf" not in sys.modules
        exec(before)
        try:
            said = {"auto": auto, "task": task}[call](name)
        except Exception:
            said = traceback.format_exc()
        print(json.dumps(said), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def run(code, *arguments, **environment):
    """Standard output of a fresh process, in a folder of its own."""
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"} | environment
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def here(folders, texts):
    """What the parts answer when they are put together by hand from folders."""
    adapter = IRPAdapter.from_pretrained("me/adapter")
    model = StitchedModel(str(folders / "encoder"), adapter, str(folders / "topics"), device="cpu")
    return model.predict(texts).logits.softmax(1).numpy()


@pytest.mark.slow
def test_by_an_id_in_a_fresh_process(published, folders):
    """The README's last lines; and the classifier's backbone would be fetched for nothing."""
    texts, x = tiny.texts(4), np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)
    answers, translated = json.loads(run(FRESH, json.dumps(["me/adapter", texts, x.tolist()])))
    fetched = published.downloaded(TOPICS, "*.safetensors")
    reads = [request for request in published.requests if request.file and request.file[:2] == (TOPICS, WEIGHTS)]
    assert all(request.ranged for request in reads)
    scores = here(folders, texts)
    np.testing.assert_array_equal(
        np.array(translated, np.float32), IRPAdapter.from_pretrained("me/adapter").translate(x)
    )
    assert [answer["label"] for answer in answers] == [f"LABEL_{row.argmax()}" for row in scores]
    np.testing.assert_allclose([answer["score"] for answer in answers], scores.max(1), atol=1e-5)
    assert len(reads) == 1  # the head lies behind the header, in what is asked for first
    assert fetched == FIRST < len(published.files(TOPICS)[WEIGHTS]) / 3
    assert not any(request.token for request in published.requests if request.storage)


def test_at_the_recorded_commits(published, folders):
    """An encoder or a classifier that changed since would be fed into an adapter of the old one."""
    texts = tiny.texts(4)
    before = here(folders, texts)
    other = tiny.model("roberta", AutoModelForSequenceClassification, **tiny.LAYERS, **tiny.VOCAB, num_labels=3)
    newer = tiny.save(folders / "newer", other, tiny.tokenizer())
    commit = published.upload(TOPICS, newer)
    classify = pipeline("irp-stitch", model="me/adapter", device="cpu")
    np.testing.assert_allclose([answer["score"] for answer in classify(texts)], before.max(1), atol=1e-5)
    with pytest.raises(InputError, match=commit):
        pipeline("irp-stitch", model="me/adapter", head_revision="main", device="cpu")
    with pytest.warns(UserWarning, match=commit):
        pipeline("irp-stitch", model="me/adapter", head_revision="main", on_mismatch="warn", device="cpu")


@pytest.mark.slow
def test_without_a_connection_after_one_download(published):
    """It would hang in attempts to reach the Hub, or fail for a file that nobody needs."""
    texts, x = tiny.texts(3), np.ones((2, 16), np.float32)
    wanted = pipeline("irp-stitch", model="me/adapter", device="cpu")(texts)
    impatient = "import time; time.sleep = lambda seconds: 1 / 0\n" + FRESH
    arguments = json.dumps(["me/adapter", texts, x.tolist()])
    with published.down():
        without = run(impatient, arguments)
    assert run(impatient, arguments, HF_HUB_OFFLINE="1") == without
    answers, _ = json.loads(without)
    assert [answer["label"] for answer in answers] == [answer["label"] for answer in wanted]
    np.testing.assert_allclose([a["score"] for a in answers], [a["score"] for a in wanted], atol=1e-6)


@pytest.mark.slow
def test_the_token_reaches_every_part(published, folders):
    """Private encoders and heads would need tokens of their own, or an environment variable."""
    for name in ("adapter", "encoder", "topics"):
        made = f"you/{name}"
        published.upload(made, published_folder(published, folders, name), private=True)
    adapter = IRPAdapter.from_pretrained("me/adapter")
    for side, name in ((adapter.config.source_encoder, "encoder"), (adapter.config.target_encoder, "topics")):
        side |= {"id": f"you/{name}", "revision": published.commits(f"you/{name}")[0]}
    adapter.push_to_hub("you/adapter", report=False, token=published.token("you"))
    token = published.token("you", "read")
    classify = pipeline("irp-stitch", model="you/adapter", token=token, device="cpu")
    assert classify("w1 w2")[0]["label"].startswith("LABEL_")
    assert StitchedModel(adapter="you/adapter", token=token, device="cpu").predict(["w1"]).logits.shape == (1, 3)
    empty_cache()
    with pytest.raises(HubError, match="'you/"):
        pipeline("irp-stitch", model=adapter, device="cpu")


def published_folder(hub, folders, name):
    return hub.files("me/adapter") if name == "adapter" else folders / name


def test_two_spaces_are_connected_on_the_fly(published, refusal):
    """N spaces would need an adapter for each of N² pairs."""
    classify = pipeline("irp-stitch", encoder="me/encoder-anchored", head="me/topics-anchored", device="cpu")
    assert classify("w1 w2")[0]["label"].startswith("LABEL_")
    assert classify.model.config.source_encoder["id"] == ENCODER
    spaces = [AnchoredSpace.from_pretrained(f"me/{name}-anchored") for name in ("encoder", "topics")]
    assert StitchedModel(spaces[0], None, spaces[1], device="cpu").predict(["w1"]).logits.shape == (1, 3)
    words = refusal(pipeline, "irp-stitch", encoder=ENCODER, head="me/topics-anchored", error=InputError)
    assert repr(ENCODER) in words
    assert "space" in words
    assert "model=" in refusal(pipeline, "irp-stitch", encoder="me/encoder-anchored", error=InputError)
    other = AnchoredSpace.encode(ENCODER, AnchorSet(tiny.texts(30)), device="cpu")
    refusal(pipeline, "irp-stitch", encoder=other, head="me/topics-anchored", error=AnchorMismatchError)


def test_spaces_are_found(published, refusal):
    """Whoever holds a space would not know what it can be connected to."""
    published.upload("you/liar", {"README.md": b"---\ntags: [irp-space, 'irp-anchors:" + b"0" * 64 + b"']\n---\n"})
    published.upload("you/hidden", published.files("me/topics-anchored"), private=True)
    anchors = AnchorSet.from_pretrained("me/anchors")
    for wanted in (anchors, anchors.fingerprint, "me/anchors", IRPAdapter.from_pretrained("me/adapter")):
        found = {space.id: space for space in find_spaces(wanted)}
        assert {*found} == {"me/encoder-anchored", "me/topics-anchored"}
    assert found["me/encoder-anchored"].encoder == ENCODER
    assert found["me/encoder-anchored"].revision == published.commits("me/encoder-anchored")[0]
    assert "you/hidden" in {space.id for space in find_spaces(anchors, token=published.token("you"))}
    assert not find_spaces(AnchorSet(["a", "b"]))
    assert refusal(find_spaces, 3, error=InputError).startswith("anchors")
    refusal(find_spaces, "me/nothing", error=HubError)
    with published.down():
        assert "cannot be reached" in refusal(find_spaces, anchors, error=HubError)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("call", ["auto", pytest.param("task", marks=pytest.mark.slow)])
def test_who_knows_transformers_alone(published, tmp_path, call):
    """A Hub page's own snippet would not run, or end in a traceback about a module that nobody knows.

    And whoever can push to a repository could run code wherever an adapter of it is loaded, though irp_hf is imported.
    """
    marker = tmp_path / "ran"
    trap = f"import os; os.mkdir({str(marker)!r})\n".encode()
    published.upload("you/trap", published.files("me/adapter") | {"hub_code.py": trap})
    cases = [("", "me/adapter"), ("sys.modules['irp_hf'] = None", "me/adapter"), ("import irp_hf", "you/trap")]
    lines = run(REMOTE, json.dumps([(before, call, name) for before, name in cases])).splitlines()
    plain, hidden, trapped = map(json.loads, lines)
    for said in (plain, trapped):
        assert said == "irp_hf.models.adapter" if call == "auto" else said.startswith("LABEL_")
    assert "irp_hf, which is not installed. Run: pip install irp_hf" in hidden
    assert not marker.exists()
