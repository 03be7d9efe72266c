"""Anchors that are fewer than they look: copies of few items, or rows that lie in few tight groups, as noisy copies do."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from irp_hf.evaluation.doubts import FEW, RATHER_FEW, Doubt
from irp_hf.evaluation.printed import number
from irp_hf.maths.folds import FEW_FOLDS, NUM_FOLDS
from irp_hf.maths.groups import first_groups, tight_groups, whole_folds
from irp_hf.maths.inverses.in_rows import left_out_by
from irp_hf.maths.linking import linked_groups
from irp_hf.maths.metrics import cosines
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import normalize
from irp_hf.maths.selection import Choice
from irp_hf.maths.tuning_kernel import sums_of_columns

FAR_FEWER = 2 / 3  # of the anchors are independent, at most, to be worth a word
SOME = 400  # anchors tell whether they are variants of fewer items
PROMISED = 0.3  # cosine about the mean from which on more may be promised than will be kept
LOST = 0.2  # of the cosine about the mean, at least, where whole groups are held out
SURELY_LEFT = 0.65  # of it, by what is told cheaply, above which no refit finds less than the next
LEFT = 0.45  # of it at most, where the likest go with a row: .5 to 1 of real tables, 0 to .4 of noisy copies


def fewer_than_they_look(choice: Choice, pairs: Pairs, num_given: int, seed: int) -> tuple[Doubt, ...]:
    """What `pairs`, of `num_given` anchors, and the inverse that was chosen from them, say of how many items there are."""
    if num_given < FEW:
        return ()
    independent = len(pairs.labels.unique())
    if independent <= FAR_FEWER * num_given:
        words = (
            f"{num_given:,} anchors are {independent:,} independent ones: those that share a source or a target count as one, "
            "and are held out together. All figures, intervals and bounds are of so few. Give other items, and not more copies."
        )
        return (Doubt("repeated", words),)
    of_classes = pairs.groups.by == "source"  # whose rows are like each other, and later ones are of the same
    return _in_tight_groups(choice, pairs, seed) or (() if of_classes else _beside_their_like(choice, pairs, seed))


def _in_tight_groups(choice: Choice, pairs: Pairs, seed: int) -> tuple[Doubt, ...]:
    found = tight_groups(pairs.source_rows, pairs.known_cosines)
    if found is None:
        return ()
    labels, width = found
    grouped = Pairs(pairs.source, pairs.target, labels)
    num_groups, apart = len(labels.unique()), _held_out(choice, pairs, grouped.folds(NUM_FOLDS, seed))
    own = float(cosines(choice.directions, pairs.target_rows).mean())
    if apart > (1 - LOST) * own:
        return ()
    words = (
        f"{len(pairs):,} anchors lie in {num_groups:,} tight groups of sources, each within {width:.0%} of its distance from "
        "the mean, as copies with noise do, or variants of few items. The cosine about the mean is "
        f"{number(own)} where the rest of a group was fitted on, and {number(apart)} where whole groups are held out: expect "
        "that of other items, whatever the report says. Give other items, and not more variants."
    )
    return (Doubt("crowded", words),)


def _beside_their_like(choice: Choice, pairs: Pairs, seed: int) -> tuple[Doubt, ...]:
    """Whether hardly anything is left where each row is held out with those that are most like it, however like that is."""
    if len(pairs) < RATHER_FEW or float(cosines(choice.directions, pairs.target_rows).mean()) < PROMISED:
        return ()
    labels, order = linked_groups(pairs.source_rows, pairs.known_cosines), pairs.permutation(seed)
    some = order[first_groups(labels[order], SOME)]
    if len(some) < RATHER_FEW:  # the groups are too large to tell
        return ()
    numbers = torch.arange(len(some), dtype=torch.int64, device=some.device)
    folds = [list(numbers.tensor_split(FEW_FOLDS)), whole_folds(labels[some], numbers, FEW_FOLDS)]
    if len(folds[1]) < FEW_FOLDS:  # all are alike
        return ()
    nearly = _nearly(choice, pairs, some, folds)
    if nearly is not None and (nearly[0] < PROMISED or nearly[1] > SURELY_LEFT * nearly[0]):
        return ()
    few = Pairs(pairs.source[some], pairs.target[some], numbers)
    own, apart = (_held_out(choice, few, way) for way in folds)
    if own < PROMISED or apart > LEFT * own:
        return ()
    words = (
        f"Of {len(some):,} anchors, the cosine about the mean is {number(own)} where rows are held out one by one, and "
        f"{number(apart)} where those go with them that are most like them: so do noisy copies, or variants of few items. Of "
        "other items expect the latter, whatever the report says. Give other items, and not more variants."
    )
    return (Doubt("crowded", words),)


def _nearly(choice: Choice, pairs: Pairs, some: Tensor, ways: Sequence[list[Tensor]]) -> list[float] | None:
    """Nearly what `_held_out` tells of `some` rows alone, for each of the ways to part them into folds; None of some inverses.

    Of the others the rows' similarities tell all ways in closed form, with the means that all pairs have: too little of
    folds that lie to one side of these, but so cheaply that refits are spared where nothing is amiss.
    """
    true = pairs.target_rows[some]
    # Where what is predicted is restored, so is what it is predicted from: all of it is linear.
    found = left_out_by(choice.inverse, pairs, some, sums_of_columns(choice.stretch(true)), ways)
    if found is None:
        return None
    wanted = sums_of_columns(true)
    return [float(cosines(directions, wanted).mean()) for directions in found]


def _held_out(choice: Choice, pairs: Pairs, folds: list[Tensor]) -> float:
    """The mean cosine about the mean of translations by fits that had none of a row's fold."""
    total, choice = 0.0, choice.kept()
    for fold in folds:
        train = pairs.without(fold)
        translated = choice.translator(train)(pairs.source[fold])
        true = normalize(pairs.target[fold], train.target_stats)
        total += float(cosines(normalize(translated, train.target_stats), true).sum())
    return total / len(pairs)
