"""Encode a column of a data set on all processes of `accelerate launch`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from typing_extensions import Unpack

from irp_hf.checks import check_names
from irp_hf.data.columns import check_request, column_of
from irp_hf.data.digests import digests
from irp_hf.data.progress import check_progress
from irp_hf.disk.blocks import Blocks, check_out
from irp_hf.disk.journal import Run
from irp_hf.disk.results import ONLY
from irp_hf.encoding.base import EncoderOptions, Options
from irp_hf.encoding.batches import encode_all, reads_files, tolerance
from irp_hf.encoding.open import open_encoder
from irp_hf.parallel.sharded import BLOCK_SIZE, Again, all_processes, check_block_size, run_blocks

CHECKED = 8  # rows of a block that are encoded again before a run goes on


def encode_dataset(
    encoder: Any,
    dataset: Any,
    column: str,
    out: str | os.PathLike[str],
    *,
    batch_size: int = 32,
    block_size: int = BLOCK_SIZE,
    progress: bool | None = None,
    **options: Unpack[EncoderOptions],
) -> tuple[Tensor, dict[str, Any]]:
    """Encode a column of a `datasets.Dataset` to `out`, a `.npy` file, on all processes of `accelerate launch`.

    Returns `(n, d)`, float32 and mapped from the file, and the record of who encoded, in every process. `options` are those
    of `irp_hf.encoding.encode`; a device, where none is given, is the process's own. Until they are joined, the parts lie in
    the folder `<out>.parts`, which all machines must share.

    Raises `InputError` as `encode` and `run_sharded` do.
    """
    check_names("encode_dataset", options, EncoderOptions.__annotations__, ("batch_size", "block_size", "progress"))
    items, place, asked = column_of(dataset, column), check_out(out), Options(**options)
    items, rows_per_block = check_request(items, batch_size), check_block_size(block_size)
    check_progress(progress)
    state = all_processes()
    if (asked.device, asked.device_map) == (None, None) and isinstance(encoder, str | os.PathLike):
        asked = replace(asked, device=state.device)
    with state.main_process_first():  # what is downloaded, is downloaded once
        opened = open_encoder(encoder, asked, items[:1][0])

    def embed(rows: Sequence[Any]) -> Tensor:
        return encode_all(opened, rows, batch_size, progress=False)

    record = opened.full_record().to_dict()
    content, *older = digests(items, files=reads_files(opened))
    run = Run(record, len(items), int(batch_size), content, rows_per_block, older_items=tuple(older))
    again = Again(None if opened.module is None else CHECKED, tolerance(opened))
    found = run_blocks(state, embed, items, Blocks.for_file(place, run), progress, again)
    return torch.from_numpy(found[ONLY]), record
