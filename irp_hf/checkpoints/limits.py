"""What a repository says of itself, checked before anything is built of it: sizes, and names of files."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

from irp_hf.checkpoints.repository import Repository
from irp_hf.checks import quoted
from irp_hf.disk.places import cannot_be_read
from irp_hf.errors import InputError, refusal, shown

CONFIG, WEIGHTS = "config.json", "model.safetensors"  # as transformers writes them
PROCESSORS = ("preprocessor_config.json", "processor_config.json")  # of pictures and of sound
VIDEOS = "video_preprocessor_config.json"  # beside one of the others
LARGEST_CONFIG = 10_000_000  # bytes
MOST_LAYERS = 2_000  # in all, where they are counted by stages
MOST_LABELS = 1 << 17  # a name is made for each
MOST_EDGE = 1 << 12  # pixels: what a picture is scaled to, 200 MB of float32 if it is square
MOST_RATE = 1_000_000  # samples a second
MOST_FRAMES = 1 << 12  # of a video
MOST_SPECTRUM = 1 << 27  # numbers of one spectrogram, of one bank of filters, or samples of one sound
MOST = 1 << 24  # of anything else that is counted: positions, tokens, the width
LAYERS = re.compile(r"(.*_)?n_layers?|(.*_)?(layers|depths?|blocks|repeats)|num_.*layers.*")
COUNTS = re.compile(
    r"num_.*|n_.*|.*_(size|sizes|dim|dims|channels|length|positions|layers|features|bins|multiplier|coefficient|ratio)"
    r"|d_model|d_ff|dim|max_position_embeddings|size|height|width|shortest_edge"
)
MOST_CHANNELS = 1 << 10  # of a picture
RESAMPLINGS = (*range(6), None, *("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"))  # as Pillow has them
PER_CHANNEL = ("image_mean", "image_std")
LEAST_ONE = re.compile(r"sampling_rate|hop_length|feature_size|n_fft|num_mel_bins|patch_size|num_frames")
EDGES = re.compile(r"(image|crop|max_image|min_image)_size|size|height|width|shortest_edge|longest_edge")
FRAMES = re.compile(r"num_frames|frames_per_clip|nb_frames")
BY_PIXELS = "merge_size"  # processors with it take longest_edge for the number of all pixels
KEEP = "Give it the configuration that it was saved with."


def check_sizes(repository: Repository, token: str | bool | None, folder: str = "", name: str = CONFIG) -> None:
    """Raise `InputError` for a `config.json`, or a file of another `name`, whose numbers no model has.

    Building it would take all memory.    A model that is small by each number can still be large by their product: see
    `irp_hf.checkpoints.budget`.
    """
    file = (PurePosixPath(folder) / name).as_posix()
    content = read_json(repository, file, token)
    if isinstance(content, dict):
        _check_kinds(f"The {file} of {repository.name}", content)
        names = content.get("id2label")
        if isinstance(names, dict | list) and len(names) > MOST_LABELS:
            raise _too_many(file, repository, MOST_LABELS, "number of id2label", len(names))
    for name, value in _numbers(content):
        most = MOST_LAYERS if LAYERS.fullmatch(name) else MOST_LABELS if name == "num_labels" else MOST
        if re.fullmatch("(image|crop)_size", name):
            most = MOST_EDGE
        if FRAMES.fullmatch(name):
            most = MOST_FRAMES
        if LAYERS.fullmatch(name) and value < 0:
            raise refusal(f"The {file} of {repository.name}", f"at least 0 as its {name}", shown(value), KEEP)
        if (LAYERS.fullmatch(name) or COUNTS.fullmatch(name)) and not value <= most:
            raise _too_many(file, repository, most, name, value)


def _check_kinds(subject: str, content: dict[str, Any]) -> None:
    """Raise `InputError` for numbers packed in a way that the library does not know, and for code under no names."""
    packed = content.get("quantization_config")
    method = packed.get("quant_method") if isinstance(packed, dict) else packed
    if packed is not None and not (isinstance(method, str) and method in AUTO_QUANTIZATION_CONFIG_MAPPING):
        raise refusal(subject, "a quant_method that transformers knows", shown(method), "Save it unpacked.")
    if not isinstance(content.get("auto_map"), dict | None):
        raise refusal(subject, "a dictionary of classes as its auto_map", shown(content["auto_map"]), KEEP)
    for name in ("dtype", "torch_dtype"):
        asked = content.get(name)
        found = getattr(torch, asked.removeprefix("torch."), None) if isinstance(asked, str) else None
        floating = isinstance(found, torch.dtype) and found.is_floating_point
        if not floating and asked not in (None, "auto") and not isinstance(asked, dict):
            raise refusal(subject, f"a floating dtype of PyTorch as its {name}", shown(asked), KEEP)


def check_processor(repository: Repository, token: str | bool | None, folder: str = "") -> None:
    """Raise `InputError` where the processor of pictures or of sound would make of one item what takes all memory."""
    found = [name for name in PROCESSORS if _check_processor(repository, token, folder, name)]
    if found:
        _check_processor(repository, token, folder, VIDEOS)


def _check_processor(repository: Repository, token: str | bool | None, folder: str, file_name: str) -> bool:
    """Whether there is such a file, which is checked."""
    file = (PurePosixPath(folder) / file_name).as_posix()
    content = read_json(repository, file, token)
    _check_values(f"The {file} of {repository.name}", content)
    numbers: dict[str, float] = {}
    for name, value in _numbers(content):
        numbers[name] = max(value, numbers.get(name, value))
    for name, value in numbers.items():
        most: float = MOST_SPECTRUM
        if EDGES.fullmatch(name) and not (name == "longest_edge" and BY_PIXELS in numbers):
            most = MOST_EDGE
        elif name == "sampling_rate":
            most = MOST_RATE
        elif FRAMES.fullmatch(name):
            most = MOST_FRAMES
        elif not (COUNTS.fullmatch(name) or name.endswith(("_samples", "_fft", "chunk_length", "_s"))):
            continue
        if not value <= most:
            raise _too_many(file, repository, most, name, value)
    _check_sound(file, repository, numbers)
    return content is not None


def _check_values(subject: str, content: Any, depth: int = 0) -> None:
    """Raise `InputError` for sizes below 1, means and spreads that are no numbers, and unknown ways to resample."""
    if not isinstance(content, dict) or depth > 8:
        return
    for name, value in content.items():
        _check_values(subject, value, depth + 1)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and not abs(value) < math.inf:
            raise refusal(subject, f"a finite number as its {name}", shown(value), KEEP)
        if number and (EDGES.fullmatch(name) or LEAST_ONE.fullmatch(name)) and value < 1:
            raise refusal(subject, f"at least 1 as its {name}", shown(value), KEEP)
        if name == "sampling_rate" and not number:
            raise refusal(subject, "a number as its sampling_rate", shown(value), KEEP)
        if name == "resample" and not any(value == known for known in RESAMPLINGS):
            raise refusal(subject, f"one of {quoted(map(str, RESAMPLINGS))} as its resample", shown(value), KEEP)
        if name == "rescale_factor" and value == 0:
            raise refusal(subject, "a number other than 0 as its rescale_factor", shown(value), KEEP)
        if name in PER_CHANNEL and value is not None:
            numbers = value if isinstance(value, list) else [value]
            are_numbers = all(isinstance(one, int | float) and abs(one) < math.inf for one in numbers)
            if len(numbers) > MOST_CHANNELS or not are_numbers or (name == "image_std" and 0 in numbers):
                expected = f"a number for each channel as its {name}, {'none of them 0' if 0 in numbers else 'finite'}"
                raise refusal(subject, expected, shown(value), KEEP)


def _check_sound(file: str, repository: Repository, numbers: dict[str, float]) -> None:
    """The products: a spectrogram has so many frames times so many bins."""
    rate, hop = numbers.get("sampling_rate", 1), max(numbers.get("hop_length", 1), 1)
    seconds = max(numbers.get(name, 0) for name in ("chunk_length", "chunk_length_s", "max_length_s"))
    samples = max(seconds * rate, *(numbers.get(name, 0) for name in ("n_samples", "nb_max_samples")))
    bins = max(numbers.get(name, 1) for name in ("feature_size", "num_mel_bins"))
    frames = max(numbers.get("nb_max_frames", 0), samples / hop if "hop_length" in numbers else 0)
    for what, value in (
        ("samples of one sound", samples),
        ("numbers of one spectrogram", frames * bins),
        ("numbers of its filters", numbers.get("n_fft", 0) * bins),
    ):
        if not value <= MOST_SPECTRUM:
            raise _too_many(file, repository, MOST_SPECTRUM, what, value)


def is_inside(path: str) -> bool:
    """Whether a path, as repositories write it, stays in its folder."""
    return "\\" not in path and ":" not in path and not path.startswith("/") and ".." not in PurePosixPath(path).parts


def read_json(repository: Repository, name: str, token: str | bool | None) -> Any:
    """What a file says; None where there is none, or no JSON, which is for its reader to tell.

    Raises `InputError` for one that is too large, and `HubError`.
    """
    file = repository.file(name, token)
    if file is None:
        return None
    subject = f"The {name} of {repository.name}"
    check_size(subject, file, LARGEST_CONFIG)
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise cannot_be_read(subject, error) from error
    except (ValueError, RecursionError):
        return None


def check_size(subject: str, file: Path, most: int) -> None:
    """Raise `InputError` for a file of more than `most` bytes, and for one that the system does not let be seen."""
    try:
        size = file.stat().st_size
    except OSError as error:
        raise cannot_be_read(subject, error) from error
    if size > most:
        got, advice = f"{size:,}", "Do not use it, or save the model again."
        raise refusal(subject, f"at most {most:,} bytes", got, advice)


def _too_many(file: str, repository: Repository, most: float, name: str, value: float) -> InputError:
    got = f"{shown(value) if isinstance(value, int) else f'{value:.0f}'}, which no model has"
    return refusal(f"The {file} of {repository.name}", f"at most {most:.0f} as its {name}", got, KEEP)


def _numbers(content: Any, depth: int = 0) -> Iterator[tuple[str, int | float]]:
    """Numbers by their names, those of nested configurations as well; of a list of them each, and of layers their sum."""
    if not isinstance(content, dict) or depth > 8:
        return
    for name, value in content.items():
        entries = value if isinstance(value, list) else [value]
        numbers = [entry for entry in entries if isinstance(entry, int | float) and not isinstance(entry, bool)]
        numbers = [entry if abs(entry) < 1e300 else math.inf for entry in numbers]
        yield from ((name, entry) for entry in numbers)
        if len(numbers) > 1 and LAYERS.fullmatch(name):
            yield name, sum(numbers)
        for entry in entries:
            yield from _numbers(entry, depth + 1)
