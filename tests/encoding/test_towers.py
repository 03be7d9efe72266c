"""Two-tower models: each side against the model's own call of each item alone."""

from typing import Any

import pytest
import tiny_encoders as tiny
import torch
from says import says
from tiny_encoders import LAYERS, PATCHES, RATE, VOCAB
from transformers import ClapFeatureExtractor

from irp_hf import AnchoredSpace, AnchorSet, InputError
from irp_hf.encoding import encode

TEXT = LAYERS | VOCAB | dict(max_position_embeddings=16)
MODELS = {
    "clip": (dict(text_config=TEXT, vision_config=LAYERS | PATCHES, projection_dim=12), "CLIPImageProcessorPil"),
    # These pool the last position, padding or not, and were trained with texts of one length.
    "siglip": (
        dict(text_config=TEXT | dict(projection_size=16), vision_config=LAYERS | PATCHES),
        "SiglipImageProcessorPil",
    ),
}
LIMIT = 16


def parts(kind: str) -> tuple:
    settings, processor = MODELS[kind]
    return tiny.model(kind, **settings), tiny.tokenizer(limit=LIMIT), tiny.image_processor(processor)


@torch.no_grad()
def alone(model, texts: list[str], **padding) -> torch.Tensor:
    tokens = [tiny.tokenizer(limit=LIMIT)(text, return_tensors="pt", truncation=True, **padding) for text in texts]
    keep = ("input_ids", "attention_mask")
    outputs = [model.get_text_features(**{key: batch[key] for key in keep}) for batch in tokens]
    return torch.cat([output.pooler_output for output in outputs])


@pytest.mark.parametrize("kind", MODELS)
def test_the_side_of_text(kind, tmp_path):
    """Told by the items; SigLIP's texts are padded to their one length, as it was trained, and CLIP's are not."""
    model, *processors = parts(kind)
    folder = tiny.save(tmp_path / kind, model, *processors)
    wanted = alone(model, tiny.texts(), **(dict(padding="max_length", max_length=LIMIT) if kind == "siglip" else {}))
    assert (wanted - wanted[0]).abs()[1:].amax(1).min() > 1e-3
    for batch_size in (1, 4, 9):
        found, record = encode(folder, tiny.texts(), batch_size=batch_size, device="cpu")
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert (record["modality"], record["pooling"]) == ("text", None)


@pytest.mark.parametrize("kind", MODELS)
def test_the_side_of_pictures(kind, tmp_path):
    """Told by the items, and by the option where these are names of files."""
    model, tokenizer, processor = parts(kind)
    folder = tiny.save(tmp_path / kind, model, tokenizer, processor)
    pixels = [processor(picture, return_tensors="pt")["pixel_values"] for picture in tiny.pictures()]
    with torch.no_grad():
        wanted = torch.cat([model.get_image_features(pixel_values=values).pooler_output for values in pixels])
    for batch_size in (1, 2, 5):
        found, record = encode(folder, tiny.pictures(), batch_size=batch_size, device="cpu")
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert record["modality"] == "image"
    names = [str(tmp_path / f"{row}.png") for row in range(5)]
    for picture, name in zip(tiny.pictures(), names, strict=True):
        picture.save(name)
    torch.testing.assert_close(encode(folder, names, modality="image", device="cpu")[0], found)


def test_the_side_of_audio():
    """CLAP, whose extractor repeats a short sound up to a fixed length."""
    text = LAYERS | VOCAB | dict(projection_dim=12)
    audio = dict(spec_size=32, patch_size=4, patch_embeds_hidden_size=8, depths=[1, 1], num_attention_heads=[1, 2])
    audio |= dict(window_size=4, num_mel_bins=16, hidden_size=16, projection_dim=12, enable_fusion=False)
    model = tiny.model("clap", text_config=text, audio_config=audio, projection_dim=12)
    extractor = ClapFeatureExtractor(feature_size=16, sampling_rate=RATE, max_length_s=1, truncation="rand_trunc")
    inputs = [extractor(wave, sampling_rate=RATE, return_tensors="pt") for wave in tiny.waves()]
    with torch.no_grad():
        wanted = torch.cat([model.get_audio_features(batch["input_features"]).pooler_output for batch in inputs])
    found, record = encode(model, tiny.waves(), processor=extractor, modality="audio", batch_size=2)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert record["modality"] == "audio"


def test_one_encoder_and_two_views(tmp_path):
    """A picture and its caption are one anchor; the view tells the side."""
    folder = tiny.save(tmp_path / "clip", *parts("clip"))
    anchors = AnchorSet({"image": tiny.pictures(), "caption": tiny.texts(5)})
    for view, modality in (("image", "image"), ("caption", "text")):
        space = AnchoredSpace.encode(folder, anchors, view=view, device="cpu")
        assert (space.config.encoder["modality"], space.config.hidden_size) == (modality, 12)


def test_what_does_not_fit(refusal, tmp_path):
    """A side that there is not, items that do not tell, a pooling."""
    folder = tiny.save(tmp_path / "clip", *parts("clip"))

    def refused(items: list[Any], **options: Any) -> str:
        return refusal(encode, folder, items, device="cpu", error=InputError, **options)

    assert says(refused(["w1"], modality="audio"), "modality", "'audio'", "'text', 'image'", "clip")
    assert says(refused([7]), "modality", None, "'text', 'image'", "clip")
    assert says(refused(["w1"], pooling="mean"), "pooling", "'mean'", "clip", "two-tower")
    assert says(refused(["w1", tiny.pictures()[0]]), "Item 1", "an Image", "clip")
