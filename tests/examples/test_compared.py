"""The tables of benchmarks that compare with baselines, and the searches that they rest on."""

import sys
from pathlib import Path

import pytest
import torch

from irp_hf.maths.projection import unit_rows

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def modules():
    """`compared`, `objectives` and `vectors` of the benchmarks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
        import compared
        import objectives
        import vectors

        yield compared, objectives, vectors


def test_what_is_surely_behind_is_counted_and_the_best_baseline_is_that_of_the_line(modules):
    """A loss would be hidden: behind a weak baseline, or in a mean over lines."""
    compared, *_ = modules
    ours = torch.rand(400, generator=torch.Generator().manual_seed(0)).double()
    noise = torch.randn(400, generator=torch.Generator().manual_seed(1)).double()
    lines = {
        (300, "ahead"): {"ours": ours, "weak": ours - 0.2, "strong": ours - 0.1},
        (300, "behind"): {"ours": ours, "weak": ours + 0.05, "strong": ours - 0.1},
        (100, "level"): {"ours": ours, "weak": ours + noise, "strong": ours - 0.3},
    }
    table = compared.compared(lines, "ours", ("weak", "strong"), default="strong")
    assert "Of 3 lines `ours` is surely ahead of the best baseline in 1, and surely behind it in 1." in table
    rows = {row.split(" | ")[1]: row for row in table.splitlines() if " | " in row}
    assert "+.100 (+.100 to +.100) | +.100 (+.100 to +.100)" in rows["ahead"]
    assert "-.050 (-.050 to -.050) | +.100 (+.100 to +.100)" in rows["behind"]
    assert [line.split(" | ")[0] for line in table.splitlines()[2:7]] == ["| 100", "| 100", "| 300", "| 300", "| 300"]
    assert compared.compared({}, "ours", ("weak",)) == ""


def test_queries_are_no_neighbours_of_their_own_and_a_tie_counts_against_them(modules):
    """Everybody would find one of ten for nothing, or one that gives all queries the same vector would be first."""
    _, objectives, _ = modules
    gallery = unit_rows(torch.randn(40, 8, generator=torch.Generator().manual_seed(0)))
    own = torch.arange(15)
    ranks, nearest = objectives.searched(gallery[own], gallery, own)
    cosine = gallery[own] @ gallery.T
    assert (ranks == 1).all()
    for row in own.tolist():
        others = cosine[row].argsort(descending=True)
        assert set(nearest[row].tolist()) == set(others[others != row][:10].tolist())
    assert (objectives.searched(torch.zeros(15, 8), gallery, own)[0] == 40).all()
    assert objectives.shared(nearest, nearest).eq(1).all()
    assert objectives.shared(nearest, nearest + 40).eq(0).all()


def test_only_a_stronger_encoder_replaces_another(modules):
    """Queries would be measured that nobody asks: of an encoder that is given up, into the index of the new one."""
    _, objectives, vectors = modules
    assert objectives.replaces(vectors.TREC, "mpnet", "MiniLM")
    assert not objectives.replaces(vectors.TREC, "MiniLM", "mpnet")
    assert not objectives.replaces(vectors.SPANISH, "USE", "mpnet")


def test_vectors_are_made_once_and_read_then(modules, tmp_path, monkeypatch):
    """A benchmark would encode again on a machine that has no encoder, or compare rows of other items."""
    *_, vectors = modules
    rows, lengths = torch.randn(30, 5), torch.arange(30)
    made = []
    monkeypatch.setattr(vectors, "FOLDER", tmp_path / "vectors")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(vectors.MAKERS, "toy", lambda: made.append(1) or {"a": rows, "length": lengths})
    try:
        for _ in range(2):
            vectors.column.cache_clear()
            assert torch.equal(vectors.column("toy", "a"), rows.half().float())
            assert torch.equal(vectors.column("toy", "length"), lengths)
    finally:
        vectors.column.cache_clear()
    assert len(made) == 1
    assert {path.name for path in (tmp_path / "vectors").iterdir()} == {"toy-a.safetensors", "toy-length.safetensors"}
