"""Files that items name."""

import os

import pytest
from says import says

from irp_hf.data.digests import digest
from irp_hf.data.files import read_file


@pytest.mark.parametrize("kind", ["device", "pipe", "folder"])
def test_only_regular_files_are_read(tmp_path, kind, refusal):
    """A table that names a device would fill the memory, one that names a pipe would wait for ever."""
    path = tmp_path / kind
    if kind == "device":
        path = "/dev/zero"
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(OSError, match="no regular file"):
        read_file(path)
    assert says(refusal(digest, [{"bytes": None, "path": str(path)}]), "Item 0", "no regular file")


def test_a_file_is_measured_before_it_is_read(tmp_path):
    """A file with a hole of terabytes would fill the memory."""
    with (tmp_path / "x").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="1,099,511,627,776"):
        read_file(tmp_path / "x")


@pytest.mark.parametrize("place", ["zip://a.png::b.zip", "gzip://a::b.gz", "https://host/a.png", "data:image/png,x"])
def test_an_address_is_no_file(place):
    """It is said to be one, and not looked for on the disk."""
    with pytest.raises(OSError, match="an address"):
        read_file(place)
    with pytest.raises(OSError, match="no path"):
        read_file(None)
