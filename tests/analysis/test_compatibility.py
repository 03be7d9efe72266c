"""The compatibility matrix: every cell, its orientation, and the words and the picture."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Digits
from matplotlib.colors import to_rgb

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter
from irp_hf.analysis.compatibility import Compatibility, Connection, compatibility
from irp_hf.errors import AnchorMismatchError, InputError
from irp_hf.evaluation import Evaluation, Measure


@pytest.mark.slow
@pytest.mark.parametrize("method", ["kernel", "pruned"])
def test_a_cell_is_what_the_report_of_that_adapter_says(digits: Digits, method: str):
    """If it fails, the matrix and `report()` tell users different numbers of the same thing."""
    sides = {"pixels": digits.source[:60], "features": digits.target[:60]}
    found = compatibility(sides, method=method, progress=False)
    report = IRPAdapter.from_anchors(*sides.values(), method=method).report(progress=False)
    (row,) = (row for row in report.rows if row.method == report.chosen)
    (there, back) = found.connections
    assert (there.source, there.target) == (back.target, back.source) == ("pixels", "features")
    assert there.evaluation == row.evaluation


def test_rows_are_sources_and_columns_are_targets(digits: Digits):
    """If it fails, the matrix is transposed: users would feed the head that cannot be fed."""
    sides = {"whole": digits.source, "part": digits.source[:, 20:28], "features": digits.target}
    found = compatibility(sides, method="whitened", progress=False)
    matrix = found.matrix()
    assert matrix.shape == (3, 3)
    assert np.isnan(matrix.diagonal()).all()
    assert matrix[0, 1] == found.get("whole", "part").mean > 0.99
    assert matrix[1, 0] == found.get("part", "whole").mean < 0.9
    assert found.get("whole", "whole") is None
    assert found.best_source_for("part") == "whole"
    for column, name in enumerate(found.names):
        assert found.names[int(np.nanargmax(matrix[:, column]))] == found.best_source_for(name)


def test_agreement_is_of_targets_that_have_a_head(digits: Digits, refusal):
    """If it fails, one space's head reads the vectors of another."""
    sides = {"pixels": digits.source, "features": digits.target}
    heads = {"features": torch.nn.Linear(24, 3)}
    found = compatibility(sides, method="whitened", heads=heads, progress=False)
    assert found.measures() == ["cosine", "neighbors", "agreement"]
    assert found.get("pixels", "features", "agreement").mean > 0.5
    assert found.get("features", "pixels", "agreement") is None
    assert found.best_source_for("features", "agreement") == "pixels"
    text = refusal(found.best_source_for, "pixels", "agreement", error=InputError)
    assert all(word in text for word in ("agreement", "'pixels'", "heads="))


def test_spaces_and_arrays_give_the_same(spaces: tuple[AnchoredSpace, AnchoredSpace], digits: Digits):
    """If it fails, a published space would be measured otherwise than the embeddings it was made of."""
    options: dict[str, Any] = {"method": "whitened", "progress": False}
    arrays = compatibility({"x": digits.source, "y": digits.target}, **options)
    assert compatibility({"x": spaces[0], "y": digits.target}, **options) == arrays
    assert compatibility(dict(zip("xy", spaces, strict=True)), **options) == arrays


def cell(source: str, target: str, mean: float, agreement: Measure | None = None) -> Connection:
    cosine, other = Measure(mean, mean - 0.01, mean + 0.01), Measure(mean / 2, mean / 2 - 0.02, mean / 2 + 0.02)
    return Connection(source, target, Evaluation(cosine, other, other, 500, agreement))


FOUND = Compatibility(
    "kernel",
    500,
    ("static", "MiniLM", "mpnet"),
    (
        cell("static", "MiniLM", 0.6, Measure(0.8, 0.79, 0.81)),
        cell("static", "mpnet", 0.2),
        cell("MiniLM", "static", 0.5),
        cell("MiniLM", "mpnet", 0.9),
        cell("mpnet", "static", 0.55),
        cell("mpnet", "MiniLM", 0.7, Measure(0.7, 0.69, 0.71)),
    ),
)


def test_it_says_which_source_to_take():
    """If it fails, the words or the tables changed: look at them, then update this text."""
    assert str(FOUND) == (
        "3 spaces, 500 parallel anchors, kernel. Every anchor was translated by a fit on the other 9 of 10\n"
        "folds, from the space of its row to that of its column; ± is half the 95 % interval.\n\n"
        "  cosine      static      MiniLM       mpnet\n"
        "  static           –  .600 ±.010  .200 ±.010\n"
        "  MiniLM  .500 ±.010           –  .900 ±.010\n"
        "  mpnet   .550 ±.010  .700 ±.010           –\n\n"
        "  neighbours among 500      static      MiniLM       mpnet\n"
        "  static                         –  .300 ±.020  .100 ±.020\n"
        "  MiniLM                .250 ±.020           –  .450 ±.020\n"
        "  mpnet                 .275 ±.020  .350 ±.020           –\n\n"
        "  agreement  static      MiniLM  mpnet\n"
        "  static          –  .800 ±.010      –\n"
        "  MiniLM          –           –      –\n"
        "  mpnet           –  .700 ±.010      –\n\n"
        "Best reached by cosine: static from mpnet (.550), MiniLM from mpnet (.700), mpnet from MiniLM\n(.900).\n\n"
        "The easiest translation is MiniLM → mpnet (.900), the hardest static → mpnet (.200)."
    )
    assert FOUND.best_source_for("MiniLM", "agreement") == "static"


