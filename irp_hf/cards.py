"""The cards of adapters, spaces and anchor sets: what their pages on the Hub say."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from huggingface_hub import DatasetCard, DatasetCardData, EvalResult, ModelCard, ModelCardData

from irp_hf.card_facts import ITEMS, anchor_facts, choice, encoder_facts, feature_tag, inverse, modality_of, sides
from irp_hf.card_metadata import SEAL, digest, seal_of, split, united
from irp_hf.card_words import HUB, clean, code, licensed, linked, literal, on_hub, plain
from irp_hf.configuration_irp import AnchoredSpaceConfig, IRPConfig
from irp_hf.evaluation import number

if TYPE_CHECKING:
    from irp_hf.anchors import AnchorSet
    from irp_hf.report import Report

TEMPLATES = Path(__file__).with_name("card_templates")
TAGS = ("irp_hf", "irp-stitch", "latent-translation")
PAPER = "[Inverse Relative Projection](https://arxiv.org/abs/2406.15057)"
EXAMPLES = {"text": '"Any text of yours."', "image": '"picture.jpg"', "audio": '"sound.wav"'}
METRICS = {
    "cosine": "cosine with the target's own vector",
    "neighbors": "share of the target's own nearest neighbours that are kept",
    "agreement": "how often the head says the same as of the target's own vector",
}
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


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
        citation=_citation(),
    )
    return _sealed(card)


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
        citation=_citation(),
    )
    return _sealed(card)


def anchor_card(anchor_set: AnchorSet, repo_id: str) -> DatasetCard:
    """The card of an anchor set that is, or will be, the data set `repo_id` on the Hub."""
    count, views = len(anchor_set), anchor_set.views
    sampled = {"given": "as they were given", "uniform": "at random"}.get(anchor_set.strategy, anchor_set.strategy)
    facts = [
        ("items", f"{count:,}"),
        ("views", ", ".join(map(code, views))),
        ("chosen", plain(sampled) + (f", seed {anchor_set.seed}" if anchor_set.seed is not None else "")),
        ("duplicates dropped", f"{anchor_set.num_duplicates:,}"),
        ("from", plain(anchor_set.dataset_id or "")),
        ("licence", plain(anchor_set.license or "")),
        ("fingerprint", code(anchor_set.fingerprint)),
    ]
    summary = (
        f"{count:,} items, each one anchor for any number of encoders: whoever encodes them, in this order, can translate "
        f"between their encoder and every other that encoded them ({PAPER})."
    )
    data = DatasetCardData(
        **licensed(anchor_set.license),
        task_categories=["feature-extraction"],
        tags=["irp_hf", "irp-anchor-set", "latent-translation", f"irp-anchors:{anchor_set.fingerprint}"],
        size_categories=[next((name for size, name in SIZES if count < size), "n>1M")],
        configs=[{"config_name": "default", "data_files": [{"split": "train", "path": "data/*.parquet"}]}],
    )
    card: DatasetCard = DatasetCard.from_template(
        data,
        str(TEMPLATES / "anchors.md"),
        title=plain(repo_id.split("/")[-1]),
        summary=summary,
        facts=[(name, value) for name, value in facts if value],
        repo=literal(repo_id),
        view=f", view={literal(views[0])}" if len(views) > 1 else "",
        fingerprint=anchor_set.fingerprint,
        hub=HUB,
        citation=_citation(),
    )
    return _sealed(card)


def merged(ours: ModelCard | DatasetCard | str, theirs: str | None) -> str:
    """The README.md to push where `theirs` is there, or None.

    What nobody edited of an earlier card of ours gives way to the new one: its text, its metadata. Text that somebody wrote
    stays to the byte, and metadata that somebody set get what they lack: tags, base models and data sets are united, our
    entry of the model index is replaced, and nothing else is changed. A card whose metadata cannot be read stays as it is.
    """
    new, old = split(str(ours)), split(theirs or "")
    if new is None or old is None:
        return theirs or str(ours)
    seal = SEAL.search(old.text)
    text_is_ours = not old.text.strip() or (seal and seal["text"] == digest(old.text[: seal.start()]))
    data_are_ours = not old.data or (seal and seal["data"] == digest(repr(old.data)))
    if new.data == old.data:
        header = old.header(old.block)
    elif data_are_ours:
        header = new.header(new.block)
    else:
        header = old.header(united(old, new.data))
    return old.mark + header + (new.text if text_is_ours else old.text)


Card = TypeVar("Card", ModelCard, DatasetCard)


def _sealed(card: Card) -> Card:
    """The card with what tells, at the next push, whether somebody edited it since."""
    written = split(str(card))
    if written is not None:
        card.text = f"{written.text.rstrip()}\n\n{seal_of(written)}\n"
    return card


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


def _citation() -> str:
    return (TEMPLATES / "citation.md").read_text(encoding="utf-8").strip()
