"""What a report says of the choice of its method."""

from dataclasses import replace

from evaluation.test_report import evaluation, report

from irp_hf.evaluation.report import Report


def test_a_setting_that_scored_less_is_explained():
    """A reader sees that what was taken is worse than "the best of the others", and thinks of a mistake."""
    first, other = report().finalists
    assert "although" not in str(report())
    said = str(replace(report(), finalists=(first, replace(other, score=first.score + 0.004))))
    assert "although it had .004 less: of settings so near each other" in " ".join(said.split())
    paper = replace(report(), chosen="pruned (paper)", finalists=(first, replace(other, score=first.score + 0.004)))
    assert "tried on fewer folds" in " ".join(str(paper).split())


def with_cosines(kernel: float, paper: float, baseline: float) -> Report:
    found = report()
    cosines = {"kernel": kernel, "pruned (paper)": paper, "Procrustes": baseline}
    rows = (replace(row, evaluation=evaluation(cosines[row.method], 0.3)) for row in found.rows)
    return replace(found, rows=tuple(rows))


def test_a_method_that_the_table_shows_worse_is_explained():
    """The mark would stand beside a row that is worse than another, without a word on why."""

    def said(found: Report) -> str:
        return " ".join(str(found).split())

    assert "reaches" not in said(with_cosines(0.5, 0.5, 0.49))
    assert "By cosine, Procrustes reaches .510, kernel .500, within the intervals: it is shown for comparison" in said(
        with_cosines(0.5, 0.4, 0.51)
    )
    better = with_cosines(0.5, 0.6, 0.4)
    assert "By cosine, pruned (paper) reaches .600, kernel .500, beyond the intervals: it was chosen with" in said(
        better
    )
    assert "beyond the intervals: the method was given." in said(replace(better, method_given=True))
    kept = report()
    rows = (kept.rows[0], replace(kept.rows[1], evaluation=evaluation(0.42, 0.5)), kept.rows[2])
    text = "By neighbours among 1,000, pruned (paper) reaches .500, kernel .346, beyond the intervals: objective='neighbors'"
    assert text in said(replace(kept, rows=rows))
    assert text not in said(replace(kept, rows=rows, method_given=True))
