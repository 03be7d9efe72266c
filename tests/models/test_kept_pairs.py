"""Which of many pairs an adapter kept: sides of two fits that kept other items are never taken for sides of one."""

import json
import warnings

import numpy as np
import pytest
import torch
from many_pairs import sample
from says import says

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter
from irp_hf.analysis.compatibility import compatibility
from irp_hf.configuration_irp import AnchoredSpaceConfig, IRPConfig
from irp_hf.errors import AnchorMismatchError, DamagedFolderError, FitWarning, InputError
from irp_hf.models import PairSums

COUNT = 6100
X, Y = (side.numpy().astype(np.float32) for side in sample(2 * COUNT))
Z = np.tanh(X @ np.random.RandomState(8).randn(12, 10)).astype(np.float32)
FIXED = dict(method="kernel", num_landmarks=40, gamma=0.5, ridge=0.1, restoration=0.0, lift=0.0)
SMALL = dict(method="kernel", gamma=0.5, ridge=0.1, restoration=0.0, lift=0.0)
FEWER = SMALL | {"num_landmarks": 40}


def many(x, y, **options) -> IRPAdapter:
    return IRPAdapter.from_anchors(x, y, **FIXED | options)


def of_sums(x, y) -> IRPAdapter:
    sums = PairSums(x[:3000], y[:3000], **FIXED)
    sums.add(x, y)
    return IRPAdapter.from_sums(sums)


def a_sample(x, y) -> IRPAdapter:
    with pytest.warns(FitWarning, match="are read"):
        return IRPAdapter.from_anchors(x, y, method="pruned", pruning_threshold=0.5, num_subspaces=1, restoration=0.0)


ONE = many(X[:COUNT], Y[:COUNT])
OTHERS = {
    "another seed": lambda: many(X[:COUNT], Y[:COUNT], seed=1),
    "one pair more": lambda: many(X[COUNT - 1 :], Y[COUNT - 1 :]),
    "other rows, by sums": lambda: of_sums(X[COUNT:], Y[COUNT:]),
    "other encoders, another seed": lambda: many(Z[COUNT:], X[COUNT:] + 1, seed=1),
}


@pytest.mark.parametrize("case", OTHERS)
def test_sides_of_two_fits_are_refused(case, tmp_path, refusal):
    """If it fails, an adapter is fitted on pairs of different items, with a warning at most."""
    other = OTHERS[case]()
    assert other.config.num_anchors == ONE.config.num_anchors or case == "other rows, by sums"
    other.target.save_pretrained(tmp_path)
    for target in (other.target, AnchoredSpace.from_pretrained(tmp_path)):
        if target.config.num_anchors == ONE.config.num_anchors:
            words = refusal(IRPAdapter.connect, ONE.source, target, **SMALL, error=AnchorMismatchError)
            assert says(words, "another seed", "from_anchors(x, y)", f"{ONE.config.num_anchors:,} pairs")
            refusal(compatibility, {"one": ONE.source, "other": target}, error=AnchorMismatchError)


@pytest.mark.slow
def test_a_sample_keeps_a_record_too(refusal):
    """If it fails, what an inverse without sums reads of many pairs passes for all of them."""
    one, other = a_sample(X[:COUNT], Y[:COUNT]), a_sample(X[COUNT - 1 :], Y[COUNT - 1 :])
    refusal(IRPAdapter.connect, one.source, other.target, **SMALL, error=AnchorMismatchError)


@pytest.mark.slow
def test_the_way_back_knows_them(tmp_path, refusal):
    """If it fails, the record is lost with the first adapter that is made of what was kept."""
    with pytest.warns(FitWarning, match="kept of"):
        back = ONE.reverse(**FEWER)
    other = OTHERS["another seed"]()
    back.save_pretrained(tmp_path)
    loaded = IRPAdapter.from_pretrained(tmp_path)
    for adapter in (back, loaded):
        assert adapter.config.kept == ONE.config.kept
        refusal(IRPAdapter.connect, adapter.source, other.source, **SMALL, error=AnchorMismatchError)
        assert IRPAdapter.connect(adapter.source, ONE.source, **FEWER).config.kept == ONE.config.kept


@pytest.mark.slow
def test_what_shares_a_side_is_connected():
    """If it fails, who has one source and two targets cannot connect these, though they hold the same items."""
    assert IRPAdapter.connect(ONE.target, many(X[:COUNT], Z[:COUNT]).target, **FEWER).config.target_size == 10


