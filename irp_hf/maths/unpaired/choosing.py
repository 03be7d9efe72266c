"""The choice over pairs with unpaired rows behind them: fitted anew without each fold of the pairs, matching included.

What a pair is translated to comes from a fit that knew neither it nor anything that was matched with its help. The score, the
confidence and the report are of these translations alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import ClassVar, NamedTuple, TypeAlias, TypeVar, cast

import torch
from torch import Tensor

from irp_hf.maths.climbing import climb, grid_of, mean_cosine
from irp_hf.maths.folds import FEW_FOLDS, gathered
from irp_hf.maths.inverses import KernelInverse, RigidInverse, WhitenedInverse
from irp_hf.maths.inverses.base import Folded, Inverse, LinearMap
from irp_hf.maths.inverses.kernel import Solved, SolvedOnce
from irp_hf.maths.lengths import chosen_length
from irp_hf.maths.metrics import Labels
from irp_hf.maths.objectives import objective_score
from irp_hf.maths.pairs import Pairs, others
from irp_hf.maths.projection import denormalize
from irp_hf.maths.request import Given, Objective, make_inverse
from irp_hf.maths.restoration import Restoration, Restored, Stretch
from irp_hf.maths.selection import ByFolds, Choice, Tried, by_rank
from irp_hf.maths.unpaired.background import Background
from irp_hf.maths.unpaired.matching import Matcher
from irp_hf.maths.unpaired.pseudo_pairs import PseudoPairs
from irp_hf.maths.unpaired.sums import KernelSums, Part

Item = TypeVar("Item")
Steps: TypeAlias = Callable[[Sequence[Item]], Iterable[Item]]
"""Goes through items, and may show how far it is."""
METHODS = ("kernel", "whitened", "rigid")  # that weighted sums serve
LEAST_PAIRS = 6  # independent ones: of fewer no fold says anything
FEW = (
    20  # independent pairs: of fewer, nothing is chosen, for defaults are as good as anything on any data that was seen
)
FOLDS = 5  # of few pairs, of which each one counts
MANY = 100  # independent pairs, of which three folds are enough
LANDMARKS, OF_PAIRS = (
    1000,
    1500,
)  # of unpaired rows, and of pairs at most: with so many, others carry nothing of the map
SPREAD = 1500  # rows whose translations tell how far these spread
SEEN = 1000  # rows of the source that tell where its vectors lie
ITSELF = 1 - 1e-6  # a cosine of a row with itself in single precision is above it
SPECTRUM = 4000  # rows of the target that tell how far they should
WEIGHTS = (0.003, 0.01, 0.03, 0.1, 0.3)  # of a pseudo-pair, as a share of a pair
BALANCE = 1.0
SHARES: dict[Objective, float] = {"cosine": 0.25, "neighbors": 0.5, "recall": 0.5, "retrieval": 1.0, "agreement": 0.5}
"""ρ, by the objective: what lies between hardly differs in anything."""
RESTORATION = 0.5


@dataclass(frozen=True)
class BackedChoice(Choice):
    """A choice whose map comes from pairs and pseudo-pairs, which the pairs alone could not make again."""

    background: tuple[int, int] = (0, 0)
    """How many unpaired rows there are of either side."""
    weight: float = 0.0
    """Of a pseudo-pair, as a share of a pair."""
    unpaired: Tensor | None = None
    """Some rows of the source `(n, d_X)`, as they came."""
    refits: ClassVar[bool] = False

    def recorded(self) -> dict[str, float]:
        """What a configuration says of it."""
        source, target = self.background
        return {"source": source, "target": target, "weight": self.weight}

    def unstretched(self, pairs: Pairs) -> Folded:
        """As `Choice` has it; the rigid part is in it already."""
        return cast(Solved, self.solved).fold()

    def kept(self) -> Choice:
        """The map itself is kept: nothing else makes it again."""
        return replace(self, directions=self.directions[:0], unpaired=None)

    def rows_seen(self, pairs: Pairs, landmarks: Tensor, cosines: Tensor) -> tuple[Pairs, Tensor]:
        """As `Choice` has it: few pairs know little of where vectors lie, and most later ones would look strange to them."""
        if self.unpaired is None:
            return pairs, cosines
        rows, count = torch.cat([pairs.source, self.unpaired.double()]), len(pairs) + len(self.unpaired)
        labels = torch.arange(count, dtype=pairs.labels.dtype, device=pairs.labels.device) + count
        labels[: len(pairs)] = pairs.labels
        seen = Pairs(rows, rows, labels, (pairs.source_stats, pairs.source_stats))
        further = seen.source_rows[len(pairs) :] @ landmarks.to(rows).T
        further.masked_fill_(further > ITSELF, 1.0)  # a landmark, but for rounding
        return seen, torch.cat([cosines, further])


class Setting(NamedTuple):
    """What is fitted to the sums."""

    inverse: Inverse
    weight: float


class Defaults(NamedTuple):
    """Where nothing is chosen, and where choosing begins."""

    weight: float = 0.1
    """Of a pseudo-pair, as a share of a pair."""
    ridge: float = 0.03


class Backed:
    """Pairs and the background behind them, matched without each fold of the pairs, and with all."""

    def __init__(
        self,
        pairs: Pairs,
        background: Background,
        given: Given,
        folds: Sequence[Tensor],
        matched: Sequence[Tensor],
        defaults: Defaults,
        few: bool,
    ) -> None:
        """`pairs` are those that stand before this background.

        `matched (n, d_Y)` are the counterparts of its first n rows of the source, without each of the `folds` and with all.
        Of `few` pairs nothing is chosen.
        """
        self.pairs, self.background, self.given = pairs, background, given
        self.folds, self.kept = folds, kept_rows(folds, len(pairs))
        self.parts = [
            Part(pairs.source_rows[rows], pairs.target_rows[rows], background.source_rows[: len(there)], there)
            for rows, there in zip(self.kept, matched, strict=True)
        ]
        self.defaults, self.few = defaults, few
        self._sums: dict[float, KernelSums] = {}

    @classmethod
    def matched(cls, pairs: Pairs, background: Background, given: Given, steps: Steps[Tensor] = iter) -> Backed:
        """By the pairs, anew without each fold of them; `steps` goes through the folds, and may show how far it is."""
        independent = len(pairs.labels.unique())
        folds = folds_of(pairs, given.seed)
        (source, target), rotations, found = background.sides, [], []
        for number, kept in enumerate(steps(kept_rows(folds, len(pairs)))):
            rows, true = pairs.source_rows[kept].to(source.low), pairs.target_rows[kept].to(target.low)
            matcher = Matcher(source, target, (source.enter(rows), target.enter(true)), given.seed)
            rotations.append(matcher.by_pairs())
            if number == len(folds):  # what the folds led to are further starts
                rotations.append(matcher.best_of(rotations))
            found.append(PseudoPairs.of(matcher, rotations[-1], background.target_rows).target)
        return cls(pairs, background, given, folds, found, Defaults(), independent < FEW)

    @cached_property
    def restoration(self) -> Restoration:
        """By the spectrum of the target's unpaired rows, which no fold of the pairs has a part in."""
        return Restoration(self.background.target_rows[:SPECTRUM].double(), [])

    @cached_property
    def spread(self) -> Tensor:
        """Unpaired rows of the source `(n, d_X)`, as far as possible others than those that were matched."""
        return self.background.source_rows[-SPREAD:].double()

    def sums(self, gamma: float) -> KernelSums:
        """Those of similarities at this γ."""
        if gamma not in self._sums:
            unpaired = self.parts[-1].unpaired
            some = self.pairs.permutation(self.given.seed)[:OF_PAIRS].sort().values
            landmarks = torch.cat([self.pairs.source_rows[some], unpaired[:LANDMARKS].double()])
            self._sums = {gamma: KernelSums(self.pairs.source_rows, unpaired, landmarks, gamma)}
        return self._sums[gamma]

    def folded(self, setting: Setting, number: int) -> Folded:
        """The map without the fold of this number, or, of the last, over everything."""
        part, inverse = self.parts[number], setting.inverse
        if isinstance(inverse, KernelInverse):
            sums = self.sums(inverse.gamma)
            return sums.map(sums.system(part, self.kept[number], setting.weight).solve(inverse.ridge))
        if isinstance(inverse, WhitenedInverse):
            path = part.path(setting.weight)
            return LinearMap(path.directions(path.source.vectors, inverse.balance, inverse.ridge))
        return LinearMap(part.rotation(setting.weight))

    def cosine(self, setting: Setting) -> float:
        """The mean cosine out of fold."""
        parts = [self.folded(setting, number)(self.pairs.source_rows[fold]) for number, fold in enumerate(self.folds)]
        return mean_cosine(gathered(self.folds, parts), self.pairs.target_rows)

    def tuned(self, method: str) -> tuple[Setting, list[tuple[Setting, float]]]:
        """The weight and the hyper-parameters of an inverse, one after the other, and all that was tried."""
        setting = Setting(_default(method, self.given, self.defaults.ridge), self.defaults.weight)
        tried: dict[Setting, float] = {}

        def cosine(setting: Setting) -> float:
            if setting not in tried:
                tried[setting] = self.cosine(setting)
            return tried[setting]

        if not self.few:
            for name in ("weight", *(name for name in ("ridge", "gamma", "balance") if hasattr(setting.inverse, name))):
                if name not in self.given.fixed:
                    setting = _along(name, setting, cosine)
        cosine(setting)
        return setting, sorted(tried.items(), key=lambda one: (one[0] == setting, one[1]), reverse=True)

    def choice(self, method: str, objective: Objective, score: Callable[[Tensor], Tensor]) -> Choice:
        """That of a method."""
        setting, tried = self.tuned(method)
        given, blends = self.given, setting.inverse.blends
        rigid = (SHARES[objective] if given.rigid is None else given.rigid) if blends else 0.0
        wanted = RESTORATION if setting.inverse.restores else 0.0
        restoration = wanted if given.restoration is None else given.restoration
        parts, found = [], []
        for number in range(len(self.parts)):
            folded = self.folded(setting, number)
            if rigid:
                folded = folded.plus(rigid * self.parts[number].rotation(setting.weight))
            stretch = self._stretch(folded, restoration)
            found.append((folded, stretch))
            if number < len(self.folds):
                parts.append(stretch(folded(self.pairs.source_rows[self.folds[number]])))
        directions = gathered(self.folds, parts)
        vectors = partial(denormalize, directions, self.pairs.target_stats)
        length = chosen_length(vectors, self.pairs, objective, given.seed) if setting.inverse.restores else 1.0
        translated = vectors(length)
        rows = score(translated)
        value = float(rows.mean())
        (first, _), *rest = tried
        return BackedChoice(
            method=method,
            inverse=setting.inverse,
            restoration=restoration,
            rigid=float(rigid),
            score=value,
            tried=(
                Tried(first.inverse, restoration, value),
                *(Tried(one.inverse, 0.0, cosine) for one, cosine in rest if one.inverse != first.inverse),
            ),
            directions=directions,
            translated=translated,
            by_folds=ByFolds(lambda: (translated, rows)),
            stretch=found[-1][1],
            solved=SolvedOnce(found[-1][0], directions),
            background=(len(self.background.source), len(self.background.target)),
            weight=setting.weight,
            num_folds=len(self.folds),
            unpaired=self.background.source[-SEEN:],
            length=length,
        )

    def _stretch(self, folded: Folded, restoration: float) -> Stretch:
        if not restoration:
            return Stretch.none(self.pairs.target_rows)
        return Restored(self.restoration, folded(self.spread)).stretch(restoration)


