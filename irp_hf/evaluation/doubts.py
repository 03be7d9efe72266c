"""What speaks against a fit, in words: rows that lost their step, sides that look unrelated, anchors that tell too little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from irp_hf.arithmetic import working_dtype
from irp_hf.errors import FitWarning, warn
from irp_hf.evaluation.copies import copied_batch, copies_of_one
from irp_hf.evaluation.lengths import longer_rows
from irp_hf.evaluation.printed import number
from irp_hf.heads.head import LOGITS
from irp_hf.heads.labels import HeadLabels
from irp_hf.maths.alignment import UNRELATED, Run, coordinates, misaligned_runs
from irp_hf.maths.batches import Batches, reversed_batches
from irp_hf.maths.chance import Chance, chance_of, clearly_more
from irp_hf.maths.metrics import NEIGHBORS, Labels, cosines
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.shuffling import Block, shuffled_block

FEW = 20  # anchors: fewer tell too little to speak of rows that do not belong together
RATHER_FEW = 100  # anchors: of fewer, that may be why no more than chance is found
MOST_RUNS = 3  # that are named
MISFIT = 0.5  # of the cosine about the mean that other rows have: what a batch has that does not belong there
ONE_DIRECTION = 0.95  # of one side's variance
FAR_OFF, SINGLE = 1e3, 0.05  # medians of the distance, and the share of rows at most that may be so far away
MIDDLE = 99  # rows that tell where the middle is
HARDLY_APART = 1e-4  # of the length of a side's mean: what its rows differ by


@dataclass(frozen=True)
class Doubt:
    """One reason not to trust a fit."""

    kind: str
    """"misaligned", "unrelated", "few", "far", "copies", "direction", "apart", "labels", "neighbors", "precision",
    "repeated", "crowded", "zero", "longer", "head", "gallery", "unequal",
    "background" or "wrong"."""
    words: str
    """A sentence or more, with the numbers."""

    @property
    def of_pairing(self) -> bool:
        """Whether the rows of both sides do not belong together: then no number of them helps."""
        return self.kind in ("misaligned", "unrelated")


def doubts(
    source: Tensor, target: Tensor, pairs: Pairs, directions: Tensor, objective: str, labels: Labels | None
) -> tuple[Doubt, ...]:
    """What speaks against a fit on `source (k, d_X)` and `target (k, d_Y)`, the most telling first.

    `pairs` are these without copies, and `directions (n, d_Y)` their out-of-fold translations; `labels` are a head's.
    """
    known = (pairs.source_rows, pairs.target_rows) if len(pairs) == len(source) else None
    sides_apart = coordinates(source, target, known)
    by_class = _stand_by_class(pairs)
    runs, batches = ([], None) if by_class else (misaligned_runs(*sides_apart), reversed_batches(*sides_apart))
    if batches is not None and all(run.found < batches.found for run in runs):  # of which runs show a part
        found = _in_batches(batches)
    else:
        found = misaligned(runs, len(source))
    if not found and not (found := by_chance(pairs, directions)):
        block = None if by_class else shuffled_block(*sides_apart)
        found = in_any_order([] if block is None else [block])
    for name, rows in (("sources", source), ("targets", target)):
        found += constant(name, rows)
        found += far_off(name, rows.double()) or [*longer(name, rows, pairs), *of_side(name, pairs)]
        found += batch_again(name, pairs, source, target, directions)
    if objective in ("neighbors", "recall") and len(pairs) < NEIGHBORS + 2:
        words = (
            f"objective={objective!r} was asked of {len(pairs)} anchors, each of which has no more than {len(pairs) - 1} "
            f"others: with fewer than {NEIGHBORS + 2} nearly all are neighbours. Give more anchors, or choose 'cosine'."
        )
        found.append(Doubt("neighbors", words))
    if objective == "agreement" and labels is not None:
        found += of_labels(labels, pairs.target)
    return tuple(found)


def _stand_by_class(pairs: Pairs) -> bool:
    """Whether targets are classes, and rows stand sorted by them: no fit on other stretches of rows knows a class then."""
    targets = pairs.groups.targets
    return pairs.groups.by == "source" and float((targets[1:] == targets[:-1]).double().mean()) > 0.5


def _in_batches(batches: Batches) -> list[Doubt]:
    what = (
        "that of the neighbour: every two rows of one side are swapped"
        if batches.size == 2
        else f"in reverse within every {batches.size} rows: the batches of one side were filled from their end"
    )
    words = (
        f"Sources fit another row's target, {what}. Held out, the cosine about the mean is {number(batches.found)} so, and "
        f"{number(batches.own)} as they stand. Encode the same items in the same order on both sides."
    )
    return [Doubt("misaligned", words)]


def misaligned(runs: list[Run], count: int) -> list[Doubt]:
    """Of runs that lost their step, among so many rows."""
    if not runs:
        return []
    sentences = [_of_run(run, count) for run in runs[:MOST_RUNS]]
    if len(runs) > MOST_RUNS:
        sentences.append(f"There are {len(runs) - MOST_RUNS} more such runs.")
    if any(run.reverse for run in runs):
        sentences.append("One side is in reverse order: turn it.")
    elif all(abs(run.offset) == 1 for run in runs):
        sentences.append("A row was inserted or lost on one side: encode the same items in the same order.")
    else:
        sentences.append("Rows were moved, inserted or lost on one side: encode the same items in the same order.")
    return [Doubt("misaligned", " ".join(sentences))]


def _of_run(run: Run, count: int) -> str:
    rows = run.stop - run.first
    where = f"From row {run.first} on" if run.stop == count else f"From row {run.first} to row {run.stop - 1}"
    if run.reverse:
        there = f"in reverse order, that of row {run.offset - run.first} first"
    else:
        steps = f"{abs(run.offset):,} {'row' if abs(run.offset) == 1 else 'rows'}"
        there = f"{steps} {'later' if run.offset > 0 else 'earlier'}"
    return (
        f"{where} ({rows:,} {'row' if rows == 1 else 'rows'}), sources fit the targets {there}: held out, with a cosine about "
        f"the mean of {number(run.found)}, and of {number(run.own)} with their own."
    )


def in_any_order(blocks: Sequence[Block]) -> list[Doubt]:
    """Of blocks of rows that are in another order."""
    if not blocks:
        return []
    sentences = [
        f"From row {block.first} to row {block.stop - 1} ({block.stop - block.first:,} rows), sources fit their own targets no "
        f"better than each other's: held out, the cosine about the mean is {number(block.own)} there, and "
        f"{number(block.elsewhere)} elsewhere."
        for block in blocks[:MOST_RUNS]
    ]
    if len(blocks) > MOST_RUNS:
        sentences.append(f"There are {len(blocks) - MOST_RUNS} more such blocks.")
    sentences.append("Check that row i of both is the same item there, or leave those rows out.")
    return [Doubt("misaligned", " ".join(sentences))]


def by_chance(pairs: Pairs, directions: Tensor) -> list[Doubt]:
    """Of held-out `directions (k, d_Y)` that are no better than those of any order."""
    sides = directions, pairs.target_rows, pairs.labels
    if clearly_more(*sides, UNRELATED):
        return []
    chance = chance_of(*sides)
    if chance.cosine > max(chance.most, UNRELATED):
        return []
    independent = len(pairs.labels.unique())
    found = f"about the mean, the cosine is {number(chance.cosine)}, held out, and {by_any_order(chance)}"
    if independent < FEW:
        words = (
            f"{independent} independent anchors are too few to tell whether this translation is better than chance: {found}. "
            "Give some hundred."
        )
        return [Doubt("few", words)]
    if independent < RATHER_FEW:
        words = (
            f"{independent} independent anchors are too few for these sides, or rows of both do not belong together: {found}. "
            "Check that row i of both is the same item, and give some hundred."
        )
        return [Doubt("few", words)]
    return [Doubt("unrelated", f"The two sides look unrelated: {found}. Check that row i of both is the same item.")]


def by_any_order(chance: Chance) -> str:
    """What a cosine that is no more than chance has to be above, in words."""
    if chance.cosine <= chance.most:
        return f"targets in any order reach {number(chance.most)}"
    return f"that of rows which belong together is above {number(UNRELATED)}"


def constant(name: str, side: Tensor) -> list[Doubt]:
    """Of rows of `side (k, d)` that are one number throughout, 0 say, which no encoder gives: an item that was not encoded."""
    rows = (side == side[:, :1]).all(1).nonzero()[:, 0] if side.shape[1] > 1 else side.new_empty(0)
    return [constant_doubt(name, len(rows), int(rows[0]), not side[rows].any())] if len(rows) else []


def constant_doubt(name: str, count: int, first: int, zero: bool) -> Doubt:
    """Of so many rows that are one number throughout, 0 in all of them or others too; the first has this number."""
    what = f"Row {first} of the {name} is" if count == 1 else f"{count:,} rows of the {name} are"
    which = "" if count == 1 else f" (the first is row {first})"
    advice = "Check that all were encoded, or drop them on both sides."
    throughout = "zero" if zero else "one number"
    return Doubt("zero", f"{what} {throughout} throughout{which}, which no encoder gives. {advice}")


def longer(name: str, rows: Tensor, pairs: Pairs) -> list[Doubt]:
    """Of `rows (n, d)` of one side of `pairs` that are many times as long as the others, or as short."""
    side, items, _ = _both(name, pairs)
    found = longer_rows(rows, side, items)
    return [longer_doubt(name, *found)] if found else []


def longer_doubt(name: str, count: int, first: int, last: int, times: float) -> Doubt:
    """Of so many rows, from the first to the last, that are so many times as long as the others."""
    words = (
        f"{count:,} rows of the {name}, between row {first} and row {last}, are {times:.2g} times as long as the "
        "others, and hardly any lie between: they were scaled, or not normalised as these were. Translations get the mean "
        "length of all. Encode all in one way, or leave those rows out."
    )
    return Doubt("longer", words)


def far_off(name: str, side: Tensor, numbers: Tensor | None = None) -> list[Doubt]:
    """Single rows of `side (k, d)` that lie so far off that beside them the others look like one vector.

    They are named by their `numbers (k,)`, where these are others than their places.
    """
    if len(side) < FEW:
        return []
    # Of a hundred rows the median is as little moved by single ones, and quick to find.
    some = (
        torch.linspace(0, len(side) - 1, min(len(side), MIDDLE), dtype=torch.float64, device="cpu")
        .long()
        .to(side.device)
    )
    distance = torch.linalg.vector_norm(side - side[some].median(0).values, dim=1)
    usual = float(distance.median())
    rows = (distance > FAR_OFF * usual).nonzero()[:, 0] if usual else distance.new_empty(0)
    if not 0 < len(rows) <= SINGLE * len(side):
        return []
    named = rows if numbers is None else numbers[rows.to(numbers.device)]
    return [far_doubt(name, named.tolist(), float(distance.max()) / usual)]


def far_doubt(name: str, rows: list[int], farthest: float) -> Doubt:
    """Of single rows that lie so far off: these, up to so many times as far as is usual."""
    named = ", ".join(map(str, rows[:MOST_RUNS]))
    more = f" and {len(rows) - MOST_RUNS} more" if len(rows) > MOST_RUNS else ""
    words = (
        f"{'Row' if len(rows) == 1 else 'Rows'} {named}{more} of the {name} {'lies' if len(rows) == 1 else 'lie'} far off, up "
        f"to {farthest:.1g} times as far from the median as half of all rows do: beside that, the others look alike. Encode "
        "what is wrong there again, or leave those rows out on both sides."
    )
    return Doubt("far", words)


def of_side(name: str, pairs: Pairs) -> list[Doubt]:
    """Of one side of `pairs`: its "sources", or its "targets"."""
    found, k = [], len(pairs)
    side, items, others = _both(name, pairs)
    classes = pairs.groups.by == "source"
    said = copies_of_one(name, side, items, others, classes) if k >= FEW else ""
    if said:
        found.append(Doubt("copies", said))
    stats = pairs.source_stats if name == "sources" else pairs.target_stats
    share = _share_of_longest(side - stats.mean)
    two_classes = classes and name == "targets"
    if k >= FEW and side.shape[1] > 1 and share > ONE_DIRECTION and not two_classes:
        words = (
            f"{share:.0%} of the variance of the {name} lies along one direction, so that angles about the mean hardly tell "
            "more than on which side of it a row lies. Check how they were encoded, or scale their dimensions; of what a "
            "classifier's head reads, which is often so, the objective 'agreement' tells more."
        )
        found.append(Doubt("direction", words))
    apart = float(stats.scale / torch.linalg.vector_norm(stats.mean).clamp(min=torch.finfo(side.dtype).tiny))
    if apart < HARDLY_APART:
        words = (
            f"The {name} differ by {apart:.1g} of their length, hardly more than what rounding changes. Check what the encoder "
            "was given, or take their mean off before they are rounded."
        )
        found.append(Doubt("apart", words))
    return found


def _both(name: str, pairs: Pairs) -> tuple[Tensor, Tensor, Tensor]:
    """Vectors `(k, d)` of one side, its items `(k,)`, and those of the other."""
    sides = (pairs.source, pairs.groups.sources), (pairs.target, pairs.groups.targets)
    (side, items), (_, others) = sides if name == "sources" else sides[::-1]
    return side, items, others


def batch_again(name: str, pairs: Pairs, source: Tensor, target: Tensor, directions: Tensor) -> list[Doubt]:
    """Of a run of rows of one side that are those of some rows before, of `source (k, d_X)` and `target (k, d_Y)`.

    Their out-of-fold translations `directions (n, d_Y)` tell whether they belong there, as a second caption of a picture does.
    """
    found = copied_batch(*_both(name, pairs)[1:])
    if found is None:
        return []
    run, fits = slice(found[0], found[1]), cosines(directions, pairs.target_rows)
    earlier, others = slice(run.start - found[2], run.stop - found[2]), torch.ones_like(fits, dtype=torch.bool)
    others[run] = others[earlier] = False
    if float(torch.minimum(fits[run].mean(), fits[earlier].mean())) > MISFIT * float(fits[others].mean()):
        return []
    numbers = range(len(source)) if len(pairs) == len(source) else Pairs(source, target).distinct().tolist()
    first, last, before = numbers[found[0]], numbers[found[1] - 1], found[2]
    words = (
        f"Rows {first} to {last} of the {name} are rows {numbers[found[0] - before]} to {numbers[found[1] - 1 - before]} once "
        "more, and on the other side they are not: a batch was written twice, or over another one. Encode them again, or drop "
        "them on both sides."
    )
    return [Doubt("copies", words)]


def _share_of_longest(centred: Tensor) -> float:
    """The share of the variance of `centred (k, d)` along its longest direction."""
    lengths = torch.linalg.vector_norm(centred, dim=1)
    longest = lengths.argmax()
    rows = (centred / lengths[longest].clamp(min=torch.finfo(centred.dtype).tiny)).to(
        working_dtype(torch.float32, centred.device)  # a share is asked, to some digits
    )
    direction = rows[longest]
    for _ in range(3):
        direction = (rows @ direction) @ rows
        direction = direction / torch.linalg.vector_norm(direction).clamp(min=torch.finfo(rows.dtype).tiny)
    return float((rows @ direction).square().sum() / rows.square().sum())


def of_labels(labels: Labels, vectors: Tensor, what: str = "anchors") -> list[Doubt]:
    """Of the labels that a head gives to `vectors (k, d_Y)` of the target, which are so many of `what`."""
    native = labels(vectors)
    if len(native) < 2 or len(native.unique(dim=0)) > 1:
        return []
    words = (
        f"The head gives all {len(native):,} {what} the same label: it agrees with itself whatever the translation. "
    )
    told = labels.head.like_probabilities(vectors, by_sign=True) if isinstance(labels, HeadLabels) else None
    if told is not None:
        words += f"It gives {told}, and a logit is above 0 where its label is given. {LOGITS}"
    elif what == "anchors":
        words += "Give anchors of several labels, or choose objective='cosine'."
    else:
        words += f"Give {what} of several labels."
    return [Doubt("labels", words)]


def warn_of_labels(labels: Labels | None, vectors: Tensor, what: str = "rows") -> None:
    """Give a `FitWarning` where how often a head agrees tells nothing, since it gives all vectors one label."""
    for doubt in of_labels(labels, vectors, what) if labels is not None else ():
        warn(doubt.words, FitWarning)
