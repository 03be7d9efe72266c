"""Whether pickle can carry what a user handed in: it finds functions and classes by their names, and some have none."""

from __future__ import annotations

import pickle
from typing import Any

from irp_hf.errors import IRPError, first_line, kind_of, refusal


class Nowhere:
    """A file that keeps nothing."""

    def write(self, data: Any) -> int:
        """Take it, and forget it."""
        return len(data)


def refuse_unpicklable(subject: str, value: Any) -> None:
    """Raise `InputError` for a value that pickle cannot carry: a lambda, a class that was made in a function, an open file."""
    try:
        pickle.Pickler(Nowhere(), pickle.HIGHEST_PROTOCOL).dump(value)
    except IRPError:
        raise
    except Exception as error:  # a user's own class may raise anything
        name = getattr(value, "__qualname__", None)
        got = f"{name} of {value.__module__}" if name else kind_of(value)
        advice = "Define functions and classes by their names at the top of a module, and hold no open file in them."
        raise refusal(subject, "what pickle can carry", f"{got} ({first_line(error)})", advice) from error
