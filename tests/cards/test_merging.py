"""A card that somebody wrote or edited keeps its words; ours gives it what its metadata lack."""

import pytest
import yaml
from evaluation.test_report import report
from hypothesis import given, settings
from hypothesis import strategies as st
from models.test_cards import config

from irp_hf.cards.merging import merged, split
from irp_hf.models.cards import adapter_card

QUICK = settings(max_examples=80, deadline=None, derandomize=True)
CARD = adapter_card(config(), "me/x", report())  # made once: every example merges the same


def ours(with_report=True, **fields):
    return adapter_card(config(**fields), "me/x", report() if with_report else None)


def parts(text):
    """Metadata and text of a README."""
    _, block, body = text.split("---\n", 2)
    return yaml.safe_load(block), body


def test_where_nothing_is_ours_is_there():
    """A new repository would get no card."""
    for theirs in (None, "", "\n", "---\n---\n"):
        assert parts(merged(ours(), theirs)) == parts(str(ours()))


def test_a_card_that_nobody_edited_gives_way():
    """An adapter pushed again would keep the figures of the one before."""
    first = merged(ours(), None)
    second = merged(ours(with_report=False, num_anchors=77), first)
    assert "77 anchors" in second
    assert "model-index" not in parts(second)[0]
    assert second == str(ours(with_report=False, num_anchors=77))


def test_an_edited_text_stays_and_the_metadata_follow():
    """A warning that somebody added would be gone with the next push, or stale figures stay in the metadata."""
    edited = merged(ours(), None).replace("## Limits", "## Limits\n\nNot for medicine.")
    after = merged(ours(num_anchors=77), edited)
    assert parts(after)[1] == parts(edited)[1]
    assert "77 anchors" in str(parts(after)[0]["model-index"]) or parts(after)[0] == parts(str(ours(num_anchors=77)))[0]


THEIRS = (
    "---\nlicense: mit\nlibrary_name: mine\ntags: [a, irp_hf]\nbase_model: you/other\n"
    "model-index:\n- name: else\n  results: []\n"
    "---\n# By hand\r\n\ttabs, é\n"
)


def test_metadata_that_somebody_set_stay():
    """A licence that somebody chose would be changed."""
    data, text = parts(merged(ours(), THEIRS))
    new, _ = parts(str(ours()))
    assert text == THEIRS.split("---\n", 2)[2]
    assert (data["license"], data["library_name"]) == ("mit", "mine")
    assert data["tags"][:2] == ["a", "irp_hf"]
    assert {*data["tags"]} == {"a", *new["tags"]}
    assert {*data["base_model"]} == {"you/other", *new["base_model"]}
    assert [entry["name"] for entry in data["model-index"]] == ["else", "x"]
    assert data["pipeline_tag"] == new["pipeline_tag"]


@pytest.mark.parametrize("block", ["a: [", "\t- x", "{", "a: b: c", "- list", "just words"])
def test_metadata_that_cannot_be_read_stay(block):
    """What somebody wrote would be lost for a slip in it."""
    theirs = f"---\n{block}\n---\n# Theirs\n"
    assert merged(ours(), theirs) == theirs


@QUICK
@given(text=st.text().filter(lambda text: text.lstrip("\ufeff").strip()))  # a mark of byte order alone is no text
def test_any_text_is_kept_to_the_byte(text):
    """Line ends, spaces or signs would change with each push."""
    once = merged(CARD, text)
    assert once.endswith(text) or once == text
    assert merged(CARD, once) == once


@pytest.mark.slow
@QUICK
@given(
    data=st.dictionaries(
        st.sampled_from(
            ["license", "tags", "base_model", "datasets", "language", "pipeline_tag", "model-index", "mine"]
        ),
        st.none() | st.text(max_size=5) | st.lists(st.text(max_size=5) | st.integers(), max_size=3) | st.integers(),
    ),
    text=st.text(max_size=40),
)
def test_any_metadata_are_kept(data, text):
    """Values that somebody set would be changed, or a second push change what the first made."""
    theirs = f"---\n{yaml.safe_dump(data)}---\n# Theirs\n{text}"
    once = merged(CARD, theirs)
    assert once.endswith(f"# Theirs\n{text}")
    assert merged(CARD, once) == once
    kept = parts(once)[0] if once != theirs else data
    for key, value in data.items():
        if key not in ("tags", "base_model", "datasets", "model-index") and value is not None:
            assert kept[key] == value


def test_aliases_and_long_metadata_are_not_read():
    """Some hundred bytes of aliases are millions of entries, once they are compared or written: a push would never end."""
    lists = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lists += [f"a{row}: &a{row} [{', '.join([f'*a{row - 1}'] * 9)}]" for row in range(1, 12)]
    long = "x: [" + "1, " * 400_000 + "1]"
    many = ("x: [" + "1, " * 70_000 + "1]", "x: [" + "[]," * 20_001 + "]", "x:\n" + "- a\n" * 40_000, "? a\n" * 31_000)
    for block in ("\n".join(lists), long, *many, "[" * 50_000, "a: " + "{a: " * 50_000):
        theirs = f"---\n{block}\n---\n# Mine\n"
        assert split(theirs) is None
        assert merged("---\nlicense: mit\n---\nours\n", theirs) == theirs
    assert split("---\na: &a 1\n---\n").data == {"a": 1}


def test_long_lists_of_results_are_read():
    """If it fails, the card of a model with the results of a whole benchmark gets nothing of ours."""
    results = [{"task": {"type": "Retrieval"}, "metrics": [{"type": "map_at_1", "value": n / 7}]} for n in range(600)]
    theirs = f"---\n{yaml.safe_dump({'model-index': [{'name': 'x', 'results': results}]})}---\n# Mine\n"
    assert parts(merged("---\nlicense: mit\n---\nours\n", theirs))[0]["license"] == "mit"
