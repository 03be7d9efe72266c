"""What strangers write reaches no terminal, card, notebook or picture as anything but text."""

import io
import json
from dataclasses import replace

import pytest
from evaluation.test_report import report
from hypothesis import given, settings
from hypothesis import strategies as st

from irp_hf import AnchoredSpace, AnchorSet
from irp_hf.data.progress import progress_bar
from irp_hf.errors import LONGEST, LONGEST_PART, InputError, first_line, printable, refusal, shown
from irp_hf.evaluation.report import Report
from irp_hf.models.finding import FoundSpace
from irp_hf.records import EncoderRecord

CODES = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\n\u202egnp.exe\u200b\u2028\ud800"
HTML = "<script>alert(1)</script><img src=x onerror=alert(2)>"
MARKDOWN = "![x](https://evil.example/x.png) [y](javascript:z) `code` | cell\n\n# Title\n<!-- -->"
FORMULA = r"$\frac{1}{0}$ $x^{y^{z}}$ $\unknown"


def harmless(text):
    """Nothing that a terminal obeys but the ends of its lines."""
    return all(line.isprintable() for line in text.split("\n")) and "\x1b" not in text


@settings(deadline=None, derandomize=True)
@given(st.text(), st.integers(3, 50))
def test_printable_text_stays_and_all_else_is_escaped(text, longest):
    """A name would move the cursor, or flood the screen."""
    made = printable(text, longest)
    assert made.isprintable()
    assert len(made) <= longest
    if text.isprintable() and len(text) <= longest:
        assert made == text


def test_errors_are_harmless_and_short():
    """A stranger's id, path or message stands in most of them."""
    error = refusal(f"subject {CODES}", f"a {CODES}", CODES * 10_000, f"Do {CODES}.")
    assert str(error).isprintable()
    assert len(str(error)) < 4 * LONGEST_PART
    assert first_line(ValueError(CODES)).isprintable()
    assert first_line(ValueError("\x1b[2J" * 1000)).isprintable()
    assert shown("x" * 10_000_000).count("x") <= LONGEST


def test_names_that_are_shown(capsys):
    """An encoder's id, a view or a bar's name would reach the terminal with its codes."""
    for name in (CODES[:-1], HTML):  # half a character is refused
        assert harmless(EncoderRecord.of(id=name).name)
    space = AnchoredSpace.from_embeddings([[1.0, 2.0], [3.0, 5.0]], encoder=CODES[:-1])
    anchors = AnchorSet({CODES[:-1]: ["a", "b"]})
    found = FoundSpace(CODES, CODES, CODES, False, 1)
    for thing in (space, anchors, found):
        assert harmless(repr(thing))
    list(progress_bar(f"Encoding by {CODES}", True, [1, 2]))
    err = capsys.readouterr().err
    assert "owned" in err
    assert "\x1b]0" not in err
    assert "\u202e" not in err


@pytest.fixture
def tampered():
    """A report whose texts somebody changed."""

    def make(text):
        plain = json.loads(json.dumps(report().to_dict()))
        plain["chosen"] = plain["rows"][0]["method"] = text
        plain["rows"][1]["settings"] = plain["finalists"][0]["words"] = text
        return Report.from_dict(plain)

    return make


@pytest.mark.parametrize("text", [CODES[:-1], HTML, MARKDOWN, FORMULA], ids=["codes", "html", "markdown", "formula"])
def test_a_tampered_report(tampered, text):
    """Whoever edits report.json could put a script into a card, a notebook or a picture of somebody else's."""
    found = tampered(text)
    assert harmless(str(found))
    for shape in (found.to_markdown(), found._repr_html_()):
        assert harmless(shape)
        assert "<script" not in shape.replace("\\<", "")
        assert "<img" not in shape.replace("\\<", "")
        assert "<!--" not in shape.replace("\\<", "")
    lines = found.to_markdown().split("\n")
    assert not any(line.startswith("# ") for line in lines)
    assert "](https" not in found.to_markdown().replace("\\]", "")
    header = next(line for line in lines if line.startswith("| method"))
    bars = header.count("|")
    rows = [line for line in lines if line.startswith("| ") and line.replace("\\|", "").count("|") == bars]
    assert len(rows) == 2 + len(found.rows)  # the header and the rule besides


def test_a_tampered_report_as_a_picture(tampered):
    """A name between dollars is a formula for matplotlib, and a wrong one an error of its parser."""
    for text in (FORMULA, CODES[:-1]):
        assert tampered(text).plot(io.BytesIO()).axes


def test_texts_of_a_report_are_short(refusal):
    """Megabytes in a name would stand in every card."""
    plain = report().to_dict()
    plain["chosen"] = plain["rows"][0]["method"] = "x" * 1_001
    assert "at most 1,000 characters" in refusal(Report.from_dict, plain, error=InputError)


def test_our_own_names_stay_readable():
    """Escaping would make the source of every card unreadable."""
    text = replace(report(), finalists=report().finalists[:1]).to_markdown()
    assert "\\" not in text
