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
from irp_hf.maths.selection import Method


@pytest.mark.parametrize("method", ["kernel", "whitened", "pruned"])
def test_a_cell_is_what_the_report_of_that_adapter_says(digits: Digits, method: Method):
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


def test_agreement_is_of_targets_that_have_a_head(digits: Digits):
    """If it fails, one space's head reads the vectors of another."""
    sides = {"pixels": digits.source, "features": digits.target}
    heads = {"features": torch.nn.Linear(24, 3)}
    found = compatibility(sides, method="whitened", heads=heads, progress=False)
    assert found.measures() == ["cosine", "neighbors", "agreement"]
    assert found.get("pixels", "features", "agreement").mean > 0.5
    assert found.get("features", "pixels", "agreement") is None
    assert found.best_source_for("features", "agreement") == "pixels"
    with pytest.raises(InputError) as caught:
        found.best_source_for("pixels", "agreement")
    assert str(caught.value) == "There is no agreement for 'pixels', which has no head. Give its head in heads=."


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
        "  neighbours      static      MiniLM       mpnet\n"
        "  static               –  .300 ±.020  .100 ±.020\n"
        "  MiniLM      .250 ±.020           –  .450 ±.020\n"
        "  mpnet       .275 ±.020  .350 ±.020           –\n\n"
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
    panels = FOUND.plot(tmp_path / "matrix.png").axes
    assert len(panels) == 3
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


def test_spaces_of_other_anchors_are_refused_by_name(digits: Digits):
    """If it fails, the user does not learn which of many spaces is the stranger."""
    same, other = (AnchorSet([f"{name} {row}" for row in range(len(digits.source))]) for name in "ab")
    sides = {
        "one": AnchoredSpace.from_embeddings(digits.source, same),
        "two": digits.target,
        "three": AnchoredSpace.from_embeddings(digits.target, other),
    }
    with pytest.raises(AnchorMismatchError) as caught:
        compatibility(sides)
    assert str(caught.value) == (
        f"Anchor sets differ: one {same.fingerprint[:8]}… (120 items), three {other.fingerprint[:8]}… (120 items). Both "
        "spaces must encode the same items in the same order; encode one of them again with the anchor set of the other."
    )


@pytest.mark.parametrize(
    ("spaces", "heads", "text"),
    [
        ({"x": 0}, None, "The spaces are 1; two or more by name are wanted. Give a dict from names to spaces."),
        ([0, 1], None, "The spaces are in a list; two or more by name are wanted. Give a dict from names to spaces."),
        (
            {"x": 0, "y": 0},
            {"z": torch.nn.Identity()},
            "There is a head for 'z', but the spaces are 'x', 'y'. Name it as its space.",
        ),
        (
            {"x": np.eye(9, 4), "y": np.eye(9, 3)},
            None,
            "x and y have 5 different anchors; at least 10 are wanted. Give more anchors.",
        ),
        (
            {"x": np.eye(9, 4), 7: np.eye(9, 3)},
            None,
            "A space is called 7; a string is wanted. Give it a name that can be printed.",
        ),
        (
            {"x": np.eye(9, 4), "y": np.eye(9, 3)},
            torch.nn.Linear(3, 2),
            "heads are a Linear; a dict from names of spaces to heads is wanted. Give one.",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_in_words(spaces: Any, heads: Any, text: str):
    """If it fails, the user reads a traceback from deep inside."""
    with pytest.raises(InputError) as caught:
        compatibility(spaces, heads=heads)
    assert str(caught.value) == text


def test_names_and_measures_that_do_not_exist_are_refused():
    """If it fails, a mistyped name gives an empty answer."""
    with pytest.raises(InputError) as caught:
        FOUND.best_source_for("bert")
    assert str(caught.value) == ("There is no space 'bert'; there are 'static', 'MiniLM', 'mpnet'. Name one of them.")
    with pytest.raises(InputError) as caught:
        FOUND.matrix("mrr")
    assert str(caught.value) == (
        "measure is 'mrr'; one of 'cosine', 'neighbors', 'agreement' is wanted. Choose one; 'agreement' wants heads."
    )


def test_a_head_that_fails_does_so_before_the_fits(monkeypatch: pytest.MonkeyPatch, refusal):
    """If it fails, the user waits for a fit to learn that the head reads other vectors."""
    monkeypatch.setattr("irp_hf.analysis.compatibility.select", lambda *_, **__: pytest.fail("a fit began"))
    spaces = {"x": np.eye(12, 4), "y": np.eye(12, 3)}
    words = refusal(compatibility, spaces, heads={"y": torch.nn.Linear(1, 2)})
    assert words.startswith("head failed on vectors of shape (12, 3): ")
