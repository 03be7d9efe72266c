"""Picture encoders of one tower, against the direct call of each picture alone."""

import json

import numpy as np
import pytest
import tiny_encoders as tiny
import torch
from datasets import Dataset, Image
from says import says
from tiny_encoders import LAYERS, PATCHES
from transformers import AutoModel

from irp_hf import AnchoredSpace, AnchorSet, InputError
from irp_hf.encoding import encode
from irp_hf.encoding.base import Options
from irp_hf.encoding.open import open_encoder

STAGES = dict(hidden_sizes=[8, 16], depths=[1, 1])
# Settings, image processor, and the poolings that there are.
MODELS = {
    "vit": (LAYERS | PATCHES, "ViTImageProcessorPil", ("pooler", "cls", "mean")),
    "dinov2": (LAYERS | PATCHES, "BitImageProcessorPil", ("pooler", "cls", "mean")),
    "clip_vision_model": (LAYERS | PATCHES, "CLIPImageProcessorPil", ("pooler", "cls", "mean")),
    "siglip_vision_model": (LAYERS | PATCHES, "SiglipImageProcessorPil", ("pooler", "mean")),
    "swin": (
        dict(image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4),
        "ViTImageProcessorPil",
        ("pooler", "mean"),
    ),
    "convnext": (STAGES | dict(num_stages=2), "ConvNextImageProcessorPil", ("pooler", "mean")),
    "resnet": (STAGES | dict(embedding_size=8, layer_type="basic"), "ConvNextImageProcessorPil", ("pooler", "mean")),
}
CASES = [(kind, pooling) for kind, (*_, poolings) in MODELS.items() for pooling in poolings]


def parts(kind: str) -> tuple:
    settings, processor, _ = MODELS[kind]
    return tiny.model(kind, **settings), tiny.image_processor(processor)


@torch.no_grad()
def alone(model, processor, pooling: str) -> torch.Tensor:
    rows = []
    for picture in tiny.pictures():
        output = model(pixel_values=processor(picture, return_tensors="pt")["pixel_values"])
        hidden = output.last_hidden_state[0]
        if pooling == "pooler":
            rows.append(output.pooler_output[0].flatten())
        elif pooling == "cls":
            rows.append(hidden[0])
        else:
            rows.append(hidden.mean((1, 2)) if hidden.dim() == 3 else hidden.mean(0))
    return torch.stack(rows)


@pytest.mark.parametrize(("kind", "pooling"), CASES)
def test_every_row_is_as_if_alone(kind, pooling, tmp_path):
    """Tokens and feature maps, in every pooling that a model has, in any batch."""
    model, processor = parts(kind)
    folder = tiny.save(tmp_path, model, processor)
    wanted = alone(model, processor, pooling)
    assert (wanted - wanted[0]).abs()[1:].amax(1).min() > 1e-3
    for batch_size in (1, 2, 5):
        found, record = encode(folder, tiny.pictures(), pooling=pooling, batch_size=batch_size, device="cpu")
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert (record["modality"], record["pooling"]) == ("image", pooling)


@pytest.mark.parametrize("kind", MODELS)
def test_a_pooling_that_is_not_known_is_asked_for(kind, refusal, tmp_path):
    """With the choices that this model has: the first token of one without a CLS token is some corner."""
    folder = tiny.save(tmp_path / "it", *parts(kind))
    choices = ", ".join(map(repr, MODELS[kind][2]))
    for wrong in {None, "last", "cls"} - set(MODELS[kind][2]):
        text = refusal(encode, folder, tiny.pictures(), pooling=wrong, device="cpu", error=InputError)
        assert says(text, "pooling", repr(wrong), f"one of {choices} for it", "at='head'")


def test_pictures_of_every_kind_are_one(tmp_path):
    """PIL, paths, bytes, arrays, a `datasets` column, gray and transparent ones: nothing but their pixels counts."""
    folder = tiny.save(tmp_path / "vit", *parts("vit"))
    pictures = tiny.pictures()
    wanted = encode(folder, pictures, pooling="cls", device="cpu")[0]
    paths = [tmp_path / f"{row}.png" for row in range(len(pictures))]
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    column = Dataset.from_dict({"image": [str(path) for path in paths]}).cast_column("image", Image())["image"]
    arrays = [np.asarray(picture) for picture in pictures]
    data = [path.read_bytes() for path in paths]
    transparent = [picture.convert("RGBA") for picture in pictures]
    for items in (paths, [str(path) for path in paths], data, arrays, column, transparent):
        assert torch.equal(encode(folder, items, pooling="cls", device="cpu")[0], wanted)
    gray = [picture.convert("L") for picture in pictures]
    assert encode(folder, gray, pooling="cls", device="cpu")[0].isfinite().all()


