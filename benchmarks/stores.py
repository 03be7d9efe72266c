"""Translate a store of ten million vectors: memory, what a killed run loses, and the rate beside a bare product and a copy.

    python benchmarks/stores.py [ROWS] [--kills 10] [--folder FOLDER]    # 10 million rows take some 25 GB of disk

384 to 384 coordinates in half precision, made vectors (a mixture as wide as real ones are), `.npy` to `.npy` and to Parquet.
Each run is a process of its own; one of them is killed (SIGKILL) at so many random moments and begun again each time, and must
end in the same bytes as the one that was left alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from irp_hf import IRPAdapter

WIDTH, LATENT = 384, 96
PART = 100_000
SMALLEST = 3.0  # seconds before a process is killed: it has imported torch by then
RUN = """
import json, sys, time
from irp_hf import IRPAdapter
from irp_hf.stores import translate_store
def status(name):
    return 1024 * next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))
before = status("VmRSS")
begun = time.perf_counter()
told = translate_store(sys.argv[1], sys.argv[2], sys.argv[3], progress=False)
print(json.dumps(dict(seconds=time.perf_counter() - begun, rows=told.num_rows, peak=status("VmHWM"), anonymous=before)))
"""


def made(folder: Path, rows: int) -> Path:
    """A file of so many vectors of unit length, and an adapter from them to another space of that width beside it."""
    chance = torch.Generator().manual_seed(0)
    hidden = [torch.randn(LATENT, WIDTH, generator=chance) * torch.linspace(2, 0.2, LATENT)[:, None] for _ in range(2)]

    def sides(count: int, seed: int) -> list[torch.Tensor]:
        latent = torch.randn(count, LATENT, generator=torch.Generator().manual_seed(seed))
        return [torch.nn.functional.normalize(latent @ by + by[0] * 2, dim=1) for by in hidden]

    IRPAdapter.from_anchors(*sides(1000, 1), method="whitened").save_pretrained(folder / "adapter")
    path = folder / "source.npy"
    file = np.lib.format.open_memmap(path, "w+", np.float16, (rows, WIDTH))
    for start in range(0, rows, PART):
        count = min(PART, rows - start)
        file[start : start + count] = sides(count, 2 + start)[0].half().numpy()
    file.flush()
    return path


def digest(path: Path) -> str:
    """Of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run(source: Path, destination: Path, kill_after: float | None = None) -> dict[str, float] | None:
    """A whole run in a process of its own; None where it was killed before its end."""
    command = [sys.executable, "-c", RUN, str(source), str(source.parent / "adapter"), str(destination)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        out, _ = process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None
    if process.returncode:
        raise SystemExit(f"{command[3:]} ended with {process.returncode}")
    found: dict[str, float] = json.loads(out)
    return found


def bare(source: Path, rows: int) -> tuple[float, float]:
    """Seconds of the product alone over all rows, and of copying the file."""
    matrix, weight = np.load(source, mmap_mode="r"), torch.randn(WIDTH, WIDTH)
    begun = time.perf_counter()
    for start in range(0, rows, 8192):
        torch.from_numpy(np.array(matrix[start : start + 8192])).float() @ weight
    product = time.perf_counter() - begun
    begun = time.perf_counter()
    shutil.copyfile(source, source.parent / "copy.npy")
    copied = time.perf_counter() - begun
    (source.parent / "copy.npy").unlink()
    return product, copied


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int, nargs="?", default=10_000_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        source = made(folder, options.rows)
        print(f"{options.rows:,} vectors, {WIDTH} wide, float16: {source.stat().st_size / 1e9:.2f} GB", flush=True)
        product, copied = bare(source, options.rows)
        print(
            f"read and multiplied: {product:.0f} s; copied: {copied:.0f} s ({torch.get_num_threads()} threads)",
            flush=True,
        )
        for suffix in (".npy", ".parquet"):
            found = run(source, folder / f"whole{suffix}")
            assert found is not None
            print(
                f"{suffix}: {found['seconds']:.0f} s, {found['rows'] / found['seconds']:,.0f} rows a second, "
                f"{found['seconds'] / product:.1f} × the product, peak {found['peak'] / 2**30:.2f} GiB "
                f"({(found['peak'] - found['anonymous']) / 2**30:.2f} over the imports)",
                flush=True,
            )
            whole = digest(folder / f"whole{suffix}")
            (folder / f"whole{suffix}").unlink()
            moments, killed, again = random.Random(0), 0, folder / f"killed{suffix}"
            while not again.exists():  # it may be killed after its last step, too
                killed += run(source, again, _moment(moments, found, options.kills, killed)) is None
            same = digest(again) == whole
            print(f"{suffix}: killed {killed} times, {'the same bytes' if same else 'OTHER BYTES'}", flush=True)
            again.unlink()


def _moment(moments: random.Random, found: dict[str, float], kills: int, killed: int) -> float | None:
    """How long the next process may live: so that the work is done about when all kills are."""
    return None if killed >= kills else SMALLEST + moments.uniform(0, 2 * found["seconds"] / kills)


if __name__ == "__main__":
    main()
