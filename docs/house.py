"""Draw the house: `make house` writes the picture and the table of `docs/house.md` from the code and its import contracts."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import grimp
import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.patches import FancyBboxPatch

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "irp_hf"
PAGE, PICTURE = ROOT / "docs" / "house.md", ROOT / "docs" / "house.svg"
TABLE = re.compile(r"(<!-- make house -->\n).*?(<!-- end -->)", re.DOTALL)
BESIDE = "hub_code"  # a file for the folders of saved models; nothing in the house imports it
ROOF = "__init__"
ON_THE_ROOF = "irp_hf_cli"  # a package of its own, which the house does not know
READ_BY_ALL = ("errors", "checks")
INK, MUTED, LINE = "#222831", "#68717d", "#1f5a85"
FLOORS = ("#eef3f7", "#f7f9fb")
WIDTH, FLOOR_HEIGHT, BOX_HEIGHT = 13.0, 1.25, 0.62


def floors() -> list[list[str]]:
    """The rooms of each floor, the ground floor first, as the contract in pyproject.toml has them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[room.strip() for room in layer.split("|")] for layer in reversed(layers) if layer != BESIDE]


def arrows() -> dict[tuple[str, str], int]:
    """How many imports lead from the files of one room to those of another."""
    graph = grimp.build_graph(PACKAGE, ON_THE_ROOF)
    rooms = [ON_THE_ROOF, ROOF, *(room for floor in floors() for room in floor)]
    counted: dict[tuple[str, str], int] = {}
    for importer in sorted(graph.modules):
        for imported in sorted(graph.find_modules_directly_imported_by(importer)):
            one, other = room_of(importer), room_of(imported)
            if one != other and one in rooms and other in rooms:
                counted[one, other] = counted.get((one, other), 0) + 1
    return counted


def room_of(module: str) -> str:
    """Where a module lives."""
    package, *inside = module.split(".")
    if package == ON_THE_ROOF:
        return ON_THE_ROOF
    return inside[0] if inside else ROOF


def place_of(room: str) -> Path:
    """The folder of a room, or its file without the ending."""
    return ROOT / room if room == ON_THE_ROOF else ROOT / PACKAGE / room


def files_of(room: str) -> list[Path]:
    """The Python files of a folder, or the file itself."""
    folder = place_of(room)
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def sentence(room: str) -> str:
    """What a room says of itself: the first paragraph of its docstring."""
    path = place_of(room)
    text = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8")
    return " ".join((ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0].split())


def table() -> str:
    """The command line, the roof, and the rooms from the top floor down."""
    lines = ["| floor | room | files | what lives there |", "|---:|---|---:|---|"]
    lines.append(f"|  | `{ON_THE_ROOF}/` | {len(files_of(ON_THE_ROOF))} | {sentence(ON_THE_ROOF)} |")
    lines.append(f"|  | `__init__.py` | 1 | {sentence(ROOF)} |")
    for floor, rooms in reversed(list(enumerate(floors(), 1))):
        for room in rooms:
            name = f"`{room}/`" if place_of(room).is_dir() else f"`{room}.py`"
            lines.append(f"| {floor} | {name} | {len(files_of(room))} | {sentence(room)} |")
    return "\n".join(lines)


def draw() -> None:
    """Floors as bands, rooms as boxes, a line for every two rooms of which one imports from the other."""
    levels = [*floors(), [ROOF], [ON_THE_ROOF]]
    figure, axes = pyplot.subplots(figsize=(WIDTH, FLOOR_HEIGHT * len(levels)))
    places = {}
    for level, rooms in enumerate(levels):
        axes.axhspan(level - 0.5, level + 0.5, color=FLOORS[level % 2], zorder=0)
        axes.text(0.12, level, str(level + 1) if level < len(levels) - 2 else "", color=MUTED, fontsize=15, va="center")
        for place, room in enumerate(rooms):
            places[room] = (WIDTH * (place + 0.5) / len(rooms) * 0.93 + 0.6, level)
    for (one, other), count in arrows().items():
        if other in READ_BY_ALL:  # two knots that hide the rest
            continue
        (x, y), (u, v) = places[one], places[other]
        style = {"arrowstyle": "-|>", "color": LINE, "alpha": 0.28, "shrinkA": 0, "shrinkB": 0}
        ends = (u, v + BOX_HEIGHT / 2), (x, y - BOX_HEIGHT / 2)
        axes.annotate("", *ends, arrowprops={**style, "linewidth": 0.6 + 0.22 * count**0.5})
    for room, (x, y) in places.items():
        width = 1.55 if len(room) < 12 else 1.95
        box = FancyBboxPatch(
            (x - width / 2, y - BOX_HEIGHT / 2), width, BOX_HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.08", facecolor="white", edgecolor=LINE, linewidth=1.2, zorder=3,
        )  # fmt: skip
        axes.add_patch(box)
        count = len(files_of(room))
        said = f"{count} files" if place_of(room).is_dir() else "one file"
        said = "the public names" if room == ROOF else said
        axes.text(
            x,
            y + 0.11,
            PACKAGE if room == ROOF else room,
            color=INK,
            fontsize=12,
            fontweight="bold",
            ha="center",
            va="center",
            zorder=4,
        )
        axes.text(x, y - 0.16, said, color=MUTED, fontsize=9, ha="center", va="center", zorder=4)
    axes.set(xlim=(0, WIDTH), ylim=(-0.5, len(levels) - 0.5))
    axes.axis("off")
    figure.subplots_adjust(0, 0, 1, 1)
    matplotlib.rcParams["svg.hashsalt"] = PACKAGE  # the same picture of the same code
    figure.savefig(PICTURE, metadata={"Date": None})


def page() -> str:
    """The page as the code is."""
    return TABLE.sub(lambda match: f"{match[1]}{table()}\n{match[2]}", PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    draw()
    print(f"docs/{PAGE.name} and docs/{PICTURE.name} are as the code is.")
