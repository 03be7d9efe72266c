"""What all inverses share: two independent halves, and the fold of both into what translation needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from irp_hf.maths.projection import Statistics, centre, denormalize, relative_projection, unit_rows


@dataclass(frozen=True)
class LinearMap:
    """Unit rows `(n, d_X)` to directions `(n, d_Y)` by one matrix."""

    weight: Tensor
    """Shape (d_X, d_Y)."""

    def __call__(self, rows: Tensor) -> Tensor:
        """Directions `(n, d_Y)` of unit `rows (n, d_X)`."""
        return rows @ self.weight

    def of_centred(self, rows: Tensor) -> Tensor:
        """Directions of centred `rows`, up to their lengths: the row norm that follows takes the input's away as well."""
        return self(rows)

    def plus(self, rigid: Tensor) -> LinearMap:
        """This map and a `rigid` part `(d_X, d_Y)` of all coordinates but the one that lifts rows."""
        weight = self.weight.clone()
        weight[: len(rigid)] += rigid
        return LinearMap(weight)

    def then(self, linear: Callable[[Tensor], Tensor]) -> LinearMap:
        """This map followed by a `linear` one, `(n, d_Y)` to `(n, d_Y)`."""
        return LinearMap(linear(self.weight))

    @staticmethod
    def shapes(num_landmarks: int, lifted: int, target: int, rigid: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the tensors that an adapter stores of such a map, besides the landmarks of its confidence.

        `lifted` is how wide rows are, and `rigid` how wide they are for a rigid part; 0 where there is none.
        """
        return {"weight": (lifted, target)}

    def tensors(self) -> dict[str, Tensor]:
        """Those tensors."""
        return {"weight": self.weight}

    @classmethod
    def stored(cls, get: Callable[[str], Tensor], gamma: float, rigid: bool) -> LinearMap:
        """The map of the tensors that `get` gives by name; of a `rigid` part nothing is stored of its own."""
        return cls(get("weight"))


@dataclass(frozen=True)
class KernelMap:
    """Unit rows `(n, d_X)` to directions `(n, d_Y)` by their radial similarity with landmarks, and by a rotation."""

    landmarks: Tensor
    """Unit rows, shape (m, d_X)."""
    coefficients: Tensor
    """Shape (m, d_Y)."""
    intercept: Tensor
    """Shape (d_Y,)."""
    gamma: float
    rotation: Tensor | None = None
    """The rigid part, of all coordinates but the one that lifts rows, shape (d_X, d_Y)."""

    def __call__(self, rows: Tensor) -> Tensor:
        """Directions `(n, d_Y)` of unit `rows (n, d_X)`."""
        return self.of_similarities(relative_projection(rows, self.landmarks, self.gamma), rows)

    def of_centred(self, rows: Tensor) -> Tensor:
        """Directions of centred `rows`, which must have unit length here."""
        return self(unit_rows(rows))

    def of_similarities(self, similar: Tensor, rows: Tensor) -> Tensor:
        """Directions `(n, d_Y)` of unit `rows (n, d_X)` whose similarities with the landmarks are `similar (n, m)`."""
        directions = torch.addmm(self.intercept, similar, self.coefficients)
        if self.rotation is None:
            return directions
        return directions.addmm(rows[:, : len(self.rotation)], self.rotation)

    def plus(self, rigid: Tensor) -> KernelMap:
        """As `LinearMap` has it."""
        return replace(self, rotation=rigid)

    def then(self, linear: Callable[[Tensor], Tensor]) -> KernelMap:
        """This map followed by a `linear` one, `(n, d_Y)` to `(n, d_Y)`."""
        return KernelMap(
            self.landmarks,
            linear(self.coefficients),
            linear(self.intercept[None])[0],
            self.gamma,
            None if self.rotation is None else linear(self.rotation),
        )

    @staticmethod
    def shapes(num_landmarks: int, lifted: int, target: int, rigid: int) -> dict[str, tuple[int, ...]]:
        """As `LinearMap` has it; its landmarks are those of the confidence."""
        own = {"coefficients": (num_landmarks, target), "intercept": (target,)}
        return {**own, "rotation": (rigid, target)} if rigid else own

    def tensors(self) -> dict[str, Tensor]:
        """Those tensors."""
        own = {"coefficients": self.coefficients, "intercept": self.intercept}
        return own if self.rotation is None else {**own, "rotation": self.rotation}

    @classmethod
    def stored(cls, get: Callable[[str], Tensor], gamma: float, rigid: bool) -> KernelMap:
        """As `LinearMap` has it; a `rigid` part has a rotation."""
        turn = get("rotation") if rigid else None
        return cls(get("landmarks"), get("coefficients"), get("intercept"), gamma, turn)


Folded = LinearMap | KernelMap


LESS_SMOOTH = "of settings so near each other, the one that smooths less is better for heads and neighbours"


class Inverse(ABC):
    """An inverse relative projection: a frozen dataclass of its hyper-parameters. All rows and anchors are unit rows.

    Adding one is a file that holds such a class and a line in `irp_hf.maths.inverses.INVERSES`.
    """

    title: ClassVar[str]
    """What tables call it."""
    folds_to: ClassVar[type[LinearMap] | type[KernelMap]]
    """The map that `fold` gives: it tells which tensors an adapter stores."""
    held_out: ClassVar[str] = "the folds of the table"
    """How its own score is held out, in words."""
    lower: ClassVar[str] = "where a step gains so little, the plainer setting stays"
    """Why the setting that was taken may have scored less than another, in words."""
    independent: ClassVar[bool] = True
    """Whether each half needs the anchors of its own side alone."""
    blends: ClassVar[bool] = False
    """Whether it takes a rigid part, ρ of which is chosen for it where none is given."""
    restores: ClassVar[bool] = True
    """Whether a restoration of more than the mean scale is chosen for it where none is given."""
    lift: float = 0.0
    """At what lift the source's rows and anchors are to be normalised before they come here; 0 keeps angles alone."""

    @abstractmethod
    def relative(self, rows: Tensor, source: Tensor) -> Tensor:
        """Source half: coordinates `(n, k)` of `rows (n, d_X)`, from the source's anchors `(k, d_X)` alone."""

    @abstractmethod
    def absolute(self, coordinates: Tensor, target: Tensor) -> Tensor:
        """Target half: directions `(n, d_Y)` of `coordinates (n, k)`, from the target's anchors `(k, d_Y)` alone."""

    @abstractmethod
    def fold(self, source: Tensor, target: Tensor) -> Folded:
        """Both halves at once, in float64: equal to `absolute(relative(rows))`, at the cost of one small map."""

    def condition_numbers(self, target: Tensor) -> list[float] | None:
        """Of what the inverse inverts on the target's side `(k, d_Y)`, where that is anchors themselves."""
        return None


Translator = Callable[[Tensor], Tensor]  # raw (n, d_X) to raw (n, d_Y)


def translator(folded: Folded, source: Statistics, target: Statistics, lift: float = 0.0) -> Translator:
    """A folded inverse between raw spaces."""
    height = lift * source.scale if lift else None
    return lambda x: denormalize(folded.of_centred(centre(x, source.mean, height)), target)
