"""The code in the cards gives what the cards promise: labels of pictures, too, and the very vectors of the anchors."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stitched
import tiny_encoders as tiny
import torch
from hub_server import Hub

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter
from irp_hf.encoding import encode
from irp_hf.models.cards import adapter_card, space_card

FIXED: dict[str, Any] = dict(method="kernel", gamma=1.0, ridge=0.01, restoration=0.0)
SOURCES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "text": ("bert", tiny.LAYERS | tiny.VOCAB, {"pooling": "mean", "prompt": "w1 w2 ", "normalize": True}),
    "image": ("vit", tiny.LAYERS | tiny.PATCHES, {"pooling": "cls"}),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the snippets speak of."""
    monkeypatch.chdir(tmp_path)
    tiny.pictures(1)[0].save("picture.jpg")
    return tmp_path


@pytest.fixture
def published(hub: Hub, here: Path) -> Callable[..., IRPAdapter]:
    """Publish an encoder and a classifier, an adapter between them as me/adapter, and return it."""

    def publish(modality: str = "text", at: str | None = "head") -> IRPAdapter:
        kind, settings, options = SOURCES[modality]
        hub.upload(
            "you/encoder", tiny.save(here / "encoder", tiny.model(kind, **settings), stitched.processor(modality))
        )
        hub.upload("you/classifier", stitched.save(here / "classifier", modality))
        some = stitched.items(modality, 12)
        anchors = AnchorSet(some)
        vectors, record = encode("you/encoder", some, **options)
        source = AnchoredSpace.from_embeddings(vectors, anchors, record)
        at_target = {"at": "head"} if at else {"pooling": "mean" if modality == "text" else "cls"}
        vectors, record = encode("you/classifier", some, **at_target)
        target = AnchoredSpace.from_embeddings(vectors, anchors, record)
        adapter = IRPAdapter.connect(source, target, **FIXED)
        adapter.save_pretrained(here / "saved")
        hub.upload("me/adapter", here / "saved")
        return adapter

    return publish


def blocks(card: Any) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", str(card), re.DOTALL | re.MULTILINE)


def run(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(code, names)
    return names


@pytest.mark.parametrize("modality", ["text", "image"])
def test_an_adapter_to_a_head_classifies(published: Any, modality: str, capsys: pytest.CaptureFixture[str]):
    """Who copies the first lines of the card gets no labels."""
    adapter = published(modality)
    classify, translate, without = blocks(adapter_card(adapter.config, "me/adapter"))
    run(classify)
    assert "'confidence'" in capsys.readouterr().out
    names = run(translate)
    assert names["y"].shape == (5, stitched.WIDTH)
    assert names["c"].shape == (5,)
    assert torch.equal(run(without)["y"], names["y"])


def test_an_adapter_to_vectors_encodes(published: Any):
    """Who copies the first lines of the card gets other vectors than the target's index expects."""
    adapter = published(at=None)
    encodes, translate, without = blocks(adapter_card(adapter.config, "me/adapter"))
    vectors, _ = encode("you/encoder", ["Any text of yours."], pooling="mean", prompt="w1 w2 ", normalize=True)
    np.testing.assert_allclose(run(encodes)["y"], adapter.translate(vectors), rtol=1e-4, atol=1e-5)
    assert torch.equal(run(without)["y"], run(translate)["y"])


def test_a_space_tells_how_its_anchors_were_encoded(published: Any):
    """Who copies from the card of a space gets other vectors than its anchors are, and translations of the wrong thing."""
    adapter = published()
    *_, encodes = blocks(space_card(adapter.source.config, "me/space"))
    first = stitched.items("text", 12)[0]
    again = run(encodes.replace('"Any text of yours."', repr(first)))["vectors"]
    np.testing.assert_allclose(again[0], adapter.source_anchors[0], rtol=1e-4, atol=1e-5)
