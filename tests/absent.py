"""A package that is not installed, for tests of what is said then."""

import builtins

import pytest


def without(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every import of it, or of a part of it, end as where it is not installed."""
    original = builtins.__import__

    def absent(name: str, *args: object, **options: object) -> object:
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return original(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", absent)