def test_the_picture_has_every_value_in_readable_ink(tmp_path: Path):
    """If it fails, values stand in other cells, or dark on dark."""
    figure = FOUND.plot(tmp_path / "matrix.png")
    panels = [axes for axes in figure.axes if axes.get_images()]
    scales = [axes for axes in figure.axes if axes not in panels]
    assert len(panels) == len(scales) == 3
    for axes, scale in zip(panels, scales, strict=True):  # which colour is which number
        assert scale.get_ylim() == pytest.approx(axes.get_images()[0].get_clim())
    for axes, measure in zip(panels, FOUND.measures(), strict=True):
        means, (image,) = FOUND.matrix(measure), axes.get_images()
        written = {text.get_position()[::-1]: text for text in axes.texts}
        assert [label.get_text() for label in axes.get_xticklabels()] == list(FOUND.names)
        for place, mean in np.ndenumerate(means):
            if np.isnan(mean):
                assert written[place].get_text() == "–"
                continue
            assert float(written[place].get_text()) == pytest.approx(mean, abs=5e-4)
            assert contrast(to_rgb(written[place].get_color()), image.to_rgba(mean)[:3]) > 4
    assert (tmp_path / "matrix.png").stat().st_size > 20_000


def contrast(ink: tuple[float, ...], paper: tuple[float, ...]) -> float:
    """As the web's accessibility guidelines have it, from 1 to 21."""
    lights = []
    for color in (ink, paper):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)
    return max(lights) / min(lights)


def test_long_names_are_slanted():
    """If it fails, ids of the Hub run into each other below the cells."""
    name = "sentence-transformers/all-MiniLM-L6-v2"
    found = Compatibility("kernel", 500, (name, "me"), (cell(name, "me", 0.5), cell("me", name, 0.4)))
    assert {label.get_rotation() for label in found.plot().axes[0].get_xticklabels()} == {30}
    assert {label.get_rotation() for label in FOUND.plot().axes[0].get_xticklabels()} == {0}


def test_spaces_of_other_anchors_are_refused_by_name(digits: Digits, refusal):
    """If it fails, the user does not learn which of many spaces is the stranger."""
    same, other = (AnchorSet([f"{name} {row}" for row in range(len(digits.source))]) for name in "ab")
    sides = {
        "one": AnchoredSpace.from_embeddings(digits.source, same),
        "two": digits.target,
        "three": AnchoredSpace.from_embeddings(digits.target, other),
    }
    text = refusal(compatibility, sides, error=AnchorMismatchError)
    assert all(word in text for word in ("one", same.fingerprint[:8], "three", other.fingerprint[:8], "120"))
    assert "two" not in text


@pytest.mark.parametrize(
    ("spaces", "heads", "words"),
    [
        ({"x": 0}, None, ["spaces", "two or more", "got 1"]),
        ([0, 1], None, ["spaces", "by name", "a list"]),
        ({"x": 0, "y": 0}, {"z": torch.nn.Identity()}, ["head", "'x', 'y'", "got 'z'"]),
        ({"x": np.eye(9, 4), "y": np.eye(9, 3)}, None, ["'x' and 'y'", "at least 10", "got 5"]),
        ({"x": np.eye(9, 4), 7: np.eye(9, 3)}, None, ["name", "got 7"]),
        ({"x": np.eye(9, 4), "y": np.eye(9, 3)}, torch.nn.Linear(3, 2), ["heads", "a dictionary", "a Linear"]),
    ],
)
def test_what_cannot_be_compared_is_refused_in_words(spaces: Any, heads: Any, words: list[str], refusal):
    """If it fails, the user reads a traceback from deep inside."""
    text = refusal(compatibility, spaces, heads=heads, error=InputError)
    assert all(word in text for word in words)


def test_names_and_measures_that_do_not_exist_are_refused(refusal):
    """If it fails, a mistyped name gives an empty answer."""
    text = refusal(FOUND.best_source_for, "bert", error=InputError)
    assert all(word in text for word in ("'static', 'MiniLM', 'mpnet'", "got 'bert'"))
    text = refusal(FOUND.matrix, "mrr", error=InputError)
    assert all(word in text for word in ("measure", "'cosine', 'neighbors', 'agreement'", "got 'mrr'"))


def test_a_head_that_fails_does_so_before_the_fits(monkeypatch: pytest.MonkeyPatch, refusal):
    """If it fails, the user waits for a fit to learn that the head reads other vectors."""
    monkeypatch.setattr("irp_hf.analysis.compatibility.select", lambda *_, **__: pytest.fail("a fit began"))
    spaces = {"x": np.eye(12, 4), "y": np.eye(12, 3)}
    text = refusal(compatibility, spaces, heads={"y": torch.nn.Linear(1, 2)}, error=InputError)
    assert "head" in text
    assert "3" in text
