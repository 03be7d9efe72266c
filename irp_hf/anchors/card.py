"""The card of an anchor set: what its page on the Hub says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huggingface_hub import DatasetCard, DatasetCardData

from irp_hf.cards.card import ANCHOR_SET_TAG, LIBRARY_TAG, PAPER, TEMPLATES, TOPIC_TAG, citation, with_checksums
from irp_hf.cards.escaping import HUB, code, licensed, literal, plain
from irp_hf.cards.merging import anchors_tag

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def anchor_card(manifest: Mapping[str, Any], repo_id: str) -> DatasetCard:
    """The card of an anchor set that is, or will be, the data set `repo_id` on the Hub."""
    count, views, seed = manifest["num_items"], manifest["views"], manifest["seed"]
    sampled = {"given": "as they were given", "uniform": "at random"}.get(manifest["strategy"], manifest["strategy"])
    facts = [
        ("items", f"{count:,}"),
        ("views", ", ".join(map(code, views))),
        ("chosen", plain(sampled) + (f", seed {seed}" if seed is not None else "")),
        ("duplicates dropped", f"{manifest['num_duplicates']:,}"),
        ("from", plain(manifest["dataset_id"] or "")),
        ("licence", plain(manifest["license"] or "")),
        ("fingerprint", code(manifest["fingerprint"])),
    ]
    summary = (
        f"{count:,} items, each one anchor for any number of encoders: whoever encodes them, in this order, can translate "
        f"between their encoder and every other that encoded them ({PAPER})."
    )
    data = DatasetCardData(
        **licensed(manifest["license"]),
        task_categories=["feature-extraction"],
        tags=[LIBRARY_TAG, ANCHOR_SET_TAG, TOPIC_TAG, anchors_tag(manifest["fingerprint"])],
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
        tag=anchors_tag(manifest["fingerprint"]),
        shown_tag=anchors_tag(manifest["fingerprint"][:8]),
        hub=HUB,
        citation=citation(),
    )
    return with_checksums(card)
