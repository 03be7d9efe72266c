"""Pictures decoded from the bytes of files: of which formats, how large, and a column of them in `datasets`."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from irp_hf.data.files import read_file
from irp_hf.errors import first_line, refusal

if TYPE_CHECKING:
    from PIL.Image import Image

# Formats of pixels alone. Pillow knows some that start a program (EPS), read other files or are of no use.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF")
PACKED = (
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ", "xz"),
    (b"BZh", "bzip2"),
    (b"PK\x03\x04", "zip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)
MOST_PIXELS = 89_478_485  # of one picture: where Pillow warns of a bomb; a file of some kilobytes can hold as many


def open_file(data: bytes) -> Image:
    """The picture in the bytes of a file; so far only its header is read.

    Raises `ValueError` for more than `MOST_PIXELS`, and what Pillow raises for a file that is broken or of no known format.
    """
    from PIL import Image, UnidentifiedImageError

    Image.init()  # Pillow knows some of the formats only from here on
    known = [name for name in FORMATS if name in Image.OPEN]
    try:
        picture = Image.open(io.BytesIO(data), formats=known)
    except UnidentifiedImageError as error:  # which tells only where in memory the bytes lie
        packed = next((f"it is packed by {name}: unpack it" for start, name in PACKED if data.startswith(start)), None)
        raise ValueError(packed or f"it is none of {', '.join(known)}") from error
    if (pixels := picture.width * picture.height) > MOST_PIXELS:
        raise ValueError(f"it has {pixels:,} pixels, more than {MOST_PIXELS:,}")
    return picture


def decoded_here(items: Any) -> Any:
    """A column of pictures in `datasets`, which would itself open any format that Pillow knows; other items as they are."""
    source, name = getattr(items, "source", None), getattr(items, "column_name", None)
    datasets = sys.modules.get("datasets")  # slow to import, and without it there is no such column
    if datasets is None or not isinstance(source, datasets.Dataset) or source.format["type"] is not None:
        return items
    feature = source.features.get(name)
    return PictureColumn(items, feature) if isinstance(feature, datasets.Image) and feature.decode else items


class OneByOne(Sequence[Any]):
    """Rows that are made when they are asked for, those of a slice as well: all pictures of a table may fill the memory."""

    def __init__(self, make: Callable[[int], Any], rows: range) -> None:
        self._make, self._rows = make, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: Any) -> Any:
        found = self._rows[place]
        return OneByOne(self._make, found) if isinstance(found, range) else self._make(found)


def room_of(picture: Image) -> int:
    """How many bytes a picture takes once it is decoded."""
    return picture.width * picture.height * (1 if picture.mode in ("1", "L", "P") else 4)


class PictureColumn(Sequence[Any]):
    """A column of `datasets` whose pictures are decoded by `open_file`, upright and in the mode that the column asks for."""

    def __init__(self, column: Any, feature: Any) -> None:
        self.source, self.column_name, self.mode = (
            column.source,
            column.column_name,
            feature.mode,
        )  # the first two name it
        stored = self.source.cast_column(self.column_name, type(feature)(decode=False))
        self.stored = stored[self.column_name]

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return OneByOne(lambda row: self[row], range(len(self))[place])
        return self._decoded(int(place), self.stored[place])

    def _decoded(self, row: int, item: Any) -> Any:
        if item is None:
            return None
        try:
            data = item["bytes"] if item["bytes"] is not None else read_file(item["path"])
            from PIL import ImageOps

            picture = open_file(data)
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            return upright.convert(self.mode) if self.mode and upright.mode != self.mode else upright
        except (ImportError, MemoryError):
            raise
        except Exception as error:  # a broken file makes Pillow raise almost anything
            got = f"what Pillow cannot read ({first_line(error)})"
            raise refusal(f"Item {row}", "a file with a picture", got, "Drop or replace it.") from error
