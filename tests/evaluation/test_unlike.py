"""What a report says of inputs unlike the anchors: figures of fits that never saw a cluster, and the words beside them."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from evaluation.test_report import report
from synthetic_pairs import pairs

from irp_hf import IRPAdapter
from irp_hf.errors import InputError
from irp_hf.evaluation.held_out import evaluate
from irp_hf.evaluation.make_report import build_report
from irp_hf.evaluation.report import Report
from irp_hf.evaluation.unlike import Kept, Unlike
from irp_hf.maths.clusters import clusters_of
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.request import Given
from irp_hf.maths.selection import select


def labels(y: torch.Tensor) -> torch.Tensor:
    return (y[:, 0] > 0).long()


def test_figures_are_those_of_fits_without_the_cluster():
    """A report would promise for new inputs what only rows like the anchors keep."""
    found, _ = pairs(0, 80, 9, 5)
    fixed = {"gamma": 1.0, "ridge": 1e-2, "lift": 0.0, "restoration": 0.0, "rigid": 0.5}
    choice = select(found, ("kernel",), given=Given(**fixed))[0]
    said = build_report(found, choice, [], "cosine", labels, fits={}).unlike
    clusters = clusters_of(found, 0)
    translated = torch.empty_like(found.target)
    for cluster in clusters:
        rest = found.without(cluster)
        fit = IRPAdapter.from_anchors(rest.source, rest.target, "kernel", **fixed)
        translated[cluster] = fit.translate(found.source[cluster]).double()
    expected = evaluate(translated, found.target, labels, folds=clusters)
    assert said is not None
    assert said.sizes == tuple(map(len, clusters))
    (row,) = said.rows
    assert row.method == "kernel"
    for name, measure in expected.measures().items():
        assert row.evaluation.measures()[name].mean == pytest.approx(measure.mean, abs=1e-5), name
    assert row.evaluation.agreement is not None


@pytest.mark.slow
def test_a_report_tells_of_all_its_methods_and_prints_them():
    """Who translates another domain would not see that a rotation keeps more of it."""
    random = torch.Generator().manual_seed(0)
    centres = 4 * torch.randn(10, 12, generator=random)
    x = centres.repeat_interleave(20, 0) + torch.randn(200, 12, generator=random)
    y = x @ torch.linalg.qr(torch.randn(12, 12, generator=random)).Q
    adapter = IRPAdapter.from_anchors(x, y, method="kernel", gamma=16.0, ridge=1e-3)
    found = adapter.report(progress=False)
    assert found.unlike is not None
    assert [row.method for row in found.unlike.rows] == [row.method for row in found.rows]
    kept = {row.method: row.evaluation.cosine.mean for row in found.unlike.rows}
    assert kept["Procrustes"] == pytest.approx(1.0, abs=1e-6)
    assert kept["kernel"] < 0.9 * found.rows[0].evaluation.cosine.mean
    text = " ".join(str(found).split())
    assert "clusters of the anchors by their sources" in text
    assert "keeps more there, 1.000, beyond the intervals" in text
    assert found.unlike.table("kernel") in found.tables()
    again = Report.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again == found
    assert str(again) == str(found)


def test_too_few_anchors_have_no_such_figures():
    """Two or three rows left out tell nothing of another domain."""
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    found = IRPAdapter.from_anchors(x, x[:, :3], method="kernel").report(progress=False)
    assert found.unlike is None
    assert "unlike" not in str(found)


def by_hand() -> Report:
    first = report()
    rows = tuple(Kept(row.method, replace(row.evaluation, mrr_among=100)) for row in first.rows)
    return replace(first, unlike=Unlike((600, 400), rows))


WRONG: dict[str, tuple[str, Any]] = {
    "sum": ("sizes", [600, 300]),
    "one": ("sizes", [1000]),
    "rising": ("sizes", [400, 600]),
    "none": ("sizes", []),
    "empty": ("sizes", [1000, 0]),
    "methods": ("rows", []),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_true_is_refused(case: str):
    """A report of other anchors would be read as this one's."""
    plain = by_hand().to_dict()
    assert Report.from_dict(plain).unlike is not None
    name, value = WRONG[case]
    plain["unlike"][name] = value
    with pytest.raises(InputError, match="unlike"):
        Report.from_dict(plain)


def test_rows_that_share_a_target_are_left_out_together():
    """The held-out target would have been seen."""
    found, _ = pairs(1, 60, 6, 4)
    twice = Pairs(torch.cat([found.source, found.source + 3]), torch.cat([found.target, found.target]))
    for cluster in clusters_of(twice, 0):
        assert {*(cluster % 60).tolist()} == {*cluster[cluster < 60].tolist()}
