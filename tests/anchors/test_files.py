"""The folder of an anchor set: whole after loading, and refused where it is damaged."""

import contextlib
import json

import datasets
import pandas
import pytest
from anchors.test_anchor_set import TEXTS, file_of, picture
from hypothesis import example, given, settings
from hypothesis import strategies as st

from irp_hf.anchors.anchor_set import MANIFEST, TABLE, AnchorSet
from irp_hf.errors import DamagedFolderError


def test_a_saved_set_is_the_same_after_loading(tmp_path):
    """What was published would not be what was encoded."""
    rows = [{"en": f"dog {row % 50}", "photo": {"bytes": file_of(picture(row)), "path": None}} for row in range(60)]
    anchors = AnchorSet.sample(rows, column=["en", "photo"], num_anchors=20, seed=3)
    anchors.save_pretrained(tmp_path / "set")
    loaded = AnchorSet.from_pretrained(str(tmp_path / "set"))
    assert loaded == anchors
    for name in ("views", "indices", "num_duplicates", "num_items", "strategy", "seed"):
        assert getattr(loaded, name) == getattr(anchors, name), name
    assert loaded.view("en") == anchors.view("en")
    assert (loaded.num_duplicates, loaded.strategy, loaded.seed) == (10, "uniform", 3)


def test_a_saved_set_opens_in_datasets(tmp_path):
    """The Hub's viewer and `load_dataset` would not show the anchors."""
    anchors = AnchorSet({"photo": [picture(0), picture(1)], "caption": ["a", "b"]})
    anchors.save_pretrained(tmp_path / "set")
    table = datasets.load_dataset(str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"), split="anchors")
    assert table.features == {"photo": datasets.Image(), "caption": datasets.Value("string")}
    assert table[1]["photo"].tobytes() == picture(1).tobytes()
    assert list(table["caption"]) == ["a", "b"]


def test_saving_again_replaces_the_set_and_keeps_other_files(tmp_path):
    """A card written by hand would be lost."""
    AnchorSet(TEXTS).save_pretrained(tmp_path / "set")
    (tmp_path / "set" / "README.md").write_text("by hand")
    AnchorSet(["a", "b"]).save_pretrained(tmp_path / "set")
    assert AnchorSet.from_pretrained(tmp_path / "set") == AnchorSet(["a", "b"])
    assert (tmp_path / "set" / "README.md").read_text() == "by hand"


def edited(**changes):
    return lambda folder: (folder / MANIFEST).write_text(
        json.dumps({**json.loads((folder / MANIFEST).read_text()), **changes})
    )


DAMAGE = {
    f"{MANIFEST} is missing": lambda folder: (folder / MANIFEST).unlink(),
    f"{TABLE} is missing": lambda folder: (folder / TABLE).unlink(),
    "is no JSON file": lambda folder: (folder / MANIFEST).write_text("{"),
    "is no JSON file (": lambda folder: (folder / MANIFEST).write_bytes(b"\xff\xfe\x00"),
    "is no JSON file (maximum": lambda folder: (folder / MANIFEST).write_text("[" * 200_000),
    "describes no anchor set": lambda folder: (folder / MANIFEST).write_text("[1]"),
    "has the format version 2": edited(format_version=2),
    "has views = 'text'": edited(views="text"),
    "has num_items = '4'": edited(num_items="4"),
    "has seed = 1.5": edited(seed=1.5),
    "has 3 indices for 4 items": edited(indices=[1, 2, 3]),
    "holds 4 rows of ['text'], not 4 of ['en']": edited(views=["en"]),
    "but anchor_set.json promises 4 with 000000…": edited(fingerprint="0" * 64),
    "holds 4 rows of ['text'], not 3 of ['text']": edited(num_items=3, indices=[0, 1, 2]),
    "is no whole Parquet file": lambda folder: (folder / TABLE).write_bytes((folder / TABLE).read_bytes()[:-20]),
    "is no whole Parquet file (": lambda folder: (folder / TABLE).write_bytes(b""),
    "holds 4 items with fingerprint": lambda folder: pandas.DataFrame({"text": [*TEXTS[:3], "five"]}).to_parquet(
        folder / TABLE
    ),
    "holds an item that is no anchor (Row 3": lambda folder: pandas.DataFrame({"text": [*TEXTS[:3], None]}).to_parquet(
        folder / TABLE
    ),
    "holds 0 rows": lambda folder: pandas.DataFrame({"text": []}).to_parquet(folder / TABLE),
}


@pytest.mark.parametrize("message", DAMAGE)
def test_a_damaged_folder_is_refused_in_words(tmp_path, message):
    """Embeddings would be paired with the wrong items, or a bare KeyError would be raised."""
    AnchorSet(TEXTS).save_pretrained(tmp_path)
    DAMAGE[message](tmp_path)
    with pytest.raises(DamagedFolderError) as caught:
        AnchorSet.from_pretrained(tmp_path)
    assert message in str(caught.value)
    assert str(caught.value).count("\n") == 0


def test_the_text_of_a_damaged_folder(tmp_path):
    """The text is a contract."""
    with pytest.raises(DamagedFolderError) as caught:
        AnchorSet.from_pretrained(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/anchor_set.json is missing. Save the anchor set again, or fetch a whole copy of it."
    )


def test_a_path_in_a_saved_table_is_not_followed(tmp_path):
    """A downloaded anchor set could read files of the user."""
    AnchorSet([picture(0), picture(1)]).save_pretrained(tmp_path / "set")
    (tmp_path / "secret.png").write_bytes(file_of(picture(0)))
    table = datasets.Dataset.from_dict(
        {
            "image": [
                {"bytes": None, "path": str(tmp_path / "secret.png")},
                {"bytes": file_of(picture(1)), "path": None},
            ]
        }
    )
    table.to_pandas().to_parquet(tmp_path / "set" / TABLE)
    with pytest.raises(DamagedFolderError, match="Row 0 of view 'image' is of type NoneType"):
        AnchorSet.from_pretrained(tmp_path / "set")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 255))
@example(156, 1)  # fewer rows than the footer says
def test_no_flipped_byte_goes_unseen(tmp_path_factory, place, flip):
    """A damaged download would give other items under the old fingerprint."""
    folder = tmp_path_factory.mktemp("flip")
    anchors = AnchorSet(TEXTS)
    anchors.save_pretrained(folder)
    data = bytearray((folder / TABLE).read_bytes())
    data[place % len(data)] ^= flip
    (folder / TABLE).write_bytes(data)
    with contextlib.suppress(DamagedFolderError):
        assert AnchorSet.from_pretrained(folder).view() == TEXTS
