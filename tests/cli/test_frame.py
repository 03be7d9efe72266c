"""Around every command: what goes to stdout and to stderr, the exit code, and no traceback, whatever is raised."""

import json
import os
import pkgutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from irp_hf_cli import main

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent.parent

SCRIPT = """
import sys, warnings
from typing import Annotated
import typer
from irp_hf_cli.frame import Done, command, keep
from irp_hf_cli.options import given
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)

@app.callback()
def root() -> None:
    pass

def act(how: str) -> Done:
    \"\"\"Act.\"\"\"
    print("what a library says")
    {body}
    return Done("for people\\n" * 3, {{"for": "machines"}}, how != "too little")

command(app, example="x act y")(act)
app()
"""


def ran(*arguments, body="pass", environment=(), stdout=subprocess.PIPE):
    script = SCRIPT.format(body=textwrap.indent(textwrap.dedent(body), "    ").strip())
    command = [sys.executable, "-c", script, "act", *arguments]
    return subprocess.run(
        command, stdout=stdout, stderr=subprocess.PIPE, text=True, env={**os.environ, **dict(environment)}
    )


def test_results_alone_are_on_stdout():
    """If it fails, a pipe gets what some library printed, or a person reads a result among messages."""
    done = ran("now", body="warnings.warn('beware\\n  of this')")
    assert (done.returncode, done.stdout) == (0, "for people\n" * 3 + "\n")
    assert done.stderr == "what a library says\nWarning: beware of this\n"


def test_json_is_one_object():
    """If it fails, whoever asked for JSON cannot parse what comes."""
    done = ran("now", "--json", body="warnings.warn('beware')")
    assert json.loads(done.stdout) == {"for": "machines"}
    assert len(done.stdout.splitlines()) == 1


def test_what_is_not_enough_is_told_by_the_exit_code():
    """If it fails, a script moves an index that lost its neighbours."""
    done = ran("too little")
    assert (done.returncode, done.stdout.splitlines()[0]) == (1, "for people")


@pytest.mark.slow
def test_a_refusal_is_its_text(tmp_path):
    """If it fails, a refusal buries its two sentences in a traceback, or goes where a result is read."""
    refuse = "from irp_hf.errors import refusal; raise refusal('x', 'a', 'b', 'Do c.')"
    done = ran("now", body=refuse)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "x: expected a, got b. Do c."
    told = json.loads(ran("now", "--json", body=refuse).stdout)
    assert told == {"refused": "x: expected a, got b. Do c.", "kind": "InputError"}


def test_no_error_of_ours_or_of_others_shows_a_traceback():
    """If it fails, a fault looks like one, but nobody can read what it is; or nobody can find where it is."""
    fail = "raise KeyError('one\\ntwo')"
    done = ran("now", body=fail)
    assert (done.returncode, done.stdout) == (1, "")
    assert "KeyError" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Traceback" in ran("now", body=fail, environment=[("IRP_HF_TRACEBACK", "1")]).stderr


def test_an_interrupt_says_what_is_kept():
    """If it fails, whoever presses Ctrl-C does not know whether an hour of work is lost."""
    done = ran("now", body="raise KeyboardInterrupt")
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.splitlines()[-1] == "Interrupted. Nothing was written."
    kept = ran("now", body="keep('Half of it is kept.'); raise KeyboardInterrupt")
    assert kept.stderr.splitlines()[-1] == "Interrupted. Half of it is kept."


def test_usage_is_told_by_two():
    """If it fails, a script takes a misspelt option for a refusal."""
    for arguments in [(), ("now", "--nonsense"), ("now", "then")]:
        done = ran(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert "Error: " in done.stderr
    done = ran("now", body="raise typer.BadParameter('give one of them.')")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, "Error: Invalid value: give one of them.")


def test_who_stops_reading_hears_nothing():
    """If it fails, `irp-hf ... | head -1` ends in an error about a pipe."""
    body = "import time; time.sleep(.2)"
    script = SCRIPT.format(body=body).replace("* 3", "* 100_000")
    reads_nothing = f"{sys.executable} -c '{script.replace(chr(39), chr(34))}' act now | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", reads_nothing], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "what a library says\n")


@pytest.mark.parametrize("arguments", [["--help"], ["fit", "--help"], ["fit"], ["fit", "--nonsense"], ["--version"]])
def test_no_library_is_imported_for_help_and_usage(arguments):
    """If it fails, help and a shell's completion take seconds, since torch and transformers are imported first."""
    code = (
        "import sys, irp_hf_cli\n"
        f"sys.argv[1:] = {arguments}\n"
        "try: irp_hf_cli.main()\n"
        "except SystemExit as left: code = left.code\n"
        "print(code, [name for name in ('irp_hf', 'torch', 'transformers', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    expected = 0 if "--help" in arguments or "--version" in arguments else 2
    assert done.stdout.splitlines()[-1] == f"{expected} []"


def test_a_shell_completes_commands_and_choices():
    """If it fails, a shell that asks what may follow gets nothing."""

    def asked(line, place):
        environment = {**os.environ, "_IRP_HF_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": place}
        code = "import irp_hf_cli; irp_hf_cli.main()"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        return done.stdout.split()

    assert asked("irp-hf co", "1") == ["connect"]
    assert asked("irp-hf fit a b --objective n", "5") == ["neighbors"]


def test_what_is_installed_has_the_script():
    """If it fails, `pip install` leaves no `irp-hf`, or one that cannot be imported."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    target = project["project"]["scripts"]["irp-hf"]
    assert pkgutil.resolve_name(target) is main
    assert target.partition(":")[0] in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


@pytest.mark.slow
def test_the_package_runs_as_the_script_does():
    """If it fails, `python -m irp_hf` is not the command line."""
    shown = [
        subprocess.run([sys.executable, "-m", name, "--help"], capture_output=True, text=True).stdout
        for name in ("irp_hf", "irp_hf_cli")
    ]
    assert shown[0] == shown[1] != ""
