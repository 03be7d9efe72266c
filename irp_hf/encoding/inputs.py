"""Items as users have them, read into what encoders take: texts, RGB pictures, mono waveforms."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from irp_hf.data.files import read_file
from irp_hf.data.items import is_picture, open_picture
from irp_hf.data.wrong import is_missing, reader_of_items
from irp_hf.encoding.base import Encoder, Pair
from irp_hf.errors import InputError, MissingDependencyError, first_line, kind_of, missing, refusal, shown

if TYPE_CHECKING:
    from PIL.Image import Image

# Of a picture's sides: processors scale the shorter one to some hundreds of pixels, and the longer one grows with it.
MOST_TIMES_AS_LONG = 200
PER_PIXEL = 4  # bytes, as Pillow keeps RGB
MOST_OF_A_GROUP = 1 << 30  # bytes of pictures that are encoded together: twenty of twelve million pixels
MOST_DECODED = 1 << 33  # bytes of items that must be decoded at one time, such as sounds that are sorted by length
MOST_SAMPLES = 1 << 27  # of one sound, over all channels: two hours at 16 kHz; silence packs to almost nothing


def read_items(encoder: Encoder, items: Sequence[Any], first: int = 0) -> list[Any]:
    """Items as `encoder.embed` takes them; `first` is the row of the first one, for errors.

    Texts: strings, and for encoders that read pairs {"text", "text_pair"}, which become tuples. Pictures: PIL images, the path
    or the bytes of a file, or uint8 `(h, w, 3)`. Audio: mono `(t,)` in floats at the encoder's sampling rate, {"array",
    "sampling_rate"}, or the path or the bytes of a file.

    Raises `InputError` that names the row of an item that cannot be read, or that takes too much with those before it.
    """
    found, total = list[Any](), 0
    for row, value in _values(encoder, items, first):
        total += _decoded_bytes(value)
        if total > MOST_DECODED and found:
            expected = f"at most {MOST_DECODED:,} bytes with those that are read together with it"
            advice = "Give a smaller batch_size, or make them smaller."
            raise refusal(f"Item {row}", expected, f"{total:,}, once they are decoded", advice)
        found.append(value)
    return found


def refuse_no_texts(encoder: Encoder, items: Sequence[Any], first: int = 0) -> None:
    """Raise `InputError` for a missing value or a number among items of which a function is known to read texts."""
    for row, item in enumerate(items, first):
        if not isinstance(item, str | Mapping | tuple | list):
            _text(item, row, encoder)


def read_in_groups(encoder: Encoder, items: Sequence[Any], first: int = 0) -> Iterator[list[Any]]:
    """The items as `read_items` gives them, in lists that take at most `MOST_OF_A_GROUP` bytes each, or hold one item alone.

    Small files may hold large pictures: each of them is bounded, and so is what is decoded at one time.
    """
    group, total = list[Any](), 0
    for _, value in _values(encoder, items, first):
        size = _decoded_bytes(value)
        if group and total + size > MOST_OF_A_GROUP:
            yield group
            group, total = [], 0
        group.append(value)
        total += size
    yield group


def _values(encoder: Encoder, items: Sequence[Any], first: int) -> Iterator[tuple[int, Any]]:
    """Rows, and items as `encoder.embed` takes them, one after the other."""
    read: Any = {"text": _text, "image": _picture, "audio": _waveform}.get(encoder.modality or "")
    for row, item in enumerate(items, first):
        try:
            value = item if read is None else read(item, row, encoder)
        except MemoryError as error:
            expected, got = "memory for what it holds", "too little"
            raise refusal(_place(item, row), expected, got, "Drop it, or give a smaller batch_size.") from error
        yield row, value


def _decoded_bytes(value: Any) -> int:
    """What a picture or a waveform takes; of texts it does not matter."""
    if isinstance(value, np.ndarray):
        return int(value.nbytes)
    read = is_picture(value) and not isinstance(value, bytes | Mapping)
    return PER_PIXEL * int(value.width) * int(value.height) if read else 0


def refuse_longer(encoder: Encoder, items: Sequence[Any], max_length: int | None, first: int) -> None:
    """Raise `InputError` for a text of more tokens than the encoder reads, or than `max_length`; as `read_items` gives them."""
    longest = min((most for most in (encoder.record.max_length, max_length) if most is not None), default=None)
    tokenizer = next((getattr(one, "tokenizer", one) for one in encoder.processors if one is not None), None)
    if longest is None or encoder.modality != "text" or not callable(tokenizer):
        return
    prompt = encoder.record.prompt or ""
    for row, item in enumerate(items, first):
        one, other = item if isinstance(item, tuple) else (item, None)
        count = len(tokenizer(prompt + one, other, truncation=False, verbose=False)["input_ids"])
        if count > longest:
            advice = "Leave truncation= out, and what is longer is cut; or shorten it."
            raise refusal(f"Item {row}", f"a text of at most {longest} tokens", f"one of {count}", advice)


def modality_of_item(item: Any) -> str | None:
    """What an item looks like; None where one cannot tell."""
    if isinstance(item, str):
        return "text"
    if _is_sound(item):
        return "audio"
    if is_picture(item) or isinstance(item, os.PathLike) or getattr(item, "ndim", None) == 3:
        return "image"
    return "audio" if getattr(item, "ndim", None) == 1 else None


def _text(item: Any, row: int, encoder: Encoder) -> str | Pair:
    if isinstance(item, Mapping) and "text" in item and set(item) <= {"text", "text_pair"}:
        if item.get("text_pair") is None:
            return _text(item["text"], row, encoder)
        if not encoder.pairs:
            expected = f"one text, which {encoder.name}, a model of sentence-transformers or a function, reads"
            advice = "Pass one text that holds both: first + ' ' + second, say; a plain transformers model reads pairs."
            raise refusal(f"Item {row}", expected, "a pair of texts", advice)
        first, second = (_text(item[name], row, encoder) for name in ("text", "text_pair"))
        return str(first), str(second)
    if not isinstance(item, str):
        expected, advice = f"a text, which {encoder.name} reads", "Pass strings, or name the view that holds them."
        got = f"{shown(item)}, a missing value" if is_missing(item) else kind_of(item)
        if isinstance(item, bytes):
            advice = "Decode them: item.decode()."
        advice = reader_of_items(item) or advice
        raise refusal(f"Item {row}", expected, got, advice)
    try:
        item.encode()
    except UnicodeEncodeError as error:
        expected, got = "a text of Unicode", f"half of a surrogate pair, {item[error.start]!r}"
        raise refusal(f"Item {row}", expected, got, "Drop it, or decode its source anew.") from error
    return item


def _picture(item: Any, row: int, encoder: Encoder) -> Image:
    if isinstance(item, np.ndarray):
        if item.dtype != np.uint8 or item.ndim != 3 or item.shape[2] != 3 or not item.size:
            got = f"one of {item.dtype} and shape {item.shape}"
            raise refusal(f"Item {row}", "an array of uint8 (h, w, 3)", got, "Convert it, or pass a PIL image.")
        from PIL import Image

        return Image.fromarray(item)
    if not isinstance(item, str | os.PathLike) and not is_picture(item):
        advice = "Pass PIL images, paths, or uint8 arrays (h, w, 3)."
        raise refusal(f"Item {row}", f"a picture, which {encoder.name} reads", kind_of(item), advice)
    try:
        opened = open_picture(read_file(item) if isinstance(item, str | os.PathLike) else item)
        if max(opened.size) > MOST_TIMES_AS_LONG * min(opened.size):
            raise ValueError(f"it is {opened.width} by {opened.height} pixels")
        return opened.convert("RGB")
    except (MissingDependencyError, MemoryError):
        raise
    except Exception as error:  # a broken file makes Pillow raise almost anything
        got = getattr(error, "strerror", None) or f"what Pillow cannot read, or no encoder takes ({first_line(error)})"
        raise refusal(_place(item, row), "a file with a picture", got, "Drop or replace it.") from error


def _waveform(item: Any, row: int, encoder: Encoder) -> np.ndarray[Any, Any]:
    name, rate = _place(item, row), None
    if isinstance(item, str | os.PathLike | bytes) or (isinstance(item, Mapping) and "array" not in item):
        item, rate = _sound_file(item, name)
    elif _is_sound(item):
        item, rate = _decoded(item, name)
    if rate is not None and encoder.sampling_rate not in (None, rate):
        expected = f"{encoder.sampling_rate} samples a second, as {encoder.name} reads them"
        advice = f"Resample it: dataset.cast_column(column, Audio({encoder.sampling_rate})) does."
        raise refusal(name, expected, str(rate), advice)
    try:
        array = np.asarray(item)
    except (
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:  # lists of unequal length, tensors on a GPU or with gradients
        advice = "Pass an array of numpy."
        raise refusal(name, "a waveform, one channel of floats (t,)", first_line(error), advice) from error
    if array.ndim != 1 or array.dtype.kind != "f" or not len(array):
        got, advice = f"{array.dtype} of shape {array.shape}", "Average the channels, and scale integers to -1 … 1."
        raise refusal(name, "a waveform, one channel of floats (t,)", got, advice)
    if not np.isfinite(array).all():
        raise refusal(name, "finite samples", "NaN or infinite ones", "Drop or replace it.")
    return np.ascontiguousarray(array, dtype=np.float32)


def _is_sound(item: Any) -> bool:
    """A mapping, or the decoder that `datasets` makes of a sound, which only has `[]`."""
    if isinstance(item, Mapping):
        return "array" in item and "sampling_rate" in item
    return hasattr(item, "get_all_samples")


def _decoded(item: Any, name: str) -> tuple[Any, Any]:
    try:
        return item["array"], item["sampling_rate"]
    except Exception as error:  # a broken file makes the decoder raise almost anything
        raise refusal(name, "a sound that can be decoded", first_line(error), "Drop or replace it.") from error


def _sound_file(item: Any, name: str) -> tuple[np.ndarray[Any, Any], int]:
    try:
        import soundfile  # type: ignore[import-untyped]
    except ImportError as error:
        raise missing("Sound files", "soundfile", "irp_hf[audio]") from error
    if isinstance(item, Mapping):
        item = item.get("bytes") if item.get("bytes") is not None else item.get("path")
    try:
        data = item if isinstance(item, bytes) else read_file(item)
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            if (samples := sound.frames * sound.channels) > MOST_SAMPLES:
                advice = "Cut it into pieces."
                raise refusal(name, f"a sound of at most {MOST_SAMPLES:,} samples", f"one of {samples:,}", advice)
            array, rate = sound.read(dtype="float32"), sound.samplerate
    except InputError:
        raise
    except (OSError, TypeError, ValueError, RuntimeError) as error:
        got = getattr(error, "strerror", None) or f"what soundfile cannot read ({first_line(error)})"
        raise refusal(name, "a file with a sound", got, "Drop or replace it.") from error
    return array, rate


def _place(item: Any, row: int) -> str:
    """Which item it is: its row, and its file where it has one."""
    return f"Item {row} ({item!s:.200})" if isinstance(item, str | os.PathLike) else f"Item {row}"
