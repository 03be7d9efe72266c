"""Items that are bounded one by one, and fill the memory together: a batch is decoded at a time, or its item is named."""

import io

import datasets
import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from says import says

from irp_hf import AnchoredSpace, AnchorSet
from irp_hf.anchors import anchor_set
from irp_hf.data.pictures import PictureColumn, decoded_here
from irp_hf.encoding import encode, inputs
from irp_hf.encoding.base import Encoder
from irp_hf.encoding.inputs import read_in_groups, read_items
from irp_hf.errors import InputError
from irp_hf.records import EncoderRecord

EDGE, MANY = 40, 12


def picture(row, mode="1"):
    file = io.BytesIO()
    made = Image.new("L", (EDGE, EDGE), 10 * row)
    made.putpixel((row, 0), 255)
    made.convert(mode).save(file, "PNG")
    return file.getvalue()


FILES = [picture(row, "L") for row in range(MANY)]


class Counted:
    """An encoder that says how many pictures it got at a time."""

    def __init__(self):
        self.sizes = []

    def __call__(self, pictures):
        self.sizes.append(len(pictures))
        pixels = [np.asarray(one.convert("L"), np.float32).mean(0) + 0.1 * np.arange(EDGE) for one in pictures]
        return torch.from_numpy(np.stack(pixels))

    def encoder(self, modality="image", rate=None):
        return Encoder(self, EncoderRecord.of(id="an encoder"), modality, None, rate)


def test_a_batch_of_pictures_is_read_in_groups(monkeypatch):
    """If it fails, thirty pictures of some kilobytes take ten gigabytes at one time."""
    monkeypatch.setattr(inputs, "MOST_OF_A_GROUP", 3 * inputs.PER_PIXEL * EDGE**2)
    counted, whole = Counted(), Counted()
    together, _ = encode(counted.encoder(), FILES, batch_size=8, progress=False)
    assert counted.sizes == [3, 3, 2, 3, 1]
    monkeypatch.undo()
    expected, _ = encode(whole.encoder(), FILES, batch_size=8, progress=False)
    assert whole.sizes == [8, 4]
    assert torch.equal(together, expected)


def test_one_picture_is_enough_for_a_group(monkeypatch):
    """If it fails, a picture that is allowed alone is refused, or an empty batch is encoded."""
    monkeypatch.setattr(inputs, "MOST_OF_A_GROUP", 1)
    groups = list(read_in_groups(Counted().encoder(), FILES[:3]))
    assert [len(group) for group in groups] == [1, 1, 1]


def test_a_run_to_a_file_in_groups_goes_on(monkeypatch, tmp_path):
    """If it fails, rows get into other places where a batch is read in several groups."""
    expected, _ = encode(Counted().encoder(), FILES, batch_size=5, progress=False)
    monkeypatch.setattr(inputs, "MOST_OF_A_GROUP", 2 * inputs.PER_PIXEL * EDGE**2)
    for _ in range(2):
        written, _ = encode(Counted().encoder(), FILES, batch_size=5, progress=False, out=tmp_path / "v.npy")
        assert torch.equal(written, expected)


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_what_is_read_together_is_bounded(monkeypatch, refusal, modality):
    """If it fails, sounds that are sorted by length, a minute each, end in a MemoryError of Python's own."""
    sound = io.BytesIO()
    soundfile.write(sound, np.zeros(16_000, np.float32), 16_000, format="FLAC")
    items, size = (FILES, 4 * EDGE**2) if modality == "image" else ([sound.getvalue()] * MANY, 64_000)
    monkeypatch.setattr(inputs, "MOST_DECODED", 5 * size)
    encoder = Counted().encoder(modality, 16_000)
    assert len(read_items(encoder, items[:5])) == 5
    text = refusal(read_items, encoder, items, 100, error=InputError)
    assert says(text, "Item 105", f"{5 * size:,}", f"{6 * size:,}", "batch_size")


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_no_memory_for_an_item(monkeypatch, refusal, modality):
    """The same on a machine that has less."""

    def full(*_):
        raise MemoryError

    monkeypatch.setattr(inputs, "read_file", full)
    text = refusal(read_items, Counted().encoder(modality, 16_000), ["a.png"], 7, error=InputError)
    assert says(text, "Item 7", "a.png", "memory")


def test_a_view_of_anchors_is_bounded(monkeypatch, refusal):
    """If it fails, a table of a thousand small files ends in a MemoryError of Python's own."""
    anchors = AnchorSet(FILES)
    monkeypatch.setattr(anchor_set, "MOST_DECODED", 4 * EDGE**2)
    text = refusal(anchors.view, error=InputError)
    assert says(text, "Item 4", f"{4 * EDGE**2:,}", f"{5 * EDGE**2:,}", "to_dataset")
    space = AnchoredSpace.encode(Counted(), anchors, batch_size=4, progress=False)
    monkeypatch.undo()
    expected, _ = encode(Counted(), anchors.view(), batch_size=4, progress=False)
    assert torch.equal(space.anchors, expected)


def test_anchors_and_columns_are_decoded_one_by_one():
    """If it fails, all pictures of a table are decoded where a batch is asked for."""
    rows = [{"bytes": file, "path": None} for file in FILES]
    features = datasets.Features(image=datasets.Image())
    column = decoded_here(datasets.Dataset.from_dict({"image": rows}, features=features)["image"])
    assert isinstance(column, PictureColumn)
    anchors = AnchorSet(FILES)
    for items in (column, anchors.one_by_one()):
        part = items[2:9]
        assert not isinstance(part, list)
        assert len(part) == 7
        assert [one.tobytes() for one in part[1:3]] == [one.tobytes() for one in anchors.view()[3:5]]
        assert part[-1].tobytes() == anchors.view()[8].tobytes()
        with pytest.raises(IndexError):
            part[7]
