"""The page on the command line, and the README, show what there is, and their sessions run."""

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import lancedb
import numpy as np
import pytest
from pyarrow import parquet
from typer.main import get_command

from irp_hf_cli import app

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = get_command(app).commands
BASH = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)
MOST = 6  # commands from two files to a searched index


def sections():
    parts = re.split(r"^### (.+)$", PAGE.partition("## Commands\n")[2], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def session(text):
    """The lines of the first block that ends in a search."""
    return next(block for block in BASH.findall(text) if "lancedb.connect" in block).splitlines()


def test_the_page_lists_every_command():
    """If it fails, a command is missing on the page, or one that is gone stands there."""
    assert list(sections()) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_shows_the_examples_of_the_help(name):
    """If it fails, the page and the help tell to type different things, of which one runs in no test."""
    examples = COMMANDS[name].epilog.partition("Example:\n")[2].splitlines()
    assert BASH.search(sections()[name])[1].splitlines() == [line.strip() for line in examples]


@pytest.mark.parametrize("text", [PAGE, README], ids=["docs/cli.md", "README.md"])
def test_every_option_that_a_page_names_is_there(text):
    """If it fails, a page tells to write an option that is refused."""
    for line in re.findall(r"^irp-hf (.+)$|`irp-hf (.+?)`", text, re.MULTILINE):
        words = shlex.split(re.sub(r"\s+#.*", "", "".join(line)))
        if words[0] in COMMANDS:
            known = {name for parameter in COMMANDS[words[0]].params for name in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= known | {"--help"}


@pytest.mark.parametrize("text", [PAGE, README], ids=["docs/cli.md", "README.md"])
def test_a_session_leads_to_a_searched_index(text, desk_on_the_hub, irp_hf_command):
    """If it fails, what a newcomer types first breaks off, or finds other documents than a search of the vectors does."""
    Path("questions.txt").write_text("w1 w2\nw3\nw4 w5 w6\n", encoding="utf-8")
    lines = session(text)
    assert len(lines) <= MOST
    for line in lines[:-1]:
        done = irp_hf_command(*shlex.split(re.sub(r"\s+#.*", "", line))[1:])
        assert done.code == 0, done.err
    program, *arguments = shlex.split(lines[-1])
    assert program == "python"
    searched = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    assert searched.returncode == 0, searched.stderr
    table, questions = lancedb.connect("index").open_table("documents").to_arrow(), np.load("questions.npy")
    moved = np.stack(table["embedding"].to_numpy())
    cosines = questions @ moved.T / np.linalg.norm(moved, axis=1)
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :3]
    ids, texts = table["id"].to_pylist(), table["text"].to_pylist()
    expected = [(number, ids[row], texts[row]) for number, rows in enumerate(nearest) for row in rows]
    assert [ast.literal_eval(line) for line in searched.stdout.splitlines()] == expected
    assert texts == parquet.read_table("old.parquet")["text"].to_pylist()
