"""From items to embeddings, in batches, by any encoder that `irp_hf.encoding` can open."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from irp_hf.arithmetic import check_evaluating, own_arithmetic
from irp_hf.data.arrays import Rows
from irp_hf.data.columns import check_request
from irp_hf.data.digests import digests
from irp_hf.data.memory import allocating
from irp_hf.data.progress import check_progress, progress_bar
from irp_hf.disk.again import blocks_to_check, check_again
from irp_hf.disk.blocks import Blocks, check_out
from irp_hf.disk.journal import Run
from irp_hf.disk.results import ONLY
from irp_hf.encoding.base import At, Encoder, Modality, Options
from irp_hf.encoding.inputs import read_in_groups, read_items
from irp_hf.encoding.lost import empty_among, refuse_lost
from irp_hf.encoding.nothing import vectors_of_nothing
from irp_hf.encoding.open import open_encoder
from irp_hf.encoding.running import embedded
from irp_hf.errors import refusal

IN_SINGLE, IN_HALF = 2e-3, 0.05  # shares of a vector's length
FEW_BATCHES = 4  # done before anybody could read a progress bar

# How many batches of items are read at once, to be sorted by length. Pictures need no sorting, and audio much memory.
BATCHES_SORTED = {"text": 256, "audio": 16}


@own_arithmetic()
def encode(
    encoder: Any,
    items: Sequence[Any],
    *,
    pooling: str | Sequence[str] | None = None,
    prompt: str | None = None,
    prompt_name: str | None = None,
    task: str | None = None,
    max_length: int | None = None,
    truncate_dim: int | None = None,
    normalize: bool | None = None,
    at: At | None = None,
    modality: Modality | None = None,
    processor: Any = None,
    batch_size: int = 32,
    device: str | torch.device | None = None,
    device_map: str | dict[str, Any] | None = None,
    dtype: str | torch.dtype | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    trust_remote_code: bool = False,
    subfolder: str | None = None,
    variant: str | None = None,
    out: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> tuple[Tensor, dict[str, Any]]:
    """Encode `items`; return `(n, d)`, float32 on the CPU in the order given, and a record of who encoded.

    Args:
        encoder: a folder, an id on the Hub, a loaded `SentenceTransformer` or transformers model, or a function from a list
            of items to `(n, d)`, which is called batch by batch.
        items: texts, pictures (PIL, paths, uint8 arrays `(h, w, 3)`), audio (float waveforms `(t,)`, {"array",
            "sampling_rate"}, paths), as the encoder reads; for a function, anything that it takes. A list, a column
            of pandas, polars or Arrow, in the order of its rows; or a column of `datasets`, which is read piece by piece.
            No items give no rows, shape (0, d).
        pooling: how a vector comes of a model's tokens: of text "mean", "cls", "last", or "pooler", its own layer; of pictures
            "pooler", "cls" or "mean"; of audio "mean" or "pooler". It must be named for a plain transformers model;
            a sentence-transformers model and one with two towers know their own.
        prompt: put in front of every text. None leaves a sentence-transformers model its default prompt.
        prompt_name: of a sentence-transformers model: the one of its prompts that is put in front.
        task: of a sentence-transformers model: "query" or "document" encodes as its `encode_query` and `encode_document` do, by
            their prompts and, where it has routes, by that route; any other route goes by its name.
        max_length: how many tokens of a text are read; by default as many as the model takes.
        truncate_dim: how many leading numbers of every vector are kept; by default all, or as a SentenceTransformer has it.
        normalize: True scales every vector to unit length, after it was cut.
        at: "head" gives what the head of a classifier reads.
        modality: "text", "image" or "audio", the side of a two-tower model; needed where the items do not tell.
        processor: tokenizer, image processor or feature extractor of a transformers model that is loaded already.
        batch_size: items at a time; it changes nothing but rounding.
        device: where a model that is loaded here runs; by default a GPU if there is one.
        device_map: "auto", or devices by name of a part, for a model that is too large for one device.
        dtype: of its weights, as "float16"; by default the one they were saved in.
        revision: branch, tag or commit on the Hub.
        token: for private repositories on the Hub.
        trust_remote_code: run code that the repository of the encoder brings. Read it before.
        subfolder: the folder inside the repository, or inside of a folder, that the encoder lies in.
        variant: which of several weights beside each other: "fp16" of `model.fp16.safetensors`.
        out: a `.npy` file to write to, so that little memory is needed: what is returned is a map of it. On the way batches
            are kept in a folder `<out>.parts`, which takes as much room again. A run that was interrupted goes on from there,
            and one that was finished is returned at once. Beside it a file `<out>.json` says which run it is. An
            encoder of other weights is refused, and so is one that does not give two batches again as they are kept; one that
            was only moved is the same.
        progress: show a bar, or do not; by default on a terminal, for more than a few batches.

    The record holds `id`, `revision`, `pooling`, `prompt`, `normalize`, `dtype`, `truncate_dim`, `task` and, of texts,
    `max_length`, None where unknown; `modality` and `at` where they are not the usual; and digests of a model's content:
    `weights_sha256`, `processor_sha256` and, at a head, `head_sha256`. Of a folder it keeps the name alone. Transformers models
    are read from safetensors only, and no code of a repository is run unless `trust_remote_code` allows it.

    Raises `InputError` for an encoder, items or options that cannot be used, and for an `out` that is another run's, that
    another process writes, that the disk has no room for, or that would hold no items; `HubError` where the Hub refuses, or
    cannot be reached and the cache lacks the encoder; and `MissingDependencyError` where an optional library is needed and not
    installed.
    """
    place = None if out is None else check_out(out)
    items = check_request(items, batch_size, least=0 if place is None else 1)
    check_progress(progress)
    options = Options(
        pooling=pooling,
        prompt=prompt,
        prompt_name=prompt_name,
        task=task,
        max_length=max_length,
        truncate_dim=truncate_dim,
        normalize=normalize,
        device=device,
        dtype=dtype,
        revision=revision,
        token=token,
        at=at,
        modality=modality,
        processor=processor,
        device_map=device_map,
        trust_remote_code=trust_remote_code,
        subfolder=subfolder,
        variant=variant,
    )
    opened = encoder if isinstance(encoder, Encoder) else open_encoder(encoder, options, next(iter(items[:1]), None))
    record = opened.full_record().to_dict()
    if place is None:
        return encode_all(opened, items, batch_size, progress), record
    content, *older = digests(items, files=reads_files(opened))
    order = _batches_sorted(opened)
    run = Run(record, len(items), int(batch_size), content, batches_sorted=order, older_items=tuple(older))
    with Blocks.for_file(place, run, gather=True) as blocks:
        left = blocks.begin()
        if again := blocks_to_check(blocks):  # by name it may be the same, and another by now
            for _, rows, vectors in embed_batches(opened, items, batch_size, frozenset(again)):
                check_again(blocks, rows, vectors, tolerance(opened))
        if left is not None:
            done = len(items) - sum(len(blocks.rows(batch)) for batch in left)
            with batches_bar(f"Encoding by {opened.name}", len(items), batch_size, progress, done) as bar:
                for batch, rows, vectors in embed_batches(opened, items, batch_size, frozenset(left)):
                    blocks.write(batch, vectors, rows)
                    bar.update(len(rows))
            blocks.join()
    return torch.from_numpy(blocks.results()[ONLY]), record


def open_to_encode(
    encoder: Any,
    items: Sequence[Any],
    options: Options,
    batch_size: int = 32,
    out: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> Encoder:
    """Open an encoder for these items, once all that `encode` is asked for was checked; `encode` then takes it as it is."""
    if out is not None:
        check_out(out)
    items = check_request(items, batch_size)
    check_progress(progress)
    return open_encoder(encoder, options, items[:1][0])


@own_arithmetic()
def encode_all(encoder: Encoder, items: Sequence[Any], batch_size: int, progress: bool | None) -> Tensor:
    """All vectors `(n, d)`, in memory and in order."""
    if not len(items):
        return vectors_of_nothing(encoder)
    embeddings = torch.empty(0, dtype=torch.float32, device="cpu")
    with batches_bar(f"Encoding by {encoder.name}", len(items), batch_size, progress) as bar:
        for _, rows, vectors in embed_batches(encoder, items, batch_size):
            if not len(embeddings):
                with allocating(f"The vectors of {encoder.name}", "Give out=, a file to write to, or fewer items."):
                    embeddings = torch.empty(len(items), vectors.shape[1], dtype=torch.float32, device="cpu")
            embeddings.numpy()[rows] = vectors.numpy()  # torch would share out so small a copy among threads
            bar.update(len(rows))
    return embeddings


def embed_batches(
    encoder: Encoder, items: Sequence[Any], batch_size: int, left: Container[int] | None = None
) -> Iterator[tuple[int, list[int], Tensor]]:
    """Yield the number of a batch, its rows and their vectors `(b, d)`, for those that are `left` to do, or for all.

    A batch of one number always holds the same rows.
    """
    if encoder.modality == "text" and isinstance(items, list | tuple):
        read_items(encoder, items)  # an item of the wrong kind is told now and not after hours
    width, count = None, -(-len(items) // batch_size)
    at_once = _batches_sorted(encoder)
    for first in range(0, count, at_once):
        batches = [batch for batch in range(first, min(first + at_once, count)) if left is None or batch in left]
        if not batches:
            continue  # unread
        start = first * batch_size
        if encoder.modality == "image":  # of which a batch may take more memory than there is
            rows = list(range(start, min(start + batch_size, len(items))))
            vectors = _of_groups(encoder, items[start : start + batch_size], width, rows)
            width = vectors.shape[1]
            yield first, rows, vectors
            continue
        window = read_items(encoder, items[start : start + at_once * batch_size], start)
        order = list(range(len(window)))
        if at_once > 1:
            # Like lengths need little padding, and with the longest first memory runs out at once or never.
            order.sort(key=lambda row: -_length(window[row]))
        for batch in batches:
            rows = order[(batch - first) * batch_size : (batch - first + 1) * batch_size]
            batch_items, rows = [window[row] for row in rows], [start + row for row in rows]
            vectors = _embed(encoder, batch_items, width, rows)
            width = vectors.shape[1]
            yield batch, rows, vectors


def _of_groups(encoder: Encoder, pictures: Sequence[Any], width: int | None, rows: list[int]) -> Tensor:
    """The vectors of a batch of pictures, as many of which are decoded and encoded at one time as memory is meant for."""
    parts: list[Tensor] = []
    done = 0
    for group in read_in_groups(encoder, pictures, rows[0]):
        parts.append(_embed(encoder, group, width, rows[done : done + len(group)]))
        done, width = done + len(group), parts[0].shape[1]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def tolerance(encoder: Encoder) -> float:
    """How far a vector that is made again may be off, as a share of its length: in other batches, on another device."""
    return IN_HALF if encoder.record.dtype in ("float16", "bfloat16") else IN_SINGLE


def reads_files(encoder: Encoder) -> bool:
    """Whether a text among the items is the path of a file."""
    return encoder.modality in ("image", "audio")


def _length(item: Any) -> int:
    """Of a text, of both texts of a pair, of a waveform."""
    return sum(map(len, item)) if isinstance(item, tuple) else len(item)


def _batches_sorted(encoder: Encoder) -> int:
    """How many batches are read at once and sorted by length."""
    return BATCHES_SORTED.get(encoder.modality or "", 1)


def batches_bar(desc: str, num_items: int, batch_size: int, progress: bool | None, done: int = 0) -> Any:
    """A bar that counts items, `done` of which are; by default on a terminal, for more than a few batches."""
    if progress is None and num_items <= FEW_BATCHES * batch_size:
        progress = False
    return progress_bar(desc, progress, total=num_items, initial=done)


@own_arithmetic()
def _embed(encoder: Encoder, batch: list[Any], width: int | None, rows: list[int]) -> Tensor:
    check_evaluating(encoder.name, encoder.module)
    found = Rows(embedded(encoder, batch, rows), f"The vectors of {encoder.name}")
    vectors = found[0 : found.num_rows]
    if len(vectors) != len(batch) or vectors.shape[1] != (width or vectors.shape[1]):
        expected = f"shape ({len(batch)}, {width or 'd'})"
        advice = f"Return one row for each item, all of one width.{empty_among(batch, rows)}"
        raise refusal(f"The vectors of {encoder.name}", expected, f"shape {tuple(vectors.shape)}", advice)
    refuse_lost(encoder, vectors, batch, rows)
    return vectors.float().cpu()
