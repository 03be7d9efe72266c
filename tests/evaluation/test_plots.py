"""The picture of a report."""

from dataclasses import replace
from pathlib import Path

import pytest
from absent import without
from evaluation.test_report import report
from matplotlib import pyplot
from PIL import Image

from irp_hf.errors import InputError, MissingDependencyError
from irp_hf.evaluation.plots import STYLE, draw


def test_the_picture_has_three_panels_of_a_readable_size(tmp_path: Path):
    """A README would show a blank, tiny or enormous picture."""
    figure = report().plot(tmp_path / "report.png")
    assert len(figure.axes) == 3
    picture = Image.open(tmp_path / "report.png")
    assert 2000 < picture.width < 3200
    assert 600 < picture.height < 1000
    assert 10_000 < (tmp_path / "report.png").stat().st_size < 500_000
    assert len(picture.convert("RGB").getcolors(1_000_000)) > 50


def test_a_panel_without_data_is_left_out():
    """There would be empty axes, or an error, for few anchors or no confidence."""
    assert len(replace(report(), reliability=None).plot().axes) == 2
    assert len(replace(report(), reliability=None, learning_curve=()).plot().axes) == 1


def test_every_number_of_the_first_panel_is_the_measured_one():
    """Dots and labels would belong to other rows than those named."""
    axes = report().plot().axes[0]
    said = [text.get_text() for text in axes.texts]
    for number in ("cosine .552", "neighbours among 1,000 .346", ".420", ".200", "-.050", ".310"):
        assert number in said
    names = {tick: label.get_text() for tick, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)}
    assert names == {2: "kernel", 1: "pruned (paper)", 0: "Procrustes"}


def test_texts_do_not_overlap():
    """Labels would be unreadable where two values are close."""
    rows = report().rows
    same = tuple(replace(r, evaluation=replace(r.evaluation, neighbors=r.evaluation.cosine)) for r in rows)
    alike = tuple(
        replace(point, evaluation=replace(point.evaluation, neighbors=point.evaluation.cosine))
        for point in report().learning_curve
    )
    close = replace(report(), rows=same, learning_curve=alike)
    figure = close.plot()
    figure.canvas.draw()
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
        assert not [1 for i, box in enumerate(boxes) for other in boxes[:i] if box.overlaps(other)]


def test_plotting_touches_no_global_state():
    """A user's style or open figures would change, or a figure would pile up with every report."""
    before = {key: pyplot.rcParams[key] for key in STYLE}
    report().plot()
    assert {key: pyplot.rcParams[key] for key in STYLE} == before
    assert pyplot.get_fignums() == []


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    """A bare ImportError would not say what to install."""
    without("matplotlib", monkeypatch)
    with pytest.raises(MissingDependencyError) as caught:
        report().plot()
    assert "matplotlib" in str(caught.value)
    assert str(caught.value).endswith("pip install 'irp_hf[plots]'")


@pytest.mark.slow
def test_a_link_is_followed(tmp_path: Path):
    """If it fails, a picture that a user keeps on a large disk lands on the small one, and the link is gone."""
    (tmp_path / "large").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "large" / "picture.png")
    for _ in ("not yet there", "there"):
        report().plot(tmp_path / "link.png")
        assert (tmp_path / "link.png").is_symlink()
        assert (tmp_path / "large" / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_no_path_is_refused(refusal):
    """A raw TypeError of matplotlib's would say nothing of what to do."""
    assert "got 3" in refusal(draw, [lambda axes: None], 3, what="a figure", error=InputError)


@pytest.mark.parametrize("name", ["no-folder/x.png", "x.quux"])
def test_a_picture_that_cannot_be_saved_is_refused(refusal, tmp_path, name):
    """An error of matplotlib's, or of the system's, would say nothing of what to do."""
    path = tmp_path / name
    text = refusal(draw, [lambda axes: None], path, what="a figure", error=InputError)
    assert "a figure" in text
    assert repr(str(path)) in text
    assert ".png" in text
    assert not path.exists()


def test_a_folder_is_no_place_for_a_picture(refusal, tmp_path):
    """It would lie beside the folder, under a name that nobody chose."""
    for folder in (tmp_path / "figures", tmp_path / "figures.png"):
        folder.mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "figures")
    for name in ("figures", "figures.png", "link", "not there/"):
        path = f"{tmp_path}/{name}"
        text = refusal(draw, [lambda axes: None], path, what="a report", error=InputError)
        assert "a report: expected a file" in text
        assert repr(path) in text
    assert sorted(item.name for item in tmp_path.rglob("*")) == ["figures", "figures.png", "link"]