def test_pictures_that_cannot_be_read(refusal, tmp_path):
    """Each is named: by its row, and by its file where it has one."""
    folder = tiny.save(tmp_path / "vit", *parts("vit"))
    good, broken, missing = tiny.pictures()[0], tmp_path / "broken.png", tmp_path / "missing.png"
    broken.write_bytes(b"\x89PNG and no more")

    def refused(item: object) -> str:
        return refusal(encode, folder, [good, item], pooling="cls", device="cpu", batch_size=1, error=InputError)

    assert says(refused(broken), "Item 1", broken, "Pillow")
    assert says(refused(str(missing)), "Item 1", missing, "No such file or directory")
    assert says(refused(b""), "Item 1", "Pillow")
    assert says(refused(7), "Item 1", "an int", "vit", "PIL images")
    assert says(refused(np.zeros((3, 8, 8), np.float32)), "Item 1", "float32", "(3, 8, 8)", "uint8 (h, w, 3)")


def test_a_space_of_pictures(tmp_path):
    """From a view of pictures, with a loaded model; the record says so."""
    model, processor = parts("dinov2")
    anchors = AnchorSet({"image": tiny.pictures(), "text": tiny.texts(5)})
    space = AnchoredSpace.encode(model, anchors, view="image", pooling="pooler", processor=processor)
    torch.testing.assert_close(space.anchors, alone(model, processor, "pooler"), atol=1e-5, rtol=1e-5)
    assert (space.config.encoder["modality"], space.config.encoder["view"]) == ("image", "image")


def test_a_pooler_that_was_never_trained_is_refused(refusal, tmp_path):
    """Transformers would fill it with random numbers; the other poolings are right."""
    settings, processor, _ = MODELS["vit"]
    model = tiny.model("vit", **settings)
    model.pooler = None
    folder = tiny.save(tmp_path / "poolerless", model, tiny.image_processor(processor))
    text = refusal(encode, folder, tiny.pictures(), pooling="pooler", device="cpu", error=InputError)
    assert says(text, "poolerless", "pooler.dense.bias", "random")
    assert encode(folder, tiny.pictures(), pooling="cls", device="cpu")[0].shape == (5, 16)


def test_embed_follows_its_module():
    """A pipeline moves `module`, to another dtype or device; meta stands for any."""
    model, processor = parts("convnext")
    encoder = open_encoder(model, Options(pooling="pooler", processor=processor))
    assert encoder.module is model
    single = encoder.embed(tiny.pictures())
    model.to(torch.float64)
    double = encoder.embed(tiny.pictures())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, atol=1e-4, rtol=1e-4)
    model.to("meta")
    assert encoder.embed(tiny.pictures()).device.type == "meta"


def test_timm_is_optional(refusal, tmp_path):
    """A wrapped timm model without timm, or with a torchvision that does not load, is refused in words."""
    if _timm_loads():
        pytest.skip("timm is here")
    config = {"model_type": "timm_wrapper", "architecture": "resnet10t", "num_labels": 3, "pretrained_cfg": {}}
    (tmp_path / "wrapped").mkdir()
    (tmp_path / "wrapped" / "config.json").write_text(json.dumps(config))
    text = refusal(encode, tmp_path / "wrapped", tiny.pictures(), pooling="pooler", device="cpu", error=InputError)
    assert says(text, "wrapped", "timm")


@pytest.mark.parametrize("architecture", ["resnet10t", "vit_tiny_patch16_224"])
def test_wrapped_timm_models(architecture, tmp_path):
    """By the processor that their configuration describes."""
    if not _timm_loads():
        pytest.skip("timm needs a torchvision that loads beside this torch")
    import timm
    from transformers import AutoImageProcessor, TimmWrapperConfig

    pretrained = dict(timm.create_model(architecture).pretrained_cfg)
    config = TimmWrapperConfig(architecture=architecture, pretrained_cfg=pretrained)
    model = tiny.perturbed(AutoModel.from_config(config))
    folder = tiny.save(tmp_path / "wrapped", model)
    processor = AutoImageProcessor.from_pretrained(folder)
    wanted = alone(model, processor, "pooler")
    found = encode(folder, tiny.pictures(), pooling="pooler", batch_size=2, device="cpu")[0]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def _timm_loads() -> bool:
    try:
        import timm  # noqa: F401
    except (ImportError, RuntimeError):
        return False
    return True
