"""Queries into an old index: what the bridge gives, how it weighs, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from store_kinds import parallel

from irp_hf import AnchoredSpace, AnchorSet, InputError, IRPAdapter
from irp_hf.maths.metrics import neighbors_found
from irp_hf.stitching import Bridge

ROWS = 600
NEW, OLD = parallel(ROWS, seed=3)
TEXTS = [f"item {row}" for row in range(ROWS)]


def new(texts: list[str]) -> np.ndarray[Any, Any]:
    return NEW[[int(text.split()[1]) for text in texts]]


def old(texts: list[str]) -> np.ndarray[Any, Any]:
    return OLD[[int(text.split()[1]) for text in texts]]


@pytest.fixture(scope="module")
def adapter() -> IRPAdapter:
    anchors = AnchorSet(TEXTS[:150])
    return IRPAdapter.connect(AnchoredSpace.encode(new, anchors), AnchoredSpace.encode(old, anchors), method="whitened")


def test_without_the_old_encoder_it_is_the_translation(adapter: IRPAdapter):
    """If it fails, an index is searched with other vectors than the adapter's, or with lengths that inner products rank by."""
    bridge = Bridge(new, adapter)
    translated = adapter.translate(NEW[200:230])
    expected = translated / np.linalg.norm(translated, axis=1, keepdims=True)
    np.testing.assert_allclose(bridge.encode(TEXTS[200:230]), expected, atol=1e-6)
    assert (bridge.weight, bridge.weighed) == (1.0, None)
    assert bridge.encode([]).shape == (0, OLD.shape[1])


def test_the_ends_are_the_two_encoders(adapter: IRPAdapter):
    """If it fails, a weight of 0 or 1 is not what keeping, or retiring, the old encoder gives."""
    np.testing.assert_array_equal(Bridge(new, adapter, old, 0).encode(TEXTS[200:230]), OLD[200:230])
    both, alone = Bridge(new, adapter, old, 1), Bridge(new, adapter)
    np.testing.assert_array_equal(both.encode(TEXTS[200:230]), alone.encode(TEXTS[200:230]))


def test_a_mixture_lies_between(adapter: IRPAdapter):
    """If it fails, a weight means something else than a share of two directions."""
    bridge = Bridge(new, adapter, old, 0.3)
    found, translated = bridge.encode(TEXTS[200:230]), Bridge(new, adapter).encode(TEXTS[200:230])
    between = 0.3 * translated + 0.7 * OLD[200:230]
    np.testing.assert_allclose(found, between / np.linalg.norm(between, axis=1, keepdims=True), atol=1e-6)
    mixed = bridge.mix(torch.from_numpy(NEW[200:230]), torch.from_numpy(OLD[200:230]))
    assert isinstance(mixed, torch.Tensor)
    np.testing.assert_allclose(mixed.numpy(), found, atol=1e-6)


def test_vectors_come_back_in_their_own_kind(adapter: IRPAdapter):
    """If it fails, vectors of a tensor on a device, or of a table, end in another library's error."""
    expected = Bridge(new, adapter).mix(NEW[200:203])
    series = Bridge(new, adapter).mix(pd.Series(list(NEW[200:203]), index=[4, 5, 6]))
    assert list(series.index) == [4, 5, 6]
    np.testing.assert_allclose(np.stack(series.to_list()), expected, atol=1e-6)
    mixed = Bridge(new, adapter, old, 0.5).mix(torch.from_numpy(NEW[200:203]), OLD[200:203])
    assert isinstance(mixed, np.ndarray)  # as the old ones are


def test_the_weight_is_chosen_where_it_finds_most():
    """If it fails, "auto" is worse than one of the encoders alone on the anchors that it was chosen by, or on other items."""
    adapter = IRPAdapter.from_anchors(NEW[:40], OLD[:40], method="whitened")  # so few translate badly
    bridge = Bridge(new, adapter, old)
    shares = bridge.weighed.shares
    assert bridge.weight == max(shares, key=lambda weight: shares[weight].mean)
    assert 0 < bridge.weight < 1
    index, wanted = torch.from_numpy(OLD[150:]).double(), torch.from_numpy(NEW[150:]).double()

    def found(queries: np.ndarray[Any, Any]) -> float:
        return float(neighbors_found(torch.from_numpy(queries).double(), index, wanted).mean())

    ends = [found(Bridge(new, adapter, old, weight).encode(TEXTS[150:])) for weight in (0.0, 1.0)]
    assert found(bridge.encode(TEXTS[150:])) > max(ends) - 0.01
    assert f"weight of {bridge.weight:.1f}" in str(bridge.weighed)


