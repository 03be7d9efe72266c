"""The house is as the documentation says, and the contracts that keep it can fail."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
LINT = Path(sys.executable).with_name("lint-imports")


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["house", "hyperparameters"])
def test_a_page_is_as_the_code_is(name):
    """If it fails, a folder, a sentence or a range has changed since `make house` wrote it down."""
    made = script(name)
    assert made.page() == made.PAGE.read_text(encoding="utf-8")


def test_every_room_is_on_a_floor():
    """If it fails, a new folder stands beside the house, and no contract knows it."""
    house = script("house")
    found = {
        path.stem for path in (ROOT / "irp_hf").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert found - {"__init__", "__main__", "hub_code"} == {room for floor in house.floors() for room in floor}
    assert len(list((ROOT / "irp_hf").glob("*.py"))) <= 9


def test_every_package_is_drawn():
    """If it fails, a package is installed that the picture of the house, or its table, does not show."""
    house = script("house")
    settings = house.tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    rooms = [room for floor in house.floors() for room in floor]
    picture, table = house.PICTURE.read_text("utf-8"), house.table()
    for package in settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        assert f"<!-- {package} -->" in picture, package
    assert all(f"<!-- {room} -->" in picture for room in rooms)
    assert f"`{house.ON_THE_ROOF}/`" in table
    assert (house.ON_THE_ROOF, house.ROOF) in house.arrows()
    assert not [one for one, other in house.arrows() if other == house.ON_THE_ROOF]


FAULTS = {
    "an import upwards": ("errors.py", "from irp_hf.checks import quoted"),
    "between rooms of one floor": ("data/items.py", "import irp_hf.maths.projection"),
    "a circle between files": ("maths/projection.py", "import irp_hf.maths.pairs"),
    "a circle inside a function": ("maths/projection.py", "def later():\n    import irp_hf.maths.pairs"),
    "a circle for types": ("maths/projection.py", "if TYPE_CHECKING:\n    import irp_hf.maths.pairs"),
    "the package's own face": ("stitching/parts.py", "from irp_hf import AnchorSet"),
    "mathematics that knows more than torch": ("maths/pairs.py", "import numpy"),
    "the command line": ("stitching/parts.py", "import irp_hf_cli.frame"),
}


@pytest.mark.parametrize("fault", [None, *FAULTS])
def test_the_contracts_can_fail(fault, tmp_path):
    """If it fails, `make lint` would let it pass; without a fault it must."""
    for package in ("irp_hf", "irp_hf_cli"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    if fault is not None:
        file, line = FAULTS[fault]
        with (tmp_path / "irp_hf" / file).open("a", encoding="utf-8") as code:
            code.write(f"\n{line}\n")
    done = subprocess.run([LINT, "--no-cache"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode == 0) == (fault is None), done.stdout
