"""Few pairs, or none: what do unpaired rows of either side add, and who makes more of them?

Ours by pairs alone and with a background, Procrustes and ridge regression on the pairs, and two methods that read unpaired
rows, too: mini-vec2vec (where it is installed: requirements-peers.txt) and that of the Rosetta paper (`rosetta.py`). All get
the same pairs and the same unpaired rows, of which no item is on both sides; queries had no part in anything. Text encoders on
the questions of TREC and on English sentences, picture encoders on Fashion-MNIST, one encoder that reads Spanish and one that
reads English, pictures and names of emoji. Without pairs it is `from_unpaired`.

    python benchmarks/few_pairs.py [--pairs 0 10 30 100 300 1000] [--rows 0 1000 5000] [--seeds 0] [--jobs 1] [--data TREC]

prints, and writes benchmarks/few_pairs.md, anew after every job. Where a data set ends before so many rows a side, all of them
are taken, as the table says. Where there are 100 pairs, 500 alone are added to compare with. Reads what `benchmarks/vectors.py`
makes, at first with the packages of `requirements-examples.txt`. A line takes about a minute of one core, one without pairs
some ten.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
import vectors
from compared import compared, joined
from jobs import tabled
from peer_mini_vec2vec import installed, mini_vec2vec
from rosetta import Space, rosetta
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from vectors import CLASS, EMOJI, FASHION, SENTENCES, SPANISH, TREC, column

from irp_hf import IRPAdapter
from irp_hf.baselines import BASELINES
from irp_hf.errors import DiscoveryError, FitWarning
from irp_hf.evaluation import bootstrap, number, signed
from irp_hf.evaluation.printed import markdown
from irp_hf.maths.metrics import cosines, neighbors_kept, reciprocal_ranks
from irp_hf.maths.unpaired.background import LEAST

PAIRS = [
    *((TREC, "static", "MiniLM"), (TREC, "MiniLM", "mpnet"), (TREC, "mpnet", "static")),
    *((FASHION, "ResNet", "lite0"), (FASHION, "lite0", "lite2"), (FASHION, "lite2", "ResNet")),
    *((SENTENCES, "static", "MiniLM"), (SENTENCES, "MiniLM", "static"), (SPANISH, "USE", "mpnet")),
    *((EMOJI, "lite2", "mpnet"), (EMOJI, "MiniLM", "ResNet")),
]
ALONE, BACKED = "pairs alone", "with background"
CLOSED = ("Procrustes", "ridge")
OTHERS: dict[str, Callable[[Space, Space, int], Tensor]] = {
    **({"mini-vec2vec": mini_vec2vec} if installed() else {}),
    "Rosetta": rosetta,
}
QUERIES, TRAINED = 1000, 2000
FEW, ENOUGH = 100, 500  # pairs with a background, and alone, that are compared
MEASURES = (
    "Accuracy of a head",
    "Neighbours: the target's own ten",
    "Cosine to the true vector",
    "The true row comes first",
    "Wrong rows that are farther than the true one (1 less FOSCTTM)",
)
TABLE = vectors.BENCHMARKS / "few_pairs.md"
Job = tuple[str, str, str, int, int, int]
"""Data, source, target, number of pairs, of unpaired rows a side, seed."""
Translate = Callable[[Tensor], Tensor]
Scores = dict[str, Tensor]
"""By contestant: what is asked of every query, shape (5, n); NaN where there are no classes."""


class Found(NamedTuple):
    """Of one job."""

    scores: Scores
    used: bool
    """Whether the fit made use of the unpaired rows, or found spaces that belong together."""
    seconds: float
    """CPU time of the fit with unpaired rows."""


class Rows(NamedTuple):
    """Which rows have which part: the queries do not depend on how many pairs there are, nor do the unpaired ones."""

    queries: Tensor
    pairs: Tensor
    source: Tensor
    target: Tensor
    trained: Tensor
    """Those of the head, which knows the target's vectors of any rows but the queries."""

    @classmethod
    def drawn(cls, data: str, name: str, num_pairs: int, num_rows: int, seed: int) -> Rows:
        """Of so many pairs and unpaired rows a side, which are there."""
        count = len(column(data, name))
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
        queries, rest = order.tensor_split([num_queries(count)])
        unpaired = rest.flip(0)[: 2 * num_rows]
        return cls(queries, rest[:num_pairs], unpaired[::2], unpaired[1::2], rest[:TRAINED])


