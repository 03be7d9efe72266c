"""Everyday runs take a few cases of each test; they must be the same in all processes, and others another day."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
TESTS = """
import pytest

@pytest.mark.parametrize("case", range(40))
def test_many(case):
    pass

@pytest.mark.parametrize("case", range(40))
@pytest.mark.slow
def test_slow(case):
    pass

def test_one():
    pass
"""


@pytest.fixture
def cases(pytester: pytest.Pytester) -> pytest.Pytester:
    hooks = Path(__file__).with_name("some_cases.py").read_text(encoding="utf-8")
    pytester.makeconftest(hooks)
    pytester.makeini("[pytest]\nmarkers = slow")
    pytester.makepyfile(test_it=TESTS)
    return pytester


def ran(pytester: pytest.Pytester, *options: str) -> list[str]:
    result = pytester.runpytest("-p", "no:cacheprovider", "-v", *options)
    return sorted({line.partition(" ")[0] for line in result.outlines if "PASSED" in line})


def test_a_few_of_each_day(cases: pytest.Pytester):
    """If it fails, cases are never run, or every day the same ones."""
    days = [ran(cases, "-m", "not slow", "--cases", "3", "--cases-of", f"2026-01-0{day}") for day in (1, 1, 2)]
    assert [len(day) for day in days] == [4, 4, 4]
    assert days[0] == days[1] != days[2]
    assert all("test_it.py::test_one" in day for day in days)


def test_a_whole_run_is_whole(cases: pytest.Pytester):
    """If it fails, what lands was not tested, or a test that somebody names is silently cut."""
    assert len(ran(cases)) == 81
    assert len(ran(cases, "--cases", "3", "test_it.py::test_many")) == 40
