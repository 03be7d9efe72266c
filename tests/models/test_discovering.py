"""Adapters without any pair: found where spaces are alike, refused where nothing says so, and never taken for measured ones."""

import numpy as np
import pytest
from says import says
from unpaired_rows import WIDTHS, found_first, spaces

from irp_hf import AnchoredSpace, DiscoveryError, IRPAdapter
from irp_hf.errors import FitWarning, InputError, IRPError
from irp_hf.maths.unpaired import discovery
from irp_hf.models.cards import adapter_card, space_card
from irp_hf.models.discovering import LEAST_ROWS

FOUND = spaces(0, num_pairs=6, rows=500)


@pytest.fixture(scope="module")
def adapter():
    return IRPAdapter.from_unpaired(*FOUND.background)


def test_spaces_that_are_alike_are_brought_together(adapter):
    """If it fails, no pair means no adapter, or one that translates at random."""
    assert found_first(adapter.translate(FOUND.new[0]), FOUND.new[1]) > 0.9
    discovered = adapter.config.discovered
    assert discovered["agreement"] > 0.7
    assert (discovered["source"], discovered["target"]) == (500, 500)
    assert adapter.config.score is None
    assert "discovered pairs" in repr(adapter)
    measured = adapter.evaluate(*FOUND.new)
    assert measured.cosine.mean > 0.9


@pytest.mark.parametrize("count", [2, 3, 5])
def test_rows_of_a_few_clusters_are_refused(count):
    """If it fails, clusters that fit each other in any order are brought together upside down, with a confidence of .97."""
    random = np.random.RandomState(count)

    def side(width: int) -> np.ndarray:
        centres = random.randn(count, width) * 3
        return (centres[random.randint(0, count, 500)] + 0.3 * random.randn(500, width)).astype(np.float32)

    with pytest.raises(DiscoveryError, match="spread in 6 directions"):
        IRPAdapter.from_unpaired(side(16), side(20))


def test_the_very_same_rows_on_both_sides_are_matched():
    """If it fails, the first thing that anybody tries, a space with itself, ends in an error of arithmetic."""
    rows = FOUND.background[0][:420]
    adapter = IRPAdapter.from_unpaired(rows, rows)
    pairs = adapter.discovered_pairs
    assert np.array_equal(pairs.source_rows, pairs.target_rows)


def test_the_card_says_that_nobody_paired_anything(adapter):
    """If it fails, a card promises a report that is refused, and calls matches items that both have encoded."""
    card = str(adapter_card(adapter.config, "me/found"))
    assert "that nobody had paired" in card
    assert "both have encoded" not in card
    assert "adapter.report()" not in card
    assert "no true pair was known" in card


def test_the_reverse_is_found_without_pairs_too(adapter, tmp_path):
    """If it fails, two calls of reverse make of guesses an adapter with a score, a report, and a card that speaks of pairs."""
    with pytest.warns(FitWarning, match="as if somebody had paired them"):
        back = adapter.reverse(method="whitened", balance=1.0, ridge=1.0)
    back.save_pretrained(tmp_path)
    found, forth = adapter.discovered_pairs, back.discovered_pairs
    for one in (back, IRPAdapter.from_pretrained(tmp_path)):
        assert one.config.score is None
        assert one.config.discovered["pairs"] == len(found.sureness)
        with pytest.raises(InputError):
            one.report()
    assert np.array_equal(found.source_rows, forth.target_rows)
    assert np.array_equal(found.target_rows, forth.source_rows)
    assert np.array_equal(found.sureness, forth.sureness)
    assert "that nobody had paired" in str(adapter_card(back.config, "me/back"))
    assert found_first(back.translate(FOUND.new[1]), FOUND.new[0]) > 0.8


def test_its_sides_say_that_nobody_paired_them(adapter, tmp_path):
    """If it fails, a save and a `connect` of both sides make of guesses an adapter that has a score and reports."""
    for name, side in (("source", adapter.source), ("target", adapter.target)):
        side.save_pretrained(tmp_path / name)
        assert "of which two agree" in str(space_card(side.config, "me/side"))
    source, target = (AnchoredSpace.from_pretrained(tmp_path / name) for name in ("source", "target"))
    fixed = {"method": "whitened", "balance": 1.0, "ridge": 1.0}
    told = {name: value for name, value in adapter.config.discovered.items() if name != "pairs"}
    turned = {**told, "source": told["target"], "target": told["source"]}
    for one, other, expected in ((source, target, told), (target, source, turned)):
        again = IRPAdapter.connect(one, other, **fixed)
        assert again.config.discovered == expected
        assert again.config.score is None
        with pytest.raises(InputError):
            again.report()
        assert "that nobody had paired" in str(adapter_card(again.config, "me/again"))


@pytest.mark.parametrize("values", [{}, "yes", {"agreement": 0.1, "others": 700, "rows": 700, "starts": 8}])
def test_no_side_says_what_no_fit_would(adapter, values):
    """If it fails, a card tells of starts that never agreed."""
    with pytest.raises(InputError, match="discovered"):
        type(adapter.source.config)(**{**adapter.source.config.to_dict(), "discovered": values})


