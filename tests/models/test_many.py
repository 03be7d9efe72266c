"""Adapters from more pairs than an exact solve takes: what is kept of them, what they give, and where they must not fail."""

import itertools
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from many_pairs import sample
from says import says

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter
from irp_hf.errors import AnchorMismatchError, FitWarning, InputError, TooLargeError
from irp_hf.evaluation.report import Report
from irp_hf.maths.many.plan import EXACT
from irp_hf.models.many import Forecast, PairSums, asked

COUNT = EXACT + 200
X, Y = (side.numpy().astype(np.float32) for side in sample(COUNT))
NEW_X, NEW_Y = (side.numpy().astype(np.float32) for side in sample(1000, seed=77))
FIXED = dict(method="kernel", num_landmarks=150, gamma=0.5, lift=0.0)


def cosine(adapter: IRPAdapter) -> float:
    mean = Y.mean(0)
    rows = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in (adapter.translate(NEW_X) - mean, NEW_Y - mean)]
    return float((rows[0] * rows[1]).sum(1).mean())


@pytest.fixture(scope="module")
def adapter() -> IRPAdapter:
    return IRPAdapter.from_anchors(X, Y, num_landmarks=300)


def test_all_pairs_are_used_and_few_are_kept(adapter, tmp_path):
    """If it fails, an adapter of many pairs stores them all, translates worse than one of few, or changes when it is loaded."""
    config = adapter.config
    assert (config.num_pairs, config.num_landmarks, config.method) == (COUNT, 300, "kernel")
    assert len(adapter.source_anchors) == config.num_anchors < COUNT / 4
    rows = {row.tobytes() for row in X}
    assert all(row.tobytes() in rows for row in adapter.source_anchors.numpy())
    few = IRPAdapter.from_anchors(X[:300], Y[:300], method="kernel")
    assert cosine(adapter) > cosine(few) + 0.01
    assert abs(config.score - cosine(adapter)) < 0.05
    adapter.save_pretrained(tmp_path)
    loaded = IRPAdapter.from_pretrained(tmp_path)
    assert loaded.config.num_pairs == COUNT
    assert f"{COUNT} pairs over 300 landmarks" in repr(loaded)
    for mine, theirs in zip(
        adapter.translate(NEW_X, return_confidence=True), loaded.translate(NEW_X, return_confidence=True), strict=True
    ):
        assert np.array_equal(mine, theirs)
    held = np.mean(_cosines(adapter.translate(NEW_X), NEW_Y) >= adapter.confidence(NEW_X, coverage=0.9))
    assert 0.85 < held < 0.95


def test_an_option_that_has_no_part_in_sums_is_told():
    """If it fails, what was given is left out without a word, of many pairs alone."""
    with pytest.warns(FitWarning, match="pruning_threshold= has no part in .*: give method='pruned'") as told:
        adapter = IRPAdapter.from_anchors(X, Y, num_landmarks=40, gamma=0.5, lift=0.0, pruning_threshold=0.3)
    others = {"kernel": 0, "whitened": 1}  # sentences on num_landmarks= and gamma=
    assert sum("no part" in str(one.message) for one in told) == 1 + others[adapter.config.method]
    assert told[0].filename == __file__


def test_a_rigid_part_of_many_pairs_is_refused():
    """If it fails, what was asked for is not in the map, and nothing says so."""
    with pytest.raises(InputError, match="rigid: expected 0, for sums over many pairs"):
        IRPAdapter.from_anchors(X, Y, rigid=0.5)
    assert asked("auto", "retrieval", False, {"rigid": 0}).given == ("rigid",)


