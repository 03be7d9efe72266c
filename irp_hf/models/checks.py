"""Whether anchors can describe a space, and whether two sides hold the same."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from irp_hf.configuration_irp import AnchoredSpaceConfig
from irp_hf.data.arrays import Rows
from irp_hf.errors import AnchorMismatchError, refusal
from irp_hf.maths.projection import statistics
from irp_hf.models.kept import are_other_pairs

SMALLEST = 1e-15  # mean scale: the square of a row's norm must stay far inside float32
APART = 1e-6  # of the largest number: ten times the rounding of float32


def check_anchors(anchors: Tensor, name: str = "embeddings", what: str = "anchors") -> None:
    """Raise `InputError` where `anchors (k, d)`, as they were given, cannot describe a space; `what` they are is said there.

    Those are fewer than two rows, all alike, tiny, or so far from 0 that float32, in which they are kept, cannot tell them
    apart.
    """
    if len(anchors) < 2:
        raise refusal(name, f"at least 2 {what}", "1", "Give some hundred to a few thousand.")
    spread, largest = (anchors.double() - anchors[0].double()).abs().max(), anchors.abs().max().double()
    if not spread:
        got = f"the same vector {len(anchors)} times"
        raise refusal(name, f"{what} that differ", got, "Check what the encoder was given.")
    if spread <= APART * largest:
        got = f"numbers of up to {float(largest):.3g} that differ by at most {float(spread):.3g}"
        advice = "Subtract one vector, the anchors' mean say, from the anchors and from all that is translated."
        raise refusal(name, f"{what} that float32, in which they are kept, can tell apart", got, advice)
    scale = float(statistics(anchors.double()).scale)
    if scale < SMALLEST:
        raise refusal(name, f"a mean scale of at least {SMALLEST:g}", f"{scale:.3g}", "Multiply them by a constant.")


def both_sides(
    source: Any,
    target: Any,
    names: tuple[str, str] = ("source embeddings", "target embeddings"),
    widths: tuple[int, int] | None = None,
) -> tuple[Rows, Rows]:
    """Both sides of parallel rows, which are read in chunks, the target's as tensors of the source's device.

    Raises `AnchorMismatchError` for sides of unequal length.
    """
    if widths is None:
        x = Rows(source, names[0])
        rows = x, Rows(target, names[1], device=x.device)
    else:
        there, here = (
            ("target", widths[1]),
            ("source", widths[0]),
        )  # of which a side may be that was meant for the other
        x = Rows(source, names[0], widths[0], there)
        rows = x, Rows(target, names[1], widths[1], here, device=x.device)
    if rows[0].num_rows != rows[1].num_rows:
        raise refusal(
            f"{names[0]} and {names[1]}",
            "as many rows on both sides",
            f"{rows[0].num_rows} in {names[0]} and {rows[1].num_rows} in {names[1]}",
            "Encode the same items in the same order on both sides.",
            AnchorMismatchError,
        )
    return rows


class AnchorsOf(NamedTuple):
    """Which anchors a side holds, as far as it is known."""

    side: str
    num_anchors: int
    fingerprint: str | None = None
    kept: dict[str, Any] | None = None
    """What is known of them where they are some of the many pairs of a fit."""

    @classmethod
    def space(cls, side: str, config: AnchoredSpaceConfig) -> AnchorsOf:
        """Those of a space of this configuration."""
        return cls(side, config.num_anchors, config.anchor_fingerprint, config.kept)

    def __str__(self) -> str:
        known = f"{self.fingerprint[:8]}…" if self.fingerprint else "without fingerprint"
        return f"{self.side} {known} ({self.num_anchors} items)"


def refuse_other_anchors(one: AnchorsOf, other: AnchorsOf) -> None:
    """Raise `AnchorMismatchError` where two sides are known to hold different anchors."""
    others = are_other_pairs(one.kept, other.kept)
    if others or others is None:
        got = (
            f"{one.num_anchors:,} pairs that a fit on more kept ({one.side}) and {other.num_anchors:,} that another fit kept "
            f"({other.side})"
        )
        advice = (
            "Fits on other pairs, with another seed or other options keep other items: connect both sides of one adapter, or "
            "fit on all pairs anew, by from_anchors(x, y)."
        )
        if others is None:
            got += ", and nothing says that these are the same items"
            advice = (
                "Fit on all pairs anew, by from_anchors(x, y); or, where you know that row i of both is the same item, connect "
                "AnchoredSpace.from_embeddings(space.anchors) of each."
            )
        raise refusal("anchors", "the same ones on both sides, in the same order", got, advice, AnchorMismatchError)
    differ = one.fingerprint and other.fingerprint and one.fingerprint != other.fingerprint
    if differ or one.num_anchors != other.num_anchors:
        raise refusal(
            "anchors",
            "the same ones on both sides, in the same order",
            f"{one} and {other}",
            "Encode one side again with the anchor set of the other. Where no pair is to be had, and both are of one domain, "
            "IRPAdapter.connect(source, target, pairs='discover') matches their rows.",
            AnchorMismatchError,
        )


def anchors_of_both(source: AnchoredSpaceConfig, target: AnchoredSpaceConfig) -> dict[str, Any]:
    """What is recorded of the anchors of a pair: what both sides say. One that says nothing was never checked against it."""
    return {**_set_of_both(source, target), "kept": source.kept if target.kept is not None else None}


def _set_of_both(source: AnchoredSpaceConfig, target: AnchoredSpaceConfig) -> dict[str, Any]:
    if source.anchor_fingerprint is None or source.anchor_fingerprint != target.anchor_fingerprint:
        same = source.anchor_fingerprint == target.anchor_fingerprint and source.anchor_set == target.anchor_set
        return {"anchor_fingerprint": None, "anchor_set": source.anchor_set if same else None}
    return {
        "anchor_fingerprint": source.anchor_fingerprint,
        "anchor_set": source.anchor_set or target.anchor_set,
    }
