"""What a configuration records of encoders, anchors and the inverse, as the cells of a card's tables."""

from __future__ import annotations

from typing import Any

from irp_hf.card_words import code, linked, linked_commit, literal, plain
from irp_hf.configuration_irp import AnchoredSpaceConfig, IRPConfig
from irp_hf.evaluation import number

ITEMS = {"text": "texts", "image": "pictures", "audio": "sounds"}
SHOWN = {
    "kernel": ("gamma", "ridge"),
    "whitened": ("balance", "ridge"),
    "pruned": ("pruning_threshold", "num_subspaces"),
}

Facts = list[tuple[str, str]]


def sides(config: IRPConfig, source: dict[str, Any], target: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What is known of both encoders, line by line."""
    both = zip(encoder_facts(source, config.source_size), encoder_facts(target, config.target_size), strict=True)
    return [(name, left, right) for (name, left), (_, right) in both if left or right]


def encoder_facts(encoder: dict[str, Any], width: int) -> Facts:
    """Who encoded and how, always the same lines; empty where nothing is recorded."""
    modality = modality_of(encoder)
    items = [ITEMS[modality]] if modality else []
    items += [f"view {code(encoder['view'])}"] if encoder.get("view") else []
    how = [f"{code(encoder['pooling'])} pooling"] if encoder.get("pooling") else []
    how += ["what the classifier's head reads"] if encoder.get("at") == "head" else []
    how += ["unit length"] if encoder.get("normalize") else []
    return [
        ("encoder", linked(encoder)),
        ("commit", linked_commit(encoder)),
        ("width", str(width)),
        ("items", ", ".join(items)),
        ("vectors", ", ".join(how)),
        ("prompt", code(literal(encoder["prompt"])) if encoder.get("prompt") else ""),
        ("dtype", code(encoder["dtype"]) if encoder.get("dtype") else ""),
    ]


def anchor_facts(config: IRPConfig | AnchoredSpaceConfig) -> Facts:
    """Which anchors, as far as it is recorded."""
    record, fingerprint = config.anchor_set or {}, config.anchor_fingerprint
    kind = "datasets/"
    facts = [
        (
            "anchors",
            f"{config.num_anchors:,} items" + (f" of {plain(record['dataset'])}" if record.get("dataset") else ""),
        ),
        ("anchor set", linked(record, kind) if record.get("id") else ""),
        ("its commit", linked_commit(record, kind)),
        ("its licence", plain(record.get("license") or "")),
        ("fingerprint", code(fingerprint) if fingerprint else ""),
    ]
    return [(name, value) for name, value in facts if value]


def inverse(config: IRPConfig) -> str:
    """The inverse and its hyper-parameters."""
    shown = [*SHOWN[config.method], *(["lift"] if config.lift else []), "restoration"]
    if config.method == "kernel" and config.num_landmarks < config.num_anchors:
        shown.append("num_landmarks")
    values = [f"{name}={getattr(config, name):.3g}" for name in shown if getattr(config, name) is not None]
    return f"{config.method}, {code(', '.join(values))}"


def choice(config: IRPConfig) -> str:
    """What it was chosen by, and what was not chosen but given."""
    objective = {"neighbors": "neighbours kept", "agreement": "agreement of the head"}.get(config.objective, "cosine")
    score = "" if config.score is None else f", {number(config.score)} out of fold"
    given = ", ".join(map(code, config.given or []))
    return f"{objective}{score}" + (f"; {given} given by hand" if given else "; nothing was given by hand")


def modality_of(encoder: dict[str, Any]) -> str | None:
    """What an encoder reads; of a model it is text where nothing is recorded, of a function it is then not known."""
    modality = encoder.get("modality") or ("text" if encoder.get("dtype") else None)
    return modality if modality in ITEMS else None


def feature_tag(modality: str | None) -> str:
    """The task of a model that gives vectors, as the Hub calls it."""
    return "image-feature-extraction" if modality == "image" else "feature-extraction"
