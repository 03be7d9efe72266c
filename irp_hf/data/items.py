"""Items: texts and pictures, what is kept of one, and the digests by which one, or many, are known again."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from irp_hf.data.files import read_file
from irp_hf.data.pictures import open_file
from irp_hf.errors import InputError, MissingDependencyError, first_line, missing, refusal, shown

if TYPE_CHECKING:
    from PIL.Image import Image


Digests: TypeAlias = dict[int, tuple[bytes, ...]]  # a row and the sha256 of its item in each view


# Pixel modes that a file format keeps bit for bit. Pictures of other modes become RGB or RGBA.
PNG_MODES = {"1", "L", "LA", "I;16", "RGB", "RGBA"}
TIFF_MODES = {"I", "I;16B", "F", "CMYK", "LAB", "YCbCr"}
EXIF_ORIENTATION = 0x0112
AT_ONCE = 1024  # rows of a column that are read together


def distinct_rows(columns: Mapping[str, Sequence[Any]]) -> Digests:
    """Map each row that repeats no earlier one in any view to its digests, one for each view.

    Raises `InputError` for an item that cannot be an anchor, and for the name of a view that is no valid Unicode.
    """
    for view in columns:
        _check_name(view)
    seen: list[set[bytes]] = [set() for _ in columns]
    distinct: Digests = {}
    for row, digests in enumerate(zip(*(_digests(*view) for view in columns.items()), strict=True)):
        if all(digest not in known for digest, known in zip(digests, seen, strict=True)):
            distinct[row] = digests
            for digest, known in zip(digests, seen, strict=True):
                known.add(digest)
    return distinct


def _check_name(view: str) -> None:
    """Raise `InputError` for the name of a view that no file can hold."""
    try:
        view.encode()
    except UnicodeEncodeError as error:
        got = f"{shown(view)} ({error.reason} at {error.start})"
        raise refusal("The name of a view", "valid Unicode", got, "Give the view another name.") from error


def _digests(view: str, column: Sequence[Any]) -> Iterator[bytes]:
    """Yield the sha256 of each item of one view; raise `InputError` for an item that cannot be an anchor."""
    texts = isinstance(column[0], str)
    for row, item in enumerate(column):
        place = f"Row {row} of view {view!r}"
        check_item(item, place)
        parts = _text_parts(item, place) if isinstance(item, str) else _picture_parts(item, place)
        if isinstance(item, str) != texts:
            expected, got = ("a text", "a picture") if texts else ("a picture", "a text")
            advice = "Put texts and pictures into two views."
            raise refusal(place, f"{expected}, as in the rows before", got, advice)
        yield hashlib.sha256(_packed(parts)).digest()


def check_item(item: Any, place: str) -> None:
    """Raise `InputError`, which calls it by its `place`, for what is no picture, which is not opened, and no text."""
    if isinstance(item, str):
        _text_parts(item, place)
    elif not is_picture(item):
        raise _unfit(place, shown(item))


def _text_parts(text: str, place: str) -> list[bytes]:
    if not text.strip():
        raise _unfit(place, "an empty text")
    try:
        return [b"text", text.encode()]
    except UnicodeEncodeError as error:
        raise _unfit(place, f"invalid Unicode ({error.reason} at {error.start})") from error


def _picture_parts(item: Any, place: str) -> list[bytes]:
    picture = upright_picture(item, place)
    size = [side.to_bytes(8, "big") for side in picture.size]
    return [b"image", picture.mode.encode(), *size, picture.tobytes()]


def upright_picture(item: Any, place: str) -> Image:
    """What `open_picture` gives; raises `InputError`, which calls it by its `place`, for one that cannot be opened."""
    try:
        picture = open_picture(item)
        if 0 in picture.size:
            raise ValueError("it has no pixels")
        return picture
    except MissingDependencyError:
        raise
    except Exception as error:  # a broken file makes Pillow raise almost anything
        raise _unfit(place, f"a picture that Pillow cannot read ({first_line(error)})") from error


def _unfit(place: str, what: str) -> InputError:
    return refusal(place, "a picture, or a text that is not empty", what, "Drop or fix such rows.")


def is_picture(item: Any) -> bool:
    """Tell a PIL image, the bytes of a picture file or the dict that `datasets` makes of it from others."""
    if isinstance(item, Mapping):
        return not is_row(item)
    pillow = sys.modules.get("PIL.Image")  # no item is Pillow's before somebody has imported it
    return isinstance(item, bytes) or (pillow is not None and isinstance(item, pillow.Image))


def need_pillow() -> None:
    """Raise `MissingDependencyError` without it."""
    try:
        from PIL import Image, ImageOps  # noqa: F401
    except ImportError as error:
        raise missing("Pictures", "Pillow", "irp_hf[pictures]") from error


def open_picture(item: Any) -> Image:
    """Decode a picture, turned upright as `datasets` does it, in a mode that a file can keep.

    Of the bytes of a file it takes what `irp_hf.data.pictures` allows, and raises what `open_file` raises.
    """
    need_pillow()
    from PIL import Image, ImageOps

    picture = item if isinstance(item, Image.Image) else open_file(_file_bytes(item))
    picture.load()
    if picture.getexif().get(EXIF_ORIENTATION, 1) != 1:
        picture = ImageOps.exif_transpose(picture)
    if picture.mode not in PNG_MODES | TIFF_MODES:
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    return picture


def _file_bytes(item: bytes | Mapping[str, Any]) -> bytes:
    if isinstance(item, bytes):
        return item
    data = item.get("bytes")
    return data if data is not None else read_file(item["path"])


def content(item: Any) -> str | bytes:
    """Return what is kept of an item: its text, or the bytes of a picture file without loss."""
    if isinstance(item, str):
        return str(item)
    if isinstance(item, bytes | Mapping):
        return _file_bytes(item)
    picture = open_picture(item)
    file = io.BytesIO()
    picture.save(file, format="PNG" if picture.mode in PNG_MODES else "TIFF")
    return file.getvalue()


def set_fingerprint(views: Sequence[str], rows: Iterable[tuple[bytes, ...]]) -> str:
    """Return the sha256, in hex, of the names of `views` and the digests of all rows, sorted by name."""
    order = sorted(range(len(views)), key=views.__getitem__)
    names = [views[place].encode() for place in order]
    items = [digests[place] for digests in rows for place in order]
    return hashlib.sha256(_packed([b"AnchorSet", str(len(names)).encode(), *names, *items])).hexdigest()


def _packed(parts: Iterable[bytes]) -> bytes:
    """Join with the length before each part, so that no two lists of parts give the same bytes."""
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def is_row(item: object) -> bool:
    """Tell a dict of columns from the {"bytes", "path"} dict that `datasets` makes of a picture."""
    return isinstance(item, Mapping) and not set(item) <= {"bytes", "path"}
