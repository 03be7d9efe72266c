"""A visitor's picture: how large it may be, looked at before it is decoded, and how it is made one in RGB."""

from __future__ import annotations

import contextlib
import hashlib
from io import BytesIO
from pathlib import Path

from PIL import Image
from uploads import check_size

from irp_hf.errors import first_line, refusal, shown

MAX_MEGABYTES, MAX_PIXELS = 16, 50_000_000
LARGEST_SIDE = 1024  # what is larger is made smaller at once
FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
TURNED = {  # how EXIF says that the camera was held
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ORIENTATION = 274  # its tag in EXIF
BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)


def opened(path: str) -> Image.Image:
    """The first frame of a picture's file, upright, on white, in RGB.

    Raises `InputError` for a file that is too large, in bytes or in pixels, is no picture, or is broken.
    """
    name = shown(Path(path).name)
    check_size(path, MAX_MEGABYTES, "Take a smaller one: 96 pixels a side are what the encoder sees.")
    try:
        with Image.open(path, formats=FORMATS) as picture:
            width, height = picture.size
            if width * height <= MAX_PIXELS:
                return upright(_decoded(picture))
            got = f"{width:,} × {height:,}"
    except BOMBS:
        got = "many more"
    except Exception as error:  # a broken file makes decoders raise anything
        why = "another file, or a broken one" if isinstance(error, OSError) else f"a broken one ({first_line(error)})"
        raise refusal(
            name, "a picture in PNG, JPEG, WebP or GIF", why, "Save it anew as one of them, or take another."
        ) from error
    raise refusal(name, f"at most {MAX_PIXELS / 1e6:.0f} million pixels", got, "Take a smaller picture.")


def _decoded(picture: Image.Image) -> Image.Image:
    """A JPEG that is much too large is decoded at a part of its size."""
    if max(picture.size) > LARGEST_SIDE:
        picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    else:
        picture.load()
    return picture


def upright(picture: Image.Image) -> Image.Image:
    """As the camera was held, in RGB."""
    turn = None
    with contextlib.suppress(Exception):  # what a file says of itself may be broken where its picture is whole
        turn = TURNED.get(picture.getexif().get(ORIENTATION, 1))
    picture = on_white(picture)
    return picture if turn is None else picture.transpose(turn)


def on_white(picture: Image.Image) -> Image.Image:
    """In RGB."""
    if picture.mode.startswith("I"):  # 16 bits a pixel, of which Pillow would cut the upper half off
        picture = picture.convert("I").point(lambda value: value / 256).convert("L")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def fingerprint(picture: Image.Image) -> str:
    """Of its pixels and its size, so that a picture is known again, whatever its file is called."""
    return hashlib.blake2b(picture.tobytes() + repr(picture.size).encode(), digest_size=8).hexdigest()


def as_png(picture: Image.Image, side: int = 160) -> bytes:
    """A small copy, with nothing of the file in it but what is seen."""
    small, file = picture.copy(), BytesIO()
    small.thumbnail((side, side))
    small.info.clear()
    small.save(file, "PNG")
    return file.getvalue()
