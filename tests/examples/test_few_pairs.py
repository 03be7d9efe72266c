"""examples/few_pairs.py: which rows have which part, what is said of the curves, and a small real run."""

from pathlib import Path

import numpy as np
import pytest
import torch
import unpaired_rows
from hypothesis import given
from hypothesis import strategies as st

from irp_hf.evaluation import Measure

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def modules():
    """`few_pairs`, `few_pairs_results` and `few_pairs_plot` of the examples."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "examples"))
        import few_pairs
        import few_pairs_plot
        import few_pairs_results

        yield few_pairs, few_pairs_results, few_pairs_plot


def kind_of(example, count, title="toy"):
    """So many items in two small spaces, in classes that a head can tell."""
    toy = unpaired_rows.spaces(num_pairs=count, rows=1, noise=0.3)
    x, y = (torch.from_numpy(side) for side in toy.pairs)
    return example.Kind(title, ("source", "target"), x, y, y.argmax(1).numpy() % 3)


def curve_of(results, means):
    """A curve through these means, each with an interval of ±.01, of both measures alike."""
    points = {count: (Measure(mean, mean - 0.01, mean + 0.01),) * 2 for count, mean in means.items()}
    return results.Curve(points, (), ())


@given(count=st.integers(900, 4000), pairs=st.sampled_from([0, 10, 300, 700, 3000]))
def test_no_item_has_two_parts(modules, count, pairs):
    """If it fails, a test row is known to a fit, or an unpaired row of one side has its partner on the other."""
    kind = modules[0].Kind("", ("", ""), torch.zeros(count, 1), torch.zeros(count, 1), np.zeros(count))
    parts = [kind.tested, *([] if kind.pairs(pairs) is None else [kind.pairs(pairs)]), *(kind.unpaired(pairs) or ())]
    rows = torch.cat(parts)
    assert len(rows.unique()) == len(rows)
    assert kind.pairs(pairs) is None or len(kind.pairs(pairs)) == pairs


def test_fewer_pairs_are_among_more(modules):
    """If it fails, a curve goes up or down by the luck of other pairs, not by their number."""
    kind = kind_of(modules[0], 2000)
    assert torch.equal(kind.pairs(300)[:10], kind.pairs(10))
    assert kind.pairs(1501) is None
    assert kind.unpaired(1450) is None


def test_equal_pairs_are_read_off_the_curve(modules):
    """If it fails, what unpaired rows are worth is told wrong."""
    curve = curve_of(modules[1], {10: 0.1, 100: 0.3, 1000: 0.4})
    assert curve.pairs_for("accuracy", 0.2) == pytest.approx(10**1.5)
    assert curve.pairs_for("neighbours", 0.3) == pytest.approx(100)
    assert curve.pairs_for("accuracy", 0.05) == 10
    assert curve.pairs_for("accuracy", 0.5) is None


def test_what_is_lost_is_said(modules):
    """If it fails, a reader learns of gains alone."""
    _, results, _ = modules
    alone = curve_of(results, {10: 0.1, 100: 0.3, 1000: 0.4})
    better = curve_of(results, {0: 0.2, 10: 0.2, 100: 0.45, 1000: 0.4})
    worse = curve_of(results, {10: 0.2, 100: 0.28, 1000: 0.4})

    def said(curve):
        ours, theirs = curve.means("accuracy"), alone.means("accuracy")
        gaps = {count: (Measure(ours[count] - theirs[count], -0.03, 0.01),) * 2 for count in theirs if count in ours}
        curves = {results.ALONE: alone, results.BACKED: curve}
        outcome = results.Outcome("toy", ("a", "b"), 0.9, (100, 500), curves, gaps)
        return "\n".join(results.worth(outcome))

    assert "No pair: found; accuracy .200, neighbours .200." in said(better)
    assert "10 pairs: accuracy .100 → .200, as by about 32 pairs alone" in said(better)
    assert "100 pairs: accuracy .300 → .450, as by more than 1,000 pairs alone" in said(better)
    assert "Nowhere below pairs alone." in said(better)
    assert "Below pairs alone: accuracy with 100 pairs, -.020 ±.020, neighbours with 100 pairs, -.020 ±.020." in said(
        worse
    )


@pytest.mark.slow
def test_a_small_run(modules, tmp_path, monkeypatch, capsys):
    """If it fails, a part of the example does not go with another, or unpaired rows do not help ten pairs of an easy space."""
    import trec

    example, results, _ = modules
    monkeypatch.setattr(trec, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(example, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(example, "PAIRS", (0, 10))
    monkeypatch.setattr(example, "UNPAIRED", 500)
    monkeypatch.setattr(example, "PACKAGES", ())
    monkeypatch.setattr(example, "KINDS", (lambda: kind_of(example, 1600),))
    example.main()
    first = capsys.readouterr().out
    assert first.startswith("Adapters by 0 to 3,000 pairs")
    assert "Nowhere below pairs alone." in first
    table = (tmp_path / "results" / "few-pairs.md").read_text("utf-8")
    assert table in first
    assert [line.split(" | ")[0] for line in table.splitlines()[2:4]] == ["| 0", "| 10"]
    assert (tmp_path / "results" / "few-pairs.png").read_bytes().startswith(b"\x89PNG")
    kind = kind_of(example, 1600)
    alone, backed = (example.scored(kind, 10, how) for how in (results.ALONE, results.BACKED))
    assert backed[1]
    assert float(backed[0][1].mean()) > float(alone[0][1].mean()) + 0.1
    monkeypatch.setattr(example, "by_pairs", None)
    example.main()  # from what was kept
    assert table in capsys.readouterr().out
