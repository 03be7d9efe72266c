"""What commands read: tables of items, and vectors in files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

KINDS = {  # of files, by what `datasets` calls what reads them
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".txt": "text",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
COLUMN = "embedding"


def open_table(place: str, split: str, name: str | None = None) -> Any:
    """The `datasets.Dataset` of a file, a folder or an id on the Hub.

    Raises `InputError` for what is none, and `HubError` where the Hub does not give it.
    """
    import datasets

    from irp_hf.checks import check_choice
    from irp_hf.errors import HubError, first_line, refusal, shown

    try:
        if os.path.isfile(place):
            return _of_files(place, [place], split)
        if os.path.isfile(os.path.join(place, "anchor_set.json")):
            advice = "It holds a sample already; give the table that it was drawn from."
            raise refusal("The table", "a table of items", f"{shown(place)}, an anchor set", advice)
        if any(os.path.isfile(os.path.join(place, file)) for file in ("state.json", "dataset_dict.json")):
            found = datasets.load_from_disk(place)
            if isinstance(found, dict):
                return found[check_choice("split", split, list(found), "Name one of its splits, --split.")]
            return found
        if os.path.isdir(place):
            files = sorted(str(file) for file in Path(place).rglob("*.parquet"))
            if files:
                return _of_files(place, files, split)
            return datasets.load_dataset("imagefolder", data_dir=place, split=split)
        if os.path.splitext(place)[1] in KINDS or place.count("/") > 1:
            got = f"{shown(place)}, which is not there"
            raise refusal("The table", "a file, a folder or an id on the Hub", got, "Check the path.")
        return datasets.load_dataset(place, name, split=split)
    except (OSError, ValueError, TypeError, datasets.exceptions.DatasetsError) as error:
        from irp_hf.errors import IRPError

        if isinstance(error, IRPError):
            raise
        cause = error.__cause__ or error
        got = f"{shown(place)} ({type(cause).__name__}: {first_line(cause)})"
        kind: Any = (
            {"kind": HubError} if isinstance(error, ConnectionError | datasets.exceptions.DatasetNotFoundError) else {}
        )
        advice = f"Name a file ({', '.join(KINDS)}), a folder, or a data set of the Hub and its split."
        raise refusal("The table", "one that can be read", got, advice, **kind) from error


def _of_files(place: str, files: list[str], split: str) -> Any:
    """The table of files of one kind: all of it is the split `train`, as `datasets` has it."""
    import datasets

    from irp_hf.checks import check_choice
    from irp_hf.errors import refusal, shown

    check_choice("split", split, ["train"], "Leave it out: a file is one split.")
    suffix = os.path.splitext(files[0])[1].lower()
    if suffix not in KINDS:
        raise refusal("The table", f"a file of these: {', '.join(KINDS)}", shown(place), "Write it as one of them.")
    options = {"sep": "\t"} if suffix == ".tsv" else {}
    return datasets.load_dataset(KINDS[suffix], data_files=files, split="train", **options)


def open_vectors(name: str, address: str) -> Any:
    """The stored vectors `(n, d)` at an address, as whatever reads matrices takes them.

    Of files of numpy and of Parquet none is in memory yet. `name` is what errors call them. Raises `InputError` for what
    holds none.
    """
    from irp_hf.stores.address import Address

    found = Address.of(name, address)
    if found.scheme is None and found.place.endswith(".npy"):
        return _of_numpy(name, found.place)
    if found.scheme is None and found.place.endswith(".safetensors"):
        return _of_safetensors(name, found.place, found.inside)
    if found.scheme is None and (files := parquet_files(found.place)):
        from irp_hf.data.parquet import ParquetColumn

        return ParquetColumn(files, found.inside or COLUMN)
    return _of_store(name, found)


def _of_store(name: str, address: Any) -> Any:
    """All vectors of any other store, in memory."""
    import numpy as np

    from irp_hf.data.memory import allocating
    from irp_hf.stores import open_store
    from irp_hf.stores.base import vectors_of

    with open_store(address, name) as store, allocating(name, "Write them to an .npy file."):
        vectors = np.empty((store.num_rows, store.width), store.dtype)
        row = 0
        for batch in store.batches():
            vectors[row : row + batch.num_rows] = vectors_of(batch, store.column)
            row += batch.num_rows
        return vectors


def parquet_files(place: str) -> list[str]:
    """The Parquet file of this name, or all files of such a folder, in the order of their names."""
    if os.path.isfile(place):
        return [place] if place.endswith((".parquet", ".pq")) else []
    return sorted(str(file) for file in Path(place).glob("*.parquet"))


def _of_numpy(name: str, place: str) -> Any:
    import numpy as np

    from irp_hf.errors import first_line, refusal, shown

    try:
        return np.load(place, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        got = f"{shown(place)} ({first_line(error)})"
        raise refusal(name, "a file that numpy wrote", got, "Check the path, or write it anew.") from error


def _of_safetensors(name: str, place: str, tensor: str | None) -> Any:
    from safetensors import SafetensorError, safe_open

    from irp_hf.checks import check_choice, quoted
    from irp_hf.errors import first_line, refusal, shown

    try:
        with safe_open(place, "pt") as file:
            names = list(file.keys())
            if tensor is None and len(names) == 1:
                tensor = names[0]
            elif tensor is None:
                advice = f"Name one: {place}#{names[0] if names else 'name'}."
                raise refusal(name, "one tensor", f"{len(names)} of them, {quoted(names)}", advice)
            return file.get_tensor(check_choice(f"The tensor of {place}", tensor, names))
    except (OSError, SafetensorError) as error:
        got = f"{shown(place)} ({first_line(error)})"
        raise refusal(name, "a file of safetensors", got, "Check the path, or write it anew.") from error


def matched_rows(names: tuple[str, str], addresses: tuple[str, str], key: str) -> tuple[Any, Any, int]:
    """Which rows `(k,)` of two Parquet files have the same value in the column `key`, and how many there are in all.

    Raises `InputError` for what is no such file, for values that are missing or not unique, and where none is shared.
    """
    import numpy as np

    from irp_hf.errors import refusal, shown

    sides = [_keys(name, address, key) for name, address in zip(names, addresses, strict=True)]
    there = {value: row for row, value in enumerate(sides[1])}
    pairs = [(row, there[value]) for row, value in enumerate(sides[0]) if value in there]
    if not pairs:
        got = f"none: {shown(sides[0][0])}, say, and {shown(sides[1][0])}"
        raise refusal(f"The column {key!r}", "values that both files share", got, "Name the column of their ids.")
    one, other = np.array(pairs).T
    return one, other, max(map(len, sides))


def _keys(name: str, address: str, key: str) -> list[Any]:
    from pyarrow import ArrowException, parquet

    from irp_hf.checks import check_choice
    from irp_hf.errors import first_line, refusal, shown
    from irp_hf.stores.address import Address

    files = parquet_files(Address.of(name, address).place)
    if not files:
        raise refusal(f"--key of {name}", "Parquet files, which have columns", shown(address), "Leave --key out.")
    values: list[Any] = []
    for file in files:
        try:
            check_choice("key", key, parquet.read_schema(file).names, "Name a column that both files have.")
            values += parquet.read_table(file, columns=[key]).column(0).to_pylist()
        except (OSError, ArrowException) as error:
            got = f"{shown(file)} ({first_line(error)})"
            raise refusal(name, "a Parquet file", got, "Check the path, or write it anew.") from error
    seen: set[Any] = set()
    for row, value in enumerate(values):
        if value is None or value in seen:
            got = f"{shown(value)} in row {row}{'' if value is None else ' again'}"
            raise refusal(f"The column {key!r} of {name}", "a value for each row, each once", got, "Drop such rows.")
        seen.add(value)
    if not values:
        raise refusal(name, "a file with rows", "none", "Check the path.")
    return values
