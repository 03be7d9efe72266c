"""What all cards share: templates, tags, and checksums that tell whether somebody edited one since."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from huggingface_hub import DatasetCard, ModelCard

from irp_hf.cards.merging import checksum_comment, split

TEMPLATES = Path(__file__).with_name("templates")
LIBRARY_TAG, TOPIC_TAG = "irp_hf", "latent-translation"
CONVERSION_TAG = "vector-conversion"  # of others' models too that turn vectors of one encoder into those of another
TAGS = (LIBRARY_TAG, "irp-stitch", TOPIC_TAG, CONVERSION_TAG)  # of models
ADAPTER_TAG, SPACE_TAG, ANCHOR_SET_TAG = "irp-adapter", "irp-space", "irp-anchor-set"
PAPER = "[Inverse Relative Projection](https://arxiv.org/abs/2406.15057)"
EXAMPLES = {"text": '"Any text of yours."', "image": '"picture.jpg"', "audio": '"sound.wav"'}
Card = TypeVar("Card", ModelCard, DatasetCard)


def with_checksums(card: Card) -> Card:
    """The card with a comment that tells, at the next push, whether somebody edited it since."""
    parts = split(str(card))
    if parts is not None:
        card.text = f"{parts.text.rstrip()}\n\n{checksum_comment(parts)}\n"
    return card


def citation() -> str:
    """How to cite the paper and this library."""
    return (TEMPLATES / "citation.md").read_text(encoding="utf-8").strip()
