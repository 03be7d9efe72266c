"""Two strangers' spaces: few shared anchors and backgrounds of their own, or no pair at all."""

import copy
import json
import warnings

import numpy as np
import pytest
import torch
from accelerate import cpu_offload
from forging import save_forged
from says import says
from unpaired_rows import found_first, spaces

from irp_hf import AnchoredSpace, AnchorSet, DiscoveryError, IRPAdapter
from irp_hf.data.canary import Canary
from irp_hf.errors import AnchorMismatchError, DamagedFolderError, FitWarning, InputError
from irp_hf.maths.many.plan import EXACT
from irp_hf.models.cards import adapter_card

FEW = spaces(0, num_pairs=8, rows=200)
APART = spaces(0, num_pairs=300, rows=350)
QUICK = {"method": "kernel", "gamma": 1.0, "ridge": 1e-2}


def both(found=FEW, background=(True, True)):
    """The spaces of both sides, with a background or without."""
    sides = zip(found.pairs, found.background, background, strict=True)
    return tuple(AnchoredSpace.from_embeddings(pairs, background=rows if has else None) for pairs, rows, has in sides)


def told_of_backgrounds(given, **options):
    """What a connection warns of, as far as it is about backgrounds."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        IRPAdapter.connect(*given, **options, **QUICK)
    return [str(one.message) for one in told if "ackground" in str(one.message)]


@pytest.fixture(scope="module")
def adapter():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return IRPAdapter.connect(*both())


@pytest.fixture(scope="module")
def strangers():
    """Spaces that share no anchor, each with what is known of its encoder and its items."""
    made = []
    for number, (pairs, rows) in enumerate(zip(APART.pairs, APART.background, strict=True)):
        anchors = AnchorSet([f"item {number} {row}" for row in range(150)])
        own = pairs[:150] if number else pairs[150:]
        space = AnchoredSpace.from_embeddings(own, anchors, f"me/encoder-{number}", background=rows)
        space.config.canary = {"rows": [149 - number, 2], "texts": ["one", "two"]}
        made.append(space)
    return tuple(made)


@pytest.fixture(scope="module")
def discovered(strangers):
    return IRPAdapter.connect(*strangers, pairs="discover")


def test_few_shared_anchors_are_enough(adapter):
    """If it fails, two published spaces with backgrounds are worth no more than their few anchors."""
    x, y = FEW.new
    alone = IRPAdapter.connect(*both(), background=False)
    assert alone.config.background is None
    assert found_first(adapter.translate(x), y) > found_first(alone.translate(x), y) + 0.3
    assert {name: adapter.config.background[name] for name in ("source", "target")} == {"source": 200, "target": 200}


@pytest.mark.slow
def test_it_is_the_fit_of_the_same_rows(adapter):
    """If it fails, spaces and arrays of the same numbers give other adapters."""
    source, target = both()
    background = dict(source_background=source.background_rows, target_background=target.background_rows)
    assert IRPAdapter.from_anchors(*FEW.pairs, **background).checksum() == adapter.checksum()
    assert IRPAdapter.connect(*both(), background=True).checksum() == adapter.checksum()
    rounded = IRPAdapter.from_anchors(
        *FEW.pairs, source_background=FEW.background[0], target_background=FEW.background[1]
    )
    x, y = FEW.new
    assert abs(found_first(rounded.translate(x), y) - found_first(adapter.translate(x), y)) < 0.03


def test_left_out_it_is_the_fit_of_the_anchors():
    """If it fails, `background=False` still lets unpaired rows into the fit, or the spaces' records are others."""
    alone = IRPAdapter.connect(*both(background=(False, False)), **QUICK)
    assert IRPAdapter.connect(*both(), background=False, **QUICK).checksum() == alone.checksum()


@pytest.mark.parametrize(("has", "side"), [((True, False), "target"), ((False, True), "source")])
def test_of_one_side_alone_nothing_is_used(has, side, refusal):
    """If it fails, a background that somebody published does nothing, and nobody is told."""
    spaces_of = both(background=has)
    (told,) = told_of_backgrounds(spaces_of)
    assert says(told, "200 rows", f"none in the {side}'s", "background=False")
    assert IRPAdapter.connect(*spaces_of, **QUICK).config.background is None
    words = refusal(IRPAdapter.connect, *spaces_of, background=True, error=InputError)
    assert says(words, f"none in the {side}'s", "from_embeddings(anchors, background=rows)")
    assert not told_of_backgrounds(spaces_of, background=False)


def test_without_any_nothing_is_said(refusal):
    """If it fails, everybody who connects spaces of anchors alone is warned."""
    spaces_of = both(background=(False, False))
    assert not told_of_backgrounds(spaces_of)
    assert says(refusal(IRPAdapter.connect, *spaces_of, background=True, error=InputError), "none in the source's")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "pruned", "pruning_threshold": 0.3}, "got 'pruned'"),
        ({"num_landmarks": 5, **QUICK}, "num_landmarks"),
        ({"lift": 1.0, **QUICK}, "lift"),
    ],
)
def test_options_that_do_not_go_with_it(options, words, refusal):
    """If it fails, a space with a background cannot be connected as one without, or it is left out silently."""
    with pytest.warns(FitWarning, match=words):
        made = IRPAdapter.connect(*both(), **options)
    assert made.config.background is None
    assert says(refusal(IRPAdapter.connect, *both(), background=True, error=InputError, **options), words)


