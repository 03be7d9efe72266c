"""The folder of an anchor set: whole after loading, and refused where it is damaged."""

import contextlib
import json
import os

import datasets
import pandas
import pytest
from anchors.test_anchor_set import TEXTS, file_of, picture
from hypothesis import example, given, settings
from hypothesis import strategies as st
from says import says

from irp_hf.anchors.anchor_set import MANIFEST, TABLE, AnchorSet
from irp_hf.errors import DamagedFolderError, InputError


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


def table_of(texts):
    return lambda folder: pandas.DataFrame({"text": texts}).to_parquet(folder / TABLE)


DAMAGE = {
    "no manifest": (lambda folder: (folder / MANIFEST).unlink(), [MANIFEST, "none"]),
    "no table": (lambda folder: (folder / TABLE).unlink(), [TABLE, "none"]),
    "half a manifest": (lambda folder: (folder / MANIFEST).write_text("{"), [MANIFEST, "JSON"]),
    "no text": (lambda folder: (folder / MANIFEST).write_bytes(b"\xff\xfe\x00"), [MANIFEST, "JSON", "utf-8"]),
    "deep": (lambda folder: (folder / MANIFEST).write_text("[" * 200_000), [MANIFEST, "JSON", "recursion"]),
    "another file": (lambda folder: (folder / MANIFEST).write_text("[1]"), [MANIFEST, "[1]"]),
    "another version": (edited(format_version=2), [MANIFEST, "format version 1", "2"]),
    "views": (edited(views="text"), [MANIFEST, "views", "'text'"]),
    "num_items": (edited(num_items="4"), [MANIFEST, "num_items", "'4'"]),
    "seed": (edited(seed=1.5), [MANIFEST, "seed", "1.5"]),
    "too few indices": (edited(indices=[1, 2, 3]), [MANIFEST, "4 indices", "3"]),
    "an index below 0": (edited(indices=[1, 2, 3, -4]), [MANIFEST, "indices", "-4"]),
    "an index of a text": (edited(indices=[0, 1, 2, "3"]), [MANIFEST, "indices", "'3'"]),
    "an index of a flag": (edited(indices=[0, 1, 2, True]), [MANIFEST, "indices", "True"]),
    "an index of a fraction": (edited(indices=[0, 1, 2, 3.0]), [MANIFEST, "indices", "3.0"]),
    "an index beyond the table": (edited(indices=[0, 1, 2, 5]), [MANIFEST, "indices", "up to 3", "5"]),
    "an index beyond all tables": (edited(strategy="uniform", indices=[0, 1, 2, 2**63]), [MANIFEST, "indices", 2**63]),
    "an index twice": (edited(indices=[0, 1, 2, 2]), [MANIFEST, "indices", "2 more than once"]),
    "indices that are none": (edited(indices={"0": 0}), [MANIFEST, "indices"]),
    "duplicates below 0": (edited(num_duplicates=-5), [MANIFEST, "num_duplicates", "-5"]),
    "too many duplicates": (edited(num_duplicates=10**4200), [MANIFEST, "num_duplicates", "1000"]),
    "digits without end": (
        lambda folder: (folder / MANIFEST).write_text('{"num_items": ' + "9" * 5000 + "}"),
        [MANIFEST, "JSON"],
    ),
    "a flag as duplicates": (edited(num_duplicates=True), [MANIFEST, "num_duplicates", "True"]),
    "a flag as items": (edited(num_items=True), [MANIFEST, "num_items", "True"]),
    "a flag as seed": (edited(seed=True), [MANIFEST, "seed", "True"]),
    "a seed below 0": (edited(seed=-1), [MANIFEST, "seed", "-1"]),
    "a seed too large": (edited(seed=2**32), [MANIFEST, "seed", 2**32]),
    "not a number": (edited(seed=float("nan")), [MANIFEST, "seed", "nan"]),
    "a strategy that is none": (edited(strategy="<script>"), [MANIFEST, "strategy", "<script>"]),
    "a fingerprint that is none": (edited(fingerprint="A" * 64), [MANIFEST, "fingerprint", "64 hex digits"]),
    "views of numbers": (edited(views=[1]), [MANIFEST, "views", "[1]"]),
    "half a character as a view": (edited(views=["\ud800"]), [MANIFEST, "views", "ud800"]),
    "half a character as a data set": (edited(dataset_id="a\udfff"), [MANIFEST, "dataset_id", "udfff"]),
    "half a character as a licence": (edited(license="\ud800"), [MANIFEST, "license", "ud800"]),
    "a licence without end": (edited(license="x" * 20_000), [MANIFEST, "license"]),
    "another view": (edited(views=["en"]), [TABLE, "['en']", "['text']"]),
    "another fingerprint": (edited(fingerprint="0" * 64), [TABLE, MANIFEST, "000000…"]),
    "another number": (edited(num_items=3, indices=[0, 1, 2]), [TABLE, "3 rows of ['text']", "4 of ['text']"]),
    "cut short": (lambda folder: (folder / TABLE).write_bytes((folder / TABLE).read_bytes()[:-20]), [TABLE, "Parquet"]),
    "empty": (lambda folder: (folder / TABLE).write_bytes(b""), [TABLE, "Parquet"]),
    "other items": (table_of([*TEXTS[:3], "five"]), [TABLE, "4 items with fingerprint"]),
    "a missing item": (table_of([*TEXTS[:3], None]), [TABLE, "Row 3"]),
    "no rows": (table_of([]), [TABLE, "0 of"]),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_folder_is_refused_in_words(tmp_path, case, refusal):
    """Embeddings would be paired with the wrong items, or a bare KeyError would be raised."""
    AnchorSet(TEXTS).save_pretrained(tmp_path)
    damage, words = DAMAGE[case]
    damage(tmp_path)
    text = refusal(AnchorSet.from_pretrained, tmp_path, error=DamagedFolderError)
    assert says(text, str(tmp_path), *words)
    assert text.count("\n") == 0


@pytest.mark.parametrize("name", ["dataset_id", "license"])
def test_half_a_character(tmp_path, name, refusal):
    """If it fails, a set that was made cannot be saved, and the error is Python's own."""
    assert says(refusal(AnchorSet, TEXTS, **{name: "a\ud800"}, error=InputError), name, "ud800")


@pytest.mark.parametrize("strategy", ["uniform", "farthest"])
def test_a_sample_keeps_rows_of_a_larger_table(tmp_path, strategy):
    """If it fails, an honest sample of the end of a table is refused."""
    options = {"embeddings": [[row, 1.0] for row in range(50)]} if strategy == "farthest" else {}
    anchors = AnchorSet.sample([f"text {row}" for row in range(50)], num_anchors=5, strategy=strategy, **options)
    assert max(anchors.indices) > 4
    anchors.save_pretrained(tmp_path / "set")
    assert AnchorSet.from_pretrained(tmp_path / "set").indices == anchors.indices


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
@pytest.mark.parametrize("name", [MANIFEST, TABLE])
def test_what_is_no_file(tmp_path, name, kind, refusal):
    """If it fails, loading a stranger's set waits for ever."""
    AnchorSet(TEXTS).save_pretrained(tmp_path)
    (tmp_path / name).unlink()
    if kind == "pipe":
        os.mkfifo(tmp_path / name)
    elif kind == "device":
        (tmp_path / name).symlink_to("/dev/zero")
    else:
        (tmp_path / name).mkdir()
    assert says(refusal(AnchorSet.from_pretrained, tmp_path, error=DamagedFolderError), name)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may become somebody else")
def test_a_folder_that_may_not_be_read(tmp_path, refusal):
    """If it fails, what is there, of another user, is said to be missing."""
    AnchorSet(TEXTS).save_pretrained(tmp_path / "set")
    for folder in (tmp_path, *tmp_path.parents):
        if folder.name.startswith(("pytest", "test_", "popen")):
            folder.chmod(0o755)
    (tmp_path / "set").chmod(0)
    os.seteuid(65534)
    try:
        text = refusal(AnchorSet.from_pretrained, tmp_path / "set", error=DamagedFolderError)
    finally:
        os.seteuid(0)
    assert says(text, MANIFEST, "Permission denied", "who may read it")


@pytest.mark.parametrize("place", [None, 5, "", ["a"]])
def test_a_place_that_is_none(place, refusal):
    """If it fails, a slip ends in a bare TypeError."""
    assert refusal(AnchorSet.from_pretrained, place, error=InputError).startswith("The place to load from: ")


def test_a_path_in_a_saved_table_is_not_followed(tmp_path, refusal):
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
    assert "Row 0 of view 'image'" in refusal(AnchorSet.from_pretrained, tmp_path / "set", error=DamagedFolderError)


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
