"""Turns: what changes the state of the whole process, and so is done by one of our threads at a time."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator


class Turns:
    """One thread after the other, each as often as it likes.

    A child process that was forked while another thread had its turn begins anew: it has no such thread to wait for.
    """

    def __init__(self) -> None:
        self._locks: dict[int, threading.RLock] = {}

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Within it no other thread has a turn."""
        with self._locks.setdefault(os.getpid(), threading.RLock()):
            yield
