"""Pictures of a column of `datasets` are decoded here: as `datasets` does it, but in no format that starts a program."""

import bz2
import gzip
import io
import lzma

import datasets
import numpy as np
import pytest
from PIL import Image
from says import says

from irp_hf.data.digests import digest
from irp_hf.data.pictures import PictureColumn, decoded_here, open_file
from irp_hf.encoding import encode
from irp_hf.errors import InputError

RANDOM = np.random.RandomState(0)
UPRIGHT = 0x0112


def file_of(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def picture():
    return Image.fromarray(RANDOM.randint(0, 255, (6, 9, 3), np.uint8))


def turned():
    exif = Image.Exif()
    exif[UPRIGHT] = 6
    return file_of(picture(), "JPEG", exif=exif)


def table(*files, **options):
    rows = {"image": [{"bytes": data, "path": None} for data in files]}
    return datasets.Dataset.from_dict(rows, features=datasets.Features(image=datasets.Image(**options)))


@pytest.mark.parametrize("mode", [None, "L"])
def test_a_column_reads_as_datasets_reads_it(mode, tmp_path):
    """The vectors of pictures would change with the version of this library."""
    files = [file_of(picture()), turned(), file_of(picture().convert("P")), file_of(picture(), "WEBP")]
    (tmp_path / "one.png").write_bytes(files[0])
    whole = table(*files, mode=mode)
    theirs, ours = whole["image"], decoded_here(whole["image"])
    assert isinstance(ours, PictureColumn)
    assert len(ours) == 4
    for row, other in enumerate(theirs):
        for one in (ours[row], ours[: row + 1][-1], ours[row - 4]):
            assert (one.mode, one.size, one.tobytes()) == (other.mode, other.size, other.tobytes())
    assert digest(ours) == digest(theirs)  # a run that died goes on
    local = datasets.Dataset.from_dict({"image": [str(tmp_path / "one.png")]}).cast_column("image", datasets.Image())
    assert decoded_here(local["image"])[0].tobytes() == theirs[0].convert(mode or "RGB").tobytes() or mode


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
def test_a_packed_picture_is_said_to_be_one(pack):
    """Pillow tells where in memory it lies."""
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG")
    with pytest.raises(ValueError, match="unpack it"):
        open_file(pack(file.getvalue()))
    with pytest.raises(ValueError, match="none of PNG, JPEG"):
        open_file(b"hello")


def test_other_items_stay_as_they_are():
    """Texts, lists and columns that somebody formatted would be read otherwise."""
    whole = table(file_of(picture()))
    texts = datasets.Dataset.from_dict({"text": ["a"]})["text"]
    for items in (
        ["a"],
        texts,
        whole.with_format("numpy")["image"],
        whole.cast_column("image", datasets.Image(decode=False))["image"],
    ):
        assert decoded_here(items) is items


def test_no_program_starts(refusal, monkeypatch):
    """`datasets` opens whatever Pillow opens, and a picture in PostScript is a program for Ghostscript."""
    import subprocess

    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **options: started.append(args))
    column = table(file_of(picture()), file_of(picture(), "EPS"))["image"]
    text = refusal(encode, lambda items: np.ones((len(items), 2), np.float32), column, error=InputError)
    assert says(text, "Item 1", "Pillow")
    assert started == []