def test_too_few_pairs_are_connected_alone(refusal):
    """If it fails, backgrounds make spaces of three anchors fail that could be connected without."""
    few = FEW._replace(pairs=tuple(side[:3] for side in FEW.pairs))
    with pytest.warns(FitWarning, match="at least 6 independent ones"):
        IRPAdapter.connect(*both(few), **QUICK)
    refusal(IRPAdapter.connect, *both(few), background=True, error=InputError)


def test_beside_very_many_anchors_it_has_no_part(refusal):
    """If it fails, spaces of many anchors die on their backgrounds, or these are dropped without a word."""
    random = np.random.RandomState(0)
    x = random.randn(EXACT + 1, 4).astype(np.float32)
    sides = [
        AnchoredSpace.from_embeddings(side, background=random.randn(150, side.shape[1])) for side in (x, np.tanh(x))
    ]
    with pytest.warns(FitWarning, match=f"some beside {EXACT + 1:,} pairs"):
        made = IRPAdapter.connect(*sides, method="rigid")
    assert made.config.background is None
    refusal(IRPAdapter.connect, *sides, background=True, error=InputError)


@pytest.mark.parametrize("background", [FEW.background[0], "yes", 1, [1.0]], ids=lambda value: type(value).__name__)
def test_rows_belong_to_a_space(background, refusal):
    """If it fails, rows that are handed to `connect` are taken for "yes", and never looked at."""
    words = refusal(IRPAdapter.connect, *both(), background=background, error=InputError)
    assert says(words, "background", "True, False or None", "from_embeddings")


def test_a_flag_of_numpy_is_one():
    """If it fails, what was read from a table of settings is refused with words that name what was given."""
    without = both(background=(False, False))
    with pytest.raises(InputError, match="none in the source's"):
        IRPAdapter.connect(*without, background=np.True_, **QUICK)
    assert IRPAdapter.connect(*both(), background=np.False_, **QUICK).config.background is None


@pytest.mark.parametrize(
    ("call", "written", "meant"),
    [
        ("from_anchors", "sourc_background", "source_background"),
        ("from_anchors", "target_backgrounds", "target_background"),
        ("connect", "backgrund", "background"),
        ("connect", "pair", "pairs"),
    ],
)
def test_misspelt_keywords(call, written, meant, refusal):
    """If it fails, whoever misspells the keyword reads a list of hyper-parameters."""
    given = FEW.pairs if call == "from_anchors" else both()
    words = refusal(getattr(IRPAdapter, call), *given, error=InputError, **{written: FEW.background[0]})
    assert says(words, f"Write {meant}=.")


def test_offloaded_spaces_connect(adapter):
    """If it fails, what Accelerate keeps elsewhere is gone in the middle of a fit."""
    made = []
    for space in both():
        space = copy.deepcopy(space)
        cpu_offload(space, torch.device("cpu"))
        made.append(space)
    assert IRPAdapter.connect(*made).checksum() == adapter.checksum()


def test_the_reverse_says_how_to_have_them(adapter):
    """If it fails, the way back is as bad as pairs alone are, and the advice is for those who have arrays."""
    with pytest.warns(FitWarning, match=r"connect\(target, source\)"):
        adapter.reverse(**QUICK)


def test_no_pair_is_taken_from_different_anchors(strangers, refusal):
    """If it fails, anchors of different sets, or of different length, are paired row by row."""
    words = refusal(IRPAdapter.connect, *strangers, error=AnchorMismatchError)
    assert says(words, "pairs='discover'")
    assert says(refusal(IRPAdapter.connect, *strangers, pairs="discovered", error=InputError), "pairs", "'discover'")
    refusal(IRPAdapter.connect, *strangers, pairs=True, error=InputError)


@pytest.mark.slow
def test_pairs_are_discovered_between_strangers(discovered, strangers):
    """If it fails, spaces that share no anchor cannot meet, or the adapter forgets who encoded."""
    x, y = APART.new
    assert found_first(discovered.translate(x), y) > 0.9
    config = discovered.config
    assert (config.discovered["source"], config.discovered["target"]) == (500, 500)
    assert (config.source_encoder, config.target_encoder) == ({"id": "me/encoder-0"}, {"id": "me/encoder-1"})
    assert (config.anchor_fingerprint, config.anchor_set, config.kept) == (None, None, None)
    assert says(str(adapter_card(config, "me/found")), "me/encoder-0", "500 rows of the source and 500 of the target")
    rows = [torch.cat([space.anchors, space.background_rows]) for space in strangers]
    assert IRPAdapter.from_unpaired(*rows).config.discovered == config.discovered


