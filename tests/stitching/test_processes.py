"""What works in one process works in several, and gives the same: workers of a pool, of a `DataLoader`, of `datasets`."""

import multiprocessing
from collections.abc import Iterator
from typing import Any

import datasets
import joblib
import numpy as np
import pytest
import stitched
import tiny_encoders as tiny
import torch
from torch.utils.data import DataLoader

from irp_hf import AnchoredSpace, IRPAdapter, IRPStitchPipeline, StitchedModel

pytestmark = pytest.mark.slow
RANDOM = np.random.default_rng(0)
SOURCE = RANDOM.normal(size=(100, 12)).astype(np.float32)
X = RANDOM.normal(size=(63, 12)).astype(np.float32)
TEXTS = tiny.texts()
STARTS = multiprocessing.get_all_start_methods()


@pytest.fixture(scope="module")
def adapter() -> IRPAdapter:
    made = IRPAdapter.from_anchors(SOURCE, np.tanh(SOURCE[:, :8]), method="kernel")
    made.translate(X)  # what it keeps between calls must not go along
    return made


@pytest.fixture(scope="module")
def classify(tmp_path_factory) -> IRPStitchPipeline:
    topics = str(stitched.save(tmp_path_factory.mktemp("models") / "topics", "text"))
    record = stitched.record(topics)
    return IRPStitchPipeline(StitchedModel(topics, stitched.identity(record, record), topics))


@pytest.fixture(scope="module", params=STARTS)
def pool(request) -> Iterator[Any]:
    with multiprocessing.get_context(request.param).Pool(2) as workers:
        yield workers


def test_workers_of_a_pool(pool, adapter, classify):
    """A bound method takes its object along."""
    space = AnchoredSpace.from_embeddings(SOURCE)
    for call in (adapter.translate, adapter.confidence, space.to_relative):
        assert all(np.array_equal(found, call(X)) for found in pool.map(call, [X] * 3))
    assert pool.map(classify, [TEXTS] * 2) == [classify(TEXTS)] * 2
    for found in pool.map(classify.stitched.predict, [TEXTS] * 2):
        assert torch.equal(found.logits, classify.stitched.predict(TEXTS).logits)


@pytest.mark.parametrize("start", STARTS)
def test_workers_that_collate(start, adapter):
    rows = torch.from_numpy(X)
    loader = DataLoader(rows, 9, num_workers=2, collate_fn=adapter.translate, multiprocessing_context=start)
    wanted = DataLoader(rows, 9, collate_fn=adapter.translate)
    assert torch.equal(torch.cat(list(loader)), torch.cat(list(wanted)))


def test_workers_of_a_pipeline(classify):
    assert list(classify(TEXTS, batch_size=3, num_workers=2)) == classify(TEXTS, batch_size=3)


def test_workers_of_datasets(adapter, classify):
    """Of batches of one size, bit for bit."""
    table = datasets.Dataset.from_dict({"text": TEXTS * 2, "vector": X[: 2 * len(TEXTS)].tolist()})

    def both(batch: dict[str, Any]) -> dict[str, Any]:
        found = classify(batch["text"])
        return {"score": [one["score"] for one in found], "moved": adapter.translate(batch["vector"])}

    one, two = (table.map(both, batched=True, batch_size=9, num_proc=count) for count in (None, 2))
    for name in ("score", "moved"):
        assert one[name][:] == two[name][:]


def test_workers_of_joblib(adapter):
    """As scikit-learn has them."""
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(adapter.translate)(X) for _ in range(3))
    assert all(np.array_equal(one, adapter.translate(X)) for one in found)
