"""From parallel anchors to all that an adapter stores: choose, fold, calibrate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from irp_hf.arithmetic import OUTSIDE, inside_func
from irp_hf.configuration_irp import CONFIDENCE_GAMMA, JUDGED, IRPConfig
from irp_hf.data.progress import SECONDS, progress_bar
from irp_hf.errors import FitWarning, refusal, warn
from irp_hf.evaluation.crowding import fewer_than_they_look
from irp_hf.evaluation.doubts import Doubt, doubts
from irp_hf.maths.confidence import calibrate
from irp_hf.maths.elsewhere import choose
from irp_hf.maths.inverses.hyperparameters import hyperparameters_of
from irp_hf.maths.metrics import Labels
from irp_hf.maths.pairs import Pairs, distinct_pairs
from irp_hf.maths.request import blending, check_given, check_objective, hyperparameters, methods_of
from irp_hf.maths.selection import Choice
from irp_hf.models.backing import Outcome, check_backed, with_background
from irp_hf.models.rounding import rounding

QUICK = 1500  # anchors: beyond, one inverse takes seconds, and a bar that waits for the next step would come too late


@dataclass(frozen=True)
class Fitted:
    """What a fit found, as far as a report needs it; kept in memory beside the adapter, and saved nowhere."""

    choices: Mapping[str, Choice]
    """By method, without what only the fit itself needed."""
    expected: Tensor
    """Confidences `(k,)` of the chosen translations, out of fold."""
    doubts: tuple[Doubt, ...] = ()
    """What speaks against the fit."""
    checksum: str = ""
    """Of the adapter that came of it: where the adapter is another one now, this tells nothing of it."""


def fit(
    source: Tensor,
    target: Tensor,
    method: str,
    objective: str,
    labels: Labels | None,
    options: Any,
    num_pairs: int | None = None,
    background: tuple[Tensor, Tensor] | None = None,
) -> tuple[IRPConfig, dict[str, Tensor], Fitted]:
    """Configuration and tensors of the adapter from `source (k, d_X)` to `target (k, d_Y)`, parallel anchors.

    `labels` are those that a head gives, and `num_pairs` how many pairs there were, where these are some of them.
    `background` are unpaired rows of both sides, `(n, d_X)` and `(m, d_Y)`, none of them an anchor. Raises `InputError` for
    options that do not exist or fit, before any work begins, and gives a `FitWarning` for each thing that speaks against the
    fit.
    """
    if inside_func():
        raise refusal("fit", "a call outside of torch.func", "one inside of vmap, grad or the like", OUTSIDE)
    methods = methods_of(method)
    given = check_given(method, **options)
    goal = check_objective(objective, labels is not None, options.get("depth"))
    if labels is not None and goal != "agreement":
        warn(unasked_head(goal), FitWarning)
    pairs = distinct_pairs(source, target)
    if background is not None:
        check_backed(pairs, methods, given)
    delay = SECONDS if len(pairs) <= QUICK else 0
    bar = partial(progress_bar, "Choosing the inverse", None, delay=delay)
    choices = choose(pairs, methods, goal, given, labels, bar)
    alone, found = choices[0], Outcome(choices, pairs, None)
    if background is not None:
        numbers = Pairs(source, target).distinct().tolist()
        found = with_background(choices, pairs, background, methods, goal, given, labels, numbers)
    choices, behind, choice = found.choices, found.pairs, found.choices[0]

    config, tensors, expected = of_choice(choice, behind)
    config.num_anchors, config.num_pairs = len(source), num_pairs
    config.objective, config.depth = goal, given.depth if goal == "recall" else None
    config.seed = given.seed
    config.folds = None if given.folds == "rows" else given.folds
    config.given = fixed_names(options)
    config.method_given = True if method == choice.method else None
    config.background = found.recorded
    against = doubts(source, target, behind, choice.directions, goal, labels)
    against += (*fewer_than_they_look(alone, pairs, len(source), given.seed), *found.doubts)
    tensors = {"source_anchors": source, "target_anchors": target, **tensors}
    return finished(config, tensors, choices, expected, against)


def fixed_names(options: Any) -> list[str]:
    """Names of the hyper-parameters that the user fixed, sorted."""
    return sorted(
        name for name, value in options.items() if value is not None and name not in ("seed", "depth", "folds")
    )


def unasked_head(objective: str) -> str:
    """What is said of a head that no objective asks."""
    return f"head= has no part in objective={objective!r}: choose 'agreement', or leave it out; report(head=) measures with it."


def without_part(given: Sequence[str], method: str) -> list[str]:
    """What is said of options that were `given` and the chosen `method` lacks: a sentence for each set of inverses."""
    known = {**hyperparameters(), "rigid": blending()}
    owners = {name: tuple(of) for name, of in known.items() if name in given and method not in of}
    said = []
    for methods in dict.fromkeys(owners.values()):
        names = [f"{name}=" for name in given if owners.get(name) == methods]
        have, them = ("has", "it") if len(names) == 1 else ("have", "them")
        none = f"{' and '.join(names)} {have} no part in {method}, which was chosen"
        said.append(f"{none}: give method={' or '.join(map(repr, methods))}, or leave {them} out.")
    return said


def finished(
    config: IRPConfig,
    tensors: dict[str, Tensor],
    choices: Sequence[Choice],
    expected: Tensor,
    against: tuple[Doubt, ...],
    tells: bool = True,
) -> tuple[IRPConfig, dict[str, Tensor], Fitted]:
    """What a fit gives: of its `choices`, the best first, and of what speaks `against` it, of which it `tells` in warnings."""
    rounded = rounding(config, tensors)
    config.double = True if rounded.computed else None
    if rounded.words and not any(doubt.of_pairing for doubt in against):  # no hyper-parameter helps these
        against += (Doubt("precision", rounded.words),)
    for words in (
        (*without_part(config.given or [], config.method), *(doubt.words for doubt in against)) if tells else ()
    ):
        warn(words, FitWarning)
    fitted = Fitted({found.method: found.kept() for found in choices}, expected, against)
    return config, tensors, fitted


def of_choice(choice: Choice, pairs: Pairs) -> tuple[IRPConfig, dict[str, Tensor], Tensor]:
    """Configuration and tensors of a choice on `pairs`, besides the anchors, and its confidences `(k,)` out of fold."""
    folded, inverse = choice.fold(pairs), choice.inverse
    confidence, expected = calibrate(choice, pairs)
    judged = confidence.tensors()
    values: dict[str, Any] = {name: getattr(inverse, name) for name in hyperparameters_of(inverse)}
    if values.setdefault("gamma", confidence.gamma) != confidence.gamma:
        values[CONFIDENCE_GAMMA] = confidence.gamma
    sizes = (len(judged["confidence_errors"]), judged["typical_directions"].shape[1], len(judged["typical_planes"]))
    values |= dict(zip(JUDGED, sizes, strict=True))
    config = IRPConfig(
        **values | {"num_landmarks": len(confidence.landmarks)},
        unlifted=True if confidence.stretch is not None else None,
        source_size=pairs.source.shape[1],
        target_size=pairs.target.shape[1],
        method=choice.method,
        restoration=choice.restoration,
        rigid=choice.rigid or None,
        condition_numbers=inverse.condition_numbers(pairs.target_rows),
        score=choice.score,
    )
    tensors = {
        "source_mean": pairs.source_stats.mean,
        "target_mean": pairs.target_stats.mean,
        "target_scale": choice.target_stats(pairs).scale,
        **judged,
        **folded.tensors(),
    }
    if inverse.lift:
        tensors["source_lift"] = inverse.lift * pairs.source_stats.scale
    # As files hold them: products of other strides differ in their last bits.
    return config, {name: tensor.contiguous() for name, tensor in tensors.items()}, expected
