"""Speed, interleaved with a peer and reported as a ratio: `python benchmarks/speed.py [translate confidence row ...]`.

Every pair of contestants takes turns, and the medians are compared, so that a busy machine slows both alike. With
`--device cuda` tensors, and what is compared with, lie on that device; scikit-learn and scipy stay on the CPU.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.linalg import orthogonal_procrustes
from sklearn.linear_model import RidgeCV

from irp_hf import IRPAdapter
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import relative_projection
from irp_hf.maths.selection import select

Contest = dict[str, Callable[[], object]]
DEVICE = torch.device("cpu")


def interleaved(contest: Contest, rounds: int = 15, share: float = 0.5) -> dict[str, float]:
    """Median seconds of each contestant, or what another `share` of turns took at most; they take turns, after one warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in contest}
    for turn in range(rounds + 1):
        for name, work in contest.items():
            finish()
            start = time.perf_counter()
            work()
            finish()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: float(np.quantile(values, share)) for name, values in seconds.items()}


def finish() -> None:
    """Wait for what the device was given to do."""
    if DEVICE.type != "cpu":
        torch.accelerator.synchronize()


def show(title: str, medians: dict[str, float], baseline: str) -> None:
    """Print the medians and their ratio to the baseline."""
    print(f"\n{title}")
    for name, seconds in medians.items():
        print(f"  {name:<44}{1e3 * seconds:>10.3f} ms   ×{seconds / medians[baseline]:.2f}")


