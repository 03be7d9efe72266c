"""Every kind of store, made and read by its own library, for the contract that all of them keep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import torch
from datasets import Dataset, load_from_disk
from safetensors.numpy import load_file, save_file

Rows = dict[str, Any]
BESIDE = ("id", "text", "year")


class Kind(NamedTuple):
    """How a kind of store is made and read, in a folder of its own, by what everybody uses for it."""

    name: str
    make: Callable[[Path, Rows], str]
    """A source of rows; its address. `vectors` is an array (n, d), the others are lists."""
    destination: str | None
    """Of a translation, in the folder `{folder}`; None where nothing of this kind is written."""
    read: Callable[[Path], Rows] | None
    """What lies at that destination."""
    keeps: tuple[str, ...] = BESIDE
    """What it holds beside the vectors."""
    whole: bool = False
    """Whether it takes all rows of the source or none."""


def some_rows(vectors: np.ndarray[Any, Any]) -> Rows:
    """Rows with these vectors, and ids, texts and years, some of them missing."""
    n = len(vectors)
    texts = [None if row % 7 == 3 else f"sentence {row}, ¿qué?" for row in range(n)]
    return {"vectors": vectors, "id": [f"id-{row}" for row in range(n)], "text": texts, "year": list(range(n))}


def table_of(rows: Rows) -> pa.Table:
    """Rows as a table, their vectors as lists that may be of any length."""
    vectors = rows["vectors"]
    flat = pa.array(np.ascontiguousarray(vectors).reshape(-1))
    offsets = pa.array(np.arange(0, vectors.size + 1, vectors.shape[1], dtype=np.int32))
    lists = pa.ListArray.from_arrays(offsets, flat)
    return pa.table({"id": rows["id"], "embedding": lists, "text": rows["text"], "year": rows["year"]})


def rows_of(table: pa.Table) -> Rows:
    """The reverse."""
    column = table["embedding"].combine_chunks()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    rows = {name: table[name].to_pylist() for name in table.column_names if name != "embedding"}
    return {**rows, "vectors": flat.reshape(len(table), -1)}


def _npy(folder: Path, rows: Rows) -> str:
    np.save(folder / "source.npy", rows["vectors"])
    return str(folder / "source.npy")


def _safetensors(folder: Path, rows: Rows) -> str:
    save_file({"other": np.zeros(3), "rows": rows["vectors"]}, folder / "source.safetensors")
    return str(folder / "source.safetensors")


def _parquet(folder: Path, rows: Rows) -> str:
    pa.parquet.write_table(table_of(rows), folder / "source.parquet", row_group_size=700)
    return f"{folder / 'source.parquet'}#embedding"


def _feather(folder: Path, rows: Rows) -> str:
    pa.feather.write_feather(table_of(rows), str(folder / "source.arrow"), chunksize=600)
    return str(folder / "source.arrow")


def _folder(folder: Path, rows: Rows) -> str:
    parts = folder / "parts"
    parts.mkdir()
    table = table_of(rows)
    for number, start in enumerate(range(0, len(table), 900)):
        pa.parquet.write_table(table.slice(start, 900), parts / f"part-{number:03d}.parquet")
    return str(parts)


def _moved_folder(folder: Path) -> Rows:
    files = sorted((folder / "moved").iterdir())
    assert [file.name for file in files] == [f"part-{number:03d}.parquet" for number in range(len(files))]
    tables = [pa.parquet.read_table(file) for file in files]
    assert all(len(table) == 900 for table in tables[:-1])
    return rows_of(pa.concat_tables(tables))


def _data_set(folder: Path, rows: Rows) -> str:
    order = np.random.RandomState(0).permutation(len(rows["id"]))
    mixed = table_of(rows).take(order)
    found = Dataset(mixed).select(np.argsort(order))  # in its own order again, by indices
    found.save_to_disk(str(folder / "saved"))
    return f"datasets:{folder / 'saved'}#embedding"


def _moved_data_set(folder: Path) -> Rows:
    found = load_from_disk(str(folder / "moved"))
    assert [type(one).__name__ for one in found.features.values()][:4] == ["Value", "List", "Value", "Value"]
    return rows_of(found.with_format("arrow")[:])


KINDS = [
    Kind("npy", _npy, "{folder}/moved.npy", lambda folder: {"vectors": np.load(folder / "moved.npy")}, ()),
    Kind(
        "safetensors",
        _safetensors,
        "{folder}/moved.safetensors",
        lambda folder: {"vectors": load_file(folder / "moved.safetensors")["rows"]},
        (),
    ),
    Kind(
        "parquet",
        _parquet,
        "{folder}/moved.parquet",
        lambda folder: rows_of(pa.parquet.read_table(folder / "moved.parquet")),
    ),
    Kind(
        "arrow", _feather, "{folder}/moved.arrow", lambda folder: rows_of(pa.feather.read_table(folder / "moved.arrow"))
    ),
    Kind("folder", _folder, "{folder}/moved", _moved_folder),
    Kind("datasets", _data_set, "datasets:{folder}/moved", _moved_data_set),
]


def parallel(
    k: int, seed: int = 0, widths: tuple[int, int] = (24, 20)
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """k items by two encoders, vectors of unit length: what both see is few-dimensional, and each sees it its own way."""
    world = np.random.RandomState(7)
    seen = [np.linalg.qr(world.randn(width, 12))[0].T for width in widths]
    means = [0.5 * world.randn(width) / width**0.5 for width in widths]
    latent = np.random.RandomState(seed).randn(k, 12) * np.linspace(2, 0.5, 12)
    noise = np.random.RandomState(seed + 1)
    sides = [
        torch.nn.functional.normalize(
            torch.from_numpy(latent @ by / 3 + mean + 0.05 * noise.randn(k, by.shape[1])), dim=1
        )
        for by, mean in zip(seen, means, strict=True)
    ]
    source, target = (side.float().numpy() for side in sides)
    return source, target
