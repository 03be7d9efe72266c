"""What a caller asks of a fit: inverse, objective, and hyper-parameters that are fixed. Checked before any work begins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypedDict, get_args

from irp_hf.checks import check_absent, check_choice, check_names, quoted
from irp_hf.errors import refusal, shown
from irp_hf.maths.inverses import INVERSES
from irp_hf.maths.inverses.base import Inverse
from irp_hf.maths.inverses.hyperparameters import Hyperparameter, hyperparameters_of
from irp_hf.maths.metrics import NEIGHBORS

Method = Literal["kernel", "whitened", "rigid", "pruned"]
MethodOrAuto = Literal["auto", "kernel", "whitened", "rigid", "pruned"]
Objective = Literal["cosine", "neighbors", "recall", "retrieval", "agreement"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
HeldOut = Literal["rows", "clusters"]
HELD_OUT: tuple[HeldOut, ...] = get_args(HeldOut)
"""What is held out for the choice: single anchors and folds of any, or clusters of like ones, each whole."""
DEPTH = 100  # candidates, where nobody says how many

GENERAL = {
    parameter.name: parameter
    for parameter in (
        Hyperparameter(
            "rigid", "ρ", "how much a rotation of the source onto the target counts beside the inverse", None, 0, 1e3
        ),
        Hyperparameter("restoration", "q", "how much of the target's spectrum is restored", None, 0, 1),
        Hyperparameter(
            "depth",
            "N",
            "how many candidates a second stage re-ranks by their true vectors",
            DEPTH,
            NEIGHBORS,
            10**6,
            whole=True,
        ),
        Hyperparameter("seed", "", "of folds, starts and samples", 0, 0, 2**63 - 1, whole=True),
    )
}
"""What every inverse takes; the depth with the objective "recall" alone."""


class InverseOptions(TypedDict, total=False):
    """Hyper-parameters of one inverse, and the seed: what is not given has a default that suits most spaces."""

    gamma: float
    ridge: float
    balance: float
    lift: float
    num_landmarks: int
    num_subspaces: int
    pruning_threshold: float
    seed: int


class FitOptions(InverseOptions, total=False):
    """Hyper-parameters of a fit: what is given is kept, what is not is chosen from the anchors."""

    restoration: float
    rigid: float
    depth: int
    folds: HeldOut


class Given:
    """Hyper-parameters that the user fixed, as attributes; None is chosen from the anchors."""

    def __init__(
        self,
        *,
        seed: int = 0,
        restoration: float | None = None,
        rigid: float | None = None,
        depth: int = DEPTH,
        folds: HeldOut = "rows",
        **fixed: Any,
    ) -> None:
        self.seed, self.restoration, self.rigid, self.folds = seed, restoration, rigid, folds
        self.depth = depth
        self.fixed = {name: value for name, value in fixed.items() if value is not None}
        """Those of the inverses."""

    def __getattr__(self, name: str) -> Any:
        if name in hyperparameters():
            return self.fixed.get(name)
        raise AttributeError(name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Given) and vars(self) == vars(other)

    def __repr__(self) -> str:
        return f"Given({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"

    def but(self, **fixed: Any) -> Given:
        """The same with these fixed, too."""
        kept: dict[str, Any] = {name: value for name, value in vars(self).items() if name != "fixed"}
        return Given(**kept, **{**self.fixed, **fixed})


def hyperparameters() -> dict[str, dict[str, Hyperparameter]]:
    """Every hyper-parameter of an inverse by name, and by the method that has it."""
    found: dict[str, dict[str, Hyperparameter]] = {}
    for method, inverse in INVERSES.items():
        for name, parameter in hyperparameters_of(inverse).items():
            found.setdefault(name, {})[method] = parameter
    return found


def blending() -> dict[str, Hyperparameter]:
    """The rigid part's ρ by the methods that take it."""
    return {method: GENERAL["rigid"] for method, inverse in INVERSES.items() if inverse.blends}


def methods_of(method: str) -> tuple[str, ...]:
    """The inverses that `method` names, all for "auto"; raises `InputError` where there is no such method."""
    chosen = check_choice("method", method, ("auto", *INVERSES))
    return tuple(INVERSES) if chosen == "auto" else (chosen,)


def check_objective(objective: str, has_head: bool, depth: Any = None) -> Objective:
    """The objective; raises `InputError` where it is unknown, or is "agreement" and no head is given.

    Also where a `depth` is given to another than "recall".
    """
    chosen = check_choice("objective", objective, OBJECTIVES)
    if chosen == "agreement" and not has_head:
        raise refusal("head", "one to agree with, for objective='agreement'", "None", "Give head=, or choose 'cosine'.")
    if chosen != "recall" and depth is not None:
        advice = "Leave depth out, or choose objective='recall'."
        raise refusal("depth", f"none with objective={chosen!r}, which has no candidates", shown(depth), advice)
    return chosen


def check_given(method: str, **options: Any) -> Given:
    """Hyper-parameters that the user fixed; raises `InputError` for an unknown, ill-typed or out-of-range one."""
    asked, known = methods_of(method), hyperparameters()
    given: dict[str, Any] = {}
    check_keywords(options)
    for name, value in options.items():
        if value is None:
            continue
        if name == "folds":
            given[name] = check_choice(name, value, HELD_OUT)
            continue
        owners = blending() if name == "rigid" else known.get(name, {})
        fitting = [owners[one] for one in asked if one in owners] if owners else [GENERAL[name]]
        if not fitting:
            advice = f"Leave it out, or choose method={' or '.join(map(repr, owners))}."
            raise refusal(
                name, f"a hyper-parameter of method={method!r}", f"one that only {quoted(owners)} have", advice
            )
        for parameter in fitting:
            given[name] = parameter.check(value)
    return Given(**given)


def check_keywords(options: Iterable[str], near: Sequence[str] = ()) -> None:
    """Raise `InputError` for an option that there is not, naming the most like it; `near` are other keywords of the call."""
    check_names("options", options, (*hyperparameters(), *GENERAL, "folds"), ("method", "objective", "head", *near))


def half_given(method: str, **options: Any) -> Given:
    """What the user fixed of one half of an inverse; "auto" names none, and a restoration takes both sides."""
    method = check_choice("method", method, [name for name, inverse in INVERSES.items() if inverse.independent])
    given = check_given(method, **options)
    for name in ("restoration", "rigid", "depth", "folds"):
        check_absent(name, options.get(name), "it takes the anchors of both sides")
    return given


def make_inverse(method: str, given: Given) -> Inverse:
    """The inverse of that name, with what is fixed of it and with the seed, where it has one."""
    inverse: Any = INVERSES[method]
    values = {"seed": given.seed, **given.fixed}
    return inverse(**{name: value for name, value in values.items() if name in inverse.__dataclass_fields__})  # type: ignore[no-any-return]