def test_their_canaries_tell_the_encoders_by_vectors_of_their_own(discovered, strangers):
    """If it fails, four rows of the adapter that are other items are taken for what the encoder makes of the canary."""
    for side, space in zip(("source", "target"), strangers, strict=True):
        canary = discovered.config.to_dict()[f"{side}_canary"]
        assert canary["texts"] == ["one", "two"]
        kept = Canary.from_dict(canary, "canary").vectors
        assert np.array_equal(kept, space.anchors[space.config.canary["rows"]].numpy())
    texts, vectors = ["one", "two"], strangers[0].anchors[strangers[0].config.canary["rows"]].numpy()
    discovered.source.check(lambda items: vectors[[texts.index(item) for item in items]])
    with pytest.raises(InputError, match="makes the same vectors"):
        discovered.source.check(lambda items: np.ones_like(vectors) * [[1], [2]][: len(items)])


def test_the_pairs_count_anchors_first(discovered, strangers, tmp_path):
    """If it fails, whoever looks the discovered pairs up reads other items."""
    discovered.save_pretrained(tmp_path)
    pairs = IRPAdapter.from_pretrained(tmp_path).discovered_pairs
    sides = zip(strangers, (pairs.source_rows, pairs.target_rows), ("source", "target"), strict=True)
    for space, numbers, name in sides:
        assert (numbers < 150).any()
        assert (numbers >= 150).any()
        rows = torch.cat([space.anchors, space.background_rows])
        assert torch.equal(rows[numbers], getattr(discovered, f"{name}_anchors"))


def test_anchors_alone_are_discovered_or_refused(strangers, refusal):
    """If it fails, `background=False` has no part in a discovery, or too few rows are matched."""
    words = refusal(IRPAdapter.connect, *strangers, pairs="discover", background=False, error=InputError)
    assert says(words, "anchors of the source", "at least 400", "got 150", "Leave background=False out")
    bare = AnchoredSpace.from_embeddings(APART.pairs[1])
    words = refusal(IRPAdapter.connect, strangers[0], bare, pairs="discover", background=True, error=InputError)
    assert says(words, "none in the target's")
    words = refusal(IRPAdapter.connect, strangers[0], bare, pairs="discover", error=InputError)
    assert says(words, "anchors of the target", "got 300", "from_embeddings(anchors, background=rows)")


@pytest.mark.parametrize(
    ("anchors", "words"),
    [(AnchorSet([f"item {row}" for row in range(8)]), "hold the same anchors"), (None, "If these are the same")],
)
def test_pairs_that_are_known_are_not_passed_over_in_silence(anchors, words):
    """If it fails, whoever asks for discovery by habit throws true pairs away, and nothing says so."""
    sides = zip(FEW.pairs, FEW.background, strict=True)
    made = [AnchoredSpace.from_embeddings(pairs, anchors, background=rows) for pairs, rows in sides]
    with pytest.warns(FitWarning, match=words), pytest.raises(InputError, match="at least 400"):
        IRPAdapter.connect(*made, pairs="discover")


@pytest.mark.slow
def test_unrelated_strangers_are_refused(monkeypatch):
    """If it fails, an adapter of nothing translates without a word."""
    monkeypatch.setattr("irp_hf.maths.unpaired.discovery.STARTS", 2)
    random = np.random.RandomState(0)
    rows = [random.laplace(size=(450, width)).astype(np.float32) for width in (20, 24)]
    sides = [AnchoredSpace.from_embeddings(side[:50], background=side[50:]) for side in rows]
    with pytest.raises(
        DiscoveryError, match="anchors and background of the source and anchors and background of the target"
    ):
        IRPAdapter.connect(*sides, pairs="discover")


@pytest.mark.parametrize("change", ["twice", "negative", "nan"])
def test_forged_pairs_are_refused(discovered, tmp_path, change):
    """If it fails, a stranger's numbers lead to a row before the first, or one row has two partners."""
    forged = copy.deepcopy(discovered)
    with torch.no_grad():
        if change == "twice":
            forged.discovered_rows[1] = forged.discovered_rows[0]
        elif change == "negative":
            forged.discovered_rows[0, 1] = -1
        else:
            forged.discovered_sureness[0] = float("nan")
    with pytest.raises(InputError, match="discovered"):
        forged.save_pretrained(tmp_path)
    assert list(tmp_path.iterdir()) == []
    save_forged(forged, tmp_path)
    with pytest.raises(DamagedFolderError):
        IRPAdapter.from_pretrained(tmp_path)


def test_adapters_from_before_the_pairs_were_kept_load(discovered, tmp_path):
    """If it fails, what was discovered with an earlier version loads no more."""
    older = copy.deepcopy(discovered)
    older.config.discovered = {name: value for name, value in older.config.discovered.items() if name != "pairs"}
    del older._parameters["discovered_rows"], older._parameters["discovered_sureness"]
    older.save_pretrained(tmp_path)
    assert "pairs" not in json.loads((tmp_path / "config.json").read_text())["discovered"]
    loaded = IRPAdapter.from_pretrained(tmp_path)
    assert loaded.discovered_pairs is None
    assert np.array_equal(loaded.translate(APART.new[0]), discovered.translate(APART.new[0]))
