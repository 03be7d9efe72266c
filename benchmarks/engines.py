"""What a translated vector costs in Ray, Spark, Daft and `datasets`, from Parquet to Parquet, with one worker and with two.

    pip install "ray[data]" pyspark daft
    python benchmarks/engines.py [ROWS] [--engines ray spark ...] [--workers 1 2] [--methods kernel whitened] [--folder FOLDER]

Vectors 384 wide become vectors 768 wide, float32, by an adapter of 1,500 anchors; they are made, a mixture as wide as real
ones. Each line is a process of its own, one thread of torch in each worker. The engine does the whole job twice, and the second
counts: workers have imported torch by then. "bare" calls `Translate` on the same batches and writes nothing,
"store" is `translate_store`, which also reads again what it wrote.

A line says vectors a second, which other work on the machine makes less; microseconds that all processors worked for a vector,
of all processes of the engine, which it hardly changes; hours of a core for 10^9 vectors, of the latter; and what the first
job and the engine's start took more, in seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

WIDTH, WIDE, LATENT, ANCHORS = 384, 768, 96, 1500
FILES = 16
BATCH = 2048
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def made(folder: Path, rows: int, methods: list[str]) -> None:
    """Files of Parquet in `folder/documents`, and for each method an adapter in a folder of its name."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch

    from irp_hf import IRPAdapter

    chance = torch.Generator().manual_seed(0)
    spread = torch.linspace(2, 0.2, LATENT)[:, None]
    hidden = [torch.randn(LATENT, width, generator=chance) * spread for width in (WIDTH, WIDE)]

    def sides(count: int, seed: int) -> list[torch.Tensor]:
        latent = torch.randn(count, LATENT, generator=torch.Generator().manual_seed(seed))
        return [torch.nn.functional.normalize(latent @ by + by[0] * 2, dim=1) for by in hidden]

    for method in methods:
        adapter = IRPAdapter.from_anchors(*sides(ANCHORS, 1), method=method)  # type: ignore[arg-type]
        adapter.save_pretrained(folder / method)
    (folder / "documents").mkdir()
    each = rows // FILES
    for number in range(FILES):
        flat = pa.array(sides(each, 2 + number)[0].numpy().reshape(-1))
        vectors = pa.ListArray.from_arrays(pa.array(range(0, flat.__len__() + 1, WIDTH), pa.int32()), flat)
        ids = pa.array(range(number * each, (number + 1) * each))
        pq.write_table(
            pa.table({"id": ids, "embedding": vectors}), folder / "documents" / f"{number:02}.parquet", BATCH
        )


def bare(move: Any, documents: str, workers: int) -> Callable[[str], Any]:
    import pyarrow.parquet as pq

    files = [pq.ParquetFile(path) for path in sorted(Path(documents).iterdir())]
    batches = [batch for file in files for batch in file.iter_batches(BATCH)]
    return lambda out: [move(batch) for batch in batches][:0]


def store(move: Any, documents: str, workers: int) -> Callable[[str], Any]:
    from irp_hf.stores import translate_store

    return lambda out: translate_store(
        f"{documents}#embedding", move.adapter, f"{out}.parquet#moved", check=False, progress=False
    )


def ray(move: Any, documents: str, workers: int) -> Callable[[str], Any]:
    import ray.data

    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False

    def job(out: str) -> None:
        table = ray.data.read_parquet(documents, override_num_blocks=FILES)
        table.map_batches(move, batch_format="pyarrow", batch_size=BATCH).write_parquet(out)

    return job


