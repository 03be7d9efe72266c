"""Anchors that are fewer than they look: copies of few items, or rows that lie in few tight groups, as noisy copies do."""

from __future__ import annotations

from irp_hf.evaluation.doubts import FEW, Doubt
from irp_hf.evaluation.printed import number
from irp_hf.maths.folds import NUM_FOLDS
from irp_hf.maths.groups import tight_groups
from irp_hf.maths.metrics import cosines
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import normalize
from irp_hf.maths.selection import Choice

FAR_FEWER = 2 / 3  # of the anchors are independent, at most, to be worth a word
LOST = 0.2  # of the cosine about the mean, at least, where whole groups are held out


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
    found = tight_groups(pairs.source_rows)
    if found is None:
        return ()
    labels, width = found
    num_groups, apart = len(labels.unique()), _held_out(choice, Pairs(pairs.source, pairs.target, labels), seed)
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


def _held_out(choice: Choice, pairs: Pairs, seed: int) -> float:
    """The mean cosine about the mean of translations by fits that had none of a row's group."""
    total = 0.0
    for fold in pairs.folds(NUM_FOLDS, seed):
        train = pairs.without(fold)
        translated = choice.kept().translator(train)(pairs.source[fold])
        true = normalize(pairs.target[fold], train.target_stats)
        total += float(cosines(normalize(translated, train.target_stats), true).sum())
    return total / len(pairs)
