"""Progress bars on standard error: one rule for when they show."""

from __future__ import annotations

from typing import Any

from tqdm.auto import tqdm

from irp_hf.checks import check_flag
from irp_hf.errors import printable

SECONDS = 2.0  # that pass before a bar of something shows that is mostly quick


def progress_bar(desc: str, progress: bool | None, items: Any = None, **options: Any) -> Any:
    """A bar of tqdm, over `items` or to be updated by hand; it goes away when it is full. `desc` may name what strangers named.

    `progress`: True always shows it, False never does; None does on a terminal, and so neither in a pipe nor in a test.
    `options` are tqdm's, as `total`.

    Raises `InputError` for a `progress` that is none of the three.
    """
    check_progress(progress)
    return tqdm(items, desc=printable(desc), leave=False, disable=None if progress is None else not progress, **options)


def check_progress(progress: Any) -> None:
    """Raise `InputError` unless it is True, False or None."""
    if progress is not None:
        check_flag("progress", progress, "Leave it out for a bar on a terminal alone.")
