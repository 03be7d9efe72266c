"""Inputs unlike the anchors: what is kept, what was expected, and who keeps more: ours, Procrustes or ridge regression.

Anchors of one kind and inputs of another: questions of TREC, English sentences of Tatoeba and tweets; short and long sentences;
types of questions and classes of Fashion-MNIST that no anchor has; English anchors and Spanish inputs, which one encoder reads
and whose English the other knows; emoji and Fashion-MNIST. A first table has each figure twice, for inputs of the anchors' kind
and for the others: cosine, neighbours and MRR among 1,000, the mean expected cosine, its rank correlation with the true one,
and how often the lower bound at 90 % held; with the inverse that rows choose and what clusters do (`folds="clusters"`).
Others compare with the baselines on the inputs of the other kind, row by row, with the 95 % interval over these; "accuracy" is
of a linear head that learnt from the target's vectors of further rows of that kind, where they have classes.

    python benchmarks/shift.py [--anchors 300 1000] [--seeds 0 1] [--jobs 1]

prints, and writes benchmarks/shift.md, anew after every job. Reads what `benchmarks/vectors.py` makes, at first with the
packages of `requirements-examples.txt`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from itertools import permutations, product
from typing import NamedTuple

import torch
import vectors
from compared import compared, joined
from jobs import tabled
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from vectors import CLASS, EMOJI, FASHION, LENGTH, SENTENCES, SPANISH, TREC, TWEETS, column

from irp_hf import IRPAdapter
from irp_hf.baselines import BASELINES
from irp_hf.evaluation import number
from irp_hf.evaluation.printed import markdown
from irp_hf.maths.metrics import cosines, neighbors_kept, reciprocal_ranks

ROWS, TRAINED = 1000, 2000  # of each kind of inputs; of a head
SHORT_SENTENCE, LONG_SENTENCE = 25, 45  # characters: at most, at least
COVERAGE = 0.9
FOLDS, RIVALS = ("rows", "clusters"), ("Procrustes", "ridge")
OURS = FOLDS[0]
MEASURES = ("accuracy", "neighbours", "MRR", "cosine")
FIGURES = ("cosine", "neighbours", "MRR", "expected", "Spearman", "held")
TABLE = vectors.BENCHMARKS / "shift.md"


class Shift(NamedTuple):
    """Two kinds of rows, by both encoders: anchors and some inputs are of the first, the others of the second."""

    source: tuple[Tensor, Tensor]
    target: tuple[Tensor, Tensor]
    classes: Tensor | None = None
    """Of the second kind."""


class Found(NamedTuple):
    """Of one shift and sample of anchors."""

    figures: dict[str, tuple[list[float], list[float]]]
    """By folds: those of the first table, of inputs of the anchors' kind and of the others."""
    scores: dict[str, Tensor]
    """By contestant: the measures of every input of the other kind, shape (4, n); NaN where there are no classes."""


def between(like: str, other: str, source: str, target: str, seed: int) -> Shift:
    """Anchors of one data set and inputs of another."""
    sides = ((column(like, name), column(other, name)) for name in (source, target))
    return Shift(*sides, None if other == SENTENCES else column(other, CLASS))


def by_length(short_first: bool, source: str, target: str, seed: int) -> Shift:
    """Anchors that are short sentences and inputs that are long ones, or the reverse."""
    lengths = column(SENTENCES, LENGTH)
    kinds = (lengths <= SHORT_SENTENCE, lengths >= LONG_SENTENCE)[:: 1 if short_first else -1]
    first, second = kinds
    return Shift(*((column(SENTENCES, name)[first], column(SENTENCES, name)[second]) for name in (source, target)))


def by_class(data: str, left_out: range, turn: int, source: str, target: str, seed: int) -> Shift:
    """Inputs of some classes that no anchor has, others for every turn and seed."""
    classes = column(data, CLASS)
    other = torch.isin(classes, torch.tensor([(turn + seed + step) % (int(classes.max()) + 1) for step in left_out]))
    return Shift(*((column(data, name)[~other], column(data, name)[other]) for name in (source, target)))


def by_language(source: str, target: str, seed: int) -> Shift:
    """Both encoders read the anchors in English; of other sentences the source reads the Spanish translation."""
    half = len(column(SPANISH, target)) // 2
    first, second = column(SPANISH, f"{source}-English")[:half], column(SPANISH, source)[half:]
    return Shift((first, second), (column(SPANISH, target)[:half], column(SPANISH, target)[half:]))


TEXT = (("static", "MiniLM"), ("MiniLM", "static"))
PICTURES = (("ResNet", "lite0"), ("lite0", "lite2"), ("lite2", "ResNet"))
SHIFTS: dict[str, Callable[[int], Shift]] = {
    **{
        f"{like} → {other}: {' → '.join(pair)}": partial(between, like, other, *pair)
        for like, other in permutations((TREC, SENTENCES, TWEETS), 2)
        for pair in TEXT
    },
    **{f"short → long sentences: {' → '.join(pair)}": partial(by_length, True, *pair) for pair in TEXT},
    **{f"long → short sentences: {' → '.join(pair)}": partial(by_length, False, *pair) for pair in TEXT},
    **{
        f"types of questions: {' → '.join(pair)}": partial(by_class, TREC, range(0, 6, 3), turn, *pair)
        for turn, pair in enumerate(TEXT)
    },
    **{
        f"classes of pictures: {' → '.join(pair)}": partial(by_class, FASHION, range(0, 9, 3), turn, *pair)
        for turn, pair in enumerate(PICTURES)
    },
    **{f"English → Spanish: USE → {target}": partial(by_language, "USE", target) for target in ("MiniLM", "mpnet")},
    **{
        f"emoji → {FASHION}: {' → '.join(pair)}": partial(between, EMOJI, FASHION, *pair)
        for pair in permutations(("ResNet", "lite2"), 2)
    },
}