@pytest.mark.slow
def test_what_holds_the_rows_of_a_set_is_connected(refusal):
    """If it fails, encoders of one set, of which two fits kept the same rows, cannot be connected, or such of others are."""
    anchors = AnchorSet([f"text {row}" for row in range(COUNT)])
    x, y, z = X[:COUNT], Y[:COUNT], Z[:COUNT]
    x, y, z, w = (AnchoredSpace.from_embeddings(side, anchors) for side in (x, y, z, np.tanh(z)))
    one, two = IRPAdapter.connect(x, y, **FIXED), IRPAdapter.connect(z, w, **FIXED)
    assert IRPAdapter.connect(one.source, two.target, **SMALL).config.target_size == 10
    three = IRPAdapter.connect(z, w, **FIXED | {"seed": 2})
    refusal(IRPAdapter.connect, one.source, three.target, **SMALL, error=AnchorMismatchError)


def test_what_was_saved_without_a_record_is_known_by_its_tensors(tmp_path, refusal):
    """If it fails, an adapter of an older version is connected with anything; or its bytes change when it is saved again."""
    old = OTHERS["another seed"]()
    old.config.kept = None
    old.save_pretrained(tmp_path)
    assert "kept" not in json.loads((tmp_path / "config.json").read_text())
    loaded = IRPAdapter.from_pretrained(tmp_path)
    words = refusal(IRPAdapter.connect, ONE.source, loaded.target, **SMALL, error=AnchorMismatchError)
    assert says(words, "nothing says that these are the same items", "AnchoredSpace.from_embeddings(space.anchors)")
    spaces = (AnchoredSpace.from_embeddings(space.anchors) for space in (ONE.source, loaded.target))
    with pytest.warns(FitWarning, match="unrelated"):
        IRPAdapter.connect(*spaces, **SMALL)


@pytest.mark.slow
@pytest.mark.parametrize("saved", [False, True])
def test_the_same_rows_of_one_list_are_connected_without_an_anchor_set(saved, tmp_path):
    """If it fails, who fitted two pairs of encoders on one list cannot connect them across, for a reason that is wrong."""
    two = many(np.tanh(Z[:COUNT]), X[:COUNT] + np.float32(1)).target
    if saved:
        two.save_pretrained(tmp_path)
        two = AnchoredSpace.from_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FitWarning)
        adapter = IRPAdapter.connect(ONE.source, two, **SMALL)
    assert adapter.evaluate(X[COUNT:], X[COUNT:] + np.float32(1)).cosine.mean > 0.9


def test_the_same_rows_of_another_list_are_connected_with_a_warning():
    """If it fails, sides of other items are connected without a word."""
    other = many(X[COUNT:], Y[COUNT:])
    with pytest.warns(FitWarning, match="unrelated"):
        IRPAdapter.connect(ONE.source, other.target, **SMALL)


@pytest.mark.slow
def test_the_same_rows_of_another_anchor_set_are_refused(tmp_path, refusal):
    """If it fails, sides of which it is known that their items differ are connected."""
    adapters = []
    for name in ("one", "another"):
        anchors = AnchorSet([f"{name} text {row}" for row in range(COUNT)])
        moved = 1 if name == "one" else 2
        sides = (AnchoredSpace.from_embeddings(side[:COUNT] * np.float32(moved), anchors) for side in (X, Y))
        adapters.append(IRPAdapter.connect(*sides, **FIXED))
        adapters[-1].save_pretrained(tmp_path / name)
        assert IRPAdapter.from_pretrained(tmp_path / name).config.kept == adapters[-1].config.kept
    refusal(IRPAdapter.connect, adapters[0].source, adapters[1].target, **SMALL, error=AnchorMismatchError)


@pytest.mark.parametrize(
    "value", [3, {}, {"source": "0" * 64}, {"source": "0" * 64, "target": "no"}, {"source": "0" * 64, "target": None}]
)
def test_a_record_that_no_fit_makes_is_refused(value, tmp_path):
    """If it fails, a forged record ends in an error of Python, or is compared as if it were one."""
    for config in (AnchoredSpaceConfig, IRPConfig):
        with pytest.raises(InputError):
            config(kept=value)
    space = ONE.source
    space.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["kept"]["source"] = "0" * 64
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(DamagedFolderError, match="checksum"):
        AnchoredSpace.from_pretrained(tmp_path)


def test_spaces_of_few_pairs_are_as_they_were():
    """If it fails, spaces that say nothing of their items are refused, or files get a field that means nothing."""
    one, two = (IRPAdapter.from_anchors(X[:200], side, **SMALL) for side in (Y[:200], Z[:200]))
    assert "kept" not in one.config.to_dict()
    assert "kept" not in one.source.config.to_dict()
    with warnings.catch_warnings():
        warnings.simplefilter("error", FitWarning)
        IRPAdapter.connect(one.target, two.target, **SMALL)
    assert torch.equal(one.source.anchors, two.source.anchors)
