"""What the pipeline says of calls that people really make: each word leads to the call that works."""

import pathlib
import pickle
import tracemalloc
import warnings
from functools import partial
from typing import Any

import cloudpickle
import dill
import pandas
import pytest
import stitched
import tiny_encoders as tiny
import torch
from says import says
from torch import nn
from torch.utils.data import Dataset
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

from irp_hf import AnchoredSpace, AnchorSet, InputError, IRPAdapter, StitchedModel
from irp_hf.encoding import encode

TEXTS = tiny.texts(5)
HEAD = nn.Linear(stitched.WIDTH, 3).eval()


def made(encoder: Any = stitched.embed, **options: Any) -> Any:
    return pipeline("irp-stitch", model=stitched.rough(), encoder=encoder, head=HEAD, device="cpu", **options)


def test_misspelt_options_name_what_was_meant(refusal):
    """ "Leave it out" left the user with batches of one."""
    classify = made()
    near = {"batchsize": "batch_size", "num_worker": "num_workers", "topk": "top_k", "max_len": "max_length"}
    for given, meant in near.items():
        assert says(refusal(classify, TEXTS, error=InputError, **{given: 2}), repr(given), f"Write {meant}=.")
        assert says(refusal(made, error=InputError, **{given: 2}), repr(given), f"Write {meant}=.")
    for name in ("pooling", "head", "encoder_revision", "tokenizer"):
        assert says(refusal(classify, TEXTS, error=InputError, **{name: "x"}), repr(name), f"Give {name}= to pipeline(")


class Nothing(Dataset[Any]):
    column_names = ("text",)

    def __len__(self) -> int:
        return 0

    def __getitem__(self, row: Any) -> Any:
        return [] if isinstance(row, str) else [][row]


def test_no_items_give_no_answers(refusal):
    """As an empty generator does; a loop over batches would end at an empty one."""
    classify = made()
    assert classify(dict(enumerate(TEXTS)).values()) == classify(TEXTS)
    assert [classify(nothing) for nothing in ([], (), {}.values())] == [[], [], []]
    assert list(classify(item for item in [])) == list(classify(Nothing())) == []
    assert list(classify(KeyDataset(Nothing(), "text"))) == []
    assert says(refusal(classify, [], top_k=0, error=InputError), "top_k")


def test_truncation_may_be_switched_off(plain, refusal):
    """As transformers has it: what fits is answered alike, and what does not is an error, of that row."""
    classify = made(plain, pooling="mean")
    wanted, long = classify(TEXTS), "w1 " * 100
    for off in (False, "do_not_truncate"):
        assert classify(TEXTS, truncation=off) == wanted
        text = refusal(classify, [*TEXTS, long], truncation=off, batch_size=2, error=InputError)
        assert says(text, "Item 5", "at most 64 tokens", "101")
        assert says(refusal(classify, {"text": long, "text_pair": "w"}, truncation=off), "Item 0", "101")
        assert says(refusal(classify, "w1 w2 w3 w4", truncation=off, max_length=3), "at most 3 tokens", "one of 5")
    assert classify([long], truncation=True) == classify([long])
    assert made()(TEXTS, truncation=False) == made()(TEXTS)  # a function's tokens are its own


def test_what_a_saved_pipeline_cannot_name_is_told(plain, classifier, tmp_path):
    """Whoever opens it elsewhere would find no encoder and no head."""
    adapter = stitched.rough(stitched.record("plain", at=None))
    local = pipeline("irp-stitch", model=adapter, encoder=plain, head=HEAD, pooling="mean")
    with pytest.warns(UserWarning, match="the encoder plain and the head a Linear.*Pass encoder= and head="):
        local.save_pretrained(tmp_path / "saved")
    with pytest.warns(UserWarning, match="Pass encoder= and head="):
        made().save_pretrained(tmp_path / "function")


