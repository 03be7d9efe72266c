"""No pair at all: is what starts agree about right, and what is right agreed about? Over pairs of spaces whose truth is known.

Disjoint halves of one data set by two encoders: questions, sentences, pictures, pictures and names of emoji; halves of one
space; rows of another domain on the source's side; and spaces of sentences and of clothes, between which nothing is right. Each
run is judged by rows that had no part in it, which both encoders read: by how many of the wrong rows, of 1,000 at most, are
nearer to a rotated row than its own (FOSCTTM; chance .5). It is right where that is at most .01, or twice what it is by the
rotation that is fitted to 1,000 true pairs.

    python benchmarks/discovery.py [--jobs 1] [--seeds 1]

prints, and writes benchmarks/discovery.md, anew after every run. Reads what `benchmarks/vectors.py` makes, at first with the
packages of `requirements-examples.txt`. With one seed it takes about half an hour of one core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from itertools import chain, permutations
from typing import NamedTuple

import torch
import vectors
from jobs import tabled
from sklearn.metrics import roc_auc_score
from torch import Tensor
from vectors import EMOJI, FASHION, SENTENCES, SPANISH, TREC, TWEETS, column

from irp_hf.evaluation import number
from irp_hf.evaluation.printed import markdown
from irp_hf.maths.metrics import reciprocal_ranks
from irp_hf.maths.projection import Statistics, normalize, unit_rows
from irp_hf.maths.unpaired.apart import Apart
from irp_hf.maths.unpaired.background import distinct_from
from irp_hf.maths.unpaired.discovery import AGREE
from irp_hf.maths.unpaired.matching import polar
from irp_hf.maths.unpaired.side import Side
from irp_hf.models.discovering import LEAST_SPREAD

SAME, ITSELF, DOMAIN, UNRELATED = "one domain", "one space", "another domain", "unrelated"
ROWS, TESTED = 6000, 1000  # of a side, at most
PAIRS = 1000  # true ones, that a run is compared with
RIGHT, AS_BY_PAIRS = 0.01, 2.0
TABLE = vectors.BENCHMARKS / "discovery.md"

Job = tuple[str, str, str, str, str, int]
"""Which kind it is; data and encoder of the source, and of the target; the seed."""
Space = tuple[str, str]


class Found(NamedTuple):
    """What one run came to."""

    agreement: float
    spread: float
    """In how many directions rows spread, on the side where they spread least."""
    wrong_nearer: float
    """FOSCTTM; .5 between spaces of which nobody can say what is right."""
    by_pairs: float
    """The same by the rotation that is fitted to true pairs; 0 where there are none."""
    starts: int
    seconds: float

    @property
    def is_right(self) -> bool:
        return self.wrong_nearer <= max(RIGHT, AS_BY_PAIRS * self.by_pairs)

    @property
    def is_accepted(self) -> bool:
        """As `from_unpaired` has it."""
        return self.agreement >= AGREE and self.spread >= LEAST_SPREAD


def jobs(more: int) -> list[Job]:
    """Every pair of spaces with its seeds, and so many times more; those that matter most have several."""

    def runs(kind: str, pairs: Iterable[tuple[Space, Space]], seeds: int) -> list[Job]:
        return [(kind, *source, *target, seed) for source, target in pairs for seed in range(seeds * more)]

    def between(data: str, *names: str) -> list[tuple[Space, Space]]:
        return [((data, one), (data, other)) for one, other in permutations(names, 2)]

    def across(*ends: tuple[Space, Space]) -> list[tuple[Space, Space]]:
        return [pair for end in ends for pair in (end, end[::-1])]

    every = [
        *runs(SAME, chain(between(TREC, "MiniLM", "mpnet"), between(SPANISH, "MiniLM", "mpnet")), 5),
        *runs(SAME, (pair for name in ("MiniLM", "mpnet") for pair in between(TREC, "static", name)), 2),
        *runs(SAME, between(SENTENCES, "static", "MiniLM"), 2),
        *runs(SAME, across(*(((SPANISH, "USE"), (SPANISH, name)) for name in ("MiniLM", "mpnet"))), 1),
        *runs(SAME, between(FASHION, "ResNet", "lite0", "lite2"), 2),
        *runs(SAME, across(*(((EMOJI, a), (EMOJI, b)) for a, b in (("lite2", "mpnet"), ("ResNet", "MiniLM")))), 1),
        *runs(ITSELF, ((space, space) for space in ((TREC, "static"), (SPANISH, "mpnet"), (FASHION, "lite0"))), 1),
        *runs(DOMAIN, [((SPANISH, "mpnet"), (TREC, "MiniLM")), ((TREC, "MiniLM"), (SPANISH, "mpnet"))], 2),
        *runs(DOMAIN, [((TWEETS, "MiniLM"), (TREC, "mpnet")), ((SENTENCES, "static"), (TREC, "MiniLM"))], 1),
        *runs(UNRELATED, across(((FASHION, "lite0"), (TREC, "MiniLM")), ((FASHION, "ResNet"), (SPANISH, "mpnet"))), 1),
        *runs(UNRELATED, across(((FASHION, "lite2"), (SENTENCES, "static")), ((EMOJI, "lite2"), (TREC, "mpnet"))), 1),
    ]
    return sorted(every, key=lambda job: SENTENCES in job)  # which take longest to encode


def run(kind: str, there: str, source: str, here: str, target: str, seed: int) -> Found:
    """One of them."""
    x, y = column(there, source), column(here, target)
    draw = torch.Generator().manual_seed(seed)
    tested, rest = split(len(y), draw)
    of_source, of_target = (rest[::2], rest[1::2]) if there == here else (torch.randperm(len(x), generator=draw), rest)
    rows = [side[numbers[:ROWS]] for side, numbers in ((x, of_source), (y, of_target))]
    start = time.process_time()
    apart = Apart.of(*(side[distinct_from(side, side[:0])] for side in rows), seed)
    found = apart.discovered()
    seconds = time.process_time() - start
    wrong, by_pairs = 0.5, 0.0
    if kind != UNRELATED:
        x, paired = column(here, source), rest[:PAIRS]
        statistics = apart.background.source_stats, apart.background.target_stats
        (known, queries), (wanted, true) = (
            [entered(side[numbers], stats, of) for numbers in (paired, tested)]
            for side, stats, of in zip((x, y), statistics, apart.sides, strict=True)
        )
        by_pairs, wrong = (wrong_nearer(queries @ one, true) for one in (polar(known.T @ wanted), found.rotation))
    spread = min(side.spread for side in apart.sides)
    return Found(found.agreement, spread, wrong, by_pairs, found.starts, seconds)


def split(count: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rows to test on, and all others."""
    tested, rest = torch.randperm(count, generator=draw).tensor_split([min(TESTED, count // 4)])
    return tested, rest


def entered(rows: Tensor, stats: Statistics, side: Side) -> Tensor:
    return side.enter(unit_rows(normalize(rows.double(), stats)).float())


def wrong_nearer(translated: Tensor, true: Tensor) -> float:
    """FOSCTTM: the mean share of wrong rows that are no farther from a translated one than its own."""
    return float((1 / reciprocal_ranks(translated, true).double() - 1).mean()) / (len(true) - 1)


def written(found: dict[Job, Found]) -> str:
    """A line for each pair of spaces, and what all say of the agreement."""
    titles = (
        "runs",
        "accepted",
        "of these wrong",
        "refused",
        "of these right",
        "agreement",
        "FOSCTTM",
        "by pairs",
        "seconds",
    )
    lines = [["", *titles]]
    for kind in (SAME, ITSELF, DOMAIN, UNRELATED):
        for pair in dict.fromkeys(job[1:5] for job in found if job[0] == kind):
            runs = [one for job, one in found.items() if job[:5] == (kind, *pair)]
            lines.append([f"{kind}: {named(*pair)}", *counted(runs)])
    every = list(found.values())
    lines.append(["**all**", *counted(every)[:5], "", "", "", counted(every)[-1]])
    narrow = [one for one in every if one.spread < LEAST_SPREAD]
    return (
        f"{markdown(lines)}\n\n{told(every)}Accepted is an agreement of {number(AGREE)} or more between rows that spread in "
        f"{LEAST_SPREAD:.0f} directions or more; for less spread {len(narrow)} runs were refused. Agreement, FOSCTTM and the "
        f"FOSCTTM by {PAIRS:,} true pairs: from the least to the most. At most {ROWS:,} rows a side; seconds of CPU time.\n\n"
        "`python benchmarks/discovery.py`\n"
    )


def told(every: list[Found]) -> str:
    """How well the agreement tells right from wrong, where there are both."""
    right, agreement = [one.is_right for one in every], [one.agreement for one in every]
    if len({*right}) < 2:
        return ""
    area = number(roc_auc_score(right, agreement))
    most = max(one.agreement for one in every if not one.is_right)
    least = min(one.agreement for one in every if one.is_right)
    return (
        f"Of {len(every)} runs {sum(right)} are right. Agreement tells these from the wrong ones with an AUROC of {area}: "
        f"right ones have {number(least)} at least, wrong ones {number(most)} at most. "
    )


def named(there: str, source: str, here: str, target: str) -> str:
    """Two spaces in words."""
    return f"{there}: {source} → {target}" if there == here else f"{there}: {source} → {here}: {target}"


def counted(runs: list[Found]) -> list[str]:
    """A line of the table, but for its title."""
    accepted, refused = ([one for one in runs if one.is_accepted == wanted] for wanted in (True, False))
    figures = [len(runs), len(accepted), sum(not one.is_right for one in accepted)]
    figures += [len(refused), sum(one.is_right for one in refused)]
    ranges = [
        f"{number(min(values))} – {number(max(values))}" if len(values) > 1 else number(values[0])
        for values in zip(*((one.agreement, one.wrong_nearer, one.by_pairs) for one in runs), strict=True)
    ]
    return [*map(str, figures), *ranges, f"{sum(one.seconds for one in runs) / len(runs):.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1, help="how many times as many")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    options = parser.parse_args()
    tabled(run, jobs(options.seeds), options.jobs, TABLE, written)


if __name__ == "__main__":
    main()
