"""What memory does not hold is refused in words: an allocator's own tell nobody what to do."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from says import says

from irp_hf import AnchoredSpace, IRPAdapter
from irp_hf.analysis.scale_distribution import scale_distribution
from irp_hf.encoding import encode
from irp_hf.errors import TooLargeError
from irp_hf.evaluation.held_out import evaluate

X = np.random.default_rng(0).normal(size=(60, 12)).astype(np.float32)
ADAPTER = IRPAdapter.from_anchors(X, np.tanh(X[:, :8]), method="whitened", balance=0.5, ridge=0.1, restoration=0.0)
ENDLESS = np.broadcast_to(X[:1], (2**41, 12))  # a hundred terabytes, of which one row is there
CALLS = {
    "translate": (lambda: ADAPTER.translate(ENDLESS), "out="),
    "both": (lambda: ADAPTER.translate(ENDLESS, return_confidence=True), "out="),
    "confidence": (lambda: ADAPTER.confidence(ENDLESS), "chunk_size"),
    "one chunk": (lambda: ADAPTER.translate(ENDLESS, chunk_size=2**40), "chunk_size"),
    "evaluate": (lambda: ADAPTER.evaluate(ENDLESS, ENDLESS[:, :8]), "fewer"),
    "evaluate arrays": (lambda: evaluate(ENDLESS, ENDLESS), "fewer"),
    "space": (lambda: AnchoredSpace.from_embeddings(ENDLESS), "fewer"),
    "probe": (lambda: scale_distribution(ENDLESS), "fewer"),
}


@pytest.mark.parametrize("call", CALLS)
def test_what_takes_more_than_there_is(call, refusal):
    make, advice = CALLS[call]
    assert says(refusal(make, error=TooLargeError), "memory for it", advice)


class Endless(list):  # type: ignore[type-arg]
    """A list that says that it is long."""

    def __len__(self) -> int:
        return 2**38


def test_vectors_of_endless_items(refusal):
    """They go to a file, if that is asked for."""
    text = refusal(
        encode, lambda items: np.ones((len(items), 100), np.float32), Endless(["a"] * 32), error=TooLargeError
    )
    assert says(text, "memory for it", "out=")


LIMITED = """
import io, resource
import numpy as np
from irp_hf import IRPAdapter
from irp_hf.errors import TooLargeError
x = np.random.default_rng(0).normal(size=(60, 12)).astype("f4")
report = IRPAdapter.from_anchors(x, np.tanh(x[:, :8]), method="whitened").report(progress=False)
report.plot(io.BytesIO())  # all is imported: an import without memory dies of errors of Python's own
pages = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (pages, resource.RLIM_INFINITY))
try:
    [report.plot(io.BytesIO()) for _ in range(50)]
except TooLargeError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux for its memory")
def test_a_picture_without_memory_for_it():
    """A raw MemoryError would tell nobody what to do."""
    result = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=False)
    assert says(result.stdout, "The picture of a report", "memory for it"), result.stderr
