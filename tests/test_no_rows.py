"""Of nothing every entrance gives nothing, in kind; else a job breaks on the day that has no new rows, or a filter keeps none.

What needs rows, a fit or a measure, refuses none.
"""

from __future__ import annotations

from typing import Any

import datasets
import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import stitched
import torch
from sklearn.linear_model import LogisticRegression

from irp_hf import AnchoredSpace, IRPAdapter, StitchedModel
from irp_hf.baselines import procrustes
from irp_hf.data.parquet import ParquetColumn
from irp_hf.encoding import encode
from irp_hf.errors import InputError

WIDE, WIDTH = 5, stitched.WIDTH


def parquet(folder: Any) -> ParquetColumn:
    pq.write_table(pa.table({"v": pa.array([], pa.list_(pa.float32()))}), folder / "none.parquet")
    return ParquetColumn(folder / "none.parquet", "v")


def kinds(folder: Any) -> list[tuple[Any, type, str]]:
    """No vectors, in all that may hold some; the kind of what comes back, and its dtype where it has one."""
    lists = datasets.Features({"v": datasets.List(datasets.Value("float32"))})
    return [
        ([], np.ndarray, "float64"),
        ((), np.ndarray, "float64"),
        (np.empty((0, WIDTH), np.float16), np.ndarray, "float16"),
        (np.array([], np.float32), np.ndarray, "float32"),
        (np.array([], object), np.ndarray, "float64"),
        (torch.empty(0, WIDTH), torch.Tensor, "torch.float32"),
        (torch.tensor([], dtype=torch.bfloat16), torch.Tensor, "torch.bfloat16"),
        (pandas.Series([], dtype=object), pandas.Series, "object"),
        (pandas.DataFrame(np.empty((0, WIDTH), np.float32)), np.ndarray, "float32"),
        (pa.array([], pa.list_(pa.float32())), pa.Array, ""),
        (pa.array([], pa.list_(pa.float64(), WIDTH)), pa.Array, ""),
        (pa.chunked_array([], pa.list_(pa.float32())), pa.Array, ""),
        (datasets.Dataset.from_dict({"v": []}, lists)["v"], np.ndarray, "float32"),
        (parquet(folder), np.ndarray, "float32"),
    ]


@pytest.fixture(scope="module")
def adapter() -> IRPAdapter:
    x = np.random.default_rng(0).normal(size=(120, WIDTH)).astype(np.float32)
    return IRPAdapter.from_anchors(x, np.tanh(x[:, :WIDE]), method="kernel", gamma=1.0, ridge=0.1)


def test_whatever_holds_no_vectors_gives_none_in_kind(adapter: IRPAdapter, tmp_path: Any) -> None:
    space = adapter.target
    for x, kind, dtype in kinds(tmp_path):
        vectors, cosines = adapter.translate(x, return_confidence=True)
        for given in (
            vectors,
            cosines,
            adapter.translate(x),
            adapter.confidence(x),
            adapter.confidence(x, coverage=0.8),
        ):
            assert isinstance(given, kind), type(x)
            assert len(given) == 0, type(x)
            assert str(getattr(given, "dtype", "")) == dtype or not dtype or kind is pandas.Series
        if kind in (np.ndarray, torch.Tensor):
            assert tuple(vectors.shape) == (0, WIDE)
            assert tuple(cosines.shape) == (0,)
            relative = adapter.source.to_relative(x)
            assert tuple(relative.shape) == (0, 120)
            assert str(relative.dtype) == dtype
            assert tuple(space.to_absolute(relative).shape) == (0, WIDE)
        assert len(space.to_absolute([])) == 0


def test_the_transformers_way_gives_none_too(adapter: IRPAdapter) -> None:
    output = adapter(embeddings=torch.empty(0, WIDTH, requires_grad=True), return_confidence=True)
    assert tuple(output.translated.shape) == (0, WIDE)
    assert tuple(output.confidence.shape) == (0,)
    out = np.empty((0, WIDE), np.float32)
    assert adapter.translate(np.empty((0, WIDTH), np.float32), out=out) is out


@pytest.mark.parametrize("shape", [(0, WIDTH + 1), (0, WIDE), (3, 0), (0, 2, WIDTH)])
def test_another_width_is_told_of_none_as_of_many(adapter: IRPAdapter, shape: tuple[int, ...]) -> None:
    for entrance in (adapter.translate, adapter.confidence, adapter.source.to_relative, adapter.source.to_absolute):
        with pytest.raises(InputError):
            entrance(np.empty(shape, np.float32))


def test_numbers_of_another_kind_are_refused_also_where_there_are_none(adapter: IRPAdapter) -> None:
    with pytest.raises(InputError, match="int64"):
        adapter.translate(np.empty((0, WIDTH), np.int64))


def test_baselines_answer_alike() -> None:
    x = np.random.default_rng(0).normal(size=(60, WIDTH))
    fit = procrustes(x, np.tanh(x[:, :WIDE]))
    assert fit.translate(np.empty((0, WIDTH))).shape == fit.translate([]).shape == (0, WIDE)


@pytest.mark.parametrize("modality", ["text", "image", "audio"])
def test_no_items_have_vectors_of_the_encoders_width(modality: str, tmp_path: Any) -> None:
    folder = stitched.save(tmp_path, modality)
    vectors, record = encode(folder, [], at="head")
    assert tuple(vectors.shape) == (0, WIDTH)
    assert vectors.dtype == torch.float32
    assert record == encode(folder, stitched.items(modality, 2), at="head")[1]


def test_a_function_tells_its_width_of_no_items_or_is_refused() -> None:
    assert tuple(encode(lambda items: np.empty((len(items), 7), np.float32), [])[0].shape) == (0, 7)
    for wrong in (lambda items: np.array([]), lambda items: np.stack(items), lambda items: None):
        with pytest.raises(InputError, match=r"Give one item|None"):
            encode(wrong, [])


def test_a_file_of_no_vectors_is_not_begun(tmp_path: Any) -> None:
    with pytest.raises(InputError):
        encode(lambda items: np.empty((len(items), 7), np.float32), [], out=tmp_path / "v.npy")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["module", "estimator"])
def test_a_stitched_model_gives_no_logits_of_no_items(kind: str) -> None:
    labels = np.arange(200) % 3
    heads = {
        "module": torch.nn.Linear(WIDTH, 3),
        "estimator": LogisticRegression().fit(stitched.rows(), labels),
    }
    model = StitchedModel(stitched.embed, stitched.identity(), heads[kind])
    for output in (model.predict([], confidence=True), model([], confidence=True)):
        assert tuple(output.logits.shape) == (0, 3)
        assert tuple(output.confidence.shape) == (0,)
        assert output.logits.dtype == torch.float32


def test_what_needs_rows_refuses_none(adapter: IRPAdapter) -> None:
    none, other = np.empty((0, WIDTH), np.float32), np.empty((0, WIDE), np.float32)
    for needs in (
        lambda: adapter.evaluate(none, other),
        lambda: adapter.evaluate([], []),
        lambda: IRPAdapter.from_anchors(none, other),
        lambda: IRPAdapter.from_anchors([], []),
        lambda: AnchoredSpace.from_embeddings(none),
        lambda: adapter.report(gallery=other),
    ):
        with pytest.raises(InputError):
            needs()
