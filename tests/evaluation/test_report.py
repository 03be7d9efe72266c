"""What a report says in a terminal, a card, a notebook and JSON; and that all of it was measured."""

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits

from irp_hf import IRPAdapter
from irp_hf.evaluation import CurvePoint, Evaluation, Measure, Reliability, Row
from irp_hf.evaluation.chosen import Setting
from irp_hf.evaluation.costs import Cost
from irp_hf.evaluation.make_report import build_report
from irp_hf.evaluation.printed import WIDTH
from irp_hf.evaluation.report import Report, Shared
from irp_hf.maths.folds import NUM_FOLDS
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.selection import select


def evaluation(cosine: float, neighbors: float, num_rows: int = 1000, agreement: float | None = None) -> Evaluation:
    def measure(mean: float) -> Measure:
        return Measure(mean, mean - 0.012, mean + 0.012)

    said = None if agreement is None else measure(agreement)
    among = num_rows // 10 if num_rows == 1000 else None  # the first table's are by folds
    return Evaluation(measure(cosine), measure(neighbors), measure(0.5), num_rows, said, mrr_among=among)


def report(agreement: float | None = None) -> Report:
    """A report by hand."""
    return Report(
        num_anchors=1000,
        source_width=384,
        target_width=768,
        objective="cosine",
        chosen="kernel",
        score=0.5531,
        finalists=(
            Setting("gamma=2, ridge=0.01, restoration=0", 0.561),
            Setting("gamma=4, ridge=0.01, restoration=0", 0.5604),
        ),
        rows=(
            Row(
                "kernel",
                "gamma=2, ridge=0.01, restoration=0.5",
                evaluation(0.552, 0.346, agreement=agreement),
                Cost(1152000, 12.34, 4613120),
            ),
            Row(
                "pruned (paper)",
                "pruning_threshold=0.8, num_subspaces=8, restoration=0",
                evaluation(0.42, 0.2, agreement=agreement),
                Cost(294912, 2.5, 1184256),
            ),
            Row("Procrustes", "", evaluation(-0.05, 0.31, agreement=agreement), Cost(294912, 2.4, 1184256)),
        ),
        learning_curve=tuple(
            CurvePoint(size, evaluation(mean, mean / 2, 200, agreement))
            for size, mean in ((200, 0.40), (400, 0.46), (800, 0.50))
        ),
        reliability=Reliability((0.4, 0.5, 0.6), (0.45, 0.5, 0.58)),
    )


def test_a_report_prints_as_a_table():
    """The text is what users read first: marks, alignment, intervals, conclusions."""
    assert str(report()) == (
        "1,000 parallel anchors, 384 → 768 wide. Every anchor was translated by a fit on the other 9 of 10\n"
        "folds; for MRR it is sought in its own fold, which that fit never had; ± is half the 95 % interval.\n"
        "\n"
        "                                neighbours         MRR\n"
        "  method               cosine  among 1,000   among 100  mult-adds  µs/vector     size\n"
        "▸ kernel           .552 ±.012   .346 ±.012  .500 ±.012     1.15 M      12.34  4.61 MB\n"
        "  pruned (paper)   .420 ±.012   .200 ±.012  .500 ±.012      295 k       2.50  1.18 MB\n"
        "  Procrustes      -.050 ±.012   .310 ±.012  .500 ±.012      295 k       2.40  1.18 MB\n"
        "\n"
        "Settings: kernel gamma=2, ridge=0.01, restoration=0.5; pruned (paper) pruning_threshold=0.8,\n"
        "num_subspaces=8, restoration=0.\n"
        "\n"
        "Chosen by cosine: kernel, .553 by leave-one-out. How flat its optimum is: in tuning, by the cosine\n"
        "about the mean and with nothing restored yet, gamma=2, ridge=0.01, restoration=0 had .561, and the\n"
        "best of the others, gamma=4, ridge=0.01, restoration=0, .560.\n"
        "\n"
        "                       neighbours         MRR\n"
        "  anchors      cosine   among 200   among 200\n"
        "  200      .400 ±.012  .200 ±.012  .500 ±.012\n"
        "  400      .460 ±.012  .230 ±.012  .500 ±.012\n"
        "  800      .500 ±.012  .250 ±.012  .500 ±.012\n"
        "\n"
        "The last doubling of the anchors, read off this curve, brought +.040 cosine and +.020 neighbours\n"
        "among 200: more of them should still help. Each line is a fit of its own, tested on the same 200\n"
        "held-out anchors, which alone are searched, so that more is kept than the first table shows. A\n"
        "larger index keeps fewer: report(index_size=) says how many.\n"
        "\n"
        "Expected cosine .500 on average, true .510."
    )


