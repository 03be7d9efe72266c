"""Indexes and vector databases, made and read by their own libraries, for the contract of all stores."""

from __future__ import annotations

from pathlib import Path

import faiss
import lance
import lancedb
import numpy as np
import pyarrow as pa
from store_kinds import Kind, Rows, rows_of, table_of


def _flat(folder: Path, rows: Rows) -> str:
    index = faiss.IndexFlatIP(rows["vectors"].shape[1])
    index.add(rows["vectors"])
    faiss.write_index(index, str(folder / "source.faiss"))
    return str(folder / "source.faiss")


def _inverted(folder: Path, rows: Rows) -> str:
    width = rows["vectors"].shape[1]
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(width), width, 8, faiss.METRIC_L2)
    index.train(np.nan_to_num(rows["vectors"]))
    index.add(np.nan_to_num(rows["vectors"]))
    if np.isnan(rows["vectors"]).any():
        raise ValueError("k-means takes no NaN")
    faiss.write_index(index, str(folder / "source.faiss"))
    return str(folder / "source.faiss")


def _moved_index(folder: Path) -> Rows:
    index = faiss.read_index(str(folder / "moved.faiss"))
    if isinstance(index, faiss.IndexIVF):
        index.make_direct_map()
    return {"vectors": index.reconstruct_n(0, index.ntotal)}


def _lance(folder: Path, rows: Rows) -> str:
    width = rows["vectors"].shape[1]
    table = table_of(rows)
    kind = table["embedding"].type.value_type
    table = table.set_column(1, "embedding", table["embedding"].cast(pa.list_(kind, width)))
    (folder / "db").mkdir()
    lance.write_dataset(table, folder / "db" / "source.lance", max_rows_per_file=700)  # LanceDB itself takes no NaN
    return f"lancedb:{folder / 'db'}#source.embedding"


def _lance_table(folder: Path) -> Rows:
    return rows_of(lancedb.connect(folder / "db").open_table("moved").to_arrow())


def _lance_column(folder: Path) -> Rows:
    table = lancedb.connect(folder / "db").open_table("source").to_arrow()
    return rows_of(table.drop_columns(["embedding"]).rename_columns({"moved": "embedding"}))


DATABASES = [
    Kind("faiss-flat", _flat, "{folder}/moved.faiss", _moved_index, ()),
    Kind("faiss-ivf", _inverted, "{folder}/moved.faiss", _moved_index, ()),
    Kind("lancedb-table", _lance, "lancedb:{folder}/db#moved", _lance_table),
    Kind("lancedb-column", _lance, "lancedb:{folder}/db#source.moved", _lance_column, whole=True),
]