def test_parts_of_the_hub_are_saved_in_silence(published, tmp_path):
    classify = pipeline("irp-stitch", model="me/adapter", device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classify.save_pretrained(tmp_path / "saved")
    encoder = classify.stitched.encoder_module
    other = pipeline("irp-stitch", model="me/adapter", encoder=encoder, head=HEAD, on_mismatch="ignore")
    with pytest.warns(UserWarning, match="Pass head="):
        other.save_pretrained(tmp_path / "other")


def test_an_adapter_of_two_folders_names_both(refusal):
    """One error after another would name one part each."""
    adapter = stitched.rough(stitched.record("plain", at=None), stitched.record("topics"))
    text = refusal(pipeline, "irp-stitch", model=adapter, error=InputError)
    assert says(text, "'topics'", "'plain'", "head= and encoder=")
    assert says(refusal(pipeline, "irp-stitch", model=adapter, encoder=stitched.embed), "'topics'", "Pass head=")


def test_an_encoder_without_a_head_is_said_to_have_none(plain, refusal):
    """The advice was to name another pooling, which at="head" refuses."""
    text = refusal(encode, plain, TEXTS, at="head", device="cpu", error=InputError)
    assert says(text, "plain", "Name a classifier", "leave out at='head'")


def test_files_of_texts_are_told_how_to_be_read(tmp_path, plain, refusal):
    """For whoever passes the file itself; what is advised gives the texts."""
    classify = made(plain, pooling="mean")
    files = {"csv": "text\nw1\nw2\n", "tsv": "text\tx\nw1\t1\nw2\t2\n", "txt": "w1\nw2\n"}
    files |= {"jsonl": '{"text": "w1"}\n{"text": "w2"}\n', "json": '[{"text": "w1"}, {"text": "w2"}]'}
    for ending, content in files.items():
        path = tmp_path / f"texts.{ending}"
        path.write_text(content)
        encoded = partial(encode, plain, pooling="mean")
        for call in (encoded, classify.stitched.predict, AnchorSet, classify):
            words = refusal(call, path, error=InputError)
            advice = words.rpartition("Read the file first: ")[2][:-1]
            found = eval(advice.replace("the column", "text"), {"pandas": pandas, "pathlib": pathlib})
            assert list(found) == ["w1", "w2"], ending
        assert "Read the file first" in refusal(AnchorSet.sample, path, num_anchors=2, error=InputError)


def test_cloudpickle_and_dill_carry_what_they_carry_alone(refusal):
    """They carry a lambda; a pipeline that holds one was refused."""
    scale = 2.0
    model = StitchedModel(lambda texts: stitched.embed(texts), stitched.rough(), lambda vectors: HEAD(vectors) * scale)
    classify = pipeline("irp-stitch", model=model)
    wanted = classify(TEXTS)
    for library in (cloudpickle, dill):
        assert library.loads(library.dumps(classify))(TEXTS) == wanted
        assert torch.equal(library.loads(library.dumps(model)).predict(TEXTS).logits, model.predict(TEXTS).logits)
    assert says(refusal(pickle.dumps, classify, error=InputError), "The head", "at the top of a module")


def test_a_head_is_not_pickled_twice():
    """Of a head of gigabytes, the trial took as long as the pickle, and as much memory."""
    head = StitchedModel(stitched.embed, stitched.rough(), nn.Linear(stitched.WIDTH, 200_000)).head
    tracemalloc.start()
    head.__getstate__()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000 < len(pickle.dumps(head))


def test_a_function_of_texts_is_spared_what_is_no_text(refusal, monkeypatch):
    """The words of whatever tokenizer it calls came out, and an address was fetched though it stood for itself."""
    anchors = AnchorSet(tiny.texts(40))
    source = AnchoredSpace.encode(stitched.embed, anchors)
    target = AnchoredSpace.from_embeddings(stitched.rows(len(anchors)), anchors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapter = IRPAdapter.connect(source, target, method="kernel", gamma=1.0, ridge=0.1)
    classify = pipeline("irp-stitch", model=adapter, encoder=stitched.embed, head=HEAD)
    assert classify.stitched.modality == "text"
    for item, got in ((None, "None"), (5, "int"), (float("nan"), "nan"), (b"a", "bytes"), (pandas.NA, "NA")):
        for call in (classify, classify.stitched.predict):
            assert says(refusal(call, ["a", item], error=InputError), "Item 1: expected a text", got)
    monkeypatch.setattr("irp_hf.stitching.pipeline.fetch_url", lambda *given: pytest.fail("it fetches a text"))
    assert classify("https://a.b/c")[0]["label"]


def test_a_function_of_anything_reads_anything():
    classify = pipeline(
        "irp-stitch", model=stitched.identity(), encoder=lambda ids: stitched.embed(list(map(str, ids))), head=HEAD
    )
    assert len(classify([5, 6])) == 2
