"""One rule for when a progress bar shows."""

import io
import sys

import pytest
from says import says

from irp_hf.data.progress import check_progress, progress_bar
from irp_hf.errors import InputError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("progress", "terminal", "shown"),
    [(None, True, True), (None, False, False), (True, True, True), (True, False, True), (False, True, False)],
)
def test_when_a_bar_shows(monkeypatch, capsys, progress, terminal, shown):
    """A log file would fill with bars, or who asks for one would not see it; and standard output stays clean."""
    error = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", error)
    assert list(progress_bar("Working", progress, range(3))) == [0, 1, 2]
    with progress_bar("Working", progress, total=3) as bar:
        bar.update(3)
    assert ("Working" in error.getvalue()) is shown
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("wrong", ["no", 0, 1, []])
def test_what_is_no_answer(refusal, wrong):
    """A "no" would show a bar."""
    assert says(refusal(check_progress, wrong, error=InputError), "progress", repr(wrong))
    refusal(progress_bar, "Working", wrong, error=InputError)
