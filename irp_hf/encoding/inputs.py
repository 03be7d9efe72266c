"""Items as users hold them, read into what encoders take: texts, RGB pictures, mono waveforms."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from irp_hf.data.items import is_picture, open_picture
from irp_hf.encoding.base import Encoder
from irp_hf.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    from PIL.Image import Image


def read_items(encoder: Encoder, items: Sequence[Any], first: int = 0) -> list[Any]:
    """Items as `encoder.embed` takes them; `first` is the row of the first one, for the words of an error.

    Pictures: PIL, the path or the bytes of a file, or uint8 `(h, w, 3)`. Audio: mono `(t,)` in floats at the sampling rate
    of the encoder, {"array", "sampling_rate"}, or the path or the bytes of a file.

    Raises `InputError` that names the row of an item that cannot be read.
    """
    read: Any = {"text": _text, "image": _picture, "audio": _waveform}.get(encoder.modality or "")
    return list(items) if read is None else [read(item, row, encoder) for row, item in enumerate(items, first)]


def modality_of_item(item: Any) -> str | None:
    """What an item looks like; None where one cannot tell."""
    if isinstance(item, str):
        return "text"
    if _is_sound(item):
        return "audio"
    if is_picture(item) or isinstance(item, os.PathLike) or getattr(item, "ndim", None) == 3:
        return "image"
    return "audio" if getattr(item, "ndim", None) == 1 else None


def _text(item: Any, row: int, encoder: Encoder) -> str:
    if not isinstance(item, str):
        raise InputError(
            f"Item {row} is a {type(item).__name__}, but {encoder.name} reads texts. "
            "Pass strings, or name the view that holds them."
        )
    return item


def _picture(item: Any, row: int, encoder: Encoder) -> Image:
    name = f"Item {row}" + (f", {item}," if isinstance(item, str | os.PathLike) else "")
    if isinstance(item, np.ndarray):
        if item.dtype != np.uint8 or item.ndim != 3 or item.shape[2] != 3 or not item.size:
            raise InputError(
                f"{name} is an array of {item.dtype} and shape {item.shape}, but a picture is uint8 (h, w, 3). "
                "Turn it into that, or into a PIL image."
            )
        from PIL import Image

        return Image.fromarray(item)
    if not isinstance(item, str | os.PathLike) and not is_picture(item):
        raise InputError(
            f"{name} is a {type(item).__name__}, but {encoder.name} reads pictures. "
            "Pass PIL images, paths, or uint8 arrays (h, w, 3)."
        )
    try:
        opened = open_picture(Path(item).read_bytes() if isinstance(item, str | os.PathLike) else item)
        return opened.convert("RGB")
    except MissingDependencyError:
        raise
    except Exception as error:  # a broken file makes Pillow raise almost anything
        reason = getattr(error, "strerror", None) or "Pillow cannot read it"
        raise InputError(f"{name} is no picture ({reason}). Drop or mend it.") from error


def _waveform(item: Any, row: int, encoder: Encoder) -> np.ndarray[Any, Any]:
    name = f"Item {row}" + (f", {item}," if isinstance(item, str | os.PathLike) else "")
    rate = None
    if isinstance(item, str | os.PathLike | bytes) or (isinstance(item, Mapping) and "array" not in item):
        item, rate = _sound_file(item, name)
    elif _is_sound(item):
        item, rate = item["array"], item["sampling_rate"]
    if rate is not None and encoder.sampling_rate not in (None, rate):
        raise InputError(
            f"{name} has {rate} samples a second, but {encoder.name} wants {encoder.sampling_rate}. "
            f"Resample it: dataset.cast_column(column, Audio({encoder.sampling_rate})) does."
        )
    array = np.asarray(item)
    if array.ndim != 1 or array.dtype.kind != "f" or not len(array):
        raise InputError(
            f"{name} is an array of {array.dtype} and shape {array.shape}, but a waveform is one channel of floats (t,). "
            "Average the channels, and scale integers to -1 … 1."
        )
    if not np.isfinite(array).all():
        raise InputError(f"{name} holds NaN or infinite samples. Drop or mend it.")
    return np.ascontiguousarray(array, dtype=np.float32)


def _is_sound(item: Any) -> bool:
    """A mapping, or the decoder that `datasets` makes of a sound, which only has `[]`."""
    if isinstance(item, Mapping):
        return "array" in item and "sampling_rate" in item
    return hasattr(item, "get_all_samples")


def _sound_file(item: Any, name: str) -> tuple[np.ndarray[Any, Any], int]:
    try:
        import soundfile  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingDependencyError(
            "Sound files need soundfile, which is not installed. Run: pip install irp_hf[audio]"
        ) from error
    if isinstance(item, Mapping):
        item = item.get("bytes") if item.get("bytes") is not None else item.get("path")
    try:
        data = item if isinstance(item, bytes) else Path(item).read_bytes()
        array, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    except (OSError, TypeError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "soundfile cannot read it"
        raise InputError(f"{name} is no sound ({reason}). Drop or mend it.") from error
    return array, rate
