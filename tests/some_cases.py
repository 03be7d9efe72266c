"""Runs take some cases of each test that has many, others every day; `make test-all` takes all.

Two of three tests are cases of a few hundred: every kind of head, file, number or error. An everyday run has two of each, what
is to land eight. A case that fails is seen within days.
"""

from __future__ import annotations

import datetime
import hashlib
from collections import defaultdict

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--cases 3`, and `--cases-of DAY` for those of a day."""
    group = parser.getgroup("cases")
    group.addoption("--cases", type=int, metavar="N", help="of a test with many cases, run N; others each day")
    group.addoption("--cases-of", metavar="DAY", help="the day, YYYY-MM-DD; today by default")


def pytest_configure(config: pytest.Config) -> None:
    """The day is fixed once, for all processes: they may begin before midnight and end after it."""
    if config.option.cases is not None and config.option.cases_of is None:
        config.option.cases_of = datetime.date.today().isoformat()


def pytest_report_header(config: pytest.Config) -> str | None:
    """How to have the same cases again."""
    if config.option.cases is None:
        return None
    return f"cases: {config.option.cases} of each test, those of {config.option.cases_of} (--cases-of)"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out all but some cases of each test, after marks and names have chosen; a test that is named runs whole."""
    most = config.option.cases
    if most is None or any("::" in argument for argument in config.args):
        return
    tests: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        tests[item.nodeid.partition("[")[0]].append(item)
    kept = {item for cases in tests.values() for item in sorted(cases, key=lambda item: _drawn(item, config))[:most]}
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


def _drawn(item: pytest.Item, config: pytest.Config) -> bytes:
    return hashlib.sha256(f"{config.option.cases_of} {item.nodeid}".encode()).digest()
