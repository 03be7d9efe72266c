"""A stranger's table: what a few bytes unpack to is known before it takes memory, and no picture starts a program."""

import io
import json
import random
import struct

import datasets
import pyarrow as pa
import pytest
from anchors.test_anchor_set import file_of, picture
from PIL import Image, PngImagePlugin
from pyarrow import parquet
from says import says

from irp_hf.anchors import pages
from irp_hf.anchors.anchor_set import MANIFEST, TABLE, AnchorSet
from irp_hf.data.pictures import MOST_PIXELS
from irp_hf.errors import DamagedFolderError, InputError

MEGABYTE = 1 << 20


@pytest.fixture
def stranger(tmp_path):
    """A folder of an anchor set with another table, and a manifest that says what it holds."""

    def make(table, **options):
        AnchorSet(["a", "b"]).save_pretrained(tmp_path)
        manifest = json.loads((tmp_path / MANIFEST).read_text())
        count = table.num_rows
        manifest |= {"num_items": count, "indices": list(range(count)), "views": table.column_names}
        (tmp_path / MANIFEST).write_text(json.dumps(manifest))
        parquet.write_table(table, tmp_path / TABLE, **options)
        return tmp_path

    return make


def peak(read):
    """How many bytes Arrow took at most, besides what it had."""
    pool = pa.proxy_memory_pool(pa.default_memory_pool())
    before = pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        read()
    finally:
        pa.set_memory_pool(before)
    return pool.max_memory()


