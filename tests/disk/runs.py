"""Runs of ten rows in blocks of four, for the tests of their files."""

from pathlib import Path

import numpy as np

from irp_hf.disk.blocks import Blocks
from irp_hf.disk.journal import Run

ITEMS = [float(row) for row in range(10)]


def ones(items: list[float]) -> np.ndarray:
    return np.array([[item, 1] for item in items])


def blocks(folder: Path, **changes: object) -> Blocks:
    run = Run(**({"encoder": {"id": "ones"}, "num_rows": 10, "batch_size": 1, "items": "x", "block_size": 4} | changes))
    return Blocks.for_folder(folder, run)


def fill(files: Blocks) -> None:
    for block in files.left():
        files.write(block, ones([ITEMS[row] for row in files.rows(block)]))


def finished(folder: Path) -> Path:
    """The file of a run that is joined."""
    with blocks(folder) as files:
        files.begin()
        fill(files)
        files.join()
    return folder / "values.npy"
