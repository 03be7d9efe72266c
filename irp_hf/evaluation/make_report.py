"""Measure all that a report says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar

from torch import Tensor

from irp_hf.arithmetic import own_arithmetic
from irp_hf.baselines.registry import DEFAULT, Fit
from irp_hf.data.progress import progress_bar
from irp_hf.evaluation.chosen import Setting
from irp_hf.evaluation.comparison import baseline_rows, named_baselines
from irp_hf.evaluation.held_out import Reliability, bound_coverage, curve_sizes, inverse_rows, learning_curve
from irp_hf.evaluation.index import IndexQuestion, index_report
from irp_hf.evaluation.report import Report, Shared
from irp_hf.evaluation.unlike import Unlike, unlike_rows
from irp_hf.maths.clusters import clusters_of
from irp_hf.maths.inverses import describe
from irp_hf.maths.inverses.base import Translator
from irp_hf.maths.metrics import Labels, cosines
from irp_hf.maths.objectives import depth_of
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.request import Given, Objective
from irp_hf.maths.selection import Choice, select

Item = TypeVar("Item")


@own_arithmetic()
def build_report(
    pairs: Pairs,
    chosen: Choice,
    others: Sequence[Choice],
    objective: Objective,
    labels: Labels | None = None,
    given: Given | None = None,
    expected: Tensor | None = None,
    fits: Mapping[str, Fit] | None = None,
    progress: bool | None = None,
    num_given: int | None = None,
    question: IndexQuestion | None = None,
) -> Report:
    """Measure all that a report says, on `pairs` and on what `select` chose from them.

    `labels` maps target vectors `(n, d_Y)` to the labels `(n,)` of the head, `given` is what the user fixed,
    `expected (k,)` are the confidences of `chosen.translated`, and `fits` the baselines. `progress` shows a bar
    on standard error, or does not; by default on a terminal. `num_given` is how many anchors there were before copies were left
    out. `question` is what was asked about an index. Of a choice that pairs alone do not make anew there is no learning curve,
    and nothing of inputs unlike the anchors.
    """
    given = given or Given()
    fits = named_baselines(DEFAULT) if fits is None else fits

    fitted: list[tuple[Choice, Pairs]] = []

    def fit(few: Pairs) -> Translator:
        (choice,) = select(few, (chosen.method,), objective, given, labels)
        fitted.append((choice, few))
        return choice.translator(few)

    asked = given.depth if objective == "recall" else None
    depth = depth_of(objective, given.depth, len(pairs))
    choices = sorted([chosen, *others], key=lambda choice: choice.fold_score, reverse=True)
    clusters = clusters_of(pairs, given.seed) if chosen.refits else []
    methods = len(choices) + len(fits)
    points = len(curve_sizes(len(pairs))) if chosen.refits else 0
    steps = methods * (2 if clusters else 1) + points + (question is not None)
    with progress_bar("Measuring", progress, total=steps) as bar:
        rows = _counted(
            chain(
                inverse_rows(pairs, choices, labels, given.seed, depth),
                baseline_rows(pairs, fits, labels, given.seed, depth),
            ),
            bar,
        )
        unlike = _counted(unlike_rows(pairs, clusters, choices, fits, labels, depth), bar) if clusters else ()
        curve = _counted(learning_curve(pairs, fit, labels, given.seed, asked), bar) if points else ()
        index = None if question is None else index_report(chosen, pairs, question, given.seed)
        bar.update(question is not None)
    confidences, groups = None, pairs.groups
    sources, targets, whole = (len(numbers.unique()) for numbers in (groups.sources, groups.targets, groups.labels))
    if expected is not None:
        true = cosines(chosen.translated, pairs.target)
        coverage = bound_coverage(*fitted[-1], pairs, given.seed) if fitted else None
        shared = None if pairs.shared is None else tuple(pairs.shared.tolist())
        confidences = Reliability(tuple(expected.tolist()), tuple(true.tolist()), coverage, shared)
    return Report(
        num_anchors=len(pairs),
        source_width=pairs.source.shape[1],
        target_width=pairs.target.shape[1],
        objective=objective,
        chosen=chosen.inverse.title,
        score=chosen.score,
        finalists=tuple(Setting(describe(c.inverse, c.restoration), c.score) for c in chosen.tried[:2]),
        rows=rows,
        learning_curve=curve,
        reliability=confidences,
        shared=Shared(num_given or len(pairs), sources, targets, whole, groups.by),
        index=index,
        unlike=Unlike(tuple(map(len, clusters)), unlike) if clusters else None,
        depth=asked,
    )


def _counted(items: Iterable[Item], bar: Any) -> tuple[Item, ...]:
    done = []
    for item in items:
        done.append(item)
        bar.update()
    return tuple(done)
