"""The small real case that ships with the package: what README, notebook, Space and docs begin with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from safetensors.numpy import load_file

from irp_hf import IRPAdapter
from irp_hf.examples_data import EMOJI, HEAD

NUM_ANCHORS = 400


def read() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Each column of the table as an array, and the head's parts."""
    table = pq.read_table(EMOJI)
    columns = {name: np.array(table[name].to_pylist()) for name in table.column_names}
    return columns, load_file(HEAD)


def test_it_is_small_and_says_whose_it_is() -> None:
    """A wheel that grew by megabytes, or data of nobody's licence, would be refused by those who ship the package on."""
    import irp_hf.examples_data as examples_data

    assert sum(path.stat().st_size for path in Path(examples_data.__file__).parent.glob("*.*")) < 1_000_000
    for licence in ("Unicode License v3", "MIT", "Apache-2.0"):
        assert licence in examples_data.__doc__


def test_columns_are_as_its_docstring_says() -> None:
    """Every quick start reads these names and widths."""
    columns, head = read()
    assert list(columns) == ["emoji", "name", "group", "static", "MiniLM"]
    assert columns["static"].shape == (700, 256)
    assert columns["MiniLM"].shape == (700, 384)
    assert all(np.isfinite(columns[name]).all() for name in ("static", "MiniLM"))
    for name in ("emoji", "name"):
        assert len(set(columns[name])) == 700  # nothing twice: a twin among the anchors would be no test
    assert head["weight"].shape == (8, 384)
    assert head["bias"].shape == (8,)
    assert len(set(columns["group"])) == 8


def test_the_head_reads_translated_vectors_better_than_chance_and_than_its_own_encoder_never() -> None:
    """What the first ten lines show: the wrong encoder, translated, does most of what the right one does."""
    columns, head = read()
    adapter = IRPAdapter.from_anchors(columns["static"][:NUM_ANCHORS], columns["MiniLM"][:NUM_ANCHORS], method="kernel")
    groups = sorted(set(columns["group"]))

    def right(vectors: np.ndarray) -> float:
        found = (vectors @ head["weight"].T + head["bias"]).argmax(1)
        return float(np.mean(np.array(groups)[found] == columns["group"][NUM_ANCHORS:]))

    own, translated = right(columns["MiniLM"][NUM_ANCHORS:]), right(adapter.translate(columns["static"][NUM_ANCHORS:]))
    assert 0.7 < own < 0.8
    assert 0.5 < translated < own
