"""Items of a stranger's: small files of pictures and sounds that are large once they are read."""

import io

import numpy as np
import pytest
import soundfile
from PIL import Image
from says import says

from irp_hf.encoding import inputs
from irp_hf.encoding.base import Encoder
from irp_hf.encoding.inputs import read_items
from irp_hf.errors import InputError
from irp_hf.records import EncoderRecord


def encoder(modality):
    return Encoder(lambda items: items, EncoderRecord.of(id="an encoder"), modality, None, 16_000)


def picture(width, height, kind="PNG"):
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, kind)
    return file.getvalue()


def sound(seconds, kind="FLAC"):
    file = io.BytesIO()
    soundfile.write(file, np.zeros(seconds * 16_000, np.float32), 16_000, format=kind)
    return file.getvalue()


@pytest.mark.parametrize(
    ("modality", "item", "words"),
    [
        ("image", picture(20_000, 1), ["20000 by 1"]),
        ("image", picture(1, 20_000), ["1 by 20000"]),
        ("image", picture(8, 8, "EPS"), ["Pillow"]),
        ("image", picture(8, 8, "PCX"), ["Pillow"]),
        ("image", picture(8, 8)[:40], ["Pillow"]),
        ("audio", sound(20), ["160,000", "320,000"]),
        ("audio", sound(20, "WAV"), ["160,000", "320,000"]),
        ("audio", sound(20, "OGG"), ["160,000"]),
    ],
    ids=["wide", "high", "a program", "no format of pixels alone", "cut short", "flac", "wav", "ogg"],
)
def test_items_that_take_too_much(modality, item, words, refusal, monkeypatch):
    """A thin picture grows with its shorter side, and silence packs to nothing: one item would take all memory."""
    monkeypatch.setattr(inputs, "MOST_SAMPLES", 160_000)
    assert says(refusal(read_items, encoder(modality), [item], error=InputError), "Item 0", *words)


def test_honest_items():
    """Bounds that refuse what people have."""
    assert read_items(encoder("image"), [picture(2000, 20)])[0].size == (2000, 20)
    assert len(read_items(encoder("audio"), [sound(20)])[0]) == 320_000
