"""Doing nothing beside what can be done: whose words follow from whose figures."""

from __future__ import annotations

import pytest

from irp_hf.evaluation.intervals import Measure
from irp_hf.evaluation.ways import IndexShare, verdicts, ways_table


def measure(mean: float, width: float = 0.02) -> Measure:
    return Measure(mean, mean - width, mean + width)


def share(nothing: float, moved: float, asked: float, mixed: float, width: float = 0.02) -> IndexShare:
    return IndexShare(5000, measure(0.5), *(measure(value, width) for value in (moved, nothing, asked, mixed)))


@pytest.mark.parametrize(
    ("nothing", "moved", "width", "said"),
    [
        (0.49, 0.56, 0.02, "moving it is worth it, until all is encoded anew"),
        (0.49, 0.56, 0.10, "moving it changes little"),
        (0.49, 0.40, 0.02, "keep it as it is"),
        (0.49, 0.40, 0.10, "moving it changes little"),
        (0.49, 0.49, 0.00, "moving it changes little"),
        (0.001, 0.036, 0.001, "neither serves: encode all anew"),
        (0.30, 0.50, 0.13, "cannot be told from so few anchors"),
    ],
)
def test_whether_to_move(nothing: float, moved: float, width: float, said: str):
    """If it fails, somebody moves an index for less than it had, or keeps one that would gain."""
    text = verdicts([share(nothing, moved, 0.3, 0.4, width)], 0.5)[0]
    assert said in text
    if "cannot be told" in text:
        return
    assert f"{nothing:.3f}"[1:] in text
    assert f"{moved:.3f}"[1:] in text


@pytest.mark.parametrize(
    ("nothing", "asked", "mixed", "weight", "width", "said"),
    [
        (0.40, 0.30, 0.50, 0.4, 0.02, "mix them where the old encoder is still there."),
        (0.40, 0.30, 0.41, 0.4, 0.02, "do not make it sure"),
        (0.40, 0.50, 0.45, 0.4, 0.02, "the old encoder can go."),
        (0.40, 0.41, 0.41, 1.0, 0.02, "leave open whether they find as much"),
        (0.40, 0.30, 0.40, 0.0, 0.02, "only where the old encoder is no longer there"),
        (0.40, 0.30, 0.35, 0.4, 0.02, "only where the old encoder is no longer there"),
        (0.001, 0.02, 0.01, 0.4, 0.001, "none of them serves: encode all anew"),
    ],
)
def test_how_to_ask(nothing: float, asked: float, mixed: float, weight: float, width: float, said: str):
    """If it fails, an encoder that finds more is retired for one that finds less."""
    assert said in verdicts([share(nothing, 0.5, asked, mixed, width)], weight)[1]


def test_a_report_that_is_older_says_nothing():
    """If it fails, a card from before cannot be read, or a verdict rests on nothing."""
    older = IndexShare(5000, measure(0.5), measure(0.4))
    assert (ways_table([older], None), verdicts([older], None)) == ([], [])


def test_every_way_and_size_is_shown():
    """If it fails, a figure stands beside a way that it is not of."""
    shares = [share(0.1, 0.2, 0.3, 0.4), share(0.5, 0.6, 0.7, 0.8)]
    (table,) = ways_table(shares, 0.3)
    assert table[0][1:] == ["5,000 rows"] * 2
    assert [row[1][:4] for row in table[1:]] == [".100", ".200", ".300", ".400", "1.00"]
    assert [row[2][:4] for row in table[1:]] == [".500", ".600", ".700", ".800", "1.00"]
    assert "0.3 translated" in table[4][0]
