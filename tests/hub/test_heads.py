"""What a stranger's repository could do: code, paths, headers, sizes; and of a classifier's file only the head is read."""

import json
import re
import struct

import numpy as np
import pytest
import tiny_encoders as tiny
import torch
from hub_server.start import empty_cache
from published import ENCODER, TOPICS
from transformers import AutoModelForSequenceClassification, pipeline

from irp_hf import IRPAdapter, StitchedModel
from irp_hf.errors import DamagedFolderError, InputError
from irp_hf.heads import open_head


def test_code_of_an_encoder_and_a_head(published, folders, tmp_path, refusal):
    """Code of a stranger's repository would run because an adapter names it."""
    marker = tmp_path / "ran"
    trap = f"import os; os.mkdir({str(marker)!r})\n".encode()
    for name in ("encoder", "topics"):
        config = json.loads((folders / name / "config.json").read_text()) | {
            "model_type": "mine",
            "auto_map": {
                "AutoConfig": "trap.Config",
                "AutoModel": "trap.Model",
                "AutoModelForSequenceClassification": "trap.Model",
            },
        }
        published.upload(f"you/{name}", folders / name)
        published.upload(f"you/{name}", {"config.json": json.dumps(config).encode(), "trap.py": trap})
    adapter = IRPAdapter.from_pretrained("me/adapter")
    adapter.config.source_encoder = adapter.config.target_encoder = None
    for parts in (
        {"encoder": "you/encoder", "head": TOPICS},
        {"encoder": ENCODER, "head": "you/topics"},
    ):
        text = refusal(pipeline, "irp-stitch", model=adapter, **parts, on_mismatch="warn", error=InputError)
        assert ("you/encoder" if "you" in parts["encoder"] else "you/topics") in text
        assert "trust_remote_code=True" in text
    assert not marker.exists()


def test_an_adapter_that_names_a_path(published, refusal):
    """A stranger's adapter could make a pipeline open any folder of this machine."""
    for name in ("/etc", "../../secret", "~/models", "a/../b", ".."):
        adapter = IRPAdapter.from_pretrained("me/adapter")
        adapter.config.source_encoder = {"id": name, "revision": "0" * 40}
        text = refusal(StitchedModel, None, adapter, TOPICS, error=InputError)
        assert repr(name) in text
        assert "encoder" in text


def test_a_download_of_a_head_that_is_cut(published):
    """Half of a head would classify, and wrongly."""
    whole = open_head(TOPICS)
    wanted = whole(torch.ones(2, 16))
    empty_cache()
    published.cut("GET /.*safetensors", after=3, times=1)
    head = open_head(TOPICS)
    np.testing.assert_array_equal(head(torch.ones(2, 16)), wanted)


def test_a_head_to_measure_with_is_named_by_its_id(published):
    """Whoever has no copy of the classifier would not learn how often its labels stay."""
    adapter = IRPAdapter.from_pretrained("me/adapter")
    rows = slice(0, 10)
    x, y = adapter.source_anchors[rows].numpy(), adapter.target_anchors[rows].numpy()
    measured = adapter.evaluate(x, y, head=TOPICS)
    assert measured == adapter.evaluate(x, y, head=open_head(TOPICS))
    labels = [open_head(TOPICS)(torch.as_tensor(rows)).argmax(1) for rows in (adapter.translate(x), y)]
    assert measured.agreement.mean == (labels[0] == labels[1]).double().mean()


@pytest.mark.slow
def test_shards(published, folders, tmp_path, refusal):
    """Large classifiers lie in shards, of which the head is in one; an index could name files outside."""
    model = AutoModelForSequenceClassification.from_pretrained(folders / "topics")
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    tiny.tokenizer().save_pretrained(tmp_path)
    published.upload("me/sharded", tmp_path)
    published.requests.clear()
    np.testing.assert_array_equal(open_head("me/sharded")(torch.ones(2, 16)), open_head(TOPICS)(torch.ones(2, 16)))
    read = {request.file[1] for request in published.requests if request.file and request.file[0] == "me/sharded"}
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    wanted = {shard for name, shard in index["weight_map"].items() if name.startswith("classifier.")}
    assert {name for name in read if name.startswith("model-")} == wanted
    for place in ("../x.safetensors", "/etc/passwd", "a/b.safetensors", "model.bin", 3):
        lying = {"metadata": {}, "weight_map": dict.fromkeys(index["weight_map"], place)}
        published.upload("you/lying", tmp_path)
        published.upload("you/lying", {"model.safetensors.index.json": json.dumps(lying).encode()})
        text = refusal(open_head, "you/lying", error=InputError)
        assert "model.safetensors.index.json of you/lying" in text
        assert repr(place) in text


HOSTILE_HEADERS = {
    "longer than the file": lambda content: struct.pack("<Q", 2**40) + content[8:],
    "no JSON": lambda content: content[:8] + b"x" * 50 + content[58:],
    "a few bytes": lambda content: content[:5],
}


@pytest.mark.parametrize("name", HOSTILE_HEADERS)
def test_headers_of_a_hostile_classifier(published, refusal, name):
    """Lengths of a stranger would be fetched and taken as memory."""
    files = published.files(TOPICS)
    published.upload("you/bad", files | {"model.safetensors": HOSTILE_HEADERS[name](files["model.safetensors"])})
    text = refusal(open_head, "you/bad", error=InputError)
    assert text.startswith("model.safetensors of you/bad: ")
    assert "a damaged one (" in text


@pytest.mark.parametrize(
    "change", [{"hidden_size": 10**9}, {"vocab_size": 10**12}, {"num_hidden_layers": 10**6}, {"num_labels": 10**9}]
)
def test_sizes_of_a_hostile_classifier(published, refusal, change):
    """A config of a few bytes would take all memory."""
    files = published.files(TOPICS)
    config = json.dumps(json.loads(files["config.json"]) | change).encode()
    published.upload("you/bad", files | {"config.json": config})
    refusal(open_head, "you/bad", error=InputError)


def test_a_damaged_adapter_is_refused_by_the_pipeline(published, refusal):
    """transformers would load it through a way of its own."""
    files = published.files("me/adapter")
    published.upload("you/bad", files | {"model.safetensors": files["model.safetensors"][:-8]})
    text = refusal(IRPAdapter.from_pretrained, "you/bad", error=DamagedFolderError)
    assert "you/bad" in text
    assert "model.safetensors" in text
    with pytest.raises(
        ValueError, match=re.escape(text.partition(":")[0])
    ) as caught:  # in a longer text of transformers
        pipeline("irp-stitch", model="you/bad")
    assert "pickle" not in str(caught.value)
