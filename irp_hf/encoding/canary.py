"""Know an encoder again: by its digest, and by what it makes of a few of the anchors' items that a space has kept."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from irp_hf.arithmetic import own_arithmetic
from irp_hf.data.canary import LARGEST_PICTURE, LONGEST_TEXT, Canary
from irp_hf.data.items import content, open_picture
from irp_hf.encoding.base import Encoder
from irp_hf.encoding.batches import encode_all
from irp_hf.encoding.recorded import compare_encoder, mismatch
from irp_hf.errors import refusal, warn
from irp_hf.maths.projection import statistics, unit_rows
from irp_hf.records import EncoderRecord

KEPT = 4  # items
SIDE = 224  # pixels, of a picture that is made smaller
# The least cosine, about the anchors' mean, at which a vector counts as the same. Single precision on other devices, in other
# batches and with other threads moves it by some 1e-6; half precision, and weights that were rounded to it, by up to .01.
SAME, SAME_IN_HALF = 0.999, 0.98
SINGLE = ("float32", "float64")
REASONS = "Likely it has other weights, another pooling, prompt, cut or tokenizer"


@own_arithmetic()
def keep(anchors: Tensor, items: Sequence[Any], encoder: Encoder) -> Canary | None:
    """A canary of `anchors (k, d)` that `encoder` made of `items`: a few that are far apart; None where none can be kept.

    A picture whose file is too large to be published with the space is made smaller, and encoded once more as it then is.
    """
    rows = _spread(anchors, items)
    if not rows:
        return None
    if all(isinstance(items[row], str) for row in rows):
        return Canary(rows, [items[row] for row in rows])
    files = [content(items[row]) for row in rows]
    if all(isinstance(file, bytes) and len(file) <= LARGEST_PICTURE for file in files):
        return Canary(rows, files)  # type: ignore[arg-type]
    small = [_smaller(items[row]) for row in rows]
    if any(len(file) > LARGEST_PICTURE for file in small):
        return None
    return Canary(rows, small, encode_all(encoder, small, KEPT, progress=False).numpy())


def recognise(
    recorded: EncoderRecord,
    canary: Canary | None,
    anchors: Tensor,
    encoder: Encoder,
    on_mismatch: str,
    side: str = "source's",
) -> None:
    """Refuse an encoder that is another than the one that made `anchors (k, d)`, as far as it can be told, or warn.

    First by how it encodes, then by its digest and by the canary: equal weights may be computed with in another way.
    """
    if on_mismatch == "ignore":
        return
    given = None if canary is None else encode_all(encoder, canary.items, len(canary.items), progress=False)
    cut = recorded.differences(encoder.record, ["truncate_dim"])  # then that is the reason for another width
    if (
        given is not None and given.shape[1] != anchors.shape[1] and not cut
    ):  # which is seen first, whatever else differs
        expected = f"vectors {anchors.shape[1]} wide, as the {side} anchors are"
        mismatch(
            encoder.name, expected, f"ones {given.shape[1]} wide", "Pass the one that encoded the anchors.", on_mismatch
        )
        return
    compare_encoder(recorded, encoder, on_mismatch, side)
    changed: list[str] = []
    if recorded.weights_sha256 is not None and encoder.module is not None:
        full = encoder.full_record()
        changed = [name for name, _, _ in recorded.differences(full, ["weights_sha256", "processor_sha256"])]
    elif recorded.weights_sha256 is not None and canary is None:  # a function tells nothing of its weights
        _warn(encoder, f"the encoder of the {side} anchors", "a function, which nothing that was kept can tell")
    same_dtype = not recorded.differences(encoder.record, ["dtype"])
    if canary is not None and given is not None:
        passed = _try(canary, anchors, encoder, given, on_mismatch, _least(recorded, encoder), side)
        if passed and changed and same_dtype:
            what = "tokenizer or processor" if changed == ["processor_sha256"] else "weights"
            got = f"other ones, with which {len(canary.rows)} of the anchors come out alike"
            _warn(encoder, f"the {what} by which the {side} anchors were encoded", got)
    elif changed and same_dtype:
        if "weights_sha256" in changed:
            expected = f"the weights by which the {side} anchors were encoded, as their digest tells"
            mismatch(
                encoder.name, expected, "other ones", "Pass that encoder, or encode the anchors again.", on_mismatch
            )
        else:
            _warn(encoder, f"the tokenizer or processor by which the {side} anchors were encoded", "another one")


def _warn(encoder: Encoder, expected: str, got: str) -> None:
    advice = "Encode the anchors again where it was changed on purpose."
    warn(str(refusal(encoder.name, expected, got, advice)))


def _least(recorded: EncoderRecord, encoder: Encoder) -> float:
    """The cosine that is asked for: near 1 where both are known to count in single precision."""
    return SAME if recorded.dtype in SINGLE and encoder.record.dtype in SINGLE else SAME_IN_HALF


def _try(
    canary: Canary, anchors: Tensor, encoder: Encoder, given: Tensor, on_mismatch: str, least: float, side: str
) -> bool:
    """Whether the encoder makes of the canary's items what was kept; refuses it, or warns, otherwise."""
    got = _unlike(canary, anchors, given, least)
    if got is not None:
        expected = (
            f"the encoder of the {side} anchors, which makes the same vectors of {len(canary.rows)} of their items again "
            f"(cosines of at least {least:g})"
        )
        advice = f"{REASONS}. Pass the one that encoded the anchors, or encode them again."
        mismatch(encoder.name, expected, got, advice, on_mismatch)
    return got is None


