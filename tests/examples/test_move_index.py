"""examples/move_index.py: what is measured and said of each way, and a small real run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from irp_hf.maths.projection import unit_rows

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def modules():
    """`move_index` and `move_index_results` of the examples."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "examples"))
        import move_index
        import move_index_results

        yield move_index, move_index_results


def ways_of(results, found):
    """Ways of which each finds so many of its ten, for 60 queries, half of them one less; all of one class."""
    own = torch.arange(10).repeat(60, 1)
    hits = {}
    for way in results.Way:
        count = found.get(way, 10)
        rows = own.clone()
        rows[:, count:] += 10
        rows[::2, max(count - 1, 0) :] = torch.arange(20, 30)[max(count - 1, 0) :]
        hits[way] = own if way is results.Way.ANEW else rows
    return results.Ways.of(hits, np.array(["a"] * 20 + ["b"] * 10), np.array(["a"] * 60))


def curves_of(results, least_sure, most, random):
    """Curves that are as high as these at every share, of 60 queries."""
    heights = {results.Order.LEAST_SURE: least_sure, results.Order.FOUND: most, results.Order.RANDOM: random}
    wobble = torch.linspace(-0.02, 0.02, 60).repeat(3, 1)
    found = {order: height + wobble * (1 + place) for place, (order, height) in enumerate(heights.items())}
    return results.Curves((0.0, 0.2, 1.0), found)


def said(results, found, curves, few):
    return "\n".join(results.verdicts(ways_of(results, found), curves, few, (1.0, 60.0), 0.2, "old", "new"))


def test_losses_are_said(modules):
    """If it fails, a reader whom moving costs something learns of gains alone."""
    _, results = modules
    way = results.Way
    level = curves_of(results, 0.6, 0.6, 0.6)
    better = said(results, {way.NOTHING: 4, way.STORE: 7}, level, {100: 0.3, 300: 0.5})
    assert "Moving is worth it: the translated store finds .650" in better
    assert "+.300" in better
    assert "With 300 anchors a translated store finds .500, doing nothing .350: still worth it." in better
    assert "With 100 anchors a translated store finds .300, doing nothing .350: not worth it: keep old" in better
    worse = said(results, {way.NOTHING: 7, way.STORE: 4, way.QUERIES: 5, way.MIXED: 6}, level, {})
    assert "Moving is not worth it, keep old" in worse
    assert "-.300" in worse
    assert "do nothing is best" in worse
    assert "Moving changes little" in said(results, {way.NOTHING: 5, way.STORE: 5}, level, {})
    assert "about what random rows give" in said(results, {}, level, {})
    apart = said(results, {}, curves_of(results, 0.5, 0.7, 0.6), {})
    assert "worse than random rows, -.100" in apart
    assert "lifts .950 to .950: better than random rows, +.100" in apart
    assert "The least sure first, it would be .500: worse than random rows, -.100" in apart


@pytest.mark.slow
@given(seed=st.integers(0, 1000))
def test_curves_end_where_all_is_true(modules, seed):
    """If it fails, a curve mixes up rows, and an order looks better or worse than it is."""
    _, results = modules
    random = torch.Generator().manual_seed(seed)
    true, queries = torch.randn(80, 6, generator=random), torch.randn(12, 6, generator=random)
    moved = true + 0.5 * torch.randn(80, 6, generator=random)

    def found(rows):
        return (unit_rows(queries) @ unit_rows(rows).T).topk(10).indices

    own, order = found(true), torch.randperm(80, generator=random)
    curves = results.by_share(moved, true, {results.Order.LEAST_SURE: order}, queries, own, 0.25)
    assert curves.shares == (0.0, 0.1, 0.2, 0.25, *results.SHARES[3:])
    for name in (results.Order.LEAST_SURE, results.Order.RANDOM):
        assert curves.means(name)[0] == pytest.approx(float(results.recall(found(moved), own).mean()))
        assert curves.means(name)[-1] == pytest.approx(1)
    part = moved.clone()
    part[order[:20]] = true[order[:20]]
    assert curves.at(results.Order.LEAST_SURE, 0.25) == pytest.approx(float(results.recall(found(part), own).mean()))


def test_what_other_rows_find_most_comes_first(modules):
    """If it fails, the example draws another order than the one that its run and reencode take."""
    _, results = modules
    random = torch.Generator().manual_seed(0)
    moved = torch.randn(40, 6, generator=random)
    cosines = unit_rows(moved) @ unit_rows(moved).T
    counts = [0] * 40
    for row in range(40):
        others = sorted((other for other in range(40) if other != row), key=lambda other: -cosines[row, other])
        for other in others[:10]:
            counts[other] += 1
    least_sure = torch.randperm(40, generator=random)
    expected = sorted(least_sure.tolist(), key=lambda row: -counts[row])  # stable: the least sure first among equals
    assert results.found_most(moved, least_sure).tolist() == expected


@pytest.mark.slow
def test_a_small_run(modules, tmp_path, monkeypatch, capsys):
    """If it fails, a part of the example does not go with another, or an index is not moved. It needs no more than the demo."""
    import trec

    example, results = modules
    questions = trec.load_trec()
    few = trec.Trec(questions.texts[:900], questions.labels[:900], 600)
    monkeypatch.setattr(trec, "CACHE", tmp_path / "cache")
    for name, value in {
        "CACHE": tmp_path / "cache", "OLD": "static-256", "NEW": "MiniLM-384", "load_trec": lambda: few,
        "NUM_ANCHORS": 300, "NUM_QUERIES": 60, "FEWER": (60,),
    }.items():  # fmt: skip
        monkeypatch.setattr(example, name, value)
    ways = []
    monkeypatch.setattr(example, "print_ways", lambda *told: ways.append(told[0]) or results.print_ways(*told))
    example.main(tmp_path / "picture.png")
    printed = capsys.readouterr().out
    assert printed.startswith("An index of 540 questions by static moves to MiniLM, by 300 anchors")
    assert "Encoded 108 rows" in printed
    assert "With 60 anchors a translated store finds" in printed
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    found = {way: measure.mean for way, measure in ways[0].neighbors.items()}
    assert found[results.Way.ANEW] == 1
    assert 0.2 < found[results.Way.STORE] < found[results.Way.PARTLY] < 1
    assert found[results.Way.MIXED] > found[results.Way.NOTHING] - 0.05
    assert len(list((tmp_path / "cache").glob("move_index.lancedb*"))) == 1  # nothing is left beside the index
