"""The configurations of the two models: what `config.json` of a space and of an adapter may say.

Without postponed annotations: `strict` cannot check types that are strings.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, ClassVar, TypeVar

from huggingface_hub.dataclasses import strict, validated_field
from transformers import PreTrainedConfig

from irp_hf.checks import check_choice, check_count, check_number
from irp_hf.data.canary import Canary
from irp_hf.errors import InputError, refusal, shown
from irp_hf.maths.inverses import INVERSES
from irp_hf.maths.request import GENERAL, HELD_OUT, Objective, hyperparameters
from irp_hf.maths.unpaired.discovery import AGREE
from irp_hf.records import AnchorRecord, EncoderRecord, check_fingerprint

Config = TypeVar("Config", bound=PreTrainedConfig)

CONFIDENCE_GAMMA = "confidence_gamma"  # a value of few configurations, and no field
CHECKSUM_VERSION = 2
CAME_LATER = (
    *("canary", "source_canary", "target_canary", "checksum_version", "method_given", "double", "num_pairs"),
    *("kept", "unlifted", "folds", "rigid", "background", "discovered", "num_background", "depth"),
)
KEPT = ("source", "target")
BACKGROUND = ["alone", "error", "gain", "source", "target", "weight"]  # as files hold them: checksums tell orders
GAINED = ("error", "gain")  # which the first that were fitted with a background did not hold
DISCOVERED = ["agreement", "pairs", "source", "starts", "target"]  # likewise
MATCHED = ["agreement", "others", "rows", "starts"]  # of one of its sides
PAIRS = "pairs"  # how many the adapter holds by their numbers, which the first that were discovered did not
OF_A_SET, DRAWING = ("anchor_set", "rows"), ("drawing",)  # where an anchor set is known, and where rows are
# Sizes that what was saved before the confidence had them has not.
JUDGED = ("num_errors", "typical_rank", "typical_kinds")
MOST = 2**31  # of rows, of columns
MOST_PAIRS = 2**53  # which are summed up, and not kept
LARGEST = sys.float_info.max
SCORE = 1.001  # a mean of cosines, or a share, and how it may round
OF_TRANSFORMERS = ("architectures", "auto_map", "dtype", "transformers_version")  # what of its keys means anything here


def check_inverse(method: str) -> None:
    """Raise `InputError` for a method that no inverse has."""
    check_choice("method", method, INVERSES, "Install the irp_hf that wrote it, or a newer one.", typed=False)


def check_canary(name: str, values: Any, num_anchors: int) -> None:
    """Raise `InputError` for a canary that no save would write."""
    canary = Canary.from_dict(values, name)
    if canary is not None and max(canary.rows) >= num_anchors:
        got = f"row {max(canary.rows)}"
        raise refusal(name, f"rows of {num_anchors} anchors", got, "Save the model again.")


def check_kept(values: Any) -> None:
    """Raise `InputError` for what no fit on many pairs would record of those that it keeps."""
    if values is None:
        return
    names = set(values) if isinstance(values, dict) else set()
    if names - set(DRAWING) not in (set(KEPT), {*KEPT, *OF_A_SET}):
        raise refusal(
            "kept", f"a dictionary of {', '.join(KEPT + OF_A_SET + DRAWING)}", shown(values), "Save the model again."
        )
    for value in values.values():
        check_fingerprint(value)
        if value is None:
            raise refusal("kept", "64 hex digits each", "None", "Save the model again.")


def check_background(values: Any) -> None:
    """Raise `InputError` for what no fit would record of unpaired rows."""
    if values is None:
        return
    first = [name for name in BACKGROUND if name not in GAINED]
    if not isinstance(values, dict) or list(values) not in (BACKGROUND, first):
        raise refusal("background", f"a dictionary of {', '.join(BACKGROUND)}", shown(values), "Save the model again.")
    for name in ("source", "target"):
        check_count(f"background {name}", values[name], 1, MOST_PAIRS, "Save the model again.")
    check_number("background weight", values["weight"], 0, 1, advice="Save the model again.")
    check_number("background alone", values["alone"], -SCORE, SCORE, advice="Save the model again.")
    if list(values) == BACKGROUND:
        check_number("background gain", values["gain"], -2 * SCORE, 2 * SCORE, advice="Save the model again.")
        check_number("background error", values["error"], 0, 2 * SCORE, advice="Save the model again.")


def check_discovered(values: Any, num_anchors: int) -> None:
    """Raise `InputError` for what no fit without pairs would record, where each of so many anchors is a pair.

    Starts that do not agree are refused, and no row is matched twice.
    """
    if values is None:
        return
    if not isinstance(values, dict) or list(values) not in (DISCOVERED, [name for name in DISCOVERED if name != PAIRS]):
        raise refusal("discovered", f"a dictionary of {', '.join(DISCOVERED)}", shown(values), "Save the model again.")
    check_number("discovered agreement", values["agreement"], AGREE, SCORE, advice="Save the model again.")
    for name in list(values)[1:]:
        check_count(f"discovered {name}", values[name], 1, MOST_PAIRS, "Save the model again.")
    if values.get(PAIRS, num_anchors) != num_anchors:
        raise refusal(
            "discovered pairs", f"{num_anchors}, as many as anchors", f"{values[PAIRS]}", "Save the model again."
        )
    for name in ("source", "target"):
        if values[name] < num_anchors:
            expected = f"at least {num_anchors} rows, one for each pair"
            raise refusal(f"discovered {name}", expected, f"{values[name]}", "Save the model again.")


def check_matched(values: Any, num_anchors: int) -> None:
    """Raise `InputError` for what no side of an adapter without pairs would record."""
    if values is None:
        return
    if not isinstance(values, dict) or list(values) != MATCHED:
        raise refusal("discovered", f"a dictionary of {', '.join(MATCHED)}", shown(values), "Save the model again.")
    check_discovered(renamed(values, {"rows": "source", "others": "target"}), num_anchors)


def renamed(record: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A `record` with other `names` for some of its values, in the order in which files hold them."""
    return dict(sorted((names.get(name, name), value) for name, value in record.items()))


