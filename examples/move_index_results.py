"""What `move_index.py` measures, and what it says of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch
from torch import Tensor

from irp_hf.evaluation import Measure, bootstrap, number
from irp_hf.maths.projection import unit_rows

SHARES = tuple(step / 10 for step in range(11))  # of the rows that are encoded anew
DRAWS, NEIGHBORS = 5, 10  # random orders; rows that count as near


class Order(Enum):
    """Which rows are encoded anew first."""

    FOUND = "those that other rows find most"
    LEAST_SURE = "those of the lowest confidence"
    RANDOM = "random ones"


class Way(Enum):
    """What can be done with an index when a better encoder comes."""

    NOTHING = "do nothing"
    QUERIES = "translate queries"
    MIXED = "mix queries (Bridge)"
    STORE = "translate the store"
    PARTLY = "translated, in part encoded anew"
    ANEW = "encode all anew"


@dataclass(frozen=True)
class Ways:
    """Of every way the share of the new encoder's own ten that a query finds, and of its class among the ten it finds."""

    neighbors: dict[Way, Measure]
    classes: dict[Way, Measure]
    gains: dict[Way, tuple[Measure, Measure]]
    """What a way is above doing nothing, query by query, in both."""

    @classmethod
    def of(cls, hits: dict[Way, Tensor], labels: np.ndarray, asked: np.ndarray) -> Ways:
        """From the hits `(q, 10)` of each way, row numbers, and the classes `(n,)` of rows and `(q,)` of queries."""
        shared = {way: recall(rows, hits[Way.ANEW]) for way, rows in hits.items()}
        alike = {way: torch.from_numpy(labels[rows] == asked[:, None]).double().mean(1) for way, rows in hits.items()}
        measured = [
            dict(zip(hits, bootstrap(torch.stack([one[way] for way in hits])), strict=True)) for one in (shared, alike)
        ]
        gains = {
            way: tuple(bootstrap(torch.stack([one[way] - one[Way.NOTHING] for one in (shared, alike)]), bounded=False))
            for way in hits
        }
        return cls(*measured, gains)


@dataclass(frozen=True)
class Curves:
    """What is found along the share of rows that are encoded anew, by the order in which they are."""

    shares: tuple[float, ...]
    found: dict[Order, Tensor]
    """Of each query at each share, `(len(shares), q)`."""

    def means(self, order: Order) -> list[float]:
        """Over the queries, at each share."""
        return self.found[order].mean(1).tolist()

    def above_random(self, order: Order, share: float) -> Measure:
        """What an order gains on a random one at a share, query by query."""
        place = self.shares.index(share)
        return bootstrap((self.found[order] - self.found[Order.RANDOM])[place][None], bounded=False)[0]

    def at(self, order: Order, share: float) -> float:
        """The mean at a share."""
        return self.means(order)[self.shares.index(share)]


def recall(hits: Tensor, own: Tensor) -> Tensor:
    """Share `(q,)` of the `own (q, 10)` rows that is among the `hits (q, 10)`."""
    return (own[:, :, None] == hits[:, None]).any(2).double().mean(1)


def by_share(
    moved: Tensor, true: Tensor, orders: dict[Order, Tensor], queries: Tensor, own: Tensor, budget: float
) -> Curves:
    """What `queries (q, d)` find where more and more of the `moved (n, d)` rows become `true (n, d)`, in each of the orders.

    A random order is added to them, the mean of several.
    """
    shares = tuple(sorted({*SHARES, budget}))
    asked = unit_rows(queries.float())

    def found(order: Tensor) -> Tensor:
        index, recalls, done = unit_rows(moved.float()), [], 0
        for share in shares:
            upto = round(share * len(order))
            index[order[done:upto]] = unit_rows(true[order[done:upto]].float())
            recalls.append(recall((asked @ index.T).topk(own.shape[1]).indices, own))
            done = upto
        return torch.stack(recalls)

    generator = torch.Generator().manual_seed(0)
    random = [found(torch.randperm(len(moved), generator=generator)) for _ in range(DRAWS)]
    return Curves(
        shares, {**{name: found(rows) for name, rows in orders.items()}, Order.RANDOM: torch.stack(random).mean(0)}
    )


def found_most(moved: Tensor, least_sure: Tensor) -> Tensor:
    """All rows of `moved (n, d)`, those first that are most often among the ten nearest to others, and then the least sure."""
    rows = unit_rows(moved.float())
    nearest = (rows @ rows.T).fill_diagonal_(-torch.inf).topk(NEIGHBORS).indices
    counts = torch.bincount(nearest.flatten(), minlength=len(rows))
    return least_sure[counts[least_sure].argsort(descending=True, stable=True)]


