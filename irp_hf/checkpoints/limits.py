"""What a repository says of itself, checked before anything is built of it: sizes, and names of files."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from irp_hf.checkpoints.repository import Repository
from irp_hf.errors import InputError, refusal, shown

CONFIG, WEIGHTS = "config.json", "model.safetensors"  # as transformers writes them
PROCESSORS = ("preprocessor_config.json", "processor_config.json")  # of pictures and of sound
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
EDGES = re.compile(r"(image|crop|max_image|min_image)_size|size|height|width|shortest_edge|longest_edge")
FRAMES = re.compile(r"num_frames|frames_per_clip|nb_frames")
BY_PIXELS = "merge_size"  # processors with it take longest_edge for the number of all pixels
KEEP = "Give it the configuration that it was saved with."


def check_sizes(repository: Repository, token: str | bool | None, folder: str = "") -> None:
    """Raise `InputError` for a `config.json` whose numbers no model has: building it would take all memory.

    A model that is small by each number can still be large by their product: see `irp_hf.checkpoints.budget`.
    """
    file = (PurePosixPath(folder) / CONFIG).as_posix()
    for name, value in _numbers(read_json(repository, file, token)):
        most = MOST_LAYERS if LAYERS.fullmatch(name) else MOST_LABELS if name == "num_labels" else MOST
        if re.fullmatch("(image|crop)_size", name):
            most = MOST_EDGE
        if FRAMES.fullmatch(name):
            most = MOST_FRAMES
        if (LAYERS.fullmatch(name) or COUNTS.fullmatch(name)) and not value <= most:
            raise _too_many(file, repository, most, name, value)


def check_processor(repository: Repository, token: str | bool | None, folder: str = "") -> None:
    """Raise `InputError` where the processor of pictures or of sound would make of one item what takes all memory."""
    for name in PROCESSORS:
        file = (PurePosixPath(folder) / name).as_posix()
        content = read_json(repository, file, token)
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
    if file.stat().st_size > LARGEST_CONFIG:
        expected, got = f"at most {LARGEST_CONFIG:,} bytes", f"{file.stat().st_size:,}"
        raise refusal(f"The {name} of {repository.name}", expected, got, "Do not use it, or save the model again.")
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None


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
