"""What all cards share: templates, tags, the seal that tells whether somebody edited one since."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from huggingface_hub import DatasetCard, ModelCard

from irp_hf.cards.merging import seal_of, split

TEMPLATES = Path(__file__).with_name("templates")
TAGS = ("irp_hf", "irp-stitch", "latent-translation")
PAPER = "[Inverse Relative Projection](https://arxiv.org/abs/2406.15057)"
EXAMPLES = {"text": '"Any text of yours."', "image": '"picture.jpg"', "audio": '"sound.wav"'}
Card = TypeVar("Card", ModelCard, DatasetCard)


def sealed(card: Card) -> Card:
    """The card with what tells, at the next push, whether somebody edited it since."""
    written = split(str(card))
    if written is not None:
        card.text = f"{written.text.rstrip()}\n\n{seal_of(written)}\n"
    return card


def citation() -> str:
    """How to cite the paper and this library."""
    return (TEMPLATES / "citation.md").read_text(encoding="utf-8").strip()
