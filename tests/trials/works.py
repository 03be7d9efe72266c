"""What the trials do in other processes."""

import os
import tempfile
from pathlib import Path

import stitched
import tiny_encoders as tiny
from datasets import Dataset

from irp_hf.disk.atomic import replaced_folder
from irp_hf.encoding import encode
from irp_hf.stitching import StitchedModel

TEXTS = 120


def save(folder: Path, models: list, inside: bool = False) -> None:
    """One after the other; `inside`: the folder is the working directory, and cannot be swapped."""
    if inside:
        os.chdir(folder)
    for model in models:
        model.save_pretrained(folder)


def save_texts(folder: Path, names: list[str], text: str) -> None:
    """Many files in place."""
    os.chdir(folder)
    with replaced_folder(folder) as fresh:
        for name in names:
            (fresh / name).write_text(text)


def encode_to(out: Path, folder: Path) -> None:
    encode(folder, tiny.texts(TEXTS), pooling="mean", device="cpu", batch_size=2, out=out)


def predict_to(out: Path) -> None:
    model = StitchedModel(stitched.embed, stitched.rough(), head)
    items = Dataset.from_dict({"text": tiny.texts(TEXTS)})
    model.predict_dataset(items, "text", out, block_size=4, return_confidence=True, progress=False)


def head(vectors):
    return vectors[:, :3]


def push(space, repo_id: str, token: str, temporary: Path) -> None:
    tempfile.tempdir = str(temporary)
    space.push_to_hub(repo_id, token=token)
