"""Many fits in several processes, one thread each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import torch
from tqdm import tqdm

Job = TypeVar("Job", bound=tuple[Any, ...])
Result = TypeVar("Result")


def each(work: Callable[..., Result], jobs: Sequence[Job], processes: int) -> Iterator[tuple[Job, Result]]:
    """What `work(*job)` gives for every job, as each is ready; the first jobs begin first."""
    pool = ProcessPoolExecutor(processes, get_context("spawn"), torch.set_num_threads, (1,))
    try:
        waiting = {pool.submit(work, *job): job for job in jobs}
        for done in tqdm(as_completed(waiting), total=len(waiting), unit="job"):
            yield waiting[done], done.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def tabled(
    work: Callable[..., Result],
    jobs: Sequence[Job],
    processes: int,
    table: Path,
    written: Callable[[dict[Job, Result]], str],
) -> None:
    """Write into `table` what `work(*job)` gave for the jobs so far, as `written` words it, and print it in the end."""
    found: dict[Job, Result] = {}
    for job, result in each(work, jobs, processes):
        found[job] = result
        table.write_text(written(found), encoding="utf-8")
    print(written(found))