def test_rows_that_do_not_belong_together_are_named():
    """If it fails, anchors in another order, the commonest mistake, look like encoders that are hard to translate."""
    said = "The two sides look unrelated: about the mean, the cosine is "
    assert said not in str(report())
    random = np.random.RandomState(0)
    source = random.randn(120, 6)
    adapter = IRPAdapter.from_anchors(source, random.permutation(np.tanh(source)) + 9, method="kernel")
    shuffled = " ".join(str(adapter.report(progress=False, baselines=[])).split())
    assert said in shuffled
    assert "Check that row i of both is the same item." in shuffled


SEARCH = re.compile(r"neighbours|MRR(?! it is sought)")


def test_a_figure_of_a_search_names_its_pool():
    """Somebody with 5,871 documents would read what 300 rows give as what the index gives: .457, where it is .289."""
    found = replace(report(), objective="neighbors")
    assert "Chosen by neighbours among 1,000: kernel, .553" in str(found)
    for text in (found.to_markdown(), " ".join(found._repr_html_().split())):
        places = list(SEARCH.finditer(text))
        assert len(places) == 6
        assert all(re.match(r" among (1,000|100|200)\b", text[place.end() :]) for place in places)
    methods, curve, _ = found.plot().axes
    for axes, pool in ((methods, "1,000"), (curve, "200")):
        (said,) = (text.get_text() for text in axes.texts if "neighbours" in text.get_text())
        assert said.split()[1:3] == ["among", pool]


def test_a_search_among_rows_that_fits_had_is_not_shown():
    """A report made before folds were searched by themselves would set methods in an order that later rows do not have."""
    old = replace(
        report(), rows=tuple(replace(row, evaluation=replace(row.evaluation, mrr_among=None)) for row in report().rows)
    )
    head, curve = (table[0] for table in old.tables())
    assert not any("MRR" in title for title in head)
    assert "MRR among 200" in curve
    assert "for MRR" not in str(old)
    assert "MRR among 100" in report().tables()[0][0]


def test_the_widest_table_fits_the_terminal():
    """Lines would wrap and the columns fall apart."""
    assert all(len(line) <= WIDTH for line in str(report(agreement=1.0)).splitlines())
    assert "1.000 ±.012" in str(report(agreement=1.0))


def test_what_is_not_known_is_not_said():
    """A report without curve, reliability or runner-up would break or print empty headings."""
    bare = replace(report(), learning_curve=(), reliability=None, finalists=(Setting("gamma=2", 0.5),))
    for text in (str(bare), bare.to_markdown(), bare._repr_html_()):
        assert "best of the others" not in text
        assert "anchors brought" not in text
        assert "Expected" not in text


@pytest.mark.parametrize(
    ("anchors", "folds"), [(3, "the other 2 of 3 folds"), (2, "the other of 2 folds"), (40, "9 of 10")]
)
def test_it_says_how_many_folds_there_were(anchors: int, folds: str):
    """Of three anchors, it would speak of ten folds."""
    assert folds in replace(report(), num_anchors=anchors).caption()
    grouped = Shared(given=1000, sources=anchors, targets=1000, groups=anchors, by="both")
    assert folds in replace(report(), shared=grouped).caption()
    pairs = Pairs(torch.randn(anchors, 4).double(), torch.randn(anchors, 3).double())
    assert f"of {len(pairs.folds(NUM_FOLDS, 0))} folds" in replace(report(), num_anchors=anchors).caption()


def test_markdown_tables_are_rectangular():
    """A model card would show pipes in place of a table."""
    text = replace(report(), chosen="a|b", rows=(replace(report().rows[0], method="a|b"),)).to_markdown()
    lines = [line for line in text.replace("\\|", "/").splitlines() if line.startswith("|")]
    assert [line.count("|") for line in lines] == [9] * 3 + [5] * 5
    assert "▸ a\\|b" in text


def test_html_is_well_formed_and_escaped():
    """A method's name or settings could inject markup into a notebook."""
    sly = replace(report(), rows=(replace(report().rows[0], settings="<script>&"), *report().rows[1:]))
    tree = ElementTree.fromstring(sly._repr_html_())
    assert [len(list(table.iter("tr"))) for table in tree.iter("table")] == [4, 4]
    assert "<script>&" in [cell.text for cell in tree.iter("small")]
    assert "script" not in {element.tag for element in tree.iter()}


