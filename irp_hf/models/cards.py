"""The cards of adapters and spaces: what their pages on the Hub say, from their configurations."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from irp_hf.cards.card import ADAPTER_TAG, EXAMPLES, PAPER, SPACE_TAG, TAGS, TEMPLATES, citation, with_checksums
from irp_hf.cards.escaping import clean, code, licensed, linked, linked_commit, literal, plain
from irp_hf.cards.merging import anchors_tag
from irp_hf.configuration_irp import AnchoredSpaceConfig, IRPConfig
from irp_hf.evaluation.measures import MEASURES, among
from irp_hf.evaluation.printed import number
from irp_hf.maths.inverses import INVERSES, describe
from irp_hf.maths.inverses.hyperparameters import hyperparameters_of
from irp_hf.maths.metrics import depth_among
from irp_hf.maths.request import OBJECTIVES, hyperparameters
from irp_hf.records import AnchorRecord, EncoderRecord

if TYPE_CHECKING:
    from irp_hf.evaluation.report import Report


ITEMS = {"text": "texts", "image": "pictures", "audio": "sounds"}
Facts = list[tuple[str, str]]


def adapter_card(
    config: IRPConfig, repo_id: str, report: Report | None = None, picture: str | None = None
) -> ModelCard:
    """The card of an adapter that is, or will be, `repo_id` on the Hub.

    `report` are its measured figures; without one the card has none. `picture` is the file in the repository that shows them.
    """
    source, target = config.source_record, config.target_record
    modality = modality_of(source) or modality_of(target)
    tag = f"{modality}-classification" if target.at_head and modality else feature_tag(modality)
    use = "translate"
    if source.on_hub:
        use = "classify" if target.at_head and target.on_hub else "encode"
    reader = f"the head of {linked(target)} reads" if target.at_head else f"{linked(target)} makes"
    summary = (
        f"Translates the vectors of {linked(source)} into those that {reader}, so that what was built for the second "
        f"can be fed by the first. Nothing was trained: it follows in closed form from {anchors_in_words(config)} ({PAPER})."
    )
    data = ModelCardData(
        **_metadata(config, [source, target], ADAPTER_TAG, tag),
        **_results(config, repo_id, tag, report),
    )
    card: ModelCard = ModelCard.from_template(
        data,
        str(TEMPLATES / "adapter.md"),
        title=plain(repo_id.split("/")[-1]),
        summary=summary,
        sides=sides(config),
        repo=literal(repo_id),
        use=use,
        at_head=target.at_head,
        items=ITEMS[modality or "text"],
        item=EXAMPLES[modality or "text"],
        source_size=config.source_size,
        target_size=config.target_size,
        report=report and report.untimed().to_markdown().strip(),
        discovered=config.discovered is not None,
        picture=picture and quote(PurePath(picture).name),
        making=[("inverse", inverse(config)), ("chosen by", choice(config)), *anchor_facts(config)],
        canary=num_kept(config.source_canary, config.target_canary),
        citation=citation(),
    )
    return with_checksums(card)


def anchors_in_words(config: IRPConfig) -> str:
    """How many there were, and what."""
    if config.discovered is not None:
        return f"{config.num_anchors:,} rows of either side that were matched, and that nobody had paired"
    return f"{config.num_fitted:,} anchors, items that both have encoded"


def space_card(config: AnchoredSpaceConfig, repo_id: str) -> ModelCard:
    """The card of an anchored space that is, or will be, `repo_id` on the Hub."""
    encoder, anchors = config.encoder_record, anchors_of(config)
    at_head, modality = encoder.at_head, modality_of(encoder)
    what = f"what the head of {linked(encoder)} reads" if at_head else f"the vectors of {linked(encoder)}"
    summary = (
        f"The space of {what}, {config.hidden_size} wide, as {config.num_anchors:,} anchors show it. Any other space of the "
        f"same anchors can be connected with it, and no encoder runs for that ({PAPER})."
    )
    options = {name: getattr(encoder, name) for name in ("revision", "pooling", "prompt", "task", "at", "modality")}
    settings = [f"{name}={literal(value)}" for name, value in options.items() if value]
    numbers = {name: getattr(encoder, name) for name in ("max_length", "truncate_dim")}
    settings += [f"{name}={value}" for name, value in numbers.items() if value]
    if encoder.normalize and not at_head:
        settings.append("normalize=True")
    other = "you/another-space"
    first, second = (other, repo_id) if at_head else (repo_id, other)
    card: ModelCard = ModelCard.from_template(
        ModelCardData(**_metadata(config, [encoder], SPACE_TAG, feature_tag(modality))),
        str(TEMPLATES / "space.md"),
        title=plain(repo_id.split("/")[-1]),
        summary=summary,
        facts=[
            *((name, cell) for name, cell in encoder_facts(encoder, config.hidden_size) if cell),
            *anchor_facts(config),
            *_background_facts(config),
        ],
        pair=f"{literal(first)}, {literal(second)}",
        stitched=f"encoder={literal(first)}, head={literal(second)}",
        at_head=at_head,
        anchors=literal(anchors.id) if anchors.on_hub and anchors.id else None,
        fingerprint=config.anchor_fingerprint,
        encoder=literal(encoder.id) if encoder.on_hub and encoder.id else None,
        settings=settings,
        size=config.hidden_size,
        items=ITEMS[modality or "text"],
        item=EXAMPLES[modality or "text"],
        background=f"{config.num_background:,}" if config.num_background else None,
        canary=num_kept(config.canary),
        citation=citation(),
    )
    return with_checksums(card)


def _background_facts(config: AnchoredSpaceConfig) -> Facts:
    """How many unpaired rows stand beside the anchors, and what they take."""
    if config.num_background is None:
        return []
    size = config.num_background * (2 * config.hidden_size + 8) / 1e6  # half precision, and a number each
    return [("background", f"{config.num_background:,} rows of other items, {max(size, 0.1):.1f} MB of the file")]


def num_kept(*canaries: dict[str, Any] | None) -> int:
    """How many items stand in a configuration."""
    return sum(len(canary["rows"]) for canary in canaries if canary)


def _metadata(
    config: IRPConfig | AnchoredSpaceConfig, encoders: list[EncoderRecord], kind: str, tag: str
) -> dict[str, Any]:
    anchors, fingerprint = anchors_of(config), config.anchor_fingerprint
    bases = list(dict.fromkeys(encoder.id for encoder in encoders if encoder.on_hub))
    return {
        **licensed(anchors.license),
        "library_name": "transformers",
        "pipeline_tag": tag,
        "tags": [*TAGS, kind, *([anchors_tag(fingerprint)] if fingerprint else [])],
        **({"base_model": bases, "base_model_relation": "adapter"} if bases else {}),
        **({"datasets": [anchors.id]} if anchors.on_hub else {}),
    }


def _results(config: IRPConfig, repo_id: str, tag: str, report: Report | None) -> dict[str, Any]:
    """The model index: what was measured of the inverse that was chosen."""
    if report is None or (report.backing is not None and report.chosen not in report.backing.measured):
        return {}  # where unpaired rows are not there any more, another fit was measured
    anchors = anchors_of(config)
    of = f" of {clean(anchors.dataset)}" if anchors.dataset else ""
    chosen = next(row for row in report.rows if row.method == report.chosen)
    measures = chosen.evaluation.measures()
    results = [
        EvalResult(
            task_type=tag,
            dataset_type=(anchors.id if anchors.on_hub else None) or "irp-anchors",
            dataset_name=f"{report.num_anchors:,} anchors{of}, each held out once",
            dataset_revision=anchors.revision if anchors.on_hub else None,
            metric_type=name,
            metric_value=round(measure.mean, 4),
            metric_name=(
                f"{among(name, report.num_anchors, MEASURES[name].meaning, chosen.evaluation.depth)} "
                f"(95 % interval {number(measure.low)} to {number(measure.high)})"
            ),
        )
        for name, measure in ((name, measures[name]) for name in OBJECTIVES if name in measures)
    ]
    return {"model_name": clean(repo_id.split("/")[-1]), "eval_results": results}


def sides(config: IRPConfig) -> list[tuple[str, str, str]]:
    """What is known of both encoders, line by line."""
    source = encoder_facts(config.source_record, config.source_size)
    target = encoder_facts(config.target_record, config.target_size)
    return [(name, left, right) for (name, left), (_, right) in zip(source, target, strict=True) if left or right]


def encoder_facts(encoder: EncoderRecord, width: int) -> Facts:
    """Who encoded and how, always the same lines; empty where nothing is recorded."""
    modality = modality_of(encoder)
    items = [ITEMS[modality]] if modality else []
    items += [f"view {code(encoder.view)}"] if encoder.view else []
    poolings = (encoder.pooling,) if isinstance(encoder.pooling, str) else encoder.pooling or ()
    how = [f"{' and '.join(map(code, poolings))} pooling"] if any(poolings) else []
    how += ["what the classifier's head reads"] if encoder.at_head else []
    how += [f"the first {encoder.truncate_dim} numbers"] if encoder.truncate_dim else []
    how += ["unit length"] if encoder.normalize else []
    return [
        ("encoder", linked(encoder)),
        ("commit", linked_commit(encoder)),
        ("width", str(width)),
        ("items", ", ".join(items)),
        ("vectors", ", ".join(how)),
        ("prompt", code(literal(encoder.prompt)) if encoder.prompt else ""),
        ("route", code(literal(encoder.task)) if encoder.task else ""),
        ("dtype", code(encoder.dtype) if encoder.dtype else ""),
    ]


def anchor_facts(config: IRPConfig | AnchoredSpaceConfig) -> Facts:
    """Which anchors, as far as it is recorded."""
    anchors, fingerprint = anchors_of(config), config.anchor_fingerprint
    of = f" of {plain(anchors.dataset)}" if anchors.dataset else ""
    behind = getattr(config, "background", None)
    unpaired = f"{behind['source']:,} rows of the source, {behind['target']:,} of the target" if behind else ""
    facts = [
        ("anchors", f"{getattr(config, 'num_fitted', config.num_anchors):,} items{of}"),
        ("unpaired rows behind them", unpaired),
        ("found without any pair", _agreement(getattr(config, "discovered", None))),
        ("anchor set", linked(anchors, "datasets/") if anchors.id else ""),
        ("its commit", linked_commit(anchors, "datasets/")),
        ("its licence", plain(anchors.license or "")),
        ("fingerprint", code(fingerprint) if fingerprint else ""),
    ]
    return [(name, value) for name, value in facts if value]


def _agreement(discovered: dict[str, Any] | None) -> str:
    if discovered is None:
        return ""
    if "others" in discovered:  # of one side
        rows = f"from {discovered['rows']:,} rows of this encoder and {discovered['others']:,} of another"
    else:
        rows = f"from {discovered['source']:,} rows of the source and {discovered['target']:,} of the target"
    return (
        f"{rows}, by {discovered['starts']} starts of which two agree to a cosine of {number(discovered['agreement'])}"
    )


def anchors_of(config: IRPConfig | AnchoredSpaceConfig) -> AnchorRecord:
    """Which anchors, as they are recorded."""
    return AnchorRecord.from_dict(config.anchor_set, "anchor_set")


def inverse(config: IRPConfig) -> str:
    """The inverse and its hyper-parameters."""
    kind: Any = INVERSES[config.method]
    values = {name: getattr(config, name, None) for name in hyperparameters_of(kind)}
    chosen = (
        "num_landmarks" not in (config.given or [])
        and config.num_pairs is None
        and not (config.background or config.discovered)
    )
    if "num_landmarks" in values and chosen:
        values["num_landmarks"] = None  # all distinct anchors, which are fewer than all where there are copies
    return f"{config.method}, {code(describe(kind(**values), config.restoration, config.rigid or 0.0))}"


def choice(config: IRPConfig) -> str:
    """What it was chosen by, and what was not chosen but given."""
    if config.discovered is not None:
        return "nothing: without a true pair there is nothing to choose by"
    score = "" if config.score is None else f", {number(config.score)} out of fold"
    score += ", on clusters of anchors that were left out whole" if config.folds == "clusters" else ""
    others = {name for name, owners in hyperparameters().items() if config.method not in owners}  # which had no part
    given = ", ".join(code(name) for name in config.given or [] if name not in others)
    how = f"{given} given by hand" if given else "nothing was given by hand"
    count, depth = (
        num_distinct(config),
        None if config.depth is None else depth_among(config.depth, num_distinct(config)),
    )
    return f"{among(config.objective, count, MEASURES[config.objective].short, depth)}{score}; {how}"


def num_distinct(config: IRPConfig) -> int:
    """How many anchors are no copies, as far as it is recorded: the kernel and the confidence keep one landmark for each."""
    few = "num_landmarks" in (config.given or []) or bool(config.num_pairs or config.background or config.discovered)
    return config.num_anchors if few else config.num_landmarks or config.num_anchors


def modality_of(encoder: EncoderRecord) -> str | None:
    """What an encoder reads; of a model it is text where nothing is recorded, of a function it is then not known."""
    modality = encoder.modality or ("text" if encoder.dtype else None)
    return modality if modality in ITEMS else None


def feature_tag(modality: str | None) -> str:
    """The task of a model that gives vectors, as the Hub calls it."""
    return "image-feature-extraction" if modality == "image" else "feature-extraction"
