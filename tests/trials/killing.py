"""Kill a piece of work at moments that are spread over its duration, and look what is left each time."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from statistics import median
from typing import Any

KILLS, SEED, LONGEST = 30, 0, 120  # the last in seconds
CONTEXT: Any = multiprocessing.get_context("forkserver") if hasattr(signal, "SIGKILL") else None


def begin() -> None:
    """Start the process from which all others are forked: it has imported all, and has no threads."""
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), *([path] if path else [])])
    try:
        CONTEXT.set_forkserver_preload(["trials.works"])
        forkserver.ensure_running()
    finally:
        if path is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = path


def started(work: Callable[..., None], *args: Any) -> BaseProcess:
    begin()
    process: BaseProcess = CONTEXT.Process(target=work, args=args)
    process.start()
    return process


def done(work: Callable[..., None], *args: Any) -> None:
    """Do it in another process, to its end."""
    process = started(work, *args)
    process.join(LONGEST)
    assert process.exitcode == 0, "the work fails even when nobody kills it"


def kills(work: Callable[..., None], *args: Any, before: Callable[[], object] = lambda: None) -> Iterator[bool]:
    """Do `work` `KILLS` times and kill it each time; yield whether it was at work until then.

    `before` makes what each begins with.
    """
    times = []
    for _ in range(4):
        before()
        start = time.perf_counter()
        done(work, *args)
        times.append(time.perf_counter() - start)
    chance = random.Random(SEED)
    for number in range(KILLS):
        before()
        process = started(work, *args)
        time.sleep(1.05 * median(times[1:]) * (number + chance.random()) / KILLS)
        process.kill()
        process.join(LONGEST)
        yield process.exitcode == -signal.SIGKILL