@contextmanager
def in_words() -> Iterator[None]:
    """Turn whatever is raised for a value of the wrong type or size into `InputError`."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if isinstance(error.__cause__, InputError):
            raise error.__cause__ from None
        said = " ".join(str(error.__cause__ or error).split()).partition(". ")[0].rstrip(".")[:300]
        got = f"others ({said})"
        raise refusal("The configuration", "values as they are saved", got, "Save the model again.") from error


def checked(config_class: type[Config]) -> type[Config]:
    """`strict`, which checks every value when it is given and when it is set, and says in our words what is wrong."""
    made: Any = strict(config_class)
    begin, assign, validate_all = made.__init__, made.__setattr__, made.validate

    @wraps(begin)
    def __init__(self: Any, *args: Any, **values: Any) -> None:
        with in_words():
            begin(self, *args, **values)

    @wraps(assign)
    def __setattr__(self: Any, name: str, value: Any) -> None:
        with in_words():
            assign(self, name, value)

    @wraps(validate_all)
    def validate(self: Any) -> None:
        with in_words():
            validate_all(self)

    made.__init__, made.__setattr__, made.validate = __init__, __setattr__, validate
    return made  # type: ignore[no-any-return]


class AnchoredConfig(PreTrainedConfig):
    """What both configurations share: values that are checked, and nothing in them that is not ours."""

    sizes: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """As `PreTrainedConfig` has it; keys that are not ours are left out: where this class is, no other code is wanted.

        Raises `InputError` for a value of the wrong type or size.
        """
        known = {*cls.__annotations__, *OF_TRANSFORMERS, *cls.added_names()}
        with in_words():  # a hostile file makes the base class raise almost anything
            return super().from_dict({key: value for key, value in config_dict.items() if key in known}, **kwargs)

    def to_dict(self) -> dict[str, Any]:
        """As `PreTrainedConfig` has it, without what came later and is not set: an older file is saved again as it was."""
        values: dict[str, Any] = super().to_dict()
        return {name: value for name, value in values.items() if value is not None or name not in CAME_LATER}

    @classmethod
    def register_for_auto_class(cls, auto_class: Any = "AutoConfig") -> None:
        """Nothing: what is saved names irp_hf, and no file of it is copied."""

    @classmethod
    def added_names(cls) -> tuple[str, ...]:
        """Names of values besides the annotated ones."""
        return ()

    def validate_ours(self) -> None:
        """Raise `InputError` for a value that no save would write."""
        for name in self.sizes:
            check_count(name, getattr(self, name), 0, MOST, "Save the model again.")
        check_fingerprint(self.anchor_fingerprint)
        AnchorRecord.from_dict(self.anchor_set, "anchor_set")
        check_kept(self.kept)
        if self.checksum_version not in (None, CHECKSUM_VERSION):
            expected, got = f"{CHECKSUM_VERSION}, which this version knows", shown(self.checksum_version)
            raise refusal("checksum_version", expected, got, "Install the irp_hf that wrote it, or a newer one.")


@checked
class AnchoredSpaceConfig(AnchoredConfig):
    """Configuration of an `AnchoredSpace`.

    Args:
        num_anchors: k.
        hidden_size: width d of the encoder's vectors.
        anchor_fingerprint: fingerprint of the anchor set that was encoded; None if it is not known.
        anchor_set: where the anchor set lies: `id` and `revision` (a commit) on the Hub, the `dataset` that it was drawn from
            and its `license`, each where it is known.
        encoder: who encoded: `id`, `revision`, `pooling`, `prompt`, `normalize`, `dtype`, `view`; None if it is not known.
        kept: where the anchors are some of the many pairs that an adapter was fitted on: digests of the `source` and the
            `target` of these, which `rows` of which `anchor_set` they are, where it is known, and the `drawing`: how many pairs
            there were and which rows of them these are; else None.
        num_background: how many unpaired rows stand beside the anchors; None where there are none.
        discovered: where nobody paired the anchors, a side of an adapter that was found without any pair: the `agreement` of so
            many `starts`, and of how many `rows` of this side and of the `others` the anchors are those that match; else None.
        canary: a few of the anchors' items, `rows` and `texts` or `pictures`, by which the encoder is known again; or None.
        checksum_version: 2 where the checksum covers the records and the canary as well, None where the tensors alone.
        weights_sha256: checksum of the saved tensors; `save_pretrained` sets it, `from_pretrained` checks it.
    """

    model_type = "irp_anchored_space"
    sizes: ClassVar[tuple[str, ...]] = ("num_anchors", "hidden_size")

    num_anchors: int = 0
    hidden_size: int = 0
    anchor_fingerprint: str | None = None
    anchor_set: dict[str, Any] | None = None
    encoder: dict[str, Any] | None = None
    kept: dict[str, Any] | None = None
    num_background: int | None = None
    discovered: dict[str, Any] | None = None
    canary: dict[str, Any] | None = None
    checksum_version: int | None = None
    weights_sha256: str | None = None

    @property
    def encoder_record(self) -> EncoderRecord:
        """Who encoded."""
        return EncoderRecord.from_dict(self.encoder, "encoder")

    def validate_encoder(self) -> None:
        """Raise `InputError` for a record of an encoder that no save would write."""
        EncoderRecord.from_dict(self.encoder, "encoder")
        if self.num_background is not None:
            check_count("num_background", self.num_background, 1, MOST, "Save the model again.")
        check_matched(self.discovered, self.num_anchors)
        check_canary("canary", self.canary, self.num_anchors)


@checked
class IRPConfig(AnchoredConfig):
    """Configuration of an `IRPAdapter`: its shapes, the inverse that was chosen, and where both sides come from.

    Args:
        num_anchors: k.
        num_pairs: how many pairs it was fitted on, where these are more than the anchors that are kept; else None.
        source_size: d_X.
        target_size: d_Y.
        method: the inverse, by its name in `irp_hf.maths.inverses.INVERSES`.
        objective: what it was chosen by: "cosine", "neighbors", "recall", "retrieval" or "agreement".
        depth: how many candidates recall was asked for; None of another objective.
        gamma: γ of the kernel inverse; of the confidence for those that have none.
        restoration: q, how much of the target's spectrum is restored.
        rigid: ρ, how much the rigid part counts beside the inverse; None where there is none.
        num_landmarks: m, rows of the stored landmarks.
        ridge, balance, lift, num_subspaces, pruning_threshold: of the inverse, as its own class tells; None where it has none.
        condition_numbers: of each anchor subspace of the pruned inverse.
        seed: of folds, starts and samples.
        score: the objective, out of fold.
        method_given: True where the user chose the inverse; None where the objective did, or where it is not known.
        folds: "clusters" where what was left out for the choice were clusters of anchors; None where it were rows.
        given: names of the hyper-parameters that the user fixed; the others were chosen from the anchors.
        double: True where float32 would amplify rounding, so that vectors are computed in float64 whatever they are; else None.
        background: where unpaired rows had a part in the fit: how many of the `source` and of the `target`, the `weight` of a
            pseudo-pair as a share of a pair, the objective that the pairs `alone` reach out of fold, and what the cosine of
            held-out pairs has as `gain`, with its standard `error`; else None.
        discovered: where there was no pair: the `agreement` of starts which rows belong together, how many `starts` there were,
            how many rows of the `source` and of the `target`, and how many `pairs` of them are kept by their numbers: the
            anchors are then rows that match. Else None.
        unlifted: True where there is a lift and the confidence looks for the nearest anchor without it; else None.
        anchor_fingerprint: fingerprint of the anchor set of both sides; None if it is not known.
        anchor_set: where that anchor set lies, as in `AnchoredSpaceConfig`.
        source_encoder: who encoded the source's anchors.
        target_encoder: who encoded the target's anchors.
        kept: which of the pairs the anchors are, as in `AnchoredSpaceConfig`; None where all are kept.
        source_canary, target_canary: of the two spaces, as in `AnchoredSpaceConfig`.
        checksum_version: likewise.
        weights_sha256: checksum of the saved tensors.
    """

    model_type = "irp_adapter"
    sizes: ClassVar[tuple[str, ...]] = ("num_anchors", "source_size", "target_size", "num_landmarks")

    num_anchors: int = 0
    source_size: int = 0
    target_size: int = 0
    method: str = validated_field(check_inverse, default="kernel")
    objective: Objective = "cosine"
    depth: int | None = None
    gamma: float | None = None
    ridge: float | None = None
    balance: float | None = None
    restoration: float = 0.0
    rigid: float | None = None
    lift: float = 0.0
    num_landmarks: int = 0
    num_subspaces: int | None = None
    pruning_threshold: float | None = None
    condition_numbers: list[float] | None = None
    seed: int = 0
    score: float | None = None
    folds: str | None = None
    given: list[str] | None = None
    method_given: bool | None = None
    double: bool | None = None
    unlifted: bool | None = None
    background: dict[str, Any] | None = None
    discovered: dict[str, Any] | None = None
    num_pairs: int | None = None
    anchor_fingerprint: str | None = None
    anchor_set: dict[str, Any] | None = None
    source_encoder: dict[str, Any] | None = None
    target_encoder: dict[str, Any] | None = None
    kept: dict[str, Any] | None = None
    source_canary: dict[str, Any] | None = None
    target_canary: dict[str, Any] | None = None
    checksum_version: int | None = None
    weights_sha256: str | None = None

    def validate_encoders(self) -> None:
        """Raise `InputError` for records of encoders and of the choice that no save would write."""
        EncoderRecord.from_dict(self.source_encoder, "source_encoder")
        EncoderRecord.from_dict(self.target_encoder, "target_encoder")
        if self.folds is not None:
            check_choice("folds", self.folds, HELD_OUT, "Save the model again.", typed=False)
        if self.num_pairs is not None:
            check_count("num_pairs", self.num_pairs, self.num_anchors, MOST_PAIRS, "Save the model again.")
        check_background(self.background)
        check_discovered(self.discovered, self.num_anchors)
        check_canary("source_canary", self.source_canary, self.num_anchors)
        check_canary("target_canary", self.target_canary, self.num_anchors)

    @property
    def num_fitted(self) -> int:
        """How many pairs it was fitted on, kept or not."""
        return self.num_anchors if self.num_pairs is None else self.num_pairs

    @property
    def source_record(self) -> EncoderRecord:
        """Who encoded the source's anchors."""
        return EncoderRecord.from_dict(self.source_encoder, "source_encoder")

    @property
    def target_record(self) -> EncoderRecord:
        """Who encoded the target's anchors."""
        return EncoderRecord.from_dict(self.target_encoder, "target_encoder")

    @classmethod
    def added_names(cls) -> tuple[str, ...]:
        """Hyper-parameters of any inverse, γ of a confidence whose inverse has another γ, and sizes of what it judges by."""
        return (*hyperparameters(), CONFIDENCE_GAMMA, *JUDGED)

    @property
    def judged(self) -> tuple[int, int, int]:
        """How many directions in which anchors spread, errors, and kinds of strangers a confidence stores."""
        errors, rank, kinds = (getattr(self, name, None) or 0 for name in JUDGED)
        return rank, errors, kinds

    def validate_inverse(self) -> None:
        """Raise `InputError` for a number or a name that no save would write."""
        known = hyperparameters()
        for name in (*known, CONFIDENCE_GAMMA):
            value = getattr(self, name, None)
            if value is not None:
                check_number(name, value, 0, LARGEST, advice="Save the model again.")
            if value is not None and name in known and name not in self.sizes:
                owners = known[name]
                (owners.get(self.method) or next(iter(owners.values()))).check(value)
        for name in JUDGED:
            check_count(name, getattr(self, name, None) or 0, 0, MOST, "Save the model again.")
        for name, parameter in GENERAL.items():
            if getattr(self, name) is not None:
                parameter.check(getattr(self, name))
        if (self.depth is None) == (self.objective == "recall"):
            expected = "a number with objective='recall', and none with another"
            got = f"{shown(self.depth)} with objective={shown(self.objective)}"
            raise refusal("depth", expected, got, "Save the model again.")
        if self.score is not None:
            check_number("score", self.score, -SCORE, SCORE, advice="Save the model again.")
        for number in self.condition_numbers or ():  # infinite where a subspace is flat
            check_number("condition_numbers", number, 0, advice="Save the model again.")

    def validate_given(self) -> None:
        """Raise `InputError` for names of options that no save would write."""
        known = hyperparameters()
        if len(set(self.given or ())) < len(self.given or ()):
            raise refusal("given", "different names", shown(self.given), "Save the model again.")
        for name in self.given or ():
            check_choice("given", name, (*known, "restoration", "rigid"), "Save the model again.", typed=False)
