"""What is done to the vectors of any encoder: cut to their leading numbers, brought to unit length."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from irp_hf.checks import check_absent
from irp_hf.data.arrays import Rows
from irp_hf.encoding.base import Encoder, Options
from irp_hf.errors import refusal
from irp_hf.maths.projection import unit_rows


def finished(encoder: Encoder, options: Options) -> Encoder:
    """The encoder whose vectors are the final ones, as its record says: cut first, and then of unit length.

    Raises `InputError` for options that say nothing to this encoder.
    """
    record = encoder.record
    cut = record.truncate_dim
    if record.at_head:
        check_absent("truncate_dim", cut, f"the head of {encoder.name} reads whole vectors")
    if encoder.modality not in (None, "text"):
        check_absent("max_length", options.max_length, f"{encoder.name} reads no text here")
    scaled = bool(options.normalize) and not encoder.unit_length
    if cut is None and not scaled:
        return encoder
    run, name = encoder.embed, f"The vectors of {encoder.name}"

    def embed(items: list[Any]) -> Tensor:
        rows = Rows(run(items), name)
        vectors = rows[0 : rows.num_rows]
        if cut is not None and cut > rows.width:
            expected = f"at most {rows.width}, the width of what {encoder.name} gives"
            raise refusal("truncate_dim", expected, str(cut), "Leave it out for all.")
        vectors = vectors[:, :cut]
        return unit_rows(vectors.float()) if scaled else vectors

    return replace(encoder, embed=embed, unit_length=scaled or encoder.unit_length)
