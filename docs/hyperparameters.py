"""The table of hyper-parameters in `docs/inverses.md`, from the fields of the inverses: `make house` writes it."""

from __future__ import annotations

import re
from pathlib import Path

from irp_hf.maths.inverses import INVERSES
from irp_hf.maths.inverses.hyperparameters import Hyperparameter, hyperparameters_of
from irp_hf.maths.request import GENERAL, blending

PAGE = Path(__file__).resolve().parent / "inverses.md"
TABLE = re.compile(r"(<!-- make house -->\n).*?(<!-- end -->)", re.DOTALL)


def table() -> str:
    """A line for each hyper-parameter of each inverse, then what all of them take."""
    lines = ["| option | symbol | of | range | untuned | what it is |", "|---|---|---|---|---:|---|"]
    for method, inverse in INVERSES.items():
        lines += [_line(parameter, f'`"{method}"`') for parameter in hyperparameters_of(inverse).values()]
    owners = {"rigid": ", ".join(f'`"{method}"`' for method in blending()), "depth": '`objective="recall"`'}
    return "\n".join(lines + [_line(one, owners.get(name, "all")) for name, one in GENERAL.items()])


def _line(parameter: Hyperparameter, owner: str) -> str:
    default = "" if parameter.default is None else f"{parameter.default:g}"
    cells = (f"`{parameter.name}`", parameter.symbol, owner, parameter.range, default, parameter.meaning)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def page() -> str:
    """The page as the code is."""
    return TABLE.sub(lambda match: f"{match[1]}{table()}\n{match[2]}", PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.parent.name}/{PAGE.name} is as the code is.")