def print_ways(ways: Ways, old: str, new: str, budget: float) -> None:
    """The table, with half the 95 % intervals."""
    words = {
        Way.NOTHING: f"do nothing: {old} asks",
        Way.QUERIES: f"{new}'s queries, translated",
        Way.MIXED: "both queries, mixed (Bridge)",
        Way.STORE: f"translated column, {new} asks",
        Way.PARTLY: f"  {budget:.0%} found most, encoded anew",
        Way.ANEW: f"all encoded anew, {new} asks",
    }

    def line(*cells: str) -> None:
        print(f"{cells[0]:<34}{cells[1]:>13}{cells[2]:>15}{cells[3]:>15}{cells[4]:>15}")

    print()
    line("", f"{new}'s ten", "gained", "of its class", "gained")
    print("─" * 92)
    for way, told in words.items():
        gained = ("", "") if way is Way.NOTHING else tuple(gain.signed() for gain in ways.gains[way])
        line(told, str(ways.neighbors[way]), gained[0], str(ways.classes[way]), gained[1])
    print(
        f"\n{new}'s ten: share of what {new} finds in an index of its own that is among the ten that are found;\n"
        "of its class: share of those ten that have the query's class; gained: above doing nothing."
    )


def verdicts(
    ways: Ways, curves: Curves, few: dict[int, float], seconds: tuple[float, float], budget: float, old: str, new: str
) -> list[str]:
    """What a reader takes home, in sentences with numbers; also where moving is not worth it."""
    translating, encoding = seconds
    took = f"Translating took {translating:.1f} s of this machine's processor, encoding all anew takes about {encoding:.0f} s."
    said = [took, _moving(ways, old, new), _classes(ways), _queries(ways)]
    said.append(_orders(ways, curves, budget))
    before = ways.neighbors[Way.NOTHING].mean
    for count, found in few.items():
        worth = (
            "still worth it" if found > before else f"not worth it: keep {old}, or mix queries, until more are encoded"
        )
        said.append(
            f"With {count} anchors a translated store finds {number(found)}, doing nothing {number(before)}: {worth}."
        )
    return said


def _moving(ways: Ways, old: str, new: str) -> str:
    gain, after, before = ways.gains[Way.STORE][0], ways.neighbors[Way.STORE], ways.neighbors[Way.NOTHING]
    numbers = f"the translated store finds {after} of {new}'s ten, doing nothing {before}, {gain.signed()}"
    if not gain.is_sure():
        return f"Moving changes little: {numbers}."
    if gain.mean < 0:
        return f"Moving is not worth it, keep {old}: {numbers}."
    return f"Moving is worth it: {numbers}."


def _orders(ways: Ways, curves: Curves, budget: float) -> str:
    least_sure, most = (curves.above_random(order, budget) for order in (Order.LEAST_SURE, Order.FOUND))
    return (
        f"Encoding {budget:.0%} of it anew, what is found most first, lifts {number(ways.neighbors[Way.STORE].mean)} to "
        f"{number(ways.neighbors[Way.PARTLY].mean)}: {_than_random(most)}. The least sure first, it would be "
        f"{number(curves.at(Order.LEAST_SURE, budget))}: {_than_random(least_sure)}."
    )


def _than_random(gap: Measure) -> str:
    told = "about what random rows give"
    if gap.is_sure():
        told = "better than random rows" if gap.mean > 0 else "worse than random rows"
    return f"{told}, {gap.signed()}"


def _classes(ways: Ways) -> str:
    gain, whole = ways.gains[Way.STORE][1], ways.gains[Way.ANEW][1]
    verb = "gains" if gain.is_sure() and gain.mean > 0 else "loses" if gain.is_sure() else "changes little"
    return f"By the questions' classes it {verb}: {gain.signed()}; encoding all anew gives {whole.signed()}."


def _queries(ways: Ways) -> str:
    translated, mixed = (ways.gains[way][0] for way in (Way.QUERIES, Way.MIXED))
    best = max((Way.QUERIES, Way.MIXED, Way.NOTHING), key=lambda way: ways.neighbors[way].mean)
    told = f"translated queries {translated.signed()}, mixed ones {mixed.signed()} above doing nothing"
    return f"Where the store must stay as it is, {best.value} is best: {told}."
