"""benchmarks/few_pairs.py and discovery.py: which rows have which part, the methods compared with, and what is counted."""

import sys
from pathlib import Path

import pytest
import torch
import unpaired_rows

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def modules():
    """`few_pairs`, `discovery` and `rosetta` of the benchmarks; an example has the first one's name, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
        kept = sys.modules.pop("few_pairs", None)
        import discovery
        import few_pairs
        import rosetta

        yield few_pairs, discovery, rosetta
        sys.modules.pop("few_pairs")
        if kept is not None:
            sys.modules["few_pairs"] = kept


@pytest.fixture
def toy(modules, monkeypatch):
    """Vectors of 2,400 items by two encoders."""
    few_pairs, *_ = modules
    x, y = (torch.from_numpy(side) for side in unpaired_rows.spaces(num_pairs=2400, rows=1).pairs)
    monkeypatch.setattr(few_pairs, "column", lambda data, name: {"a": x, "b": y}[name])
    monkeypatch.setattr(few_pairs, "PAIRS", [("toy", "a", "b")])
    few_pairs.by_pairs.cache_clear()
    yield x, y
    few_pairs.by_pairs.cache_clear()


def test_no_item_has_two_parts_and_the_queries_stay(modules, toy):
    """A query, or the partner of an unpaired row, would be known to a fit; or lines would differ by luck."""
    few_pairs, *_ = modules
    most = few_pairs.Rows.drawn("toy", "a", 800, 500, 0)
    parts = torch.cat([most.queries, most.pairs, most.source, most.target])
    assert len(parts.unique()) == len(parts) == 600 + 800 + 1000
    assert not torch.isin(most.queries, most.trained).any()
    fewer = few_pairs.Rows.drawn("toy", "a", 10, 200, 0)
    assert torch.equal(fewer.queries, most.queries)
    assert torch.equal(fewer.pairs, most.pairs[:10])
    assert torch.equal(fewer.source, most.source[:200])


def test_jobs_are_those_that_the_data_has(modules, toy):
    """A line would be of other rows than it says, or a data set that ends early would have none."""
    few_pairs, *_ = modules
    jobs = [job[3:] for job in few_pairs.asked([0, 100, 1700], [0, 500, 5000], [0], ["toy"])]
    assert jobs == [(0, 500, 0), (0, 900, 0), (100, 0, 0), (100, 500, 0), (100, 850, 0), (500, 0, 0), (1700, 0, 0)]


@pytest.mark.slow
def test_rosetta_makes_more_of_pairs_by_unpaired_rows(modules, toy):
    """The method compared with would be a straw man."""
    _, discovery, rosetta = modules
    x, y = toy
    sides = [
        rosetta.Space.of(side[rows], side[2000:2012]) for side, rows in ((x, slice(0, 900)), (y, slice(900, 1800)))
    ]
    by_pairs = rosetta.polar(sides[0].pairs.T @ sides[1].pairs)
    wrong = [
        discovery.wrong_nearer(sides[1].leave(sides[0].enter(x[2100:]) @ rotation), y[2100:])
        for rotation in (by_pairs, rosetta.rosetta(*sides, seed=0))
    ]
    assert wrong[1] < 0.5 * wrong[0]
    back = sides[1].leave(sides[1].enter(y[:50]))
    assert torch.cosine_similarity(back - y.mean(0), y[:50] - y.mean(0)).min() > 0.9
    assert float(back.norm(dim=1).mean()) == pytest.approx(float(y[:50].norm(dim=1).mean()), rel=0.2)


def test_foscttm_is_the_share_of_wrong_rows_that_are_no_farther(modules):
    """Right and wrong runs would be told apart by another number than is said. Compared with the slow definition."""
    _, discovery, _ = modules
    draw = torch.Generator().manual_seed(0)
    translated, true = torch.randn(40, 6, generator=draw), torch.randn(40, 6, generator=draw)
    shares = []
    for row in range(40):
        cosine = torch.cosine_similarity(translated[row], true)
        shares.append(sum(float(cosine[other] >= cosine[row]) for other in range(40) if other != row) / 39)
    assert discovery.wrong_nearer(translated, true) == pytest.approx(sum(shares) / 40)
    assert discovery.wrong_nearer(true, true) == 0


def test_what_was_accepted_and_wrong_is_counted(modules):
    """A false discovery, or a true one that was refused, would not show."""
    _, discovery, _ = modules
    jobs = [("one domain", "d", "a", "d", "b", seed) for seed in range(4)] + [("unrelated", "d", "a", "e", "c", 0)]
    found = [
        discovery.Found(0.9, 50.0, 0.001, 0.001, 2, 10.0),
        discovery.Found(0.9, 50.0, 0.3, 0.001, 2, 10.0),
        discovery.Found(0.6, 50.0, 0.03, 0.02, 6, 40.0),
        discovery.Found(0.9, 3.0, 0.5, 0.1, 2, 10.0),
        discovery.Found(0.5, 50.0, 0.5, 0.0, 6, 40.0),
    ]
    table = discovery.written(dict(zip(jobs, found, strict=True)))
    assert "| one domain: d: a → b | 4 | 2 | 1 | 2 | 1 | .600 – .900 | .001 – .500 | .001 – .100 | 18 |" in table
    assert "| unrelated: d: a → e: c | 1 | 0 | 0 | 1 | 0 | .500 | .500 | .000 | 40 |" in table
    assert "Of 5 runs 2 are right." in table
    assert "right ones have .600 at least, wrong ones .900 at most" in table
    assert "for less spread 1 runs were refused" in table


@pytest.mark.slow
def test_everybody_takes_part_and_losses_are_counted(modules, toy):
    """A contestant would be missing, or a table would not be that of its jobs."""
    few_pairs, *_ = modules
    jobs = [("toy", "a", "b", 0, 500, 0), ("toy", "a", "b", 100, 500, 0), ("toy", "a", "b", 500, 0, 0)]
    found = {job: few_pairs.contest(*job) for job in jobs}
    names = {few_pairs.ALONE, few_pairs.BACKED, *few_pairs.CLOSED, *few_pairs.OTHERS}
    assert {*found[jobs[1]].scores} == names
    assert found[jobs[1]].scores[few_pairs.BACKED][1:].mean(1).min() > 0.2
    table = few_pairs.written(found, ["--data", "toy"])
    assert "`python benchmarks/few_pairs.py --data toy`, seed 0" in table
    assert "## Accuracy of a head" not in table
    assert "## 100 pairs with background / 500 pairs alone" in table
    assert "## No pair" in table
    worse = {jobs[1]: found[jobs[1]]._replace(scores=dict(found[jobs[1]].scores))}
    worse[jobs[1]].scores[few_pairs.BACKED] = worse[jobs[1]].scores[few_pairs.ALONE] - 0.1
    assert few_pairs.counted(few_pairs.lines(worse, 1)) == (1, 0, 1, "-.100", "-.100")