def select_backed(
    pairs: Pairs,
    background: Background,
    methods: Sequence[str],
    objective: Objective,
    given: Given,
    labels: Labels | None,
    steps: Steps[str] = iter,
    matching: Steps[Tensor] = iter,
) -> list[Choice]:
    """The choices on `pairs` that stand before a background, best first; of methods that no sums serve, none.

    `matching` goes through the folds, whose matches take most of the time, and `steps` through the methods: either may show how
    far it is.
    """
    backed = Backed.matched(pairs, background, given, matching)
    score = objective_score(objective, pairs, labels, backed.folds, given.depth)
    served = [method for method in methods if method in METHODS]
    served = served[:1] if backed.few else served  # of which a few pairs cannot tell which is best
    choices = [backed.choice(method, objective, score) for method in steps(served)]
    return by_rank(choices, pairs, objective)


def folds_of(pairs: Pairs, seed: int) -> list[Tensor]:
    """What is left out in turn: row numbers, each in one of them."""
    return pairs.folds(FOLDS if len(pairs.labels.unique()) < MANY else FEW_FOLDS, seed)


def kept_rows(folds: Sequence[Tensor], count: int) -> list[Tensor]:
    """Of so many pairs those outside of each fold, and all."""
    return [*(others(fold, count) for fold in folds), torch.arange(count, dtype=torch.int64, device=folds[0].device)]


def _default(method: str, given: Given, ridge: float) -> Inverse:
    if method == "rigid":
        return RigidInverse()
    defaults: dict[str, float] = {"ridge": ridge} | ({"balance": BALANCE} if method == "whitened" else {})
    return make_inverse(
        method, given.but(**{name: value for name, value in defaults.items() if name not in given.fixed})
    )


def _along(name: str, setting: Setting, cosine: Callable[[Setting], float]) -> Setting:
    """The best setting along a weight or a hyper-parameter."""
    if name == "weight":
        settings = [setting._replace(weight=weight) for weight in WEIGHTS]
    else:
        inverse = setting.inverse
        grid = sorted({*grid_of(type(inverse), name), getattr(inverse, name)})
        settings = [setting._replace(inverse=replace(inverse, **{name: value})) for value in grid]  # type: ignore[type-var]
    return next(iter(climb(cosine, settings, settings.index(setting))))