def _cosines(one, other):
    return (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


@pytest.mark.slow
def test_what_is_kept_makes_reports_and_reverses_but_is_no_anchor_set(adapter):
    """If it fails, the kept pairs pass for the whole set of anchors, or a report does not work on them."""
    assert adapter.source.config.num_anchors == adapter.config.num_anchors
    with pytest.warns(FitWarning, match=f"of {COUNT:,}"):
        assert adapter.reverse(method="whitened").config.source_size == 9
    report = adapter.report(baselines=[])
    assert Report.from_dict(report.to_dict()) == report
    text = str(report)
    assert f"{COUNT:,} pairs" in text
    assert f"{adapter.config.num_anchors:,} parallel anchors" in text


def test_a_memory_map_gives_the_bits_of_an_array_and_a_seed_gives_the_same_again(tmp_path):
    """If it fails, where the pairs lie, or chance, changes the adapter."""
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    maps = [np.load(tmp_path / name, mmap_mode="r") for name in ("x.npy", "y.npy")]
    found = [IRPAdapter.from_anchors(*sides, **FIXED) for sides in ((X, Y), maps)]
    assert len({one.checksum() for one in found}) == 1
    assert IRPAdapter.from_anchors(X, Y, seed=1, **FIXED).checksum() != found[0].checksum()


def test_columns_are_read_as_arrays_are():
    """If it fails, pairs in a column of several pieces are read in another order than they have."""
    import pyarrow as pa

    def column(matrix):
        cut = [0, 10, 4000, len(matrix)]
        return pa.chunked_array(
            [
                pa.FixedSizeListArray.from_arrays(matrix[a:b].ravel(), matrix.shape[1])
                for a, b in itertools.pairwise(cut)
            ]
        )

    assert (
        IRPAdapter.from_anchors(column(X), column(Y), **FIXED).checksum()
        == IRPAdapter.from_anchors(X, Y, **FIXED).checksum()
    )


@pytest.mark.parametrize("method", ["whitened", pytest.param("pruned", marks=pytest.mark.slow)])
def test_other_inverses(method):
    """If it fails, an inverse that worked on few pairs fails on many, or says not that it reads some of them."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        adapter = IRPAdapter.from_anchors(X, Y, method=method)
    assert adapter.config.num_pairs == COUNT
    assert adapter.config.method == method
    assert cosine(adapter) > 0.5
    told = [str(one.message) for one in found if issubclass(one.category, FitWarning)]
    assert [says(text, f"{COUNT:,}", "are read") for text in told] == ([True] if method == "pruned" else [])


@pytest.mark.parametrize("objective", ["neighbors", "recall", "agreement"])
def test_other_objectives(objective):
    """If it fails, what is judged on held-out pairs is not what was asked for."""
    head = None if objective != "agreement" else torch.nn.Linear(9, 3).requires_grad_(False)
    adapter = IRPAdapter.from_anchors(X, Y, objective=objective, head=head, **FIXED)
    assert adapter.config.objective == objective
    assert 0 < adapter.config.score <= 1


def test_spaces_of_many_anchors_keep_their_canaries():
    """If it fails, an encoder is known again by the vectors of other items."""
    anchors = AnchorSet([f"text {row}" for row in range(COUNT)])
    spaces = []
    for side in (X, Y):
        rows = {text: row for row, text in enumerate(anchors.view())}
        space = AnchoredSpace.encode(lambda texts, side=side, rows=rows: side[[rows[text] for text in texts]], anchors)
        assert space.config.canary is not None
        spaces.append(space)
    adapter = IRPAdapter.connect(*spaces, **FIXED)
    for canary, kept, side in (
        (adapter.config.source_canary, adapter.source_anchors, X),
        (adapter.config.target_canary, adapter.target_anchors, Y),
    ):
        for row, text in zip(canary["rows"], canary["texts"], strict=True):
            assert np.array_equal(kept[row].numpy(), side[int(text.split()[1])])
    assert adapter.config.anchor_fingerprint == spaces[0].config.anchor_fingerprint
    assert adapter.source.config.anchor_fingerprint is None


def test_sums_of_parts_make_the_adapter_of_the_whole():
    """If it fails, several processes or machines give another adapter than one."""
    one, *others = (PairSums(X[:4000], Y[:4000], **FIXED) for _ in range(3))
    one.add(X, Y)
    for sums, part in zip(others, (slice(0, 4096), slice(4096, None)), strict=True):
        sums.add(X[part], Y[part])
    whole = others[0] + others[1]
    assert len(whole) == len(pickle.loads(pickle.dumps(whole))) == COUNT
    assert np.allclose(
        IRPAdapter.from_sums(one).translate(NEW_X), IRPAdapter.from_sums(whole).translate(NEW_X), atol=1e-5
    )
    with pytest.raises(InputError) as error:
        whole + PairSums(X[:4000], Y[:4000], **FIXED | {"seed": 3})
    assert says(str(error.value), "sums", "seed")
    with pytest.raises(InputError):
        IRPAdapter.from_sums(PairSums(X[:4000], Y[:4000], **FIXED))


def test_what_breaks_off_adds_nothing():
    """If it fails, a row that is refused leaves sums of which nobody knows what they are of."""
    sums = PairSums(X[:3000], Y[:3000], **FIXED)
    sums.add(X[:100], Y[:100])
    broken = np.tile(X, (2, 1))
    broken[9000, 3] = np.nan
    with pytest.raises(InputError) as error:
        sums.add(broken, np.tile(Y, (2, 1)))
    assert says(str(error.value), "Row 9000", "NaN")
    assert len(sums) == 100
    with pytest.raises(InputError):
        sums.add(X[:, :5], Y)


@pytest.mark.parametrize("row", [17, COUNT - 5])
def test_rows_that_cannot_be_used_are_named(row):
    """If it fails, a row of many is looked for among those of a sample."""
    broken = Y.copy()
    broken[row] = np.inf
    with pytest.raises(InputError) as error:
        IRPAdapter.from_anchors(X, broken, **FIXED)
    assert says(str(error.value), f"Row {row} of target embeddings", "infinity")
    with pytest.raises(AnchorMismatchError):
        IRPAdapter.from_anchors(X, Y[:-1], **FIXED)


def test_a_row_that_was_lost_is_told():
    """If it fails, many pairs of which most do not belong together are fitted without a word."""
    lost = np.delete(Y, 5100, axis=0)
    with pytest.warns(FitWarning, match="1 row earlier") as found:
        IRPAdapter.from_anchors(X[:-1], lost, **FIXED)
    assert says(str(found[0].message), "From row 51")


def test_shuffled_rows_are_told():
    """If it fails, a part in another order, that neither end shows, is fitted without a word."""
    mixed, middle = Y.copy(), slice(2200, 3900)
    mixed[middle] = np.random.RandomState(0).permutation(mixed[middle])
    with pytest.warns(FitWarning, match="own targets no better") as found:
        IRPAdapter.from_anchors(X, mixed, **FIXED)
    first = int(str(found[0].message).split("From row ")[1].split()[0])
    assert abs(first - 2200) < 150


def test_a_long_fit_is_told_with_the_remedy():
    """If it fails, somebody waits for hours without a word."""
    words = Forecast(10**7, 4000).words(3000)
    assert says(words, "10,000,000 pairs", "50 minutes", "num_landmarks=2000")
    assert says(Forecast(10**7, 0).words(3000), "50 minutes")


def test_a_head_that_is_none_is_refused_before_the_sums():
    """If it fails, somebody waits for all sums to learn that the head cannot be asked."""
    with pytest.raises(InputError):
        PairSums(X[:3000], Y[:3000], objective="agreement", head="no/such/folder/here", **FIXED)
    with pytest.warns(FitWarning, match="no part"):
        PairSums(X[:3000], Y[:3000], head=torch.nn.Linear(9, 3).requires_grad_(False), **FIXED)


def test_halves_of_many_anchors_carry_landmarks():
    """If it fails, to choose landmarks among many anchors asks for all their distances from each other at once."""
    wide = np.tile(X, (2, 1))[:9000] + np.float32(1e-3) * np.random.RandomState(3).randn(9000, 12).astype(np.float32)
    space = AnchoredSpace.from_embeddings(wide)
    relative = space.to_relative(NEW_X[:5], num_landmarks=20)
    assert relative.shape == (5, 9000)
    assert np.isfinite(relative).all()


LIMITED = """
import resource, sys
import numpy as np
from irp_hf import IRPAdapter
from irp_hf.errors import TooLargeError
x = np.load("x.npy", mmap_mode="r")
y = np.load("y.npy", mmap_mode="r")
IRPAdapter.from_anchors(x[:7000], y[:7000], num_landmarks=50, gamma=1.0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
adapter = IRPAdapter.from_anchors(x, y, num_landmarks=200, gamma=1.0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, adapter.config.num_pairs)
pages = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (pages + 600 * 2**20, resource.RLIM_INFINITY))
print(IRPAdapter.from_anchors(x[:8000], y[:8000], method="kernel", gamma=1.0, ridge=1.0).config.num_landmarks)
try:
    IRPAdapter.from_anchors(x, y, num_landmarks=45_000)
except TooLargeError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux for its memory")
def test_memory_does_not_grow_with_the_pairs_and_is_never_asked_for_in_vain(tmp_path):
    """If it fails, many pairs end in an allocator's error, or take the machine with them."""
    random = np.random.RandomState(0)
    x = random.randn(60_000, 24).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", np.tanh(x[:, :16]))
    result = subprocess.run([sys.executable, "-c", LIMITED], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    taken, landmarks, refused = result.stdout.splitlines()
    assert taken.endswith(" 60000")
    assert int(taken.split()[0]) < 250_000
    assert 500 <= int(landmarks) <= 2000
    assert says(refused, "45,000 landmarks", "num_landmarks")
    assert issubclass(TooLargeError, MemoryError)