def anchors(k: int, source_width: int, target_width: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Two encodings of the same latent items, with the decaying spectrum of real embeddings."""
    generator = torch.Generator().manual_seed(seed)
    latent = torch.randn(k, 256, generator=generator) * torch.arange(1, 257).float().pow(-0.5)

    def encode(width: int) -> torch.Tensor:
        hidden = torch.tanh(latent @ torch.randn(256, 512, generator=generator))
        return hidden @ torch.randn(512, width, generator=generator) / 512**0.5

    return encode(source_width).to(DEVICE), encode(target_width).to(DEVICE)


def adapter(method: str, k: int, source_width: int, target_width: int) -> IRPAdapter:
    """An adapter whose hyper-parameters are given, so that nothing is searched."""
    fixed = {"gamma": 2.0, "ridge": 1e-2} if method == "kernel" else {"balance": 1.0, "ridge": 1.0}
    return IRPAdapter.from_anchors(
        *anchors(k, source_width, target_width), method=method, restoration=0.5, lift=0.0, **fixed
    )


def translate() -> None:
    """Translation against the bare products that it cannot do without."""
    for source_width, target_width, k in ((384, 768, 1000), (768, 768, 1500)):
        x = torch.randn(20_000, source_width, device=DEVICE)
        linear = adapter("whitened", k, source_width, target_width)
        weight = linear.weight.detach()
        medians = interleaved(
            {
                "one product and a row norm": lambda x=x, w=weight: torch.linalg.vector_norm(x @ w, dim=1),
                "translate, linear": lambda x=x, a=linear: a.translate(x),
            }
        )
        show(f"20,000 rows, {source_width} → {target_width}", medians, "one product and a row norm")

        kernel = adapter("kernel", k, source_width, target_width)
        landmarks, coefficients = kernel.landmarks.detach(), kernel.coefficients.detach()
        medians = interleaved(
            {
                "two products and an exponential": lambda x=x, a=landmarks, b=coefficients: (x @ a.T).exp() @ b,
                "translate, kernel": lambda x=x, a=kernel: a.translate(x),
            },
            rounds=7,
        )
        show(f"20,000 rows, {source_width} → {target_width}, {k} anchors", medians, "two products and an exponential")


def confidence() -> None:
    """Vectors and their confidences: one after the other, and in one pass."""
    x = torch.randn(20_000, 384, device=DEVICE)
    for method in ("whitened", "kernel"):
        one = adapter(method, 1000, 384, 768)
        contest: Contest = {
            "translate": lambda one=one: one.translate(x),
            "translate, then confidence": lambda one=one: (one.translate(x), one.confidence(x)),
            "translate(return_confidence=True)": lambda one=one: one.translate(x, return_confidence=True),
        }
        show(f"20,000 rows, 384 → 768, {method}, 1,000 landmarks", interleaved(contest, rounds=7), "translate")


def report() -> None:
    """The report of an adapter that was just fitted, which selects nothing again, and of one that was loaded."""
    fitted = IRPAdapter.from_anchors(*anchors(600, 384, 256))
    loaded = copy.deepcopy(fitted)
    contest: Contest = {
        "fit": lambda: IRPAdapter.from_anchors(*anchors(600, 384, 256)),
        "report, loaded": lambda: loaded.report(progress=False),
        "report, just fitted": lambda: fitted.report(progress=False),
    }
    show("Report of 600 anchors, 384 → 256, everything chosen", interleaved(contest, rounds=2), "fit")


def row() -> None:
    """One row at a time, as a service would, beside the products alone: in a twentieth of the turns it was quicker."""
    for width in (384, 768):
        x = np.random.default_rng(0).standard_normal((1, width), dtype=np.float32)
        for method, k in (("whitened", 1000), ("kernel", 1000), ("kernel", 3500)):
            one = adapter(method, k, width, width)
            names = ("weight",) if method == "whitened" else ("landmarks", "coefficients", "rotation")
            factors = [getattr(one, name).detach() for name in names if hasattr(one, name)]
            factors[0] = factors[0].T if method == "kernel" else factors[0]
            ones = [torch.ones(1, len(factor)) for factor in factors]

            def products(ones: list[torch.Tensor] = ones, factors: list[torch.Tensor] = factors) -> list[torch.Tensor]:
                return [left @ factor for left, factor in zip(ones, factors, strict=True)]

            name = f"{len(factors)} products" if len(factors) > 1 else "one product"
            contest: Contest = {name: products, "translate": lambda one=one, x=x: one.translate(x)}
            title = f"One row, {width} → {width}, {method}, {k:,} anchors"
            show(title, interleaved(contest, rounds=4000, share=0.05), name)


SIZES = ((1500, 768, 768), (1500, 256, 384), (1000, 1280, 1280))


def fit() -> None:
    """Fits with all hyper-parameters chosen, against one float64 eigendecomposition of as many rows, and against peers.

    `select` chooses and solves; `from_anchors` also looks for doubts, calibrates the confidence and makes the adapter.
    """
    for k, source_width, target_width in SIZES:
        source, target = anchors(k, source_width, target_width)
        compare_fits(f"Fit of {k:,} anchors, {source_width} → {target_width}", source, target)


def trec() -> None:
    """The same on questions of TREC, static token vectors to MiniLM (the packages of requirements-demo.txt)."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))
    from trec import embed, load_trec

    texts = load_trec().texts
    source, target = (embed(name, texts)[0][:1500] for name in ("static-256", "MiniLM-384"))
    compare_fits("Fit of 1,500 questions of TREC, 256 → 384", source, target)


def compare_fits(title: str, source: torch.Tensor, target: torch.Tensor) -> None:
    """Print what fits of `source (k, d_X)` to `target (k, d_Y)` cost."""
    pairs = Pairs(source, target)
    similar = relative_projection(pairs.source_rows, pairs.source_rows, 2.0)
    x, y = source.cpu().numpy(), target.cpu().numpy()
    width = max(x.shape[1], y.shape[1])  # that Procrustes wants of both
    wide = [np.pad(side - side.mean(0), ((0, 0), (0, width - side.shape[1]))) for side in (x, y)]
    contest: Contest = {
        "one eigh": lambda: torch.linalg.eigh(similar),
        "scipy orthogonal_procrustes": lambda: orthogonal_procrustes(*wide),
        "scikit-learn RidgeCV, 15 λ by leave-one-out": lambda: RidgeCV(alphas=np.logspace(-12, 2, 15)).fit(x, y),
        **latentis_sgd(source, target),
        "select, kernel": lambda: select(Pairs(source, target), ("kernel",))[0].fold(pairs),
        "select, whitened": lambda: select(Pairs(source, target), ("whitened",))[0].fold(pairs),
        "select, auto": lambda: select(Pairs(source, target))[0].fold(pairs),
        "from_anchors, kernel": lambda: IRPAdapter.from_anchors(source, target, method="kernel"),
        "from_anchors, auto": lambda: IRPAdapter.from_anchors(source, target),
    }
    show(title, interleaved(contest, rounds=5), "one eigh")


def latentis_sgd(source: torch.Tensor, target: torch.Tensor) -> Contest:
    """The affine map that `latentis` trains, at its own defaults, where it is installed (requirements-peers.txt)."""
    if importlib.util.find_spec("latentis") is None:
        return {}
    from latentis.transform.translate.functional import sgd_affine_align_state

    return {"latentis, affine by 300 steps of SGD": lambda: sgd_affine_align_state(source, target, random_seed=0)}


# Peak of the process's own pages; pages of a mapped file are the system's to give and to take.
PEAK = """
import sys, threading, time
sys.path[:0] = sys.argv[3:]
import numpy as np, torch
from benchmarks.speed import adapter, anchors

def own_mebibytes():
    (line,) = (line for line in open("/proc/self/status") if line.startswith("RssAnon"))
    return int(line.split()[1]) / 2**10

def watch():
    global peak
    while True:
        peak = max(peak, own_mebibytes())
        time.sleep(0.002)

peak = 0.0
threading.Thread(target=watch, daemon=True).start()
{work}
time.sleep(0.01)
print(peak)
"""
MEMORY_MAP = """
one = adapter("whitened", 1000, 768, 768)
if sys.argv[2] == "translate":
    x = np.memmap(sys.argv[1] + "/x", np.float32, "r", shape=(200_000, 768))
    y = np.memmap(sys.argv[1] + "/y", np.float32, "w+", shape=(200_000, 768))
    one.translate(x, out=y)
"""
FIVE_THOUSAND = """
from irp_hf import IRPAdapter
source, target = anchors(5000, 768, 768)
if sys.argv[2] == "fit":
    IRPAdapter.from_anchors(source, target, method="kernel")
"""


def memory() -> None:
    """Peak memory of fresh processes (Linux)."""
    with tempfile.TemporaryDirectory() as folder:
        np.memmap(f"{folder}/x", np.float32, "w+", shape=(200_000, 768))[:] = 1.0
        for title, work, step in (
            ("200,000 × 768 memory map, 586 MiB, to another", MEMORY_MAP, "translate"),
            ("kernel fit of 5,000 anchors, 768 → 768", FIVE_THOUSAND, "fit"),
        ):
            peaks = [
                float(
                    subprocess.check_output(
                        [sys.executable, "-c", PEAK.replace("{work}", work), folder, name, *sys.path]
                    )
                )
                for name in ("nothing", step)
            ]
            print(f"\n{title}\n  peak {peaks[1]:,.0f} MiB, {peaks[1] - peaks[0]:,.0f} MiB over the process without it")


def imports() -> None:
    """Import time in fresh processes."""
    code = {
        "PreTrainedModel and Pipeline": "from transformers import PreTrainedModel, Pipeline",
        "irp_hf": "import irp_hf",
    }
    contest: Contest = {
        name: lambda line=line: subprocess.run([sys.executable, "-c", line], check=True) for name, line in code.items()
    }
    show("Import, a fresh process", interleaved(contest, rounds=7), "PreTrainedModel and Pipeline")


CONTESTS = {
    "translate": translate,
    "confidence": confidence,
    "row": row,
    "fit": fit,
    "trec": trec,
    "report": report,
    "memory": memory,
    "import": imports,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contests", nargs="*", metavar="contest", help=", ".join(CONTESTS))
    parser.add_argument("--device", default="cpu", type=torch.device)
    options = parser.parse_args()
    DEVICE = options.device
    card = f", {torch.cuda.get_device_name(DEVICE)}" if DEVICE.type == "cuda" else ""
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}{card}")
    for name in options.contests or CONTESTS:
        CONTESTS[name]()
