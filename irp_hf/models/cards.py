"""The cards of adapters, spaces and anchor sets: what their pages on the Hub say."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from irp_hf.cards.card import EXAMPLES, PAPER, TAGS, TEMPLATES, citation, sealed
from irp_hf.cards.escaping import clean, code, licensed, linked, linked_commit, literal, on_hub, plain
from irp_hf.configuration_irp import AnchoredSpaceConfig, IRPConfig
from irp_hf.evaluation.printed import number

if TYPE_CHECKING:
    from irp_hf.evaluation.report import Report


METRICS = {
    "cosine": "cosine with the target's own vector",
    "neighbors": "share of the target's own nearest neighbours that are kept",
    "agreement": "how often the head says the same as of the target's own vector",
}


def adapter_card(
    config: IRPConfig, repo_id: str, report: Report | None = None, picture: str | None = None
) -> ModelCard:
    """The card of an adapter that is, or will be, `repo_id` on the Hub.

    `report` are its measured figures; without one the card has none. `picture` is the file in the repository that shows them.
    """
    source, target = config.source_encoder or {}, config.target_encoder or {}
    at_head = target.get("at") == "head"
    modality = modality_of(source) or modality_of(target)
    tag = f"{modality}-classification" if at_head and modality else feature_tag(modality)
    use = "translate"
    if on_hub(source):
        use = "classify" if at_head and on_hub(target) else "encode"
    reader = f"the head of {linked(target)} reads" if at_head else f"{linked(target)} makes"
    summary = (
        f"Translates the vectors of {linked(source)} into those that {reader}, so that what was built for the second "
        f"can be fed by the first. Nothing was trained: it follows in closed form from {config.num_anchors:,} anchors, items "
        f"that both have encoded ({PAPER})."
    )
    data = ModelCardData(
        **_metadata(config, [source, target], "irp-adapter", tag),
        **_results(config, repo_id, tag, report),
    )
    card: ModelCard = ModelCard.from_template(
        data,
        str(TEMPLATES / "adapter.md"),
        title=plain(repo_id.split("/")[-1]),
        summary=summary,
        sides=sides(config, source, target),
        repo=literal(repo_id),
        use=use,
        at_head=at_head,
        items=ITEMS[modality or "text"],
        item=EXAMPLES[modality or "text"],
        source_size=config.source_size,
        target_size=config.target_size,
        report=report and report.untimed().to_markdown().strip(),
        picture=picture and quote(PurePath(picture).name),
        making=[("inverse", inverse(config)), ("chosen by", choice(config)), *anchor_facts(config)],
        citation=citation(),
    )
    return sealed(card)


def space_card(config: AnchoredSpaceConfig, repo_id: str) -> ModelCard:
    """The card of an anchored space that is, or will be, `repo_id` on the Hub."""
    encoder, anchors = config.encoder or {}, config.anchor_set or {}
    at_head, modality = encoder.get("at") == "head", modality_of(encoder)
    what = f"what the head of {linked(encoder)} reads" if at_head else f"the vectors of {linked(encoder)}"
    summary = (
        f"The space of {what}, {config.hidden_size} wide, as {config.num_anchors:,} anchors show it. Any other space of the "
        f"same anchors can be connected with it, and no encoder runs for that ({PAPER})."
    )
    settings = {key: encoder[key] for key in ("revision", "pooling", "prompt", "at", "modality") if encoder.get(key)}
    written = [f"{key}={literal(value)}" for key, value in settings.items()]
    if encoder.get("normalize") and not at_head:
        written.append("normalize=True")
    other = "you/another-space"
    first, second = (other, repo_id) if at_head else (repo_id, other)
    card: ModelCard = ModelCard.from_template(
        ModelCardData(**_metadata(config, [encoder], "irp-space", feature_tag(modality))),
        str(TEMPLATES / "space.md"),
        title=plain(repo_id.split("/")[-1]),
        summary=summary,
        facts=[
            *((name, cell) for name, cell in encoder_facts(encoder, config.hidden_size) if cell),
            *anchor_facts(config),
        ],
        pair=f"{literal(first)}, {literal(second)}",
        stitched=f"encoder={literal(first)}, head={literal(second)}",
        at_head=at_head,
        anchors=literal(anchors["id"]) if on_hub(anchors) else None,
        fingerprint=config.anchor_fingerprint,
        encoder=literal(encoder["id"]) if on_hub(encoder) else None,
        settings=written,
        size=config.hidden_size,
        items=ITEMS[modality or "text"],
        item=EXAMPLES[modality or "text"],
        citation=citation(),
    )
    return sealed(card)


def _metadata(
    config: IRPConfig | AnchoredSpaceConfig, encoders: list[dict[str, Any]], kind: str, tag: str
) -> dict[str, Any]:
    anchors = config.anchor_set or {}
    bases = list(dict.fromkeys(encoder["id"] for encoder in encoders if on_hub(encoder)))
    fingerprint = config.anchor_fingerprint
    return {
        **licensed(anchors.get("license")),
        "library_name": "transformers",
        "pipeline_tag": tag,
        "tags": [*TAGS, kind, *([f"irp-anchors:{fingerprint}"] if fingerprint else [])],
        **({"base_model": bases, "base_model_relation": "adapter"} if bases else {}),
        **({"datasets": [anchors["id"]]} if on_hub(anchors) else {}),
    }


def _results(config: IRPConfig, repo_id: str, tag: str, report: Report | None) -> dict[str, Any]:
    """The model index: what was measured of the inverse that was chosen."""
    if report is None:
        return {}
    anchors = config.anchor_set or {}
    of = f" of {clean(anchors['dataset'])}" if anchors.get("dataset") else ""
    chosen = next(row for row in report.rows if row.method == report.chosen)
    measures = chosen.evaluation.measures()
    results = [
        EvalResult(
            task_type=tag,
            dataset_type=anchors["id"] if on_hub(anchors) else "irp-anchors",
            dataset_name=f"{report.num_anchors:,} anchors{of}, each held out once",
            dataset_revision=anchors["revision"] if on_hub(anchors) else None,
            metric_type=name,
            metric_value=round(measures[name].mean, 4),
            metric_name=f"{words} (95 % interval {number(measures[name].low)} to {number(measures[name].high)})",
        )
        for name, words in METRICS.items()
        if name in measures
    ]
    return {"model_name": clean(repo_id.split("/")[-1]), "eval_results": results}


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
