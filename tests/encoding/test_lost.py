"""An item without a vector is named, with what is likely the cause; else one line in a million must be sought by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stitched
import tiny_encoders as tiny
import torch
from PIL import Image
from says import says

from irp_hf import StitchedModel
from irp_hf.encoding import encode
from irp_hf.errors import InputError

TEXTS = tiny.texts(40)


def at(row: int, item: Any) -> list[Any]:
    """Many texts, of which this row is another."""
    return [*TEXTS[:row], item, *TEXTS[row + 1 :]]


def bag(texts: list[Any]) -> torch.Tensor:
    """The mean of words' vectors: NaN where a text has no word that is known."""
    table = torch.nn.functional.normalize(
        torch.arange(1.0, len(tiny.WORDS) * stitched.WIDTH + 1).sin().view(-1, stitched.WIDTH)
    )
    known = [[tiny.WORDS.index(word) for word in str(text).split() if word in tiny.WORDS] for text in texts]
    return torch.stack([table[words].sum(0) / len(words) if words else table[0] * torch.nan for words in known])


CASES = [("", "empty text"), ("  \n", "empty text"), ("?!", "no word"), ("zebra " * 30, "none of its words")]


@pytest.mark.parametrize(("text", "cause"), CASES)
def test_the_text_and_the_cause_are_named_by_every_entrance(text: str, cause: str) -> None:
    model = StitchedModel(bag, stitched.identity(), torch.nn.Linear(stitched.WIDTH, 3))
    for entrance in (lambda items: encode(bag, items), model.predict, model):
        with pytest.raises(InputError) as caught:
            entrance(at(37, text))
        told = str(caught.value)
        assert says(told, "Item 37", cause, "NaN")
        assert repr(text) in told or "…" in told
        assert len(told) < 400


def test_a_whole_batch_without_vectors_is_the_encoders_own_fault() -> None:
    with pytest.raises(InputError, match="weights"):
        encode(lambda texts: bag(texts) * torch.nan, TEXTS[:4])


def test_half_precision_that_overflows_is_named(tmp_path: Path) -> None:
    folder = tiny.save(tmp_path, tiny.model("bert", **tiny.LAYERS, **tiny.VOCAB), tiny.tokenizer())
    model = tiny.transformers.AutoModel.from_pretrained(folder, dtype=torch.float16)
    with torch.no_grad():
        model.encoder.layer[-1].output.LayerNorm.weight.fill_(6e4)
    with pytest.raises(InputError, match="float16"):
        encode(model, TEXTS[:4], processor=tiny.tokenizer(), pooling="mean")


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (Image.new("RGB", (20, 10), (7, 7, 7)), ("20 by 10", "one colour")),
        (np.zeros(50, np.float32), ("(50,)", "silent")),
        (7, ("an int",)),
    ],
)
def test_what_is_no_text_is_named_too(item: Any, words: tuple[str, ...]) -> None:
    vectors = lambda items: torch.stack([torch.full((4,), torch.nan if one is item else 1.0) for one in items])  # noqa: E731
    with pytest.raises(InputError) as caught:
        encode(vectors, ["one", item, "two"])
    assert says(str(caught.value), "Item 1", *words)


def test_a_function_that_leaves_empty_texts_out_is_told_which() -> None:
    for entrance in (
        encode,
        lambda function, items: StitchedModel(function, stitched.identity(), torch.nn.Linear(16, 3))(items),
    ):
        with pytest.raises(InputError) as caught:
            entrance(lambda texts: bag([text for text in texts if text]), at(3, "")[:9])
        assert says(str(caught.value), "(9, ", "(8, 16)", "Item 3 is an empty text")


def test_a_function_that_divides_by_an_empty_texts_length_is_told_which() -> None:
    with pytest.raises(InputError) as caught:
        encode(lambda texts: np.array([[1 / len(text), 1.0] for text in texts]), at(3, "")[:9])
    assert says(str(caught.value), "ZeroDivisionError", "Item 3 is an empty text")


def test_clean_items_raise_nothing() -> None:
    assert len(encode(bag, TEXTS)[0]) == 40
