"""Real engines with two workers: what they write is what one process translates. They run where they are installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from store_kinds import parallel

from irp_hf import IRPAdapter
from irp_hf.integrations.ray import Translate

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of engines, about their neighbours
]
FILES, EACH = 4, 250
X = parallel(FILES * EACH, seed=5)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of vectors and of their rows' numbers, and an adapter beside them."""
    place = tmp_path_factory.mktemp("engines")
    (place / "documents").mkdir()
    for number in range(FILES):
        rows = range(number * EACH, (number + 1) * EACH)
        table = pa.table({"id": rows, "embedding": pa.array(list(X[rows.start : rows.stop]), pa.list_(pa.float32()))})
        parquet.write_table(table, place / "documents" / f"{number}.parquet")
    IRPAdapter.from_anchors(*parallel(200), method="whitened").save_pretrained(place / "adapter")
    return place


@pytest.fixture(params=[False, True], ids=["an adapter", "a name"])
def move(request: pytest.FixtureRequest, folder: Path) -> Translate:
    place = folder / "adapter"
    return Translate(
        place if request.param else IRPAdapter.from_pretrained(place), "embedding", "moved", confidence=True
    )


def check(folder: Path, out: Path, confidence: bool = True) -> None:
    """What an engine wrote are all rows, each with the translation of its own vector."""
    table = pa.concat_tables([parquet.read_table(path) for path in sorted(out.rglob("*.parquet"))]).sort_by("id")
    assert table["id"].to_pylist() == list(range(len(X)))
    adapter = IRPAdapter.from_pretrained(folder / "adapter")
    wanted = Translate(adapter, "embedding", "moved", confidence=True)({"embedding": X})
    np.testing.assert_array_equal(np.stack(table["embedding"].to_numpy()), X)
    np.testing.assert_allclose(np.stack(table["moved"].to_numpy()), wanted["moved"], atol=1e-6)
    if confidence:
        np.testing.assert_allclose(table["moved_confidence"], wanted["moved_confidence"], atol=1e-5)


@pytest.fixture(scope="module")
def ray() -> Any:
    ray = pytest.importorskip("ray")
    data = pytest.importorskip("ray.data")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)
    yield data
    ray.shutdown()


@pytest.mark.parametrize("form", ["default", "pyarrow", "pandas"])
def test_ray_with_tasks(form: str, ray: Any, folder: Path, move: Translate, tmp_path: Path) -> None:
    """If it fails, the documented default gives others' vectors, or none."""
    table = ray.read_parquet(str(folder / "documents"), override_num_blocks=FILES)
    table.map_batches(move, batch_format=form, batch_size=100).write_parquet(str(tmp_path))
    check(folder, tmp_path)


def test_ray_with_two_actors(ray: Any, folder: Path, tmp_path: Path) -> None:
    """If it fails, an adapter is not loaded where it works."""
    table = ray.read_parquet(str(folder / "documents"), override_num_blocks=FILES)
    given = (str(folder / "adapter"), "embedding", "moved")
    actors = ray.ActorPoolStrategy(size=2)
    table.map_batches(Translate, fn_constructor_args=given, compute=actors, batch_size=100).write_parquet(str(tmp_path))
    check(folder, tmp_path, confidence=False)


def test_ray_row_by_row_is_refused(ray: Any, folder: Path, move: Translate) -> None:
    """If it fails, somebody who calls `map` waits for a product for each vector, or is told nothing."""
    with pytest.raises(Exception, match="map_batches"):
        ray.read_parquet(str(folder / "documents")).map(move).take(1)


@pytest.fixture(scope="module")
def spark() -> Any:
    sql = pytest.importorskip("pyspark.sql")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    options = {"spark.ui.enabled": "false", "spark.sql.files.maxPartitionBytes": "30000"}
    builder = sql.SparkSession.builder.master("local[2]").config(map=options)
    session = builder.getOrCreate()
    yield session
    session.stop()


@pytest.mark.parametrize("call", ["mapInArrow", "mapInPandas"])
def test_spark(call: str, spark: Any, folder: Path, move: Translate, tmp_path: Path) -> None:
    """If it fails, Spark cannot read the lists that come back, or loses rows."""
    from pyspark.sql.types import ArrayType, FloatType, StructField, StructType

    table = spark.read.parquet(str(folder / "documents"))
    made = [StructField("moved", ArrayType(FloatType())), StructField("moved_confidence", FloatType())]
    moved = getattr(table, call)(move.batches, StructType([*table.schema, *made]))
    assert table.rdd.getNumPartitions() > 1
    moved.write.parquet(str(tmp_path / "out"))
    check(folder, tmp_path / "out")


def test_daft(folder: Path, move: Translate, tmp_path: Path) -> None:
    """If it fails, a function of Daft cannot hand on a column of its own."""
    daft = pytest.importorskip("daft")

    @daft.func.batch(return_dtype=daft.DataType.list(daft.DataType.float32()), batch_size=100)
    def moved(vectors: Any) -> Any:
        return move({"embedding": vectors.to_arrow()})["moved"]

    table = daft.read_parquet(f"{folder}/documents/*.parquet")
    table.with_column("moved", moved(table["embedding"])).write_parquet(str(tmp_path / "out"))
    check(folder, tmp_path / "out", confidence=False)
