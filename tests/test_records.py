"""Records of who encoded and of which anchors: what they take, what they save, and where two of them differ."""

import json

import numpy as np
import pytest
from says import says

from irp_hf import AnchoredSpace
from irp_hf.encoding.base import Options
from irp_hf.errors import InputError
from irp_hf.records import LONGEST, AnchorRecord, EncoderRecord, check_fingerprint

COMMIT = "a" * 40
FULL = {
    "id": "me/encoder",
    "revision": COMMIT,
    "pooling": ["mean", "max"],
    "prompt": None,
    "normalize": True,
    "dtype": "float32",
    "view": "text",
    "modality": "image",
    "at": "head",
}


def test_json_brings_back_the_same_record():
    """A pooling of two modes is a tuple here and a list in JSON: taken for a difference, no run would ever go on."""
    record = EncoderRecord.from_dict(FULL | {"seen": [1, {"a": None}]}, "encoder")
    assert record.pooling == ("mean", "max")
    assert record.extra == {"seen": [1, {"a": None}]}
    saved = json.loads(json.dumps(record.to_dict()))
    assert saved == record.to_dict() == FULL | {"seen": [1, {"a": None}]}
    assert EncoderRecord.from_dict(saved, "encoder") == record
    assert EncoderRecord.of(pooling=("mean", "max")) == EncoderRecord.of(pooling=["mean", "max"])
    assert hash(record) == hash(EncoderRecord.from_dict(saved, "encoder"))


def test_what_was_never_recorded_stays_so():
    """A card or a comparison would otherwise say that there is no prompt where nobody knows."""
    record = EncoderRecord.from_dict({"id": "me/encoder", "prompt": None}, "encoder")
    assert record.to_dict() == {"id": "me/encoder", "prompt": None}
    assert record.with_values(view="en", prompt="query: ").to_dict() == {
        "id": "me/encoder",
        "prompt": "query: ",
        "view": "en",
    }
    assert EncoderRecord.from_dict(None, "encoder").to_dict() == {}
    assert EncoderRecord.from_dict(record, "encoder") is record


def test_properties():
    """A folder must not be linked to on the Hub, nor a stranger's path be opened as an id."""
    record = EncoderRecord.from_dict(FULL, "encoder")
    assert (record.name, record.on_hub, record.at_head) == ("me/encoder", True, True)
    for other in ({"revision": None}, {"revision": "main"}, {"id": "../encoder"}, {"id": "encoder"}):
        assert not record.with_values(**other).on_hub
    assert EncoderRecord().name == "an unknown encoder"
    assert not EncoderRecord().at_head
    assert AnchorRecord.of(id="me/anchors", revision=COMMIT).on_hub


def test_the_constructor_records_what_it_is_given(refusal):
    """A record made in the plain way would save nothing of what it says, and agree with every other."""
    record = EncoderRecord(id="me/encoder", normalize=True, pooling=["mean", "max"])
    assert record == EncoderRecord.of(id="me/encoder", normalize=True, pooling=("mean", "max"))
    assert record.to_dict() == {"id": "me/encoder", "normalize": True, "pooling": ["mean", "max"]}
    assert record.with_values(prompt=None).to_dict() == {**record.to_dict(), "prompt": None}
    assert EncoderRecord().to_dict() == {}
    assert AnchorRecord("me/anchors", COMMIT).to_dict() == {"id": "me/anchors", "revision": COMMIT}
    space = AnchoredSpace.from_embeddings(np.eye(3, dtype=np.float32), encoder=record)
    assert space.config.encoder == record.to_dict()
    assert says(refusal(EncoderRecord, normalize="yes", error=InputError), "normalize", "'yes'")
    assert says(refusal(AnchorRecord, id=3, error=InputError), "id", "3")


def test_a_pooling_has_one_name():
    """A sentence-transformers model and the same model in transformers would pool otherwise, by their names alone."""
    for theirs, ours in (("lasttoken", "last"), (("mean", "lasttoken"), ("mean", "last")), ("cls", "cls")):
        assert EncoderRecord.from_dict({"pooling": theirs}, "encoder").pooling == ours
    assert not differences({"pooling": "lasttoken"}, {"pooling": "last"})


def differences(one: dict, other: dict, *names: str) -> list:
    records = [EncoderRecord.from_dict(values, "encoder") for values in (one, other)]
    return [tuple(difference) for difference in records[0].differences(records[1], names or None)]


def test_differences():
    """Only where both are known: a mismatch that is none would keep people from their own pipelines."""
    assert not differences(FULL, FULL)
    assert differences(FULL, FULL | {"pooling": ["max", "mean"]}) == [("pooling", ("mean", "max"), ("max", "mean"))]
    assert differences(FULL, FULL | {"dtype": "float16"}, "pooling", "revision") == []
    for unknown in ({"pooling": None}, {"revision": None}, {"id": None}):
        assert not differences(FULL, FULL | unknown)
    assert differences({"prompt": None}, {"prompt": "query: "}) == [("prompt", None, "query: ")]
    assert not differences({"prompt": None}, {"prompt": ""})
    assert not differences({}, {"prompt": "query: "})
    assert differences({"normalize": False}, {"normalize": True}) == [("normalize", False, True)]
    assert not differences({"normalize": False}, {"normalize": None})


def test_where_a_head_is_read_is_known_of_whatever_encode_made():
    """It is recorded only where it is something; vectors as an encoder pools them would pass for a head's."""
    pooled, at_head = {"normalize": False}, {"normalize": False, "at": "head"}
    assert differences(pooled, at_head) == [("at", None, "head")]
    assert not differences({"id": "made elsewhere"}, at_head)


@pytest.mark.parametrize(
    "values",
    [
        *("me/encoder", 3, ["id"], {1: 2}, {"id": float("nan")}, {"extra": {1, 2}}, {"extra": object()}),
        *({"id": 3}, {"id": ["me"]}, {"prompt": "x" * (LONGEST + 1)}, {"normalize": 1}, {"normalize": "yes"}),
        *({"pooling": []}, {"pooling": ["mean", None]}, {"pooling": [["mean"]]}, {"pooling": {"mean": True}}),
        *({"id": "\ud800"}, {"extra": {"a": ["\udfff"]}}, {"max_length": 10**4200}, {"truncate_dim": True}),
    ],
)
def test_what_json_cannot_hold_or_nobody_can_read(values, refusal):
    """A stranger's config.json would come as far as a prompt or a card."""
    assert says(refusal(EncoderRecord.from_dict, values, "source_encoder", error=InputError), "source_encoder")


def test_anchors_have_four_values(refusal):
    values = {"id": "me/anchors", "revision": COMMIT, "dataset": "some/data", "license": None}
    assert AnchorRecord.from_dict(values, "anchor_set").to_dict() == values
    text = refusal(AnchorRecord.from_dict, values | {"secret": "x"}, "anchor_set", error=InputError)
    assert says(text, "anchor_set", "secret")


def test_fingerprints(refusal):
    for good in (None, "0" * 64):
        check_fingerprint(good)
    for bad in ("", "0" * 63, "g" * 64, 7):
        assert says(refusal(check_fingerprint, bad, error=InputError), repr(bad))


def test_one_pooling_in_a_list_is_that_pooling():
    """If it fails, `["mean"]` and "mean" look like two encoders, and a pipeline refuses the right one."""
    one, other = (
        EncoderRecord.from_dict({"id": "me/x", "pooling": pooling}, "encoder") for pooling in (["mean"], "mean")
    )
    assert one == other
    assert one.to_dict()["pooling"] == "mean"
    assert Options(pooling=("mean",)).pooling == "mean"
