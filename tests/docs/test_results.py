"""The tables that are shown are those that the numbers beside them give, and each says how to get it again."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "examples" / "results"
GRIDS = ["cross-lingual", "cross-modal", "paper-images", "paper-text"]
FIGURES = ["figure-2", "figure-3", "figure-4", "figure-5"]


@pytest.fixture(scope="module")
def quality():
    """`benchmarks/quality.py` as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "examples"))
        spec = importlib.util.spec_from_file_location("quality", ROOT / "benchmarks" / "quality.py")
        module = importlib.util.module_from_spec(spec)
        patch.setattr(sys, "path", list(sys.path))
        spec.loader.exec_module(module)
        yield module


def test_all_results_are_there():
    """The other tests would pass over what is missing."""
    for kind in ("json", "md", "png"):
        assert {path.stem for path in RESULTS.glob(f"*.{kind}")} >= {*GRIDS, *FIGURES}


@pytest.mark.parametrize("name", GRIDS)
def test_a_table_is_that_of_its_numbers(quality, name):
    """A table would be of an older run, or edited by hand."""
    results = quality.Results.read(name)
    assert (RESULTS / f"{name}.md").read_text("utf-8").startswith(results.to_markdown())
    assert len(results.seeds) >= 3
    assert results.command.startswith("python examples/")


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_says_how_it_came_about(name):
    """Nobody could get it again."""
    plain = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    assert {"command", "seeds", "versions"} <= set(plain)
    assert plain["command"] in (RESULTS / f"{name}.md").read_text("utf-8")


def test_the_page_shows_the_table_of_the_benchmark(quality):
    """The page would promise what was not measured. Run: python benchmarks/quality.py --redraw."""
    table = quality.table({name: quality.Results.read(saved) for name, saved in quality.GRIDS.items()})
    assert (ROOT / "benchmarks" / "quality.md").read_text("utf-8") == table
    assert f"{quality.BEGIN}{table}{quality.END}" in (ROOT / "docs" / "results.md").read_text("utf-8")


def test_the_readme_says_what_the_table_says():
    """The README would go on promising what a later measurement took back."""
    rows = [
        line.split("|") for line in (ROOT / "benchmarks" / "quality.md").read_text("utf-8").splitlines() if "|" in line
    ]
    kept = {row[1].strip(" *"): (row[2].strip(), row[6].strip()) for row in rows}
    (ours, procrustes, ridge) = (kept[name] for name in ("irp_hf: auto", "Procrustes", "ridge"))
    words = (ROOT / "README.md").read_text("utf-8").replace("\n", " ")
    assert f"keep {ours[0]} and {ours[1]} of their accuracy" in words
    assert f"(Procrustes {procrustes[0]} and {procrustes[1]}, ridge {ridge[0]} and {ridge[1]})" in words
