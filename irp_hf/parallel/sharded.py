"""Work over a data set on any number of processes and machines, by Accelerate: the same bits as on one, and resumable.

Rows are cut into blocks of a fixed size, whatever the number of processes. Each process takes a contiguous run of the blocks
that are still to be done and writes every one to a file of its own; the main process joins the files. So a process that dies
leaves whole blocks behind, and the next run, on any number of processes, goes on from there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from tqdm.auto import tqdm

from irp_hf.data.columns import check_request
from irp_hf.data.items import digest
from irp_hf.disk.blocks import Blocks
from irp_hf.disk.matrix import Run
from irp_hf.errors import InputError, IRPError

BLOCK_SIZE = 1024
SECONDS_BETWEEN_LOOKS = 0.2


def run_sharded(
    function: Callable[[Sequence[Any]], Any],
    items: Sequence[Any],
    out_folder: str | os.PathLike[str],
    *,
    block_size: int = BLOCK_SIZE,
    record: Mapping[str, Any] | None = None,
    progress: bool | None = None,
) -> dict[str, np.ndarray[Any, Any]]:
    """Run a function over `items`, block by block, on all processes of `accelerate launch`.

    Args:
        function: from up to `block_size` items to one array, or a dict of arrays, with one row for each item. It is always
            given the same blocks, so that whatever it does within one is the same on any number of processes.
        items: a list, or a column of `datasets`, the same in every process.
        out_folder: holds `<name>.npy` for each array in the end, "values" for a single one; all machines must share it.
        block_size: how many items a part holds, and are done anew at most where a process dies.
        record: what makes this run another than one with the same items, such as the id of a model; plain values.
        progress: show a bar for the main process's share, or do not; by default on a terminal.

    Returns the arrays by name, mapped from their files, in every process.

    Raises `InputError` for items or results that cannot be used, for a folder that is another run's or is being written, and
    where Accelerate does not know of the processes that were launched.
    """
    state = _state()
    check_request(items, 1)
    who = dict(record or {"id": getattr(function, "__name__", type(function).__name__)})
    run = Run(who, len(items), 1, digest(items), _checked(block_size))
    folder = Path(out_folder)
    blocks = Blocks(run, folder / "run.json", folder / "parts", lambda name: folder / f"{name}.npy")
    return _run(state, function, items, blocks, progress)


def _run(
    state: Accelerator,
    function: Callable[[Sequence[Any]], Any],
    items: Sequence[Any],
    blocks: Blocks,
    progress: bool | None,
) -> dict[str, np.ndarray[Any, Any]]:
    try:
        _share(state, function, items, blocks, progress)
    finally:
        blocks.close()
    return blocks.results()


def _share(
    state: Accelerator,
    function: Callable[[Sequence[Any]], Any],
    items: Sequence[Any],
    blocks: Blocks,
    progress: bool | None,
) -> None:
    todo = _agreed(state, blocks.begin, blocks.run)
    if not blocks.journal.exists():
        raise InputError(
            f"{blocks.journal} is not there in process {state.process_index}. Name a folder that all machines share."
        )
    if todo is None:
        return
    rank, world = state.process_index, state.num_processes
    mine = todo[len(todo) * rank // world : len(todo) * (rank + 1) // world]
    shown = progress if state.is_main_process else False
    for block in tqdm(mine, desc="Blocks", leave=False, disable=None if shown is None else not shown):
        rows = blocks.rows(block)
        blocks.write(block, function(items[rows.start : rows.stop]))
    # A barrier alone gives up after some minutes, and another process may have much longer texts.
    _wait(state, blocks.complete)
    if state.is_main_process:
        blocks.join()
    _wait(state, blocks.joined)


def _state() -> Accelerator:
    """Accelerate's, which must know all processes: otherwise each would do all the work, into the same files."""
    state, launched = Accelerator(), int(os.environ.get("WORLD_SIZE", "1"))
    if state.num_processes != launched:
        raise InputError(
            f"{launched} processes were launched, but Accelerate knows of {state.num_processes}. "
            "Start them with accelerate launch; without a GPU, set ACCELERATE_USE_CPU=true and give --multi_gpu."
        )
    return state


def _agreed(state: Accelerator, begin: Callable[[], Any], run: Run) -> Any:
    """What the main process says, in every process; its refusal too, and a refusal of other items than its own."""
    said: list[Any] = [None, None, None]
    if state.is_main_process:
        try:
            said = [begin(), None, run]
        except IRPError as error:
            said = [None, error, run]
    answer, refusal, theirs = broadcast_object_list(said)
    if refusal is not None:
        raise refusal
    if run != theirs:
        raise InputError(
            f"Process {state.process_index} has other items or options than process 0. "
            "Give all the same: shuffle with one seed, and save what you generate."
        )
    return answer


def _wait(state: Accelerator, done: Callable[[], bool]) -> None:
    while not done():
        time.sleep(SECONDS_BETWEEN_LOOKS)
    state.wait_for_everyone()


def _checked(block_size: int) -> int:
    if block_size < 1:
        raise InputError(f"block_size is {block_size}; at least 1 is wanted. {BLOCK_SIZE} suits most.")
    return block_size