def test_a_loaded_adapter_weighs_alike(adapter: IRPAdapter, tmp_path: Any):
    """If it fails, the weight depends on whether the fit is still in memory."""
    adapter.save_pretrained(tmp_path / "adapter")
    again = Bridge(new, tmp_path / "adapter", old)
    assert again.weight == Bridge(new, adapter, old).weight


def test_lengths_of_an_index_that_is_not_of_unit_length(tmp_path: Any):
    """If it fails, a search by L2 finds what is short, and not what is near."""
    longer = 3 * OLD + 1
    adapter = IRPAdapter.from_anchors(NEW[:150], longer[:150], method="whitened")
    bridge = Bridge(new, adapter, lambda texts: longer[[int(text.split()[1]) for text in texts]], 0.5)
    lengths = np.linalg.norm(bridge.encode(TEXTS[200:230]), axis=1)
    assert np.abs(lengths / np.linalg.norm(longer[200:230], axis=1) - 1).max() < 0.2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weight": 0.5}, "Pass old_encoder="),
        ({"weight": 1.5, "old_encoder": old}, "weight"),
        ({"weight": "best", "old_encoder": old}, "weight"),
        ({"old_encoder": new}, "target"),
        ({"encoder": old}, "Pass the one that encoded"),
        ({"on_mismatch": "no"}, "on_mismatch"),
        ({"poling": "mean"}, "pooling"),
    ],
)
def test_parts_that_do_not_fit(adapter: IRPAdapter, options: dict[str, Any], words: str):
    """If it fails, an index is searched with vectors of another space, without a word."""
    with pytest.raises(InputError, match=words):
        Bridge(**{"encoder": new, "adapter": adapter, **options})


def test_vectors_that_do_not_fit(adapter: IRPAdapter):
    """If it fails, one query is answered with the words of another."""
    bridge = Bridge(new, adapter, old, 0.5)
    with pytest.raises(InputError, match="Pass both"):
        bridge.mix(NEW[:3])
    with pytest.raises(InputError, match="3 of the new encoder and 2 of the old"):
        bridge.mix(NEW[:3], OLD[:2])
    with pytest.raises(InputError, match="width"):
        bridge.mix(NEW[:3], NEW[:3])


def test_few_anchors_choose_no_weight():
    """If it fails, a weight is chosen among neighbours that are nearly all there is."""
    adapter = IRPAdapter.from_anchors(NEW[:20], OLD[:20], method="whitened")
    with pytest.raises(InputError, match="at least 24"):
        Bridge(new, adapter, old)
    assert Bridge(new, adapter, old, 0.7).weight == 0.7


def test_documents_are_the_old_encoders_where_it_is_there(adapter: IRPAdapter):
    """If it fails, a document that comes to the index gets a guess although its true vector can be had, or a mixture."""
    with_old = Bridge(new, adapter, old, 0.5)
    np.testing.assert_array_equal(with_old.encode_documents(TEXTS[200:230]), OLD[200:230])
    without = Bridge(new, adapter)
    np.testing.assert_array_equal(without.encode_documents(TEXTS[200:230]), without.encode(TEXTS[200:230]))
    assert (with_old.is_alike, without.is_alike, Bridge(new, adapter, old, 0).is_alike) == (False, True, True)


@pytest.mark.parametrize("items", ["text 3", None, 3, {"text 3": 1}, {"text 3"}])
def test_what_is_no_list_of_texts(adapter: IRPAdapter, items: Any):
    """If it fails, the letters of a text, the keys of a mapping or a set in any order are encoded, each as a query."""
    for bridge in (Bridge(new, adapter), Bridge(new, adapter, old, 0.5)):
        with pytest.raises(InputError, match="queries"):
            bridge.encode(items)
        with pytest.raises(InputError, match=r"queries|documents"):
            bridge.encode_documents(items)