def test_the_found_pairs_can_be_looked_at(adapter):
    """If it fails, row numbers are of a shuffled copy, and show wrong items."""
    pairs = adapter.discovered_pairs
    assert len(pairs.source_rows) == len(pairs.target_rows) == len(pairs.sureness) == adapter.config.num_anchors
    assert np.array_equal(FOUND.background[0][pairs.source_rows], adapter.source_anchors.numpy())
    assert np.array_equal(FOUND.background[1][pairs.target_rows], adapter.target_anchors.numpy())
    assert len(set(pairs.source_rows)) == len(set(pairs.target_rows)) == len(pairs.sureness)
    assert (np.diff(pairs.sureness) <= 0).all()
    moved = adapter.translate(FOUND.background[0][pairs.source_rows])
    mean = FOUND.background[1].mean(0)
    there = FOUND.background[1][pairs.target_rows] - mean
    cosine = ((moved - mean) * there).sum(1) / np.linalg.norm(moved - mean, axis=1) / np.linalg.norm(there, axis=1)
    assert cosine.mean() > 0.8


def test_it_loads_and_translates_bit_for_bit(adapter, tmp_path):
    """If it fails, what was saved gives other vectors than what was found, or hides how it came about."""
    adapter.save_pretrained(tmp_path)
    loaded = IRPAdapter.from_pretrained(tmp_path)
    assert loaded.config.discovered == adapter.config.discovered
    for mine, theirs in zip(adapter.discovered_pairs, loaded.discovered_pairs, strict=True):
        assert mine.dtype == theirs.dtype
        assert np.array_equal(mine, theirs)
    for mine, theirs in zip(
        adapter.translate(FOUND.new[0], return_confidence=True),
        loaded.translate(FOUND.new[0], return_confidence=True),
        strict=True,
    ):
        assert np.array_equal(mine, theirs)


def test_nothing_is_promised_of_what_nobody_paired(adapter, tmp_path):
    """If it fails, matches are reported as if they were true pairs."""
    with pytest.raises(InputError, match="report: expected pairs that somebody knows"):
        adapter.report()
    card = str(adapter._card("me/found", tmp_path, report=True))
    assert says(card, "found without any pair", "500 rows of the source and 500 of the target")
    with pytest.warns(FitWarning, match="as if somebody had paired them"):
        adapter.reverse(method="rigid")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_unrelated_spaces_are_refused(seed, monkeypatch):
    """If it fails, an adapter of nothing translates without a word."""
    monkeypatch.setattr(discovery, "STARTS", 2)  # which takes a third of the time
    random = np.random.RandomState(seed)
    sides = [random.laplace(size=(450, width)).astype(np.float32) for width in WIDTHS]
    with pytest.raises(
        DiscoveryError, match=r"expected starts that agree which rows belong together, .* got .*of 2 starts"
    ) as told:
        IRPAdapter.from_unpaired(*sides)
    assert isinstance(told.value, IRPError)


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        (
            FOUND.background[0][:300],
            FOUND.background[1],
            f"source_rows: expected at least {LEAST_ROWS} different rows, got 300 of 300",
        ),
        (
            FOUND.background[0],
            np.repeat(FOUND.background[1][:20], 50, 0),
            "target_rows: expected at least .*, got 20 of 1,000 rows",
        ),
        (FOUND.background[0], np.full((500, 24), np.inf), "Row .* of target_rows: expected finite numbers"),
        (None, FOUND.background[1], "source_rows: expected"),
        (FOUND.background[0][0], FOUND.background[1], "source_rows: expected a matrix"),
        (np.ones((500, 20)), FOUND.background[1], "source_rows: expected"),
    ],
)
def test_what_is_no_side_is_refused(source, target, words):
    """If it fails, what cannot be used ends in an error of another library."""
    with pytest.raises(InputError, match=words):
        IRPAdapter.from_unpaired(source, target)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "pruned"}, "method: expected one that unpaired rows can be fitted with, without pairs"),
        ({"folds": "clusters"}, "folds: expected 'rows', without pairs"),
        ({"objective": "agreement"}, "head: expected one to agree with"),
        ({"gama": 2.0}, "gama"),
        ({"objectiv": "cosine"}, "Write objective="),
    ],
)
def test_options_that_do_not_go_with_it_are_refused(options, words):
    """If it fails, an option has no effect, and nothing says so."""
    with pytest.raises(InputError, match=words):
        IRPAdapter.from_unpaired(*FOUND.background, **options)


@pytest.mark.parametrize(
    "values",
    [
        {"agreement": 1.0},
        {"agreement": 5, "source": 1, "starts": 1, "target": 1},
        {"agreement": 0.9, "pairs": 7, "source": 1, "starts": 1, "target": 1},
        ("agreement", 0.1),
        ("source", 3),
        ("target", 3),
        {"agreement": 0.9, "pairs": 2**40, "source": 1, "starts": 1, "target": 1},
        3,
    ],
)
def test_a_forged_record_is_refused(adapter, values):
    """If it fails, a configuration of a stranger says anything of how an adapter came about."""
    values = {**adapter.config.discovered, values[0]: values[1]} if isinstance(values, tuple) else values
    with pytest.raises(InputError, match="discovered"):
        type(adapter.config)(**{**adapter.config.to_dict(), "discovered": values})
