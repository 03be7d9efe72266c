"""What the help shows runs as it stands there."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.main import get_command

from irp_hf_cli import app

COMMANDS = get_command(app).commands
MADE = {  # what an example makes, by its command
    "anchors": ["anchors/anchor_set.json"],
    "encode": ["minilm-anchored/model.safetensors", "texts.parquet"],
    "connect": ["minilm-to-mpnet/model.safetensors"],
    "fit": ["old-to-new/model.safetensors"],
    "report": ["report.png"],
    "translate": ["moved.parquet"],
}
BEFORE = {"verify": "translate", "reencode": "translate"}  # whose example makes what this one reads


def examples(name):
    """The lines of the example with which a command's help ends."""
    _, _, told = COMMANDS[name].epilog.partition("Example:\n")
    return [line.strip() for line in told.splitlines()]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_its_example(name, irp_hf_command):
    """If it fails, the help of a command leaves a newcomer to guess, or breaks the lines that they would copy."""
    told = irp_hf_command(name, "--help")
    assert told.code == 0
    shown = told.out.partition("Example:\n")[2].splitlines()
    assert [line.strip() for line in shown if line.strip()] == examples(name)
    assert all(line.startswith(f"irp-hf {name} ") for line in examples(name))


@pytest.mark.parametrize("name", COMMANDS)
def test_an_example_runs(name, desk_on_the_hub, irp_hf_command):
    """If it fails, what the help tells to type is refused, or does nothing."""
    made = [Path(file) for file in MADE.get(name, [])]
    for line in [*examples(BEFORE[name]), *examples(name)] if name in BEFORE else examples(name):
        target = re.search(r"(?:--out|--plot) (\S+)", line)
        if target and Path(target[1]).is_dir() and target[1] not in line.partition("--out")[0].split():
            shutil.rmtree(target[1])
        done = irp_hf_command(*shlex.split(line)[1:])
        assert done.code == 0, done.err
        assert done.out.strip()
    assert all(file.is_file() for file in made)
