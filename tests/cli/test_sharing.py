"""`classify`, `push`, `find` and `doctor`."""

from pathlib import Path

import pytest
import tiny_encoders as tiny
from published import ANCHORS

from irp_hf import AnchorSet, IRPAdapter, IRPStitchPipeline, find_spaces


def test_labels_are_those_of_the_pipeline(desk_on_the_hub, irp_hf_command):
    """If it fails, a shell gives other labels than the pipeline, or in another order."""
    texts = tiny.texts(5)
    done = irp_hf_command("classify", "me/adapter", *texts, "--top-k", 2, "--return-confidence", "--json")
    assert done.code == 0, done.err
    classify = IRPStitchPipeline(IRPAdapter.from_pretrained("me/adapter"))
    expected = classify(texts, top_k=2, return_confidence=True, batch_size=32)
    answers = done.json["answers"]
    for mine, theirs in zip(answers, expected, strict=True):
        assert [one["label"] for one in mine] == [one["label"] for one in theirs]
        assert [one["score"] for one in mine] == pytest.approx([one["score"] for one in theirs])
    lines = irp_hf_command("classify", "me/adapter", *texts).out.splitlines()
    assert [line.split("\t")[1] for line in lines] == texts
    assert [line.split(" ")[0] for line in lines] == [mine[0]["label"] for mine in answers]


def test_inputs_come_by_arguments_by_lines_or_by_a_table(desk_on_the_hub, irp_hf_command):
    """If it fails, what a shell pipes in, or what a table holds, is not what is classified."""
    texts = tiny.texts(6)
    Path("some.txt").write_text("\n".join(texts), encoding="utf-8")
    given = [
        irp_hf_command("classify", "minilm-to-topic", *texts, "--json"),
        irp_hf_command("classify", "minilm-to-topic", "--json", stdin="\n".join(texts) + "\n"),
        irp_hf_command("classify", "minilm-to-topic", "--table", "some.txt", "--json"),
        irp_hf_command(
            "classify", "-", *texts, "--encoder", "me/encoder-anchored", "--head", "me/topics-anchored", "--json"
        ),
    ]
    answers = [done.json["answers"] for done in given]
    assert answers[0] == answers[1] == answers[2]
    assert [len(labels) for labels in answers[3]] == [1] * 6  # of an adapter that was fitted at once


@pytest.mark.parametrize("kind", ["anchors", "minilm-anchored", "old-to-new"])
def test_a_pushed_folder_is_found_again(kind, desk_on_the_hub, published, irp_hf_command):
    """If it fails, what is pushed is another kind than the folder, or not the folder."""
    more = ["--no-report"] if kind == "old-to-new" else ["--license", "cc-by-4.0"] if kind == "anchors" else []
    done = irp_hf_command("push", kind, f"me/{kind}", "--private", "--commit-message", "A first one", *more, "--json")
    assert done.code == 0, done.err
    assert done.json["id"] == f"me/{kind}"
    looked = irp_hf_command("doctor", f"me/{kind}", "--json").json
    here = irp_hf_command("doctor", kind, "--json").json
    assert {**looked, "place": kind, "license": None} == {**here, "license": None}


def test_spaces_are_found_by_their_anchors(desk_on_the_hub, published, irp_hf_command):
    """If it fails, nobody finds from a shell what can be connected."""
    AnchorSet(ANCHORS).save_pretrained("same")
    expected = [space.id for space in find_spaces("me/anchors")]
    assert set(expected) == {"me/encoder-anchored", "me/topics-anchored"}
    for anchors in ("me/anchors", "same", AnchorSet(ANCHORS).fingerprint):
        found = irp_hf_command("find", anchors, "--json")
        assert [space["id"] for space in found.json["spaces"]] == expected, found.err
    assert [line.split("\t")[0] for line in irp_hf_command("find", "me/anchors").out.splitlines()] == expected
    assert irp_hf_command("find", "0" * 64).out == "None.\n"


def test_doctor_tells_what_is_installed(irp_hf_command):
    """If it fails, a report of a fault lacks the versions it happened with."""
    told = irp_hf_command("doctor", "--json").json
    import torch
    import transformers

    assert (
        told["packages"]["torch"] == torch.__version__.split("+")[0] or told["packages"]["torch"] == torch.__version__
    )
    assert told["packages"]["transformers"] == transformers.__version__
    assert "cpu" in told["devices"]
    assert "irp_hf" in irp_hf_command("doctor").out


FIT = {
    ("old-to-new", "old.parquet#embedding"): 0,
    ("old.npy", "old-to-new"): 0,
    ("old-to-new", "new.npy"): 1,
    ("old-to-new", "old-to-new"): 1,
    ("minilm-anchored", "mpnet-anchored"): 0,
    ("anchors", "mpnet-anchored"): 0,
    ("minilm-anchored", "old.npy"): 0,
    ("minilm-anchored", "new.npy"): 1,
    ("other", "mpnet-anchored"): 1,
}


@pytest.mark.parametrize("pair", FIT, ids=" and ".join)
def test_doctor_tells_whether_two_fit(pair, desk, irp_hf_command):
    """If it fails, parts that belong together are said not to, or the reverse."""
    AnchorSet(tiny.texts(40)).save_pretrained("other")
    done = irp_hf_command("doctor", *pair, "--json")
    assert done.code == FIT[pair], done.err
    assert done.json["fits"] == (done.code == 0)
    assert ("They fit" if done.code == 0 else "They do not fit") in irp_hf_command("doctor", *pair).out


REFUSED = {
    "an adapter that is not there": (["classify", "none", "w1"], 1, "none"),
    "a space for an adapter": (["classify", "minilm-anchored", "w1"], 1, "minilm-anchored"),
    "one that names no encoder": (["classify", "old-to-new", "w1"], 1, "encoder"),
    "a picture for texts": (["classify", "me/adapter", "--table", "texts.csv", "--column", "image"], 1, "'image'"),
    "both": (["classify", "me/adapter", "w1", "--table", "texts.csv"], 2, "--table"),
    "no such function": (["classify", "me/adapter", "w1", "--function-to-apply", "tanh"], 1, "'tanh'"),
    "no labels": (["classify", "me/adapter", "w1", "--top-k", "0"], 1, "0"),
    "a folder of nothing": (["push", ".", "me/x"], 1, "config.json"),
    "a folder that is not there": (["push", "./none", "me/x"], 1, "none"),
    "no id": (["push", "anchors", "me/x/y"], 1, "me/x/y"),
    "somebody else's": (["push", "anchors", "you/anchors"], 1, "you/anchors"),
    "a licence of a space": (["push", "minilm-anchored", "me/x", "--license", "mit"], 1, "license"),
    "anchors that the Hub lacks": (["find", "me/none"], 1, "me/none"),
    "a space without anchors": (["find", "old-to-new"], 1, "fingerprint"),
    "what is nothing": (["doctor", "texts.csv"], 1, "texts.csv"),
    "two that nobody uses together": (["doctor", "old.npy", "new.npy"], 1, "vectors and vectors"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_is_refused_in_words(what, desk_on_the_hub, refuses):
    """If it fails, bad input ends in a traceback or another code, or leaves something behind."""
    refuses(*REFUSED[what])