@own_arithmetic()
def difference(canary: Canary, anchors: Tensor, encoder: Encoder, least: float = SAME_IN_HALF) -> str | None:
    """How what the encoder makes of the canary's items is unlike what was kept of them, in words; None where it is not.

    Directions are seen from the mean of `anchors (k, d)`, with a cosine of at least `least`, and lengths may be off as far.
    """
    return _unlike(canary, anchors, encode_all(encoder, canary.items, len(canary.items), progress=False), least)


@own_arithmetic()
def _unlike(canary: Canary, anchors: Tensor, given: Tensor, least: float) -> str | None:
    """How vectors `given (c, d)` of the canary's items are unlike what was kept of them, in words."""
    stats = statistics(anchors.detach().cpu().double())
    kept = anchors.detach().cpu()[canary.rows] if canary.vectors is None else torch.from_numpy(canary.vectors)
    if given.shape[1] != kept.shape[1]:
        return f"vectors {given.shape[1]} wide where the anchors' are {kept.shape[1]}"
    one, other = kept.double() - stats.mean, given.double() - stats.mean
    cosines = (unit_rows(one) * unit_rows(other)).sum(1)
    if not (cosines >= least).all():
        return f"cosines of {', '.join(f'{cosine:.3f}' for cosine in cosines)}"
    lengths = other.norm(dim=1) / one.norm(dim=1).clamp(min=torch.finfo(torch.float64).tiny)
    off = (2 * (1 - least)) ** 0.5  # of a vector's length, where its direction is off by that cosine
    if not ((lengths - 1).abs() <= off).all():
        return f"vectors {', '.join(f'{length:.3g}' for length in lengths)} times as long"
    return None


def _spread(anchors: Tensor, items: Sequence[Any]) -> list[int]:
    """Rows of a few anchors whose directions are far apart, none of them near the mean, and whose items may be kept."""
    vectors = anchors.detach().cpu().double()
    centred = vectors - statistics(vectors).mean
    lengths = centred.norm(dim=1)
    usable = lengths >= lengths.median()
    for row in usable.nonzero().flatten().tolist():
        item = items[row]
        usable[row] = not isinstance(item, str) or (len(item.strip()) > 0 and len(item) <= LONGEST_TEXT)
    if not usable.any():
        return []
    units, farthest = unit_rows(centred), torch.where(usable, 1.0, -torch.inf)
    chosen: list[int] = []
    for _ in range(min(KEPT, int(usable.sum()))):
        row = int(farthest.argmax())
        chosen.append(row)
        farthest = torch.minimum(farthest, 1 - units @ units[row])
        farthest[chosen] = -torch.inf
    return sorted(chosen)


def _smaller(item: Any) -> bytes:
    """A picture's file of at most `SIDE` pixels a side."""
    picture = open_picture(item).convert("RGB")
    picture.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=90)
    return file.getvalue()
