"""Whether what makes the rows now gives again what an earlier call kept of them: a name may be that of another by now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from irp_hf.disk.blocks import Blocks
from irp_hf.disk.parts import find_parts, read_part, read_rows
from irp_hf.disk.results import ONLY, Array, Arrays, errors, named_arrays, row_kinds
from irp_hf.errors import InputError, refusal


def blocks_to_check(blocks: Blocks) -> list[int]:
    """Two blocks that were done by an earlier call, or fewer: what makes the rows now must give them again."""
    if blocks.joined():
        done = list(range(blocks.run.num_blocks))
    else:
        done = [block for part in find_parts(blocks.parts) for block in part.blocks]
    return sorted({done[0], done[len(done) // 2]}) if done else []


def check_again(blocks: Blocks, rows: Sequence[int], result: Any, tolerance: float) -> None:
    """Raise `InputError` where `result`, made now of some rows, is not what an earlier call kept of them.

    `tolerance` is how far a row may be off, as a share of its length. Nothing is changed.
    """
    made, (places, kept) = named_arrays(result, len(rows), 0), _kept(blocks, rows)
    if not places:
        return
    rows, again = [rows[place] for place in places], {name: array[places] for name, array in made.items()}
    if row_kinds(again) != row_kinds(kept):
        raise _changed(blocks, f"{row_kinds(kept)}, as it holds them", row_kinds(again))
    for name, array in again.items():
        off = errors(kept[name], array)
        if not (off <= tolerance).all():
            worst = int(np.nan_to_num(off, nan=np.inf).argmax())
            what = "" if name == ONLY else f" of {name}"
            expected = f"row {rows[worst]}{what} as it holds it, to {tolerance:g} of its length"
            raise _changed(blocks, expected, f"one that is off by {off[worst]:.2g}")


def _kept(blocks: Blocks, rows: Sequence[int]) -> tuple[list[int], Arrays]:
    """Which of some rows are kept, joined or in parts, as places among them; and what is kept of these."""
    if blocks.joined():
        return list(range(len(rows))), {name: np.asarray(array[list(rows)]) for name, array in blocks.results().items()}
    wanted, places, found = {row: place for place, row in enumerate(rows)}, list[int](), dict[str, list[Array]]()
    for part in find_parts(blocks.parts):
        part_rows = read_rows(blocks.run, part)
        theirs = [place for place, row in enumerate(part_rows) if row in wanted]
        if theirs:
            places += [wanted[row] for row in part_rows[theirs]]
            for name, array in read_part(blocks.run, part)[1].items():
                found.setdefault(name, []).append(array[theirs])
    return places, {name: np.concatenate(arrays) for name, arrays in found.items()}


def _changed(blocks: Blocks, expected: str, got: str) -> InputError:
    advice = (
        "Its rows are of another encoder, head or function, or of one that gives others each time. "
        "Name another place, or remove what that run wrote."
    )
    return refusal(str(blocks.journal), expected, got, advice)