def num_queries(count: int) -> int:
    return min(QUERIES, count // 4)


def contest(data: str, source: str, target: str, num_pairs: int, num_rows: int, seed: int) -> Found:
    """Everybody, on one sample."""
    rows = Rows.drawn(data, source, num_pairs, num_rows, seed)
    x, true = column(data, source)[rows.queries], column(data, target)[rows.queries]
    right = judge(data, target, rows)

    def scored(translated: Tensor) -> Tensor:
        ranks = 1 / reciprocal_ranks(translated, true).double()
        farther = 1 - (ranks - 1) / (len(true) - 1)
        measured = right(translated), neighbors_kept(translated, true), cosines(translated, true), ranks < 1.5, farther
        return torch.stack([row.double() for row in measured])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        scores = {name: scored(fit(x)) for name, fit in by_pairs(data, source, target, num_pairs, seed).items()}
        start = time.process_time()
        adapter = backed(data, source, target, rows) if num_rows else None
        seconds = time.process_time() - start
    if num_rows:
        lost = torch.full((len(MEASURES), len(x)), torch.nan, dtype=torch.float64)
        scores[BACKED] = lost if adapter is None else scored(adapter.translate(x))
        scores |= {name: scored(fit(x)) for name, fit in others(data, source, target, rows, seed)}
    used = adapter is not None and (num_pairs == 0 or adapter.config.background is not None)
    return Found(scores, used, seconds)


@lru_cache(1)
def by_pairs(data: str, source: str, target: str, num_pairs: int, seed: int) -> dict[str, Translate]:
    """Those who read pairs alone, fitted."""
    pairs = Rows.drawn(data, source, num_pairs, 0, seed).pairs
    x, y = column(data, source)[pairs], column(data, target)[pairs]
    if not num_pairs:
        return {}
    ours = IRPAdapter.from_anchors(x, y).translate
    return {ALONE: ours, **{name: BASELINES[name](x.double(), y.double()).translate for name in CLOSED}}


def backed(data: str, source: str, target: str, rows: Rows) -> IRPAdapter | None:
    """Ours with unpaired rows; None where no pair is there, and none was found."""
    x, y = column(data, source), column(data, target)
    unpaired = x[rows.source], y[rows.target]
    if len(rows.pairs):
        named = dict(zip(("source_background", "target_background"), unpaired, strict=True))
        return IRPAdapter.from_anchors(x[rows.pairs], y[rows.pairs], **named)
    try:
        return IRPAdapter.from_unpaired(*unpaired)
    except DiscoveryError:
        return None


def others(data: str, source: str, target: str, rows: Rows, seed: int) -> Iterator[tuple[str, Translate]]:
    """The other methods that read unpaired rows."""
    x, y = (
        Space.of(side[unpaired], side[rows.pairs])
        for side, unpaired in ((column(data, source), rows.source), (column(data, target), rows.target))
    )
    for name, method in OTHERS.items():
        rotation = method(x, y, seed)
        yield name, lambda queries, rotation=rotation: y.leave(x.enter(queries) @ rotation)


def judge(data: str, target: str, rows: Rows) -> Callable[[Tensor], Tensor]:
    """Whether a head that was trained on the target's own vectors gives translated queries their classes."""
    if data not in (TREC, FASHION):
        return lambda x: torch.full((len(x),), torch.nan)
    y, labels = column(data, target), column(data, CLASS)
    head = LogisticRegression(max_iter=3000).fit(y[rows.trained].numpy(), labels[rows.trained].numpy())
    return lambda x: torch.from_numpy(head.predict(x.numpy())) == labels[rows.queries]


def lines(found: dict[Job, Found], row: int) -> dict[tuple[int, str], Scores]:
    """By number of pairs, and by encoders and rows, what each contestant got, where it is known."""
    lines = {}
    for key in sorted({job[:5] for job in found if job[3] and job[4]}, key=lambda key: (key[3], PAIRS.index(key[:3]))):
        scores = joined([one.scores for job, one in found.items() if job[:5] == key], row)
        if not scores[ALONE].isnan().any():
            lines[key[3], titled(key)] = scores
    return lines


def titled(key: tuple[str, str, str, int, int]) -> str:
    data, source, target, _, num_rows = key
    return f"{data}: {source} → {target}, {num_rows:,} rows"


def written(found: dict[Job, Found], arguments: Sequence[str]) -> str:
    """All tables of what is there, and how they came about."""
    parts, said = [], []
    for row, title in enumerate(MEASURES):
        if every := lines(found, row):
            parts.append(f"## {title}\n\n{compared(every, BACKED, (*CLOSED, *OTHERS), ALONE)}\n\n")
            said.append([title, *map(str, counted(every))])
    if said:
        header = ["", "lines", "surely ahead", "surely behind", "least", "most"]
        parts.append(f"## With background, less pairs alone\n\n{markdown([header, *said])}\n\n{used(found)}\n\n")
    parts += [against_more(found), without_pairs(found)]
    return "".join(parts) + command(found, arguments)


def counted(every: dict[tuple[int, str], Scores]) -> tuple[int | str, ...]:
    """Lines; how many are surely ahead of pairs alone, and behind; the least and the largest difference."""
    gaps = [bootstrap((scores[BACKED] - scores[ALONE])[None], bounded=False)[0] for scores in every.values()]
    ahead, behind = (sum(gap.is_sure() and (gap.mean > 0) == up for gap in gaps) for up in (True, False))
    means = [gap.mean for gap in gaps]
    return len(gaps), ahead, behind, signed(min(means)), signed(max(means))


def used(found: dict[Job, Found]) -> str:
    """How often unpaired rows had a part in the fit, and what they cost."""
    fits = [(job, one) for job, one in found.items() if job[3] and job[4]]
    parts = []
    for count in sorted({job[3] for job, _ in fits}):
        with_them = [one.used for job, one in fits if job[3] == count]
        parts.append(f"{sum(with_them)} of {len(with_them)} fits with {count:,} pairs")
    seconds = torch.tensor([one.seconds for _, one in fits])
    return (
        f"Unpaired rows had a part in {', '.join(parts)}; elsewhere the fit is that of the pairs alone. "
        f"A fit with them takes {seconds.median():.0f} s of CPU time (median), {seconds.max():.0f} at most."
    )


def against_more(found: dict[Job, Found]) -> str:
    """Few pairs with the largest background against more pairs alone, on the same queries."""
    table: list[list[str]] = []
    means: list[list[float]] = []
    for pair in PAIRS:
        few = [job for job in found if job[:4] == (*pair, FEW) and job[4]]
        most = max((job[4] for job in few), default=0)
        seeds = [job[5] for job in few if job[4] == most and (*pair, ENOUGH, 0, job[5]) in found]
        if seeds:
            with_rows = torch.cat([found[(*pair, FEW, most, seed)].scores[BACKED] for seed in seeds], 1)
            alone = torch.cat([found[(*pair, ENOUGH, 0, seed)].scores[ALONE] for seed in seeds], 1)
            gaps = (with_rows - alone).mean(1).tolist()
            means.append(gaps)
            cells = [
                f"{number(a)} / {number(b)}"
                for a, b in zip(with_rows.mean(1).tolist(), alone.mean(1).tolist(), strict=True)
            ]
            table.append([titled((*pair, FEW, most)), *cells])
    if not table:
        return ""
    over_all = torch.tensor(means).nanmean(0).tolist()
    table.append(["**mean difference**", *map(signed, over_all)])
    text = markdown([["", *MEASURES], *table]).replace("nan / nan", "")
    return f"## {FEW} pairs with background / {ENOUGH} pairs alone\n\n{text}\n\n"


def without_pairs(found: dict[Job, Found]) -> str:
    """What `from_unpaired` and the others find where nobody knows a pair."""
    names, table = (BACKED, *OTHERS), []
    for job, one in found.items():
        if job[3] == 0:
            cells = [number(float(one.scores[name][row].mean())) for row in (1, 3, 4) for name in names]
            title = f"{titled(job[:5])}, seed {job[5]}"
            table.append([title, *(cell.replace("nan", "refused") for cell in cells), f"{one.seconds:.0f}"])
    if not table:
        return ""
    shown = {BACKED: "from_unpaired"}
    header = [f"{what}: {shown.get(name, name)}" for what in ("neighbours", "first", "wrong farther") for name in names]
    return f"## No pair\n\n{markdown([['', *header, 'seconds of ours'], *table])}\n\n"


def command(found: dict[Job, Found], arguments: Sequence[str]) -> str:
    """How all this came about."""
    seeds = sorted({job[5] for job in found})
    peers = "" if installed() else " mini-vec2vec was not installed."
    return (
        f"`{' '.join(['python benchmarks/few_pairs.py', *arguments])}`, seed {', '.join(map(str, seeds))}: at most {QUERIES:,} "
        f"queries a seed, which are what is searched; in parentheses 95 % intervals over these.{peers}\n"
    )


def asked(pairs: list[int], rows: list[int], seeds: list[int], data: list[str]) -> list[Job]:
    """All jobs, those of a sample of pairs one after the other, and few pairs first."""
    jobs: list[Job] = []
    more = {ENOUGH} if FEW in pairs and 0 in rows and ENOUGH not in pairs else set()
    for num_pairs in sorted({*pairs, *more}):
        for pair in PAIRS:
            if pair[0] in data:
                count = len(column(*pair[:2]))
                left = count - num_queries(count) - num_pairs
                there = sorted({min(wanted, left // 2) for wanted in rows}) if num_pairs not in more else [0]
                usable = [num for num in there if num >= LEAST or (num == 0 < num_pairs and left >= 0)]
                jobs += [(*pair, num_pairs, num_rows, seed) for seed in seeds for num_rows in usable]
    return jobs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, nargs="+", default=[0, 10, 30, 100, 300, 1000])
    parser.add_argument("--rows", type=int, nargs="+", default=[0, 1000, 5000], help="unpaired, a side")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--data", nargs="+", default=list(dict.fromkeys(data for data, *_ in PAIRS)))
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    options = parser.parse_args()
    jobs = asked(options.pairs, options.rows, options.seeds, options.data)
    tabled(contest, jobs, options.jobs, TABLE, lambda found: written(found, sys.argv[1:]))


if __name__ == "__main__":
    main()