def spark(move: Any, documents: str, workers: int) -> Callable[[str], Any]:
    from pyspark.sql import SparkSession
    from pyspark.sql.types import ArrayType, FloatType, StructField, StructType

    os.environ["PYSPARK_PYTHON"] = sys.executable
    size = sum(path.stat().st_size for path in Path(documents).iterdir())
    options = {
        "spark.ui.enabled": "false",
        "spark.sql.files.maxPartitionBytes": str(size // FILES),
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(BATCH),
    }
    builder = SparkSession.builder.master(f"local[{workers}]")
    for name, value in options.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")

    def job(out: str) -> None:
        table = session.read.parquet(documents)
        schema = StructType([*table.schema, StructField("moved", ArrayType(FloatType()))])
        table.mapInArrow(move.batches, schema).write.parquet(out)

    return job


def daft(move: Any, documents: str, workers: int) -> Callable[[str], Any]:
    import daft

    daft.set_runner_native(num_threads=workers)
    kind = daft.DataType.list(daft.DataType.float32())

    @daft.func.batch(return_dtype=kind, batch_size=BATCH)
    def moved(vectors: daft.Series) -> Any:
        return move({"embedding": vectors.to_arrow()})["moved"]

    def job(out: str) -> None:
        table = daft.read_parquet(f"{documents}/*.parquet")
        table.with_column("moved", moved(table["embedding"])).write_parquet(out)

    return job


def datasets(move: Any, documents: str, workers: int) -> Callable[[str], Any]:
    import datasets

    datasets.disable_progress_bars()
    table = datasets.load_dataset("parquet", data_dir=documents, split="train").with_format("arrow")

    def job(out: str) -> None:
        options: dict[str, Any] = {"batched": True, "batch_size": BATCH, "load_from_cache_file": False}
        table.map(move, num_proc=workers if workers > 1 else None, **options).to_parquet(out + ".parquet")

    return job


ENGINES = {found.__name__: found for found in (bare, store, ray, spark, daft, datasets)}
ALONE = ("bare", "store")


def measure(engine: str, method: str, workers: int, folder: Path) -> None:
    """Print what an engine took to begin, for its first and for its second job, and what processors worked for the latter."""
    import torch

    from irp_hf.integrations.ray import Translate

    torch.set_num_threads(1)
    move = Translate(folder / method, "embedding", "moved")
    times, worked = [time.perf_counter()], 0.0
    job = ENGINES[engine](move, str(folder / "documents"), workers)
    times.append(time.perf_counter())
    for turn in range(2):
        worked = all_worked()
        job(str(folder / f"out-{turn}"))
        times.append(time.perf_counter())
    worked = all_worked() - worked
    began, first, second = (after - before for before, after in pairwise(times))
    print("FOUND " + json.dumps({"starts": began + first - second, "seconds": second, "worked": worked}), flush=True)


def all_worked() -> float:
    """Seconds that processors worked for this process and all below it, those that have ended included."""
    import psutil

    own = psutil.Process()
    return float(sum(sum(process.cpu_times()[:4]) for process in [own, *own.children(recursive=True)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int, nargs="?", default=100_000)
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES))
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--methods", nargs="+", default=["kernel", "whitened"])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)  # of the processes that this one starts
    options = parser.parse_args()
    if options.one:
        engine, method, workers, place = options.one
        return measure(engine, method, int(workers), Path(place))
    rows = options.rows // FILES * FILES
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        made(folder, rows, options.methods)
        print(f"{rows:,} vectors, {WIDTH} to {WIDE} wide, {ANCHORS:,} anchors, {os.cpu_count()} cores", flush=True)
        print("method   engine   workers  vectors/s  µs of a core  core hours for 10^9  starts (s)")
        for method in options.methods:
            for engine in options.engines:
                for workers in [1] if engine in ALONE else options.workers:
                    print(line(method, engine, workers, rows, folder), flush=True)


def line(method: str, engine: str, workers: int, rows: int, folder: Path) -> str:
    """A line of the table; without figures where the engine is not installed or fails."""
    environment = {**os.environ, **dict.fromkeys(THREADS, "1"), "HF_DATASETS_CACHE": str(folder / "cache")}
    command = [sys.executable, __file__, "--one", engine, method, str(workers), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    for place in [*folder.glob("out-*"), folder / "cache"]:
        shutil.rmtree(place, ignore_errors=True) if place.is_dir() else place.unlink(missing_ok=True)
    told = [text for text in done.stdout.splitlines() if text.startswith("FOUND ")]
    if not told:
        return f"{method:8} {engine:8} {workers:7}  {done.stderr.strip().splitlines()[-1]}"
    found = json.loads(told[0].removeprefix("FOUND "))
    each = found["worked"] / rows
    return (
        f"{method:8} {engine:8} {workers:7} {rows / found['seconds']:10,.0f} {each * 1e6:13.0f} "
        f"{each * 1e9 / 3600:20.0f} {found['starts']:11.1f}"
    )


if __name__ == "__main__":
    main()