BOMBS = {
    "one text many times": lambda: (
        pa.table({"text": pa.DictionaryArray.from_arrays(pa.array([0] * 5000, pa.int32()), ["x" * MEGABYTE])}),
        {"compression": "zstd", "store_schema": False},
    ),
    "packed well": lambda: (
        pa.table({"text": ["x" * (35 * MEGABYTE), "y" * (35 * MEGABYTE)]}),
        {"compression": "zstd"},
    ),
    "gzip": lambda: (
        pa.table({"text": ["x" * (35 * MEGABYTE), "y" * (35 * MEGABYTE)]}),
        {"compression": "gzip", "use_dictionary": False},
    ),
    "what stands before": lambda: (
        pa.table({"text": [f"{'x' * 100_000}{row}" for row in range(1000)]}),
        {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY"}},
    ),
    "lists": lambda: (pa.table({"text": [["a"] * 1000, ["b"] * 1000]}), {}),
    "numbers": lambda: (pa.table({"text": [1, 2]}), {}),
    "pictures without bytes": lambda: (pa.table({"image": [{"path": "a"}, {"path": "b"}]}), {}),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_table_that_unpacks_to_too_much(stranger, name, refusal):
    """Some hundred bytes of somebody's would take gigabytes, and the process would be killed."""
    table, options = BOMBS[name]()
    folder = stranger(table, **options)
    assert (folder / TABLE).stat().st_size < MEGABYTE
    said = []
    took = peak(lambda: said.append(refusal(AnchorSet.from_pretrained, folder, error=DamagedFolderError)))
    assert says(said[0], TABLE, "Parquet")
    assert took < 4 * pages.SMALL


def test_a_footer_of_very_many_columns(stranger, refusal, monkeypatch):
    """The footer alone would take memory, or minutes."""
    folder = stranger(pa.table({f"column {number}": ["a", "b"] for number in range(2000)}))
    monkeypatch.setattr(pages, "LARGEST_FOOTER", 100_000)
    text = refusal(AnchorSet.from_pretrained, folder, error=DamagedFolderError)
    assert says(text, TABLE, "footer")


def test_no_page_is_read_beyond_the_end():
    """A header that leads nowhere would end in an IndexError, or in a loop."""
    for data in (
        b"",
        b"\x15",
        b"\x15\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x18\xff\xff\x03",
        b"\x1c" * 20,
        b"\x1d",
    ):
        with pytest.raises(ValueError, match=r"page|number"):
            pages._Thrift(data, 0).struct()
    assert pages._Thrift(b"\x15\x06\x29\x2c\x00\x00\x18\x01x\x11\x12\x16\x03\x00", 0).struct() == {
        1: 3,
        3: [{}, {}],
        4: b"x",
        5: True,
        6: False,
        7: -2,
    }


@pytest.mark.parametrize(
    "options", [{}, {"compression": "zstd"}, {"use_dictionary": False}, {"data_page_version": "2.0"}]
)
@pytest.mark.parametrize("group", [None, 7])
def test_what_others_write_is_read(stranger, tmp_path, options, group):
    """Honest tables: packed in any way, long texts that are much alike, in groups of rows."""
    texts = [f"{'The same words again and again. ' * 200}{row}" for row in range(100)]
    AnchorSet(texts).save_pretrained(tmp_path)
    manifest = (tmp_path / MANIFEST).read_bytes()
    folder = stranger(pa.table({"text": texts}), row_group_size=group, **options)
    (folder / MANIFEST).write_bytes(manifest)
    assert AnchorSet.from_pretrained(folder).view() == texts


def png(width, height, *chunks):
    """A picture of one colour whose file is tiny, with further chunks."""
    file, info = io.BytesIO(), PngImagePlugin.PngInfo()
    for name, data in chunks:
        info.add(name, data)
    Image.new("1", (width, height)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def eps():
    """A program in PostScript, which Pillow hands to Ghostscript."""
    file = io.BytesIO()
    picture(0).convert("RGB").save(file, "EPS")
    return file.getvalue()


def of_format(name):
    file = io.BytesIO()
    picture(0).convert("RGB").save(file, name)
    return file.getvalue()


PICTURES = {
    "a program": (eps, ["Pillow cannot read"]),
    "a format of other uses": (lambda: of_format("PCX"), ["Pillow cannot read"]),
    "a bomb": (lambda: png(20_000, 10_000), ["Pillow"]),
    "a smaller bomb": (lambda: png(10_000, 9_000), [f"{MOST_PIXELS:,}", "90,000,000"]),
    "cut short": (lambda: file_of(picture(1))[:-30], ["Pillow cannot read"]),
    "a size that lies": (
        lambda: (data := file_of(picture(1)))[:16] + struct.pack(">II", 60_000, 1) + data[24:],
        ["Pillow cannot read"],
    ),
    "a huge profile": (lambda: png(2, 2, (b"iCCP", b"x\0\0" + b"\x78\x9c" + b"0" * 100)), []),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", PICTURES)
def test_pictures_in_a_table(stranger, name, refusal, monkeypatch):
    """A table could start Ghostscript on the machine of whoever loads it, or take all of its memory."""
    import subprocess

    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **options: started.append(args))
    make, words = PICTURES[name]
    rows = [{"bytes": file_of(picture(0))}, {"bytes": make()}]
    if not words:
        assert len(AnchorSet(rows)) == 2
        return
    assert says(refusal(AnchorSet, rows, error=InputError), "Row 1 of view 'image'", *words)
    folder = stranger(pa.table({"image": rows}))
    assert says(refusal(AnchorSet.from_pretrained, folder, error=DamagedFolderError), TABLE, "Row 1", *words)
    assert started == []


@pytest.mark.parametrize("name", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "MPO"])
def test_pictures_that_the_hub_holds(name):
    """An honest data set would be refused."""
    other = io.BytesIO()
    picture(3).convert("RGB").save(other, name)
    assert len(AnchorSet([of_format(name), other.getvalue()])) == 2


def test_moving_pictures_are_read_by_their_first_frame():
    """Thousands of frames in a small file would be decoded one after the other."""
    file, still = io.BytesIO(), Image.new("P", (8, 8))
    still.putpixel((0, 0), 1)
    still.save(
        file,
        "GIF",
        save_all=True,
        append_images=[Image.new("P", (8, 8), random.Random(n).randrange(9)) for n in range(300)],
    )
    assert AnchorSet([file.getvalue(), file_of(picture(1))]).view()[0].size == (8, 8)


@pytest.mark.parametrize("kind", ["column", "table", "list", "rows", "saved", "arrow"])
def test_a_file_that_a_table_names_becomes_no_anchor(tmp_path, kind, refusal):
    """Somebody else's table could publish any picture of this machine."""
    secret = str(tmp_path / "secret.png")
    picture(0).save(secret)
    rows = [{"bytes": None, "path": secret}, {"bytes": file_of(picture(1)), "path": None}]
    table = datasets.Dataset.from_dict({"image": rows}, features=datasets.Features(image=datasets.Image()))
    if kind == "saved":  # with a description that says it were a folder's listing
        table = datasets.Dataset.from_dict({"image": rows})  # else its files would be saved with it
        table.info.builder_name = "imagefolder"
        table.save_to_disk(tmp_path / "saved")
        table = datasets.load_from_disk(tmp_path / "saved").cast_column("image", datasets.Image())
        assert table.info.builder_name == "imagefolder"
    make = {
        "column": lambda: AnchorSet(table["image"]),
        "list": lambda: AnchorSet(rows),
        "rows": lambda: AnchorSet.sample([{"image": row} for row in rows], "image", 2),
        "arrow": lambda: AnchorSet.sample(pa.table({"image": rows}), "image", 2),
    }.get(kind, lambda: AnchorSet.sample(table, "image", 2))
    assert says(refusal(make), "Row 0 of view 'image'", "secret.png", "PIL.Image.open")


@pytest.mark.parametrize("where", ["a file", "a folder", "a folder above", "two above", "a snapshot"])
def test_a_link_out_of_a_listed_folder(tmp_path, where, refusal):
    """Pictures that somebody packed with a link to a file of this machine would be published with it."""
    folder = tmp_path / "pictures" / "snapshots" / "1" if where == "a snapshot" else tmp_path / "pictures"
    folder.mkdir(parents=True)
    (tmp_path / "private").mkdir()
    picture(0).save(tmp_path / "private" / "secret.png")
    picture(1).save(folder / "one.png")
    if where in ("a folder", "a folder above", "two above"):
        inner = {"a folder": "more", "a folder above": "more/x", "two above": "more/x/y"}[where]
        (tmp_path / "private" / inner.removeprefix("more").lstrip("/")).mkdir(parents=True, exist_ok=True)
        picture(0).save(tmp_path / "private" / inner.removeprefix("more").lstrip("/") / "secret.png")
        (folder / "more").symlink_to(tmp_path / "private")
    else:
        inner = "more"
        (folder / "two.png").symlink_to(tmp_path / "private" / "secret.png")
    names = sorted(str(file) for pattern in ("*.png", f"{inner}/*.png") for file in folder.glob(pattern))
    table = datasets.load_dataset("imagefolder", data_files=names, cache_dir=str(tmp_path / "c"), split="train")
    assert len(table) == 2
    assert says(refusal(AnchorSet.sample, table, "image", 2), "the name of a file", "PIL.Image.open")


def test_links_of_the_cache_of_the_hub_are_followed(tmp_path):
    """If it fails, a folder of pictures that was fetched from the Hub becomes no anchors."""
    blobs, folder = tmp_path / "datasets--me--x" / "blobs", tmp_path / "datasets--me--x" / "snapshots" / "1"
    blobs.mkdir(parents=True)
    folder.mkdir(parents=True)
    for row in range(2):
        (blobs / str(row)).write_bytes(file_of(picture(row)))
        (folder / f"{row}.png").symlink_to(f"../../blobs/{row}")
    table = datasets.load_dataset("imagefolder", data_dir=str(folder), cache_dir=str(tmp_path / "c"), split="train")
    assert len(AnchorSet.sample(table, "image", 2)) == 2


def test_links_within_a_listed_folder_are_followed(tmp_path):
    """If it fails, a folder whose pictures are sorted by links becomes no anchors."""
    for row in range(2):
        (tmp_path / "all").mkdir(exist_ok=True)
        picture(row).save(tmp_path / "all" / f"{row}.png")
    (tmp_path / "train").symlink_to("all")
    names = [str(tmp_path / "train" / f"{row}.png") for row in range(2)]
    table = datasets.load_dataset("imagefolder", data_files=names, cache_dir=str(tmp_path / "c"), split="train")
    assert len(AnchorSet.sample(table, "image", 2)) == 2


@pytest.mark.parametrize("options", [{}, {"row_group_size": 1}, {"use_dictionary": False, "data_page_version": "2.0"}])
def test_a_byte_that_was_changed(stranger, options):
    """A count that was forged would end in a bare error, in rows that nobody saved, or take the whole process along."""
    folder = stranger(pa.table({"text": ["a", "b"]}), compression="none", store_schema=False, **options)
    manifest = json.loads((folder / MANIFEST).read_text()) | {"fingerprint": AnchorSet(["a", "b"]).fingerprint}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    whole, said = (folder / TABLE).read_bytes(), set()
    assert AnchorSet.from_pretrained(folder).view() == ["a", "b"]
    for place in range(len(whole)):
        for value in (0, whole[place] ^ 1, whole[place] ^ 2, whole[place] + 2 & 255, 255):
            (folder / TABLE).write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            try:
                assert AnchorSet.from_pretrained(folder).view() == ["a", "b"]
            except DamagedFolderError as error:
                said.add(str(error))
    for words in ("its parts have", "values of text in", "a page without", "columns of other names"):
        assert any(words in text for text in said), words


@pytest.mark.parametrize("kind", ["list", "struct", "numbers"])
def test_bytes_of_a_picture_that_are_none(stranger, kind, refusal):
    """What lies below them is not counted: two kilobytes unpacked to six gigabytes."""
    value = {"list": [b"x"], "struct": {"a": b"x"}, "numbers": 3}[kind]
    folder = stranger(pa.table({"image": [{"bytes": value}] * 2}))
    assert says(refusal(AnchorSet.from_pretrained, folder, error=DamagedFolderError), TABLE, "neither texts nor")


def test_pages_that_many_columns_share():
    """They would be read once for each: hours, of some hundred kilobytes."""
    pages._check_apart([(20, 30), (4, 20)])
    with pytest.raises(ValueError, match="two columns"):
        pages._check_apart([(20, 30), (4, 21)])


def test_a_table_is_read_from_memory(tmp_path, monkeypatch):
    """A map of a file that another process writes anew would end this one."""
    AnchorSet(["a", "b"]).save_pretrained(tmp_path)
    read = parquet.ParquetFile

    def emptied(source, **options):
        (tmp_path / TABLE).write_bytes(b"")
        return read(source, **options)

    monkeypatch.setattr(parquet, "ParquetFile", emptied)
    assert AnchorSet.from_pretrained(tmp_path).view() == ["a", "b"]
