"""sentence-transformers models with two sides; those of text are in test_encoding.py."""

import pytest
import tiny_encoders as tiny
import torch
from encoding.test_towers import parts
from sentence_transformers import SentenceTransformer
from transformers import CLIPProcessor

from irp_hf.encoding import encode


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> SentenceTransformer:
    towers, tokenizer, image_processor = parts("clip")
    folder = tmp_path_factory.mktemp("models") / "clip"
    tiny.save(folder, towers, CLIPProcessor(image_processor=image_processor, tokenizer=tokenizer))
    return SentenceTransformer(str(folder), device="cpu")


def test_the_items_tell_the_side(model, tmp_path):
    """Of a folder and of a loaded model; pictures are not put through the side of text."""
    model.save(str(tmp_path / "towers"))
    for items, modality in ((tiny.texts(), "text"), (tiny.pictures(), "image")):
        wanted = torch.from_numpy(model.encode(items))
        for encoder in (tmp_path / "towers", model):
            options = {} if encoder is model else {"device": "cpu"}
            found, record = encode(encoder, items, batch_size=2, **options)
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
            assert record.get("modality", "text") == modality


def test_a_side_that_is_not_there(model, refusal):
    """In words, with those that are."""
    assert refusal(encode, model, tiny.waves(), modality="audio") == (
        "modality is 'audio', but clip reads 'text', 'image'. Name one of them."
    )
    assert refusal(encode, model, [7]) == "modality is None, but clip reads 'text', 'image'. Name one of them."
