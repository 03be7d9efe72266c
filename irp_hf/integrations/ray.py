"""Batches of vectors to batches of translated ones, on as many machines as there are: for Ray, Spark, Daft and `datasets`.

These engines cut a table into batches and send a function to each, in other processes. `Translate` is that function. It needs
none of their libraries, and has its place under the name of the first.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import torch

from irp_hf.checks import check_text, quoted, written
from irp_hf.data.arrays import Rows
from irp_hf.data.wrong import dtype_name
from irp_hf.disk.reading import is_saved
from irp_hf.errors import IRPError, first_line, kind_of, refusal, shown
from irp_hf.integrations.batches import batch_of
from irp_hf.models.adapter import IRPAdapter
from irp_hf.models.delivering import CONFIDENCE, Delivery, DType, UnitLength, check_delivery

Given = TypeVar("Given")
MOST_LOADED = 4  # adapters that a process keeps of those it loaded
IMPORTED_BY = os.getpid()  # which children that are forked keep


class Translate:
    """A batch with vectors of the source in a column becomes one of the same kind with vectors of the target.

        move = Translate("minilm-to-mpnet", "embedding", "moved")
        batch = move(batch)  # a table or a record batch of Arrow, a frame of pandas, or columns by their names

    In Ray `dataset.map_batches(move)`, in Spark `frame.mapInArrow(move.batches, schema)`, in `datasets`
    `dataset.map(move, batched=True)`; docs/scale.md has them all. Other columns and the order of rows stay.

    It pickles. Of an adapter that is named, a pickle holds the name, its commit on the Hub and its checksum: each process loads
    it once, and refuses another. An adapter that was fitted or loaded here travels with its numbers.
    """

    def __init__(
        self,
        adapter: IRPAdapter | str | os.PathLike[str],
        column: str,
        out: str | None = None,
        *,
        unit_length: UnitLength = "auto",
        confidence: bool = False,
        dtype: DType | None = None,
    ) -> None:
        """Look at all of it before anything is sent to where it would fail late: a named adapter is loaded here, too.

        Args:
            adapter: from the encoder of the stored vectors to the one that is wanted. Where workers cannot read the folder,
                by its whole path, or cannot reach the Hub, give the adapter itself.
            column: the name of the column of vectors `(n, d_X)`.
            out: that of the translated vectors `(n, d_Y)`, a new one; by default they take the place of the others.
            unit_length: whether they are brought to unit length; "auto" does so where the target's anchors have it.
            confidence: whether a column `<out>_confidence` is added, the expected cosine of each.
            dtype: of the translated vectors, by default that of the source, and float32 of float64.

        Raises `InputError` for options that there are not, and what `IRPAdapter.from_pretrained` raises.
        """
        check_delivery(unit_length, confidence, dtype)
        self.column = _name("column", column)
        self.out = self.column if out is None else _name("out", out)
        self._given: IRPAdapter | None = None
        self._place, self._commit = "", None
        if isinstance(adapter, IRPAdapter):
            model = self._given = adapter
        elif isinstance(adapter, str | os.PathLike):
            model, place = IRPAdapter.from_pretrained(adapter), os.fspath(adapter)
            self._place = os.path.abspath(place) if is_saved(Path(place)) else place  # workers are in other folders
            self._commit = model.config._commit_hash
        else:
            expected, advice = "an IRPAdapter, or the folder or id of one", "Make one with IRPAdapter.connect."
            raise refusal("adapter", expected, kind_of(adapter), advice)
        self._checksum = model.checksum()
        self._delivery = Delivery.of(model, unit_length, confidence, dtype)

    @property
    def adapter(self) -> IRPAdapter:
        """The adapter; of one that is named, this process loads it if it has not yet.

        Raises `IRPError` where it cannot be had here, or is another by now.
        """
        return self._given if self._given is not None else _loaded(self._place, self._commit, self._checksum)

    def __call__(self, batch: Given) -> Given:
        """The batch with translated vectors; what was given is not changed. Of no rows it makes none, with the same columns.

        Raises `InputError` for what is no batch, where the column is missing or the new one is there already, and for vectors
        that are missing, ragged, of another width or not finite, with the row in this batch.
        """
        _with_one_thread_if_forked(os.getpid())
        read = batch_of(batch)
        self._check_names(read.names)
        config = self.adapter.config
        rows = Rows(
            read.vectors(self.column),
            f"{self.column} of this batch",
            config.source_size,
            ("target", config.target_size),
            least=0,
            advice="Name the column of the source's vectors.",
        )
        x = rows.whole()
        dtype = self._delivery.dtype_for(dtype_name(x.dtype))
        y, confidences = self._delivery.make(self.adapter, x.float().cpu().numpy(), dtype)
        made = {self.out: y}
        if confidences is not None:
            made[self._told] = confidences
        given: Given = read.with_columns(made, self.column, rows)
        return given

    def batches(self, batches: Iterable[Given]) -> Iterator[Given]:
        """Each of several batches, as Spark hands them on: an iterator for an iterator."""
        return map(self, batches)

    @property
    def _told(self) -> str:
        """The column of confidences."""
        return f"{self.out}{CONFIDENCE}"

    def _check_names(self, names: list[Any]) -> None:
        """Raise `InputError` unless a batch has the column once, and none of those that are new."""
        if names.count(self.column) != 1:
            several = names.count(self.column)
            got = f"{several} of that name" if several else f"{shown(self.column)}, which is none"
            advice = written(self.column, names, "Name that of the vectors.")
            raise refusal("column", f"one of the columns {quoted(names)}", got, advice)
        new = [self.out] if self.out != self.column else []
        new += [self._told] if self._delivery.confidence else []
        for name in new:
            if name in names:
                got = "a batch that has one of that name"
                raise refusal("out", f"a new column {shown(name)}", got, "Give out= another name, or drop that column.")


def _name(option: str, value: Any) -> str:
    if not check_text(option, value, "Give the name of a column."):
        raise refusal(option, "the name of a column", "an empty text", "Give one.")
    return str(value)


@lru_cache(1)
def _with_one_thread_if_forked(process: int) -> None:
    """Torch's threads are not forked: who left them at work before would wait for them for ever, as `datasets` did."""
    if process != IMPORTED_BY:
        torch.set_num_threads(1)


@lru_cache(MOST_LOADED)
def _loaded(place: str, commit: str | None, checksum: str) -> IRPAdapter:
    """The adapter of this checksum, from a folder or the Hub; raises `IRPError` where it is not to be had or another."""
    travels = "Or give Translate the adapter itself, which then travels along."
    try:
        model = IRPAdapter.from_pretrained(place, **({} if commit is None else {"revision": commit}))
    except IRPError as error:
        expected, got = "one that each worker can load", f"an error where this one does ({first_line(error)})"
        raise refusal(f"The adapter {place}", expected, got, travels, type(error)) from error
    if (found := model.checksum()) != checksum:
        advice = f"Begin again, while nobody saves there. {travels}"
        raise refusal(f"The adapter {place}", f"the one of before, {checksum[:12]}", found[:12], advice)
    return model
