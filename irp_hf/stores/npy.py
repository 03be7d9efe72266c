"""Vectors in `.npy`, a matrix in one file: the rows' order is all that tells whose they are."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.lib.format import (
    dtype_to_descr,
    read_array_header_1_0,
    read_array_header_2_0,
    read_magic,
    write_array_header_1_0,
)
from typing_extensions import override

from irp_hf.data.matrices import FLOAT_ARRAYS
from irp_hf.disk.atomic import written_file
from irp_hf.disk.journal import LARGEST_JOURNAL
from irp_hf.disk.places import cannot_be_read, check_path
from irp_hf.disk.plain import opened, read_text
from irp_hf.errors import first_line, refusal, shown
from irp_hf.models.delivering import CONFIDENCE
from irp_hf.records import EncoderRecord
from irp_hf.stores.address import Address
from irp_hf.stores.base import IS_TRUE, Matrix, Store, vectors_of
from irp_hf.stores.files import FileWriter, read_sidecar, sidecar_of, write_sidecar
from irp_hf.stores.raw import Layout, RawStore
from irp_hf.stores.record import StoreRecord

VECTORS = "vectors"


class NpyStore(RawStore):
    """A matrix `(n, d)`. What is known of each row besides lies in `<name>_confidence.npy`, and is not read."""

    def __init__(self, address: Address) -> None:
        """Raises `InputError` for what is no matrix of floats."""
        self.address, path = address, check_path("source", address.place)
        if address.inside is not None:
            got = shown(str(address))
            raise refusal(
                "source", "the path of a .npy file alone, which has no columns", got, "Leave out # and after."
            )
        self._holds(path, layout_of(path), VECTORS)

    @override
    def record(self) -> StoreRecord | None:
        return read_sidecar(self._path)

    @override
    def encoder(self) -> EncoderRecord | None:
        """Also of what `encode(out=)` has written, which notes beside it who encoded."""
        if self.record() is not None:
            return super().encoder()
        try:
            noted = json.loads(read_text(Path(f"{self._path}.json"), LARGEST_JOURNAL))
            return EncoderRecord.from_dict(noted["run"]["encoder"], f"the journal of {self._path}")
        except (OSError, ValueError, KeyError, TypeError, RecursionError):  # none, or another's file of that name
            return None


class NpyWriter(FileWriter):
    """A new `.npy`, its record beside it, and a file of its own for each column that tells of the vectors."""

    @override
    def _files(self, path: Path) -> list[Path]:
        return [path, sidecar_of(path), *self._beside(path).values()]

    def _beside(self, path: Path) -> dict[str, Path]:
        """The files of columns that tell of the vectors, by their names."""
        names = {f"{self.plan.column}{end}": end for end in (CONFIDENCE, IS_TRUE)}
        return {
            name: path.with_name(f"{path.stem}{names[name]}.npy") for name in self.plan.schema.names if name in names
        }

    @override
    def _assemble(self, record: StoreRecord, path: Path) -> None:
        self._write_beside(record, path)
        vectors = (vectors_of(batch, self.plan.column) for batch in self.batches())
        width = self.plan.schema.field(self.plan.column).type.list_size
        self._write(path, vectors, (record.num_rows, width))

    def _write_beside(self, record: StoreRecord, path: Path) -> None:
        write_sidecar(path, record)
        for name, place in self._beside(path).items():
            column = (np.asarray(batch.column(name)) for batch in self.batches())
            self._write(place, column, (record.num_rows,))

    def _write(self, place: Path, parts: Iterator[Matrix], shape: tuple[int, ...]) -> None:
        with written_file(place) as file:
            for number, part in enumerate(parts):
                if not number:
                    about = {"descr": dtype_to_descr(part.dtype), "fortran_order": False, "shape": shape}
                    write_array_header_1_0(file, about)
                file.write(np.ascontiguousarray(part).data.cast("B"))

    @override
    def _opened(self, path: Path) -> Store:
        return NpyStore(Address(None, str(path)))


def layout_of(path: Path) -> Layout:
    """Where the matrix of a `.npy` file lies in it; raises `InputError` for any other file."""
    try:
        with opened(path) as file:  # no pipe
            version = read_magic(file)
            read = read_array_header_1_0 if version == (1, 0) else read_array_header_2_0
            shape, by_columns, dtype = read(file)
            start, size = file.tell(), os.fstat(file.fileno()).st_size
    except FileNotFoundError as error:
        raise refusal("source", "a file that exists", shown(str(path)), "Check the path.") from error
    except PermissionError as error:
        raise cannot_be_read(str(path), error) from error
    except Exception as error:  # a damaged file makes numpy raise almost anything
        raise refusal(str(path), "a .npy file", f"an error ({first_line(error)})", "Check the file.") from error
    if len(shape) != 2 or dtype.newbyteorder("=") not in FLOAT_ARRAYS or not shape[1]:
        got = f"{dtype} of shape {shape}"
        raise refusal(str(path), "a matrix of floats, a row for each item", got, "Save it as float32, say.")
    if (whole := start + dtype.itemsize * shape[0] * shape[1]) != size:
        expected = f"{whole:,} bytes, as its shape {shape} has them"
        raise refusal(str(path), expected, f"{size:,}", "It was cut, or is being written: check the file.")
    return Layout(start, dtype, *shape, by_columns=by_columns and min(shape) > 1)
