"""The notebook of the first steps: it runs as it stands, and what it shows is what running it gives."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

pytestmark = pytest.mark.slow  # each runs the notebook, or needs what that gave
ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "examples" / "first_steps.ipynb"
KERNEL = "own"


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def said(notebook: Any) -> str:
    """All that its cells print, as plain text."""
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return "\n".join(
        output.get("text") or output.data["text/plain"] for output in outputs if output.get("name") != "stderr"
    )


def accuracies(text: str) -> list[float]:
    """Own encoder, irp_hf, Procrustes, the commonest group."""
    return [
        float(figure) for figure in re.findall(r" (\.\d{3}) ±\.\d{3}$", text.split("the head is fed by")[1], re.M)[:4]
    ]


@pytest.fixture(scope="module")
def kept() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same, run by this Python on this code, in an empty folder and without the Hub."""
    folder = tmp_path_factory.mktemp("notebook")
    spec = folder / "kernels" / KERNEL / "kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": KERNEL, "language": "python"}))
    env = {"JUPYTER_PATH": folder, "IPYTHONDIR": folder / "ipython", "HF_HUB_OFFLINE": "1", "PYTHONPATH": ROOT}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, str(value))
        (folder / "empty").mkdir()
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        resources = {"metadata": {"path": str(folder / "empty")}}
        nbclient.NotebookClient(notebook, kernel_name=KERNEL, timeout=300, resources=resources).execute()
        assert os.listdir(folder / "empty") == []
    return notebook


def test_it_runs_and_shows_what_is_kept(kept, run):
    """If it fails, a new user's first try ends in a traceback, or the page on GitHub shows other numbers than it gives."""
    own, ours, rotated, commonest = accuracies(said(run))
    assert commonest < rotated < ours < own
    assert accuracies(said(kept)) == pytest.approx([own, ours, rotated, commonest], abs=0.02)
    assert "the same, bit for bit: True" in said(run)
    assert "more of them should still help" in " ".join(said(run).split())  # as the words between the cells say


def test_every_claim_between_the_cells_holds(run):
    """If it fails, the words say what the numbers beside them do not."""
    by_confidence = re.findall(r"^(?:least sure|between|most sure) +100 +(0\.\d+) +(0\.\d+)$", said(run), re.M)
    assert len(by_confidence) == 3
    rising = [float(right) for _, right in by_confidence]
    assert rising[0] < rising[1] < rising[2]
    pill, low = float(re.search(r"the pill: (0\.\d+)", said(run))[1]), float(by_confidence[0][0])
    assert pill < low


def test_it_is_kept_as_it_reads_well(kept):
    """If it fails, GitHub shows cells without output, somebody's folders, or nothing since the file is too large."""
    text = NOTEBOOK.read_text("utf-8")
    assert len(text) < 300_000
    assert not re.search(r"(?<![\w.])/(home|tmp|root|work|Users|usr|private)\b", text)
    assert [cell.execution_count for cell in code_cells(kept)] == list(range(1, len(code_cells(kept)) + 1))
    assert len(code_cells(kept)) <= 12
    assert all(cell.outputs for cell in code_cells(kept))
    assert {output.get("name", "stdout") for cell in code_cells(kept) for output in cell.outputs} == {"stdout"}
    nbformat.validate(kept)
    html = [
        output.data.get("text/html", "") for cell in code_cells(kept) for output in cell.outputs if "data" in output
    ]
    assert any('class="irp-hf"' in part and "<svg" in part for part in html)
