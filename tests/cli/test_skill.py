"""The skill for coding agents keeps to its format, what it tells to type runs, and it is installed with the package."""

import os
import pkgutil
import re
import shlex
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.main import get_command

from irp_hf_cli import app

SKILL = Path(str(resources.files("irp_hf"))) / ".agents" / "skills" / "irp-hf" / "SKILL.md"
TEXT = SKILL.read_text("utf-8")
_, FRONT, BODY = TEXT.split("---\n", 2)
SESSIONS = {
    re.search(r"^## (.+)$", part, re.MULTILINE)[1]: re.findall(r"^```bash\n(.*?)^```$", part, re.DOTALL | re.MULTILINE)
    for part in re.split(r"(?=^## )", BODY, flags=re.MULTILINE)
    if "```bash" in part
}
COMMANDS = get_command(app).commands


def test_the_front_matter_is_that_of_agent_skills():
    """If it fails, an agent does not find the skill: its name is the folder's, in lower case, and both fields have a limit."""
    front = yaml.safe_load(FRONT)
    assert set(front) <= {"name", "description", "license", "compatibility", "metadata", "allowed-tools"}
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", front["name"])
    assert len(front["name"]) <= 64
    assert front["name"] == SKILL.parent.name
    assert 0 < len(front["description"]) <= 1024
    assert "Use when" in front["description"]
    assert 0 < len(front["compatibility"]) <= 500
    assert len(BODY.splitlines()) < 500  # an agent reads all of it


def test_it_goes_along_with_the_package():
    """If it fails, whoever installs irp_hf has no skill: it stands where agents' tools look inside installed packages."""
    root = Path(__file__).resolve().parent.parent.parent
    settings = (root / "pyproject.toml").read_text("utf-8")
    assert 'packages = ["irp_hf", "irp_hf_cli"]' in settings
    assert SKILL.is_relative_to(root / "irp_hf")


def test_the_page_says_how_to_copy_it(tmp_path):
    """If it fails, the lines that put the skill into a project copy nothing, or break off."""
    page = (Path(__file__).resolve().parent.parent.parent / "docs" / "cli.md").read_text("utf-8")
    lines = re.search(r"^## For coding agents\n.*?^```bash\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)[1]
    folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    environment["PYTHONPATH"] = os.pathsep.join(
        one for one in (str(SKILL.parents[4]), os.environ.get("PYTHONPATH")) if one
    )
    done = subprocess.run(["bash", "-e", "-c", lines], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / ".agents" / "skills" / "irp-hf" / "SKILL.md").read_text("utf-8") == TEXT


@pytest.mark.parametrize("title", SESSIONS)
def test_its_commands_run(title, desk_on_the_hub, irp_hf_command):
    """If it fails, an agent that types what the skill says is refused."""
    assert len(SESSIONS) == 2
    Path("old-to-new").rename("other")  # what the skill makes itself
    ran = set()
    for line in "".join(SESSIONS[title]).splitlines():
        program, *arguments = shlex.split(line)
        assert program == "irp-hf"
        done = irp_hf_command(*arguments)
        assert done.code == 0, (line, done.err)
        assert done.out.strip()
        ran.add(arguments[0])
        if line.startswith("irp-hf report"):
            assert done.json["index"]
        if line.startswith("irp-hf classify"):
            assert done.json["answers"][0][0]["label"]
        if line.startswith("irp-hf verify"):
            more = irp_hf_command(*arguments, "--json").json
            assert {"before", "neighbors"} <= set(more)
    assert ran <= set(COMMANDS)


def test_a_report_that_keeps_too_little_writes_nothing(desk, irp_hf_command):
    """If it fails, the gate that the skill tells to use lets everything pass, and exit code 1 means something else."""
    done = irp_hf_command(
        *shlex.split("translate old.parquet#embedding old-to-new no.parquet#embedding --min-neighbors .999")
    )
    assert done.code == 1
    assert not Path("no.parquet").exists()


def test_its_python_runs(digits):
    """If it fails, an agent that copies the lines gets an error."""
    block = re.search(r"^```python\n(.*?)^```$", BODY, re.DOTALL | re.MULTILINE)[1]
    names = {"source": digits.source, "target": digits.target, "x": digits.held_source}
    exec(compile(block, SKILL, "exec"), names)
    assert names["translated"].shape == digits.held_target.shape
    assert np.isfinite(names["expected"]).all()


def test_what_it_names_is_there():
    """If it fails, the skill speaks of a command, an option or a name of Python that there is not."""
    for name in re.findall(r"`(irp_hf\.[\w.]+)`", BODY):
        assert pkgutil.resolve_name(name)
    options = {name for command in COMMANDS.values() for parameter in command.params for name in parameter.opts}
    for code in re.findall(r"`([^`\n]+)`", BODY):
        assert {word for word in re.findall(r"(?<!\w)--[a-z-]+", code)} <= options | {"--json"}, code