def test_json_holds_every_number():
    """A card made from the dict would lack something that the table has."""
    plain = report().to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["rows"][0]["evaluation"]["cosine"] == {
        "mean": 0.552,
        "low": 0.54,
        "high": 0.5640000000000001,
    }
    assert plain["learning_curve"][-1]["num_anchors"] == 800
    assert plain["reliability"]["true"] == [0.45, 0.5, 0.58]


def test_equality_ignores_the_clock_alone():
    """Two reports on the same state would differ, or two on different states be equal."""
    first = report()
    slower = replace(first.rows[0], cost=replace(first.rows[0].cost, microseconds=99.0))
    larger = replace(first.rows[0], cost=replace(first.rows[0].cost, stored_bytes=1))
    assert replace(first, rows=(slower, *first.rows[1:])) == first
    assert replace(first, rows=(larger, *first.rows[1:])) != first


@pytest.fixture(scope="module")
def digits() -> Pairs:
    """Handwritten digits through two random nonlinear feature maps."""
    pixels = torch.tensor(load_digits().data[:300] / 16)
    generator = torch.Generator().manual_seed(0)

    def encode(width: int) -> torch.Tensor:
        first = torch.randn(64, 96, generator=generator, dtype=torch.float64) / 2
        second = torch.randn(96, width, generator=generator, dtype=torch.float64)
        return torch.tanh(pixels @ first) @ second

    return Pairs(encode(40), encode(56))


def build(pairs: Pairs) -> Report:
    chosen, *others = select(pairs)
    expected = torch.linspace(0.5, 1, len(pairs), dtype=torch.float64)
    return build_report(
        pairs,
        chosen,
        others,
        "cosine",
        labels=lambda y: y[:, :10].argmax(1),
        expected=expected,
        progress=False,
    )


@pytest.fixture(scope="module")
def built(digits: Pairs) -> Report:
    return build(digits)


def test_a_built_report_has_everything(built: Report):
    """A part of the report would be empty, or not measured."""
    assert [row.method for row in built.rows][-2:] == ["Procrustes", "ridge"]
    assert {row.method for row in built.rows} == {
        "kernel",
        "whitened",
        "rigid",
        "pruned (paper)",
        "Procrustes",
        "ridge",
    }
    for row in built.rows:
        assert row.evaluation.num_rows == 300
        assert len(row.evaluation.measures()) == 4
        assert min(row.cost.multiply_adds, row.cost.microseconds, row.cost.stored_bytes) > 0
        assert row.settings or row.method == "Procrustes"
    assert [point.num_anchors for point in built.learning_curve] == [37, 75, 150, 240]
    assert len(built.finalists) == 2
    assert any("Lower bounds at 90 % held for " in text for text in built.conclusions())
    assert built.reliability is not None
    assert len(built.reliability.true) == 300
    assert all(len(line) <= WIDTH for line in str(built).splitlines())


def test_the_kernel_beats_procrustes_between_nonlinear_encoders(built: Report):
    """Something would be wrong with the method, or with how it is evaluated."""
    cosines = {row.method: row.evaluation.cosine for row in built.rows}
    assert built.chosen == "kernel"
    assert cosines["kernel"].low > cosines["Procrustes"].high
    assert built.score == pytest.approx(cosines["kernel"].mean, abs=0.01)


def test_more_anchors_translate_better(built: Report):
    """The learning curve would not measure the number of anchors."""
    means = [point.evaluation.cosine.mean for point in built.learning_curve]
    assert means == sorted(means)
    assert built.doubling()["cosine"] > 0


@pytest.mark.slow
def test_a_report_of_few_anchors_is_the_same_again(digits: Pairs, tmp_path: Path):
    """Who loads an adapter would read other numbers than who saved it."""
    few = digits.take(torch.arange(60))
    save_file({"source": few.source, "target": few.target}, tmp_path / "pairs.safetensors")
    assert build(Pairs(**load_file(tmp_path / "pairs.safetensors"))) == build(few)


@pytest.mark.slow
def test_progress_stays_off_standard_output(digits: Pairs, capsys: pytest.CaptureFixture[str]):
    """A script that pipes its results would have a progress bar among them."""
    few = digits.take(torch.arange(60))
    build_report(few, *select(few, ("whitened",)), [], "cosine")
    assert capsys.readouterr().out == ""
