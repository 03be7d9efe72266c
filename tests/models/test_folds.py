"""`folds="clusters"` from a fit to its card: kept, said, and refused where it has no part."""

import json
from pathlib import Path

import pytest
import torch
from many_pairs import sample

from irp_hf import AnchoredSpace, IRPAdapter, IRPConfig
from irp_hf.errors import InputError
from irp_hf.models.cards import choice


def anchors(k: int = 80) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    centres = torch.randn(8, 10, generator=random)
    x = centres[torch.arange(k) % 8] + 0.4 * torch.randn(k, 10, generator=random)
    return x, torch.tanh(x @ torch.randn(10, 6, generator=random))


def test_it_is_kept_and_said(tmp_path: Path):
    """Nobody could tell later by what the settings were chosen, or make the report again."""
    x, y = anchors()
    adapter = IRPAdapter.from_anchors(x, y, folds="clusters")
    adapter.save_pretrained(tmp_path)
    again = IRPAdapter.from_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["folds"] == "clusters"
    assert again.config.folds == "clusters"
    assert not again.config.given
    assert torch.equal(again.translate(x), adapter.translate(x))
    assert "clusters of anchors that were left out whole" in choice(adapter.config)
    reports = [one.report(progress=False, baselines=[]).untimed() for one in (adapter, again)]
    assert reports[0] == reports[1]
    assert reports[0].folds == "clusters"
    assert f"on clusters of anchors that were left out whole, as below: {reports[0].chosen}" in " ".join(
        str(reports[0]).split()
    )
    assert reports[0].unlike is not None
    best = max(reports[0].unlike.rows, key=lambda row: row.evaluation.cosine.mean)
    ours = next(row for row in reports[0].unlike.rows if row.method == reports[0].chosen)
    assert ours.evaluation.cosine.mean >= best.evaluation.cosine.mean - 1e-9


def test_spaces_are_connected_by_it_too():
    """An option of one way to make an adapter would be missing in the other."""
    x, y = anchors()
    source, target = AnchoredSpace.from_embeddings(x), AnchoredSpace.from_embeddings(y)
    one = IRPAdapter.connect(source, target, folds="clusters", method="whitened")
    other = IRPAdapter.from_anchors(x, y, folds="clusters", method="whitened")
    assert one.config.folds == "clusters"
    assert torch.equal(one.translate(x), other.translate(x))
    assert one.reverse(folds="clusters", method="whitened").config.folds == "clusters"


def test_rows_leave_no_trace(tmp_path: Path):
    """What was saved before would not be what is saved now."""
    x, y = anchors()
    plain, rows = (IRPAdapter.from_anchors(x, y, method="kernel", **asked) for asked in ({}, {"folds": "rows"}))
    assert plain.config.to_dict() == rows.config.to_dict()
    assert "folds" not in plain.config.to_dict()


def test_where_it_has_no_part_it_is_refused():
    """An option that does nothing would be believed."""
    x, y = anchors()
    with pytest.raises(InputError, match="folds"):
        AnchoredSpace.from_embeddings(x).to_relative(x, folds="clusters")  # type: ignore[call-arg]
    for wrong in ("cluster", "", 5, ["clusters"]):
        with pytest.raises(InputError, match="folds"):
            IRPAdapter.from_anchors(x, y, folds=wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="'rows', for sums over many pairs"):
        IRPAdapter.from_anchors(*sample(6100), folds="clusters")
    with pytest.raises(InputError, match="folds"):
        IRPConfig(folds="luck")
