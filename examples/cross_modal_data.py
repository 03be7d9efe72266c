"""What `cross_modal.py` reads: emoji, each a picture with a name and a category, and encoders of either.

Many emoji are one thing again: of a man, of a woman, to the left, in blue; flags of some islands are their country's. A
picture like one among the anchors, or a name but for such a word, would be no test, and would mislead the methods, which
choose their settings by anchors held out. So of each thing one emoji is kept.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fashion
import numpy as np
from PIL import Image
from torch import Tensor
from trec import CACHE, ENCODERS, SEED, cached, version

from irp_hf import AnchoredSpace, AnchorSet

PACKAGE, VERSION = "emoji-datasource-google", "16.0.0"  # of npm; the data are MIT, the pictures Google's, Apache-2.0
ARCHIVE = f"{PACKAGE}-{VERSION}.tgz"
PICTURE, NAME = "picture", "name"  # the views of an anchor
NUM_SPLITS = 3  # each item is tested once
THUMBNAIL, ALIKE = 32, 0.025  # pixels; pictures that differ by less, of 1, on the mean: a runner and a running man
VARIED = (  # words that tell variants of one thing apart, and words that tell nothing
    "man woman men women male female boy girl person people he she mother father couple mens womans "
    "left right leftwards rightwards up down upwards downwards north south east west facing pointing "
    "one two three four five six seven eight nine ten eleven twelve thirty oclock "
    "large small medium heavy light dark black white red blue green orange purple brown yellow pink grey "
    "with and of the in a for sign face"
)


@dataclass(frozen=True)
class Emoji:
    """Different things, shuffled: their pictures in RGB, their names, and the numbers of their categories in `classes`."""

    pictures: list[Image.Image]
    names: list[str]
    labels: np.ndarray
    classes: tuple[str, ...]

    def split(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows to train on, all of them anchors, and rows to test on: those of the `NUM_SPLITS` seeds share none."""
        rows = np.arange(len(self.names))
        return rows[rows % NUM_SPLITS != seed], rows[rows % NUM_SPLITS == seed]

    def anchors(self, rows: np.ndarray) -> AnchorSet:
        """Pictures and names of these rows as two views of the same anchors."""
        views = {PICTURE: [self.pictures[row] for row in rows], NAME: [self.names[row] for row in rows]}
        return AnchorSet(views, dataset_id=PACKAGE, license="apache-2.0")


def load_emoji() -> Emoji:
    """One emoji of each thing, always in the same order."""
    folder = data_folder()
    known = json.loads((folder / "emoji.json").read_text("utf-8"))
    known = [entry for entry in known if entry["has_img_google"] and entry["category"] != "Component"]  # skin tones
    known.sort(key=lambda entry: (len(entry["name"]), entry["unified"]))  # the plainest of its kind first
    pictures = [flat(Image.open(folder / "img" / "google" / "64" / entry["image"])) for entry in known]
    kept = np.random.RandomState(SEED).permutation(distinct([entry["name"] for entry in known], pictures))
    classes = tuple(sorted({entry["category"] for entry in known}))
    return Emoji(
        [pictures[row] for row in kept],
        [known[row]["name"].lower() for row in kept],
        np.array([classes.index(known[row]["category"]) for row in kept]),
        classes,
    )


def flat(picture: Image.Image) -> Image.Image:
    """On white, in RGB."""
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def base_name(name: str) -> str:
    """The name without the words that tell variants apart, its other words in order of the alphabet."""
    words = set(re.findall(r"[a-z]+", name.lower()))
    return " ".join(sorted(words - set(VARIED.split()))) or name.lower()


def distinct(names: list[str], pictures: list[Image.Image]) -> list[int]:
    """Rows whose base name and whose picture are not, or not nearly, those of a row before."""
    small = (THUMBNAIL, THUMBNAIL)
    thumbnails = np.array([np.asarray(picture.resize(small), np.float32).ravel() / 255 for picture in pictures])
    seen: set[str] = set()
    kept: list[int] = []
    for row, name in enumerate(map(base_name, names)):
        if name not in seen and not (np.abs(thumbnails[kept] - thumbnails[row]).mean(1) < ALIKE).any():
            kept.append(row)
        seen.add(name)
    return kept


def data_folder() -> Path:
    """Where the emoji lie: unpacked once from the archive of the package, which npm fetches unless it is there."""
    folder = CACHE / f"{PACKAGE}-{VERSION}"
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        archive = CACHE / ARCHIVE
        with tempfile.TemporaryDirectory(dir=CACHE) as place:
            if not archive.is_file():
                archive = fetch(place)
            unpack(archive, Path(place))
            Path(place, "package").replace(folder)
    return folder


def fetch(place: str) -> Path:
    """The archive of the package, by npm, in the folder `place`."""
    print("Fetching the emoji, 74 MB, once")
    try:
        subprocess.run(
            ["npm", "pack", f"{PACKAGE}@{VERSION}", "--pack-destination", place],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(
            f"The npm package {PACKAGE} {VERSION} could not be fetched ({error}). Install npm, or put the package's "
            f"file {ARCHIVE} into {os.path.relpath(CACHE)}."
        ) from None
    return Path(place, ARCHIVE)


def unpack(archive: Path, place: Path) -> None:
    """The table and the pictures of 64 pixels, out of a tenth of the archive."""
    with tarfile.open(archive) as packed:
        for entry in packed:
            if entry.name == "package/emoji.json" or entry.name.startswith("package/img/google/64/"):
                packed.extract(entry, place, filter="data")


def embed(encoder: str, emoji: Emoji) -> tuple[Tensor, dict[str, Any]]:
    """Vectors `(n, d)` of all items, by an encoder of pictures or of names, and its record; computed once, then read."""
    sees_pictures = encoder in fashion.MODELS
    package = fashion.MODELS[encoder].package if sees_pictures else ENCODERS[encoder][0]
    everything = emoji.anchors(np.arange(len(emoji.names)))

    def encoded() -> tuple[Tensor, dict[str, Any]]:
        if sees_pictures:
            model, processor = fashion.MODELS[encoder].open()
            space = AnchoredSpace.encode(model, everything, view=PICTURE, at="head", processor=processor)
        else:
            space = AnchoredSpace.encode(ENCODERS[encoder][1](), everything, view=NAME)
        return space.anchors, dict(space.config.encoder)

    return cached(encoder, [package, version(package), everything.fingerprint], encoded)
