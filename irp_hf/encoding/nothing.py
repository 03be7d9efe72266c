"""What an encoder makes of no items: no vectors, as wide as its others are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from irp_hf.arithmetic import check_evaluating
from irp_hf.data.matrices import open_matrix
from irp_hf.encoding import audio, pictures
from irp_hf.encoding.base import Encoder
from irp_hf.errors import IRPError, first_line, refusal


def vectors_of_nothing(encoder: Encoder) -> Tensor:
    """No vectors `(0, d)`, float32 on the CPU; d is the width of what a model makes of any item.

    A function of the user's own is called with no items. Raises `InputError` where it does not give a matrix of no rows then.
    """
    if encoder.module is None:
        return torch.empty(0, _told_by(encoder), dtype=torch.float32, device="cpu")
    some: dict[str | None, Any] = {"image": pictures.blank, "audio": lambda: audio.noise(encoder)}
    item = some.get(encoder.modality, lambda: "one")()
    check_evaluating(encoder.name, encoder.module)
    return torch.empty(0, encoder.embed([item]).shape[1], dtype=torch.float32, device="cpu")


def _told_by(encoder: Encoder) -> int:
    expected, advice = "a matrix (0, width) of no items", "Give one item at least, or let it return such a matrix."
    try:
        shape = tuple(open_matrix(encoder.embed([]), encoder.name)[0].shape)
    except IRPError:
        raise
    except Exception as error:  # whatever a foreign function may raise of an empty list
        got = f"{type(error).__name__} ({first_line(error)})"
        raise refusal(f"The encoder {encoder.name}", expected, got, advice) from error
    if len(shape) != 2 or shape[0] or not shape[1]:
        raise refusal(f"The encoder {encoder.name}", expected, f"shape {shape}", advice)
    return int(shape[1])
