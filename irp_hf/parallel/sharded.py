"""Work over a data set on any number of processes and machines, by Accelerate: the same bits as on one, and resumable.

Rows are cut into blocks of a fixed size, whatever the number of processes. Each process takes a contiguous run of the blocks
that are still to be done and writes every one to a file of its own; the main process joins the files. So a process that dies
leaves whole blocks behind, and the next run, on any number of processes, goes on from there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, parse_flag_from_env

from irp_hf.checks import check_count
from irp_hf.data.digests import digests
from irp_hf.data.listed import in_order
from irp_hf.data.progress import check_progress, progress_bar
from irp_hf.disk.again import blocks_to_check, check_again
from irp_hf.disk.blocks import Blocks
from irp_hf.disk.journal import Run
from irp_hf.disk.places import check_path
from irp_hf.errors import IRPError, kind_of, refusal, shown
from irp_hf.turns import Turns

BLOCK_SIZE = 1024
SECONDS_BETWEEN_LOOKS = 0.2
STARTING = Turns()
SAME = 2e-3  # of a row's length: what the same function may be off on another device, or with another number of threads


class Again(NamedTuple):
    """How what an earlier call kept is made again, before a run goes on from it or gives it back."""

    rows: int | None = None
    """How many rows of a block are enough; None: all of it, where a row may depend on the others of its block."""
    tolerance: float = SAME
    """How far a row may be off, as a share of its length."""


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
        record: what makes this run another than one with the same items, such as the id of a model, in plain values that JSON
            holds; by default the name of the function. What it does is looked at besides: before a run goes on, or what is
            finished is given back, two of its blocks are made again, and a function that makes others is refused.
        progress: show a bar for the main process's share, or do not; by default on a terminal.

    Returns the arrays by name, mapped from their files, in every process.

    Raises `InputError` for items or results that cannot be used, for a folder that is another run's, that is being written
    or that the disk has no room for, and where Accelerate does not know of the processes that were launched.
    """
    if not callable(function):
        raise refusal("function", "a function from items to arrays", kind_of(function), "Give what makes the rows.")
    if not isinstance(record, Mapping | None):
        raise refusal("record", "a dictionary of plain values", shown(record), "Give an id, say: {'id': 'user/name'}.")
    who = dict(record or {"id": getattr(function, "__name__", type(function).__name__)})
    return run_in_folder(function, items, out_folder, block_size, who, progress, Again())


def run_in_folder(
    function: Callable[[Sequence[Any]], Any],
    items: Sequence[Any],
    out_folder: str | os.PathLike[str],
    block_size: int,
    record: dict[str, Any],
    progress: bool | None,
    again: Again,
    files: bool = False,
) -> dict[str, np.ndarray[Any, Any]]:
    """`run_sharded` where it is known how to make anew what was made; `files`: a text among the items is the path of a file."""
    state, folder = all_processes(), check_path("out_folder", out_folder)
    items = in_order(items)
    check_progress(progress)
    content, *older = digests(items, files)
    run = Run(record, len(items), 1, content, check_block_size(block_size), older_items=tuple(older))
    return run_blocks(state, function, items, Blocks.for_folder(folder, run), progress, again)


def run_blocks(
    state: PartialState,
    function: Callable[[Sequence[Any]], Any],
    items: Sequence[Any],
    blocks: Blocks,
    progress: bool | None,
    again: Again,
) -> dict[str, np.ndarray[Any, Any]]:
    """What `function` makes of all `items`, on all processes, by the files of `blocks`."""
    with blocks:
        _share(state, function, items, blocks, progress, again)
    return blocks.results()


def _begin(
    function: Callable[[Sequence[Any]], Any], items: Sequence[Any], blocks: Blocks, again: Again
) -> list[int] | None:
    """The blocks that are left to do; raises `InputError` where the function does not make what is kept already."""
    left = blocks.begin()
    for block in blocks_to_check(blocks):
        rows = blocks.rows(block)[: again.rows]
        check_again(blocks, rows, function(items[rows.start : rows.stop]), again.tolerance)
    return left


def all_processes() -> PartialState:
    """Accelerate's state, which must know all processes: otherwise each would do all the work, into the same files.

    It is the one that all threads share; what a user's own `Accelerator` sets (mixed precision, say) stays to be set.
    """
    with STARTING.taken():  # it is half made while another thread makes it
        state = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"))
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if state.num_processes != launched:
        raise refusal(
            "Accelerate",
            f"the {launched} processes that were launched",
            f"{state.num_processes}",
            "Start them with accelerate launch; without a GPU, set ACCELERATE_USE_CPU=true and give --multi_gpu.",
        )
    return state


def check_block_size(block_size: Any) -> int:
    """A whole number of at least 1; raises `InputError` otherwise."""
    return check_count("block_size", block_size, advice=f"{BLOCK_SIZE} suits most.")


def _share(
    state: PartialState,
    function: Callable[[Sequence[Any]], Any],
    items: Sequence[Any],
    blocks: Blocks,
    progress: bool | None,
    again: Again,
) -> None:
    left = _agreed(state, partial(_begin, function, items, blocks, again), blocks.run)
    if not blocks.journal.exists():
        place = f"{blocks.journal} in process {state.process_index}"
        raise refusal(place, "the file that process 0 has written", "none", "Name a folder that all machines share.")
    if left is None:
        return
    rank, world = state.process_index, state.num_processes
    mine = left[len(left) * rank // world : len(left) * (rank + 1) // world]
    for block in progress_bar("Blocks", progress if state.is_main_process else False, mine):
        rows = blocks.rows(block)
        blocks.write(block, function(items[rows.start : rows.stop]))
    # A barrier alone gives up after some minutes, and another process may have much longer texts.
    _wait(state, blocks.complete)
    if state.is_main_process:
        blocks.join()
    _wait(state, blocks.joined)


def _agreed(state: PartialState, begin: Callable[[], Any], run: Run) -> Any:
    """What the main process says, in every process; its refusal too, and a refusal of other items than its own."""
    said: list[Any] = [None, None, None]
    if state.is_main_process:
        try:
            said = [begin(), None, run]
        except IRPError as error:
            said = [None, error, run]
    answer, refused, theirs = broadcast_object_list(said)
    if refused is not None:
        raise refused
    if run != theirs:
        subject, advice = (
            f"Process {state.process_index}",
            "Shuffle with one seed, and save what you generate at random.",
        )
        raise refusal(subject, "the items and options of process 0", "others", advice)
    return answer


def _wait(state: PartialState, done: Callable[[], bool]) -> None:
    while not done():
        time.sleep(SECONDS_BETWEEN_LOOKS)
    state.wait_for_everyone()
