"""The errors that irp_hf raises on purpose: one sentence on what was wrong, one on what to do."""

from __future__ import annotations


class IRPError(Exception):
    """The root of every error that irp_hf raises on purpose."""


class InputError(IRPError, ValueError):
    """Numbers, items or options that cannot be used as given."""


class AnchorMismatchError(IRPError, ValueError):
    """Two sides that should hold the same anchors in the same order hold different ones."""


class DamagedFolderError(IRPError, OSError):
    """A saved folder that is incomplete, altered or not ours."""


class HubError(IRPError, OSError):
    """The Hub refused, lacks what was asked for, or cannot be reached."""


class MissingDependencyError(IRPError, ImportError):
    """An optional package that is needed here is not installed."""


class HeadCutError(IRPError, ValueError):
    """A classification model that cannot be cut at the input of its head."""
