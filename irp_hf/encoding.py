"""From items to embeddings, in batches, by any encoder that `irp_hf.encoders` can open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from irp_hf.arrays import as_matrix
from irp_hf.encoders import Encoder, Options, open_encoder
from irp_hf.errors import InputError
from irp_hf.projection import unit_rows

FEW_BATCHES = 4  # done before anybody could read a progress bar


def encode(
    encoder: Any,
    items: Sequence[Any],
    *,
    pooling: str | None = None,
    prompt: str | None = None,
    normalize: bool | None = None,
    batch_size: int = 32,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    progress: bool | None = None,
) -> tuple[Tensor, dict[str, Any]]:
    """Encode `items`; return `(n, d)`, float32 on the CPU in the order given, and a record of who encoded.

    Args:
        encoder: a folder, an id on the Hub, a loaded `SentenceTransformer`, or a function from a list of
            items to `(n, d)`, which is called batch by batch.
        items: texts; for a function, anything that it takes.
        pooling: how a vector comes of a model's tokens: "mean", "cls", "last", or "pooler", its own layer.
            It must be named for a plain transformers model; a sentence-transformers model knows its own.
        prompt: put in front of every text. None leaves a sentence-transformers model its default prompt.
        normalize: True scales every vector to unit length.
        batch_size: items at a time; it changes nothing but rounding.
        device: where a model that is loaded here runs; by default a GPU if there is one.
        dtype: of its weights, as "float16"; by default the one they were saved in.
        revision: branch, tag or commit on the Hub.
        token: for private repositories on the Hub.
        progress: show a bar, or do not; by default on a terminal, for more than a few batches.

    The record holds `id`, `revision`, `pooling`, `prompt`, `normalize` and `dtype`, None where unknown; of a
    folder it keeps the name alone. Transformers models are read from safetensors only, and no code of a
    repository is run.

    Raises `InputError` for an encoder, items or options that cannot be used, and `MissingDependencyError`
    where sentence-transformers is needed and not installed.
    """
    if isinstance(items, str | bytes) or not len(items):
        raise InputError(f"The items are {items!r:.40}; a list of at least one is wanted. Pass [item, ...].")
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; at least 1 is wanted. 32 suits most encoders.")
    options = Options(pooling, prompt, normalize, device, dtype, revision, token)
    opened, items = open_encoder(encoder, options), list(items)
    if opened.reads_text:
        _check_texts(items, opened.name)
        # Like lengths need little padding, and with the longest first memory runs out at once or never.
        order = sorted(range(len(items)), key=lambda row: -len(items[row]))
    else:
        order = list(range(len(items)))
    by_default = True if len(items) <= FEW_BATCHES * batch_size else None  # None: where there is no terminal
    with tqdm(
        total=len(items),
        desc=f"Encoding by {opened.name}",
        leave=False,
        disable=by_default if progress is None else not progress,
    ) as bar:
        batches: list[Tensor] = []
        for start in range(0, len(items), batch_size):
            batch = [items[row] for row in order[start : start + batch_size]]
            batches.append(_embed(opened, batch, batches[0].shape[1] if batches else None))
            bar.update(len(batch))
    embeddings = torch.empty(len(items), batches[0].shape[1])
    embeddings[torch.tensor(order)] = torch.cat(batches)
    return unit_rows(embeddings) if normalize else embeddings, opened.record


def _check_texts(items: list[Any], name: str) -> None:
    for row, item in enumerate(items):
        if not isinstance(item, str):
            raise InputError(
                f"Item {row} is a {type(item).__name__}, but {name} reads texts. "
                "Pass strings, or name the view that holds them."
            )


@torch.no_grad()
def _embed(encoder: Encoder, batch: list[Any], width: int | None) -> Tensor:
    vectors = as_matrix(encoder.embed(batch), f"The vectors of {encoder.name}").float().cpu()
    if len(vectors) != len(batch) or vectors.shape[1] != (width or vectors.shape[1]):
        raise InputError(
            f"{encoder.name} made a matrix of shape {tuple(vectors.shape)} of {len(batch)} items, where "
            f"({len(batch)}, {width or 'd'}) is wanted. Return one row for each item, all of one width."
        )
    return vectors
