"""What a learning curve says of more anchors."""

from dataclasses import replace

import pytest
from evaluation.test_report import evaluation, report

from irp_hf.evaluation import CurvePoint


def test_the_last_doubling_is_read_off_the_curve():
    """ "How many anchors do I need?" would be answered from points that are no doubling apart."""
    points = [(100, 0.1), (200, 0.2), (400, 0.3), (640, 0.3 + 0.1 * 0.678071905)]
    curve = tuple(CurvePoint(size, evaluation(mean, mean)) for size, mean in points)  # +.1 per doubling
    found = replace(report(), learning_curve=curve)
    assert found.doubling()["cosine"] == pytest.approx(0.1)
    assert replace(found, learning_curve=curve[:2]).doubling()["cosine"] == pytest.approx(0.1)
    assert replace(found, learning_curve=curve[2:]).doubling() == {}
    flat = tuple(CurvePoint(size, evaluation(0.5, 0.5)) for size in (100, 200))
    assert "more of them would add little" in replace(found, learning_curve=flat).to_markdown()


def test_what_more_anchors_do_is_said_of_each_measure():
    """ "+.035 cosine and -.000 neighbours: more of them should still help" contradicts itself, and leaves the head out."""

    def said(cosine: float, neighbors: float, agreement: float) -> str:
        last = evaluation(0.4 + cosine, 0.3 + neighbors, 200, 0.5 + agreement)
        curve = (CurvePoint(200, evaluation(0.4, 0.3, 200, 0.5)), CurvePoint(400, last))
        return " ".join(str(replace(report(agreement=0.5), learning_curve=curve)).split())

    mixed = said(0.035, -0.0004, 0.02)
    assert "+.035 cosine, +.000 neighbours among 200 and +.020 agreement: more of them should still help" in mixed
    assert "should still help the cosine and the agreement but would add little to the neighbours. Each" in mixed
    assert "more of them should still help. Each" in said(0.03, 0.02, 0.02)
    assert "more of them would add little. Each" in said(0.003, 0.001, -0.002)
    assert "would add little to the cosine and the neighbours but would cost the agreement. Each" in said(0, 0, -0.03)


def test_what_may_be_chance_is_not_promised():
    """ "+.030: more of them should still help" stood beside intervals of ±.050, and hundreds of anchors were encoded for it."""

    def said(cosine: float, neighbors: float) -> str:
        last = evaluation(0.4 + cosine, 0.3 + neighbors, 200)
        curve = (CurvePoint(200, evaluation(0.4, 0.3, 200)), CurvePoint(400, last))
        return " ".join(str(replace(report(), learning_curve=curve)).split())

    assert "more of them should still help. Each" in said(0.018, 0.018)  # each point has ±.012
    assert "more of them may still help (within the intervals). Each" in said(0.016, 0.016)
    assert "may still help (within the intervals) the" not in said(0.016, 0.016)
    assert "more of them may cost some of each (within the intervals). Each" in said(-0.016, -0.016)
    assert "would cost some of each. Each" in said(-0.018, -0.018)
    assert "should still help the cosine but may still help the neighbours (within the intervals). Each" in said(
        0.03, 0.016
    )
    assert "more of them would add little. Each" in said(0.009, 0.009)
