"""A process of its own loads what was saved: with nothing optional, to the same bits, in the memory that the files need."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from irp_hf.models.loading import CONFIG

HUGE = 2**31
ABSURD = {"source_anchors": {"num_anchors": HUGE, "source_size": HUGE}, "landmarks": {"num_landmarks": HUGE}}
# Nothing optional may be needed to load and to translate. Then a limit is set on the address space: what takes memory for
# absurd sizes dies instead of being refused.
FRESH = """
import sys
optional = ("sklearn", "scipy", "matplotlib", "pandas", "sentence_transformers", "pytest")
sys.modules.update(dict.fromkeys(optional))
import numpy as np, torch
torch.set_num_threads(1)
from transformers import AutoModel
import irp_hf
root, *folders = sys.argv[1:]
x = np.load(f"{root}/x.npy")
for method in ("kernel", "whitened", "pruned"):
    adapter = AutoModel.from_pretrained(f"{root}/{method}")
    np.save(f"{root}/{method}.npy", np.c_[adapter.translate(x), adapter.confidence(x)])
if sys.platform == "linux":
    import resource
    size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 400_000_000,) * 2)
for folder in folders:
    try:
        irp_hf.IRPAdapter.from_pretrained(folder)
    except irp_hf.IRPError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def fresh(adapters, digits, tmp_path_factory):
    """What such a process found: vectors and confidence side by side of each method, and what it said of absurd folders."""
    root = tmp_path_factory.mktemp("fresh")
    np.save(root / "x.npy", digits.held_source)
    for method, adapter in adapters.items():
        adapter.save_pretrained(root / method)
    for name, sizes in ABSURD.items():
        adapters["kernel"].save_pretrained(root / name)
        config = json.loads((root / name / CONFIG).read_text())
        (root / name / CONFIG).write_text(json.dumps({**config, **sizes}))
    call = [sys.executable, "-c", FRESH, root, *(root / name for name in ABSURD)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    return SimpleNamespace(root=root, said=done.stdout.splitlines(), errors=done.stderr[-2000:])


@pytest.mark.slow
def test_another_process_gives_the_same_bits(adapters, digits, fresh):
    """What translates here would translate otherwise elsewhere, or need an optional library."""
    for method, adapter in adapters.items():
        expected = np.c_[adapter.translate(digits.held_source), adapter.confidence(digits.held_source)]
        assert (fresh.root / f"{method}.npy").exists(), fresh.errors
        np.testing.assert_array_equal(np.load(fresh.root / f"{method}.npy"), expected)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_sizes_are_compared_before_memory_is_taken(fresh):
    """A config of a few bytes would take all memory of whoever loads it."""
    assert len(fresh.said) == len(ABSURD), fresh.errors
    for said, name in zip(fresh.said, ABSURD, strict=True):
        assert said.startswith(f"{fresh.root / name}: ")
        assert f"{CONFIG} (mismatched keys: " in said
        assert name in said.partition("mismatched")[2]
