"""The cards in model_cards/ are those that the code writes, and what they say of the demo's adapter comes out again."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDERS = sorted(path.parent for path in (ROOT / "model_cards").glob("*/report.json"))


@pytest.fixture
def cards(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import cards

    return cards


def test_there_are_cards(cards):
    """The other tests would pass where there are none."""
    assert [folder.name for folder in FOLDERS] == sorted(cards.ADAPTERS)
    assert all((folder / "report.png").read_bytes().startswith(b"\x89PNG") for folder in FOLDERS)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_card_is_current(cards, folder):
    """Cards would show what an older version said."""
    assert (folder / "README.md").read_text("utf-8") == cards.text(folder), "Run: make cards"


@pytest.mark.slow
def test_the_figures_come_out_again(cards):
    """A card would promise what the code no longer gives."""
    from irp_hf import IRPAdapter

    source, target, head = cards.questions(cards.STATIC, cards.MINILM)
    folder = ROOT / "model_cards" / "static-to-minilm"
    promised = json.loads((folder / "report.json").read_text("utf-8"))
    adapter = IRPAdapter.connect(source, target)
    assert adapter.config.method == json.loads((folder / "config.json").read_text("utf-8"))["method"]
    measured = adapter.report(head=head).to_dict()
    for before, after in zip(promised["rows"], measured["rows"], strict=True):
        assert before["method"] == after["method"]
        for name in ("cosine", "neighbors", "agreement"):
            assert after["evaluation"][name]["mean"] == pytest.approx(before["evaluation"][name]["mean"], abs=0.01)
