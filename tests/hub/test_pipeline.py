"""The pipeline by an id alone: adapter, encoder and head come from the Hub, each at its commit, and no more than is needed."""

import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import tiny_encoders as tiny
from hub_server.start import empty_cache
from published import ENCODER, ROOT, TOPICS
from transformers import AutoModelForSequenceClassification, pipeline

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter, StitchedModel, find_spaces
from irp_hf.errors import AnchorMismatchError, HubError, InputError

FRESH = """
import json, sys
import irp_hf
from transformers import pipeline
classify = pipeline("irp-stitch", **json.loads(sys.argv[1]), device="cpu")
print(json.dumps(classify(json.loads(sys.argv[2]))))
"""
# As somebody runs it who never heard of irp_hf.
REMOTE = """
import json, sys
from transformers import AutoModel, pipeline
if "--hide" in sys.argv:
    sys.modules["irp_hf"] = None
if "auto" in sys.argv:
    print(type(AutoModel.from_pretrained(sys.argv[1], trust_remote_code=True)).__module__)
else:
    print(json.dumps(pipeline("irp-stitch", model=sys.argv[1], trust_remote_code=True, device="cpu")("w1 w2")))
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


def test_by_an_id_in_a_fresh_process(published, folders):
    """The README's last lines; and the classifier's backbone would be fetched for nothing."""
    texts = tiny.texts(4)
    answers = json.loads(run(FRESH, json.dumps({"model": "me/adapter"}), json.dumps(texts)))
    fetched = published.downloaded(TOPICS, "*.safetensors")
    whole = len(published.files(TOPICS)["model.safetensors"])
    scores = here(folders, texts)
    assert [answer["label"] for answer in answers] == [f"LABEL_{row.argmax()}" for row in scores]
    np.testing.assert_allclose([answer["score"] for answer in answers], scores.max(1), atol=1e-5)
    content = published.files(TOPICS)["model.safetensors"]
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    head = sum(
        entry["data_offsets"][1] - entry["data_offsets"][0]
        for name, entry in header.items()
        if name.startswith("classifier.")
    )
    assert fetched == 8 + length + head < whole / 4
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
    with pytest.raises(InputError, match=r"read at revision '.*', but the head is of"):
        pipeline("irp-stitch", model="me/adapter", head_revision="main", device="cpu")
    with pytest.warns(UserWarning, match=commit):
        pipeline("irp-stitch", model="me/adapter", head_revision="main", on_mismatch="warn", device="cpu")


@pytest.mark.slow
def test_without_a_connection_after_one_download(published):
    """It would hang in attempts to reach the Hub, or fail for a file that nobody needs."""
    arguments = (json.dumps({"model": "me/adapter"}), json.dumps(tiny.texts(3)))
    first = run(FRESH, *arguments)
    impatient = "import time; time.sleep = lambda seconds: 1 / 0\n" + FRESH
    with published.down():
        assert run(impatient, *arguments) == first
    assert run(impatient, *arguments, HF_HUB_OFFLINE="1") == first


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
    with pytest.raises(HubError, match="The Hub has no 'you/"):
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
    assert words == (
        f"encoder is '{ENCODER}', no space, but without an adapter, encoder must be an anchored space. Name one, as "
        "find_spaces lists them, or pass an adapter as model=."
    )
    assert refusal(pipeline, "irp-stitch", encoder="me/encoder-anchored", error=InputError) == (
        "There is no adapter, and no head to connect. Pass an adapter as model=, or two spaces as encoder= and head=."
    )
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
    assert refusal(find_spaces, 3, error=InputError) == (
        "anchors is a int; an AnchorSet, a space, an id or a fingerprint is wanted. Give one of them."
    )
    refusal(find_spaces, "me/nothing", error=HubError)
    with published.down():
        assert "cannot be reached" in refusal(find_spaces, anchors, error=HubError)


@pytest.mark.parametrize("what", ["auto", pytest.param("pipeline", marks=pytest.mark.slow)])
def test_without_importing_irp_hf(published, what):
    """transformers knows no irp_hf; a Hub page's own snippet would not run."""
    said = run(REMOTE, "me/adapter", what)
    assert said.strip() == "irp_hf.models.adapter" if what == "auto" else "LABEL_" in said


@pytest.mark.parametrize("what", ["auto", pytest.param("pipeline", marks=pytest.mark.slow)])
def test_where_irp_hf_is_not_installed(published, what):
    """The error would be a traceback about a module that nobody knows."""
    with pytest.raises(AssertionError, match=r"irp_hf, which is not installed\. Run: pip install irp_hf"):
        run(REMOTE, "me/adapter", what, "--hide")


@pytest.mark.slow
def test_where_irp_hf_is_imported_no_code_of_the_repository_runs(published, tmp_path):
    """Whoever can push to a repository could run code wherever an adapter of it is loaded."""
    marker = tmp_path / "ran"
    trap = f"import os; os.mkdir({str(marker)!r})\n".encode()
    published.upload("you/trap", published.files("me/adapter") | {"hub_code.py": trap})
    run("import irp_hf\n" + REMOTE, "you/trap", "auto")
    run("import irp_hf\n" + REMOTE, "you/trap", "pipeline")
    assert not marker.exists()