def contest(name: str, num_anchors: int, seed: int) -> Found:
    """Everybody, fitted on one sample of anchors of the first kind."""
    shift = SHIFTS[name](seed)
    generator = torch.Generator().manual_seed(seed)
    like, other = (torch.randperm(len(side), generator=generator) for side in shift.source)
    anchors, like, other, trained = like[:num_anchors], like[num_anchors:][:ROWS], other[:ROWS], other[ROWS:][:TRAINED]
    (x, x_other), (y, y_other) = shift.source, shift.target
    right = judge(shift, other, trained)

    def scored(translated: Tensor) -> Tensor:
        true = y_other[other]
        kept = neighbors_kept(translated, true), reciprocal_ranks(translated, true), cosines(translated, true)
        return torch.stack([row.double() for row in (right(translated), *kept)])

    figures, scores = {}, {}
    for folds in FOLDS:
        adapter = IRPAdapter.from_anchors(x[anchors], y[anchors], folds=folds)
        figures[folds] = measured(adapter, x[like], y[like]), measured(adapter, x_other[other], y_other[other])
        scores[folds] = scored(adapter.translate(x_other[other]))
    for rival in RIVALS:
        scores[rival] = scored(BASELINES[rival](x[anchors].double(), y[anchors].double()).translate(x_other[other]))
    return Found(figures, scores)


def judge(shift: Shift, rows: Tensor, trained: Tensor) -> Callable[[Tensor], Tensor]:
    """Whether a head of the target gives translated rows of the second kind their classes; NaN where these have none."""
    if shift.classes is None:
        return lambda x: torch.full((len(x),), torch.nan)
    classes = shift.classes
    head = LogisticRegression(max_iter=3000).fit(shift.target[1][trained].numpy(), classes[trained].numpy())
    return lambda x: torch.from_numpy(head.predict(x.numpy())) == classes[rows]


def measured(adapter: IRPAdapter, x: Tensor, y: Tensor) -> list[float]:
    """The figures of inputs `x (n, d_X)` with the true vectors `y (n, d_Y)`."""
    translated, expected = adapter.translate(x, return_confidence=True)
    true = cosines(translated, y)
    rows = (true, neighbors_kept(translated, y), reciprocal_ranks(translated, y), expected)
    held = (true >= adapter.confidence(x, coverage=COVERAGE)).double()
    return [*(float(row.mean()) for row in rows), float(spearmanr(expected, true).statistic), float(held.mean())]


Job = tuple[str, int, int]
"""Shift, number of anchors, seed."""


def expected_table(found: dict[Job, Found]) -> str:
    """What was kept and expected of both kinds of inputs; and by how much the expected mean is off."""
    lines, said = [["anchors", "", "chosen by", *FIGURES]], []
    for num_anchors in sorted({job[1] for job in found}):
        for folds in FOLDS:
            means = []
            for name in SHIFTS:
                samples = [one.figures[folds] for job, one in found.items() if job[:2] == (name, num_anchors)]
                if samples:
                    means.append(torch.tensor(samples).mean(0))
                    lines.append([f"{num_anchors:,}", name, folds, *both(means[-1])])
            stacked = torch.stack(means)
            lines.append([f"{num_anchors:,}", "**mean**", folds, *both(stacked.mean(0))])
            off = (stacked[:, :, 3] - stacked[:, :, 0]).abs()
            kinds = (
                f"{number(float(of.mean()))} ({number(float(of.max()))} at most) for {kind}"
                for of, kind in zip(off.T, ("inputs of the anchors' kind", "others"), strict=True)
            )
            said.append(f"{num_anchors:,} anchors, {folds}: the expected mean is off by {' and '.join(kinds)}.")
    return f"## Expected\n\n{markdown(lines)}\n\n" + "\n".join(f"- {one}" for one in said)


def both(figures: Tensor) -> list[str]:
    """Each of the figures `(2, 6)`: of inputs of the anchors' kind / of the others."""
    return [f"{number(one)} / {number(two)}" for one, two in figures.T.tolist()]


def against(found: dict[Job, Found], measure: str) -> str:
    """A comparison by one measure, of the shifts where it is known."""
    lines = {}
    for num_anchors, name in product(sorted({job[1] for job in found}), SHIFTS):
        samples = [one.scores for job, one in found.items() if job[:2] == (name, num_anchors)]
        scores = joined(samples, MEASURES.index(measure)) if samples else {}
        if scores and not scores[OURS].isnan().any():
            lines[num_anchors, name] = scores
    table = compared(lines, OURS, RIVALS)
    return f"## Against the baselines: {measure}\n\n{table}" if table else ""


def written(found: dict[Job, Found]) -> str:
    """All tables of what is there."""
    anchors, seeds = (" ".join(map(str, sorted({job[place] for job in found}))) for place in (1, 2))
    tables = [expected_table(found), *(against(found, measure) for measure in MEASURES)]
    command = f"`python benchmarks/shift.py --anchors {anchors} --seeds {seeds}`"
    return "\n\n".join([*filter(None, tables), command]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anchors", type=int, nargs="+", default=[300, 1000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    options = parser.parse_args()
    counts = sorted(options.anchors, reverse=True)
    jobs = [(name, num_anchors, seed) for num_anchors in counts for name in SHIFTS for seed in options.seeds]
    tabled(contest, jobs, options.jobs, TABLE, written)


if __name__ == "__main__":
    main()
