"""The comparison that `paper_text.py`, `paper_images.py` and others share: who keeps how much.

A consumer, a head say, was built on the target's vectors and is fed from the source, translated. Every translator is fitted on
the same anchors and chooses its hyper-parameters on these alone. What is printed is the mean and the standard deviation over
samples of anchors; what is compared is compared row by row of the test set.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.functional import pad
from tqdm import tqdm

from irp_hf.baselines import BASELINES, RelativeDecoder
from irp_hf.maths.inverses.base import Translator
from irp_hf.maths.metrics import cosines, neighbors_kept, reciprocal_ranks
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.selection import select

NATIVE, CHANCE, RAW, HEAD = "native", "chance", "no translation", "relative head, trained anew"
PAPER, OURS = "irp_hf: pruned, the paper's", "irp_hf: auto"
INVERSES = {"pruned": PAPER, "whitened": "irp_hf: whitened", "kernel": "irp_hf: kernel"}

MEASURES = ("accuracy", "neighbours kept", "MRR", "cosine")

Peers = Mapping[str, Callable[[Tensor, Tensor], Translator]]
"""Fits by name, of translators that are no baselines of irp_hf."""
Score = Callable[[Tensor], Tensor]
"""From vectors of the test rows `(n, d_Y)` to `(n,)`, 1 where the consumer is right, say; or to `(m, n)` for m measures."""


@dataclass(frozen=True)
class Task:
    """Rows to draw anchors from, and rows to test on, by both encoders; and what is scored."""

    source: str
    target: str
    source_pool: Tensor
    target_pool: Tensor
    source_test: Tensor
    target_test: Tensor
    score: Score
    measures: tuple[str, ...] = ("accuracy",)
    chance: Sequence[float] = ()
    """What a guess gets, by measure; empty where it is not worth a line."""
    relative: Callable[[RelativeDecoder], Score] | None = None
    """Trains a head of its own on the target's relative coordinates: the score of the source's."""

    @property
    def name(self) -> str:
        """As in the table."""
        return f"{self.source} → {self.target}"


Scores = dict[str, dict[str, Tensor]]
"""By task and contestant: a score `(samples, m, n)` for every sample of anchors, measure and test row."""


def run(
    tasks: Sequence[Task],
    num_anchors: int,
    seeds: Sequence[int],
    peers: Peers | None = None,
) -> Scores:
    """Fit every contestant on every sample of anchors for every task, and score it."""
    scores: dict[str, dict[str, list[Tensor]]] = {task.name: defaultdict(list) for task in tasks}
    with tqdm([(task, seed) for task in tasks for seed in seeds], unit="fit") as steps:
        for task, seed in steps:
            drawn = torch.randperm(len(task.source_pool), generator=torch.Generator().manual_seed(seed))[:num_anchors]
            pairs = Pairs(task.source_pool[drawn], task.target_pool[drawn])
            for name, given in contest(task, pairs, peers):
                steps.set_description(f"{task.name}, sample {seed}, {name}")
                scores[task.name][name].append(given.double().reshape(len(task.measures), -1))
    return {task: {name: torch.stack(given) for name, given in rows.items()} for task, rows in scores.items()}


def contest(task: Task, pairs: Pairs, peers: Peers | None = None) -> Iterator[tuple[str, Tensor]]:
    """The score of everybody on one sample of anchors, as each is ready."""
    num_rows = len(task.target_test)
    yield NATIVE, task.score(task.target_test)
    if task.chance:
        yield CHANCE, torch.tensor(task.chance)[:, None].expand(-1, num_rows)
    yield RAW, task.score(fitted_to_width(task.source_test, task.target_test.shape[1]))
    for name, translate in translators(pairs, peers or {}):
        yield name, task.score(translate(task.source_test.double()))
        if isinstance(translate, RelativeDecoder) and task.relative is not None:
            yield HEAD, task.relative(translate)(task.source_test.double())


def translators(pairs: Pairs, peers: Peers) -> Iterator[tuple[str, Translator]]:
    """Every contestant, fitted on the same anchors; `auto` is the best of all inverses by cosine."""
    for name, fit in {**BASELINES, **peers}.items():
        yield name, fit(pairs.source, pairs.target)
    best, *others = select(pairs)
    found = {choice.method: choice.translator(pairs) for choice in (best, *others)}
    for method, name in INVERSES.items():
        if method not in found:  # `auto` leaves the paper's out where a sample tells that it cannot win
            found[method] = select(pairs, (method,))[0].translator(pairs)
        yield name, found[method]
    yield OURS, found[best.method]


def fitted_to_width(x: Tensor, width: int) -> Tensor:
    """`x (n, d)` cut, or filled with zeros, to `(n, width)`: the only way to feed it untranslated."""
    return pad(x, (0, width - x.shape[1])) if x.shape[1] < width else x[:, :width]


def head_task(
    names: tuple[str, str],
    source: tuple[Tensor, Tensor],
    target: tuple[Tensor, Tensor],
    labels: tuple[Sequence[object], Sequence[object]],
    chance: Sequence[float] = (),
) -> Task:
    """A linear head, trained on the target's training rows; `source`, `target` and `labels` are each (training, test) rows.

    `neighbours kept` is the share of the target's own ten nearest neighbours, among the test rows, that a vector finds; `MRR`
    is of known items: one over the rank of its own true vector among those of all test rows.
    """

    def trained(vectors: Tensor) -> Score:
        head = LogisticRegression(max_iter=3000).fit(vectors.numpy(), labels[0])
        return lambda x: torch.from_numpy(head.predict(x.numpy()) == labels[1]).double()

    right, true = trained(target[0]), target[1].double()

    def score(x: Tensor) -> Tensor:
        x = x.double()
        return torch.stack([right(x), neighbors_kept(x, true), reciprocal_ranks(x, true), cosines(x, true)])

    def relative(decoder: RelativeDecoder) -> Score:
        trained_anew = trained(decoder.relative_target(target[0]))
        return lambda x: head_alone(trained_anew(decoder.relative(x)), MEASURES)

    return Task(*names, source[0], target[0], source[1], target[1], score, MEASURES, chance, relative)


def head_alone(right: Tensor, measures: Sequence[str]) -> Tensor:
    """The score `(m, n)` of a head of its own, by the first of m measures; it gives no vectors to measure otherwise: NaN."""
    return torch.stack([right, *[torch.full_like(right, torch.nan)] * (len(measures) - 1)])
