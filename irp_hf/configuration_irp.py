"""Configurations of the two models. Without postponed annotations: `strict` cannot check types that are strings."""

from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig


@strict
class AnchoredSpaceConfig(PreTrainedConfig):
    """Configuration of an `AnchoredSpace`.

    Args:
        num_anchors: k.
        hidden_size: width d of the encoder's vectors.
        anchor_fingerprint: fingerprint of the anchor set that was encoded; None if it is not known.
        encoder: who encoded: `id`, `revision`, `pooling`, `prompt`, `normalize`, `dtype`, `view`; None if it is not known.
        weights_sha256: checksum of the saved tensors; `save_pretrained` sets it, `from_pretrained` checks it.
    """

    model_type = "irp_anchored_space"

    num_anchors: int = 0
    hidden_size: int = 0
    anchor_fingerprint: str | None = None
    encoder: dict[str, Any] | None = None
    weights_sha256: str | None = None


@strict
class IRPConfig(PreTrainedConfig):
    """Configuration of an `IRPAdapter`: its shapes, the inverse that was chosen, and where both sides come from.

    Args:
        num_anchors: k.
        source_size: d_X.
        target_size: d_Y.
        method: the inverse: "kernel", "whitened" or "pruned".
        objective: what it was chosen by: "cosine", "neighbors" or "agreement".
        gamma: γ of the kernel inverse; of the confidence for the other two.
        ridge: λ of the kernel and the whitened inverse.
        balance: b of the whitened inverse.
        restoration: q, how much of the target's spectrum is restored.
        num_landmarks: m, rows of the stored landmarks.
        num_subspaces: ω of the pruned inverse.
        pruning_threshold: δ of the pruned inverse.
        condition_numbers: of each anchor subspace of the pruned inverse.
        seed: of folds, starts and samples.
        score: the objective, out of fold.
        given: names of the hyper-parameters that the user fixed; the others were chosen from the anchors.
        anchor_fingerprint: fingerprint of the anchor set of both sides; None if it is not known.
        source_encoder: who encoded the source's anchors.
        target_encoder: who encoded the target's anchors.
        weights_sha256: checksum of the saved tensors.
    """

    model_type = "irp_adapter"

    num_anchors: int = 0
    source_size: int = 0
    target_size: int = 0
    method: Literal["kernel", "whitened", "pruned"] = "kernel"
    objective: Literal["cosine", "neighbors", "agreement"] = "cosine"
    gamma: float | None = None
    ridge: float | None = None
    balance: float | None = None
    restoration: float = 0.0
    num_landmarks: int = 0
    num_subspaces: int | None = None
    pruning_threshold: float | None = None
    condition_numbers: list[float] | None = None
    seed: int = 0
    score: float | None = None
    given: list[str] | None = None
    anchor_fingerprint: str | None = None
    source_encoder: dict[str, Any] | None = None
    target_encoder: dict[str, Any] | None = None
    weights_sha256: str | None = None
