"""Whether a translated store keeps what was promised: some of its items are encoded for real, and both are compared."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from typing_extensions import Unpack, override

from irp_hf.checks import check_count, quoted
from irp_hf.data.progress import check_progress
from irp_hf.encoding.base import Encoder, EncoderSettings
from irp_hf.encoding.batches import encode_all
from irp_hf.encoding.recorded import compare_encoder, open_recorded
from irp_hf.errors import refusal, shown
from irp_hf.evaluation.index import IndexReport
from irp_hf.evaluation.intervals import Measure, bootstrap
from irp_hf.evaluation.printed import Printed, Table, number
from irp_hf.maths.copies import are_copies
from irp_hf.maths.metrics import cosines, neighbors_found
from irp_hf.maths.projection import unit_rows
from irp_hf.models.adapter import IRPAdapter
from irp_hf.models.delivering import CONFIDENCE
from irp_hf.records import EncoderRecord
from irp_hf.stores.base import Store, vectors_of
from irp_hf.stores.by_class import Classes, check_class_column, classes_of, found_by_class
from irp_hf.stores.open import opened_store
from irp_hf.stores.record import StoreRecord

LEAST = 50  # items: fewer tell next to nothing of ten neighbours
ALL_TRUE = 0.99999  # mean cosine with what the encoder makes: half precision costs less
MOST_TRIED = 4  # times as many rows are looked at, where some have no text


@dataclass(frozen=True)
class Verified(Printed):
    """What a store keeps, by items that were encoded for real, each with its 95 % interval."""

    destination: str
    num_items: int
    cosine: Measure
    """Of stored vectors with the encoder's own."""
    neighbors: Measure
    """Share of the encoder's ten nearest neighbours, among these items, that its queries find by the stored vectors."""
    before: Measure | None = None
    """The same by the vectors and the encoder of before, which is what doing nothing keeps; None where they were not given."""
    gain: Measure | None = None
    """What the store is above that, item by item."""
    expected: float | None = None
    """The mean of the confidences that are stored; None where there are none."""
    forecast: Measure | None = None
    """The share that the adapter's report told of as many items, from held-out anchors; None where none was given."""
    by_class: Classes | None = None
    """How many of the ten that are found are of the query's class; None where no column of classes was named."""
    num_rows: int | None = None
    """Of the whole store."""
    anchors: int | None = None
    """Rows that the adapter was fitted on, and that were left out of the draw; None where no adapter was given."""

    @override
    def caption(self) -> str:
        what = (
            f"{self.num_items:,} items of {self.destination}, encoded anew; neighbours are the ten nearest among them."
        )
        if self.anchors is None:
            what += " What the adapter was fitted on looks better than other rows: with adapter= it is left out."
        elif self.anchors:
            what += f" {self.anchors:,} others were drawn and left out, since the adapter was fitted on them."
        return f"Verified on {what}"

    @override
    def tables(self) -> list[Table]:
        promised = "" if self.expected is None or self._is_true() else f"{number(self.expected)} expected"
        rows = [["this store", str(self.neighbors), f"{self.cosine} {promised}".rstrip()]]
        if self.forecast is not None:
            rows.append(["what held-out anchors foretold", str(self.forecast), ""])
        if self.before is not None:
            rows.append(["the store of before, with its own encoder", str(self.before), ""])
        rows.append(["encoded anew", "1.000", "1.000"])
        if self.by_class is None:
            return [[["by", "neighbours found", "cosine"], *rows]]
        known = {0: self.by_class.store, len(rows) - 1: self.by_class.anew}
        if self.by_class.before is not None:
            known[len(rows) - 2] = self.by_class.before
        lines = [[*row, str(known[number]) if number in known else ""] for number, row in enumerate(rows)]
        return [[["by", "neighbours found", "cosine", "of its class"], *lines]]

    @override
    def conclusions(self) -> list[str]:
        if self._is_true():
            return ["The vectors of all these items are the new encoder's own: nothing of them is translated any more."]
        if self.before is None or self.gain is None:
            return []
        numbers = f"it finds {self.neighbors} of what the new encoder finds, the store of before {self.before}"
        if self.by_class is not None and self.by_class.before is not None:
            numbers += f"; by classes it has {self.by_class.store} and {self.by_class.before}"
        if not self.gain.is_sure():
            return [f"Among these items moving changes little: {numbers}.{self._of_all()}"]
        worth = "Moving is worth it" if self.gain.mean > 0 else "Keep the store of before"
        return [f"{worth} until all is encoded anew, by these items: {numbers}.{self._of_all()}"]

    def _is_true(self) -> bool:
        """Whether what is stored is what the encoder makes, as after `reencode` of all rows."""
        return self.cosine.mean > ALL_TRUE

    def _of_all(self) -> str:
        if self.num_rows is None or self.num_rows <= 2 * self.num_items:
            return ""
        size = f"{self.num_rows:,} rows"
        return f" Among all {size} translations find less than among these: the report of an index of {size} tells how much."


def verify_store(
    destination: Any,
    encoder: Any = None,
    *,
    text: str,
    label: str | None = None,
    source: Any = None,
    adapter: IRPAdapter | str | os.PathLike[str] | None = None,
    sample: int = 1000,
    seed: int = 0,
    batch_size: int = 32,
    progress: bool | None = None,
    **settings: Unpack[EncoderSettings],
) -> Verified:
    """Encode some items of a translated store for real, and tell what share of their neighbours it keeps.

    Args:
        destination: the address of the translated vectors, or an opened `Store`.
        encoder: the target's: a folder, an id, a loaded model or a function; by default the one on the Hub that the store
            names. It is opened as the target's anchors were encoded, but for `settings`, as `irp_hf.encoding.encode` has them.
        text: the column of texts that the vectors are of.
        label: a column of classes, numbers or words: then it also tells how many of the ten found are of the query's class.
        source: the store of before, with the same rows: then what doing nothing keeps stands beside.
        adapter: the one that translated the store, or where it lies: then rows that it was fitted on are left out, which look
            better than others, and what its report foretold stands beside. It is fitted again for that, with anchors held out.
        sample: how many items are encoded. A larger sample is a larger index: compare figures of one size only;
            `report(index_size=)` says what more rows keep.
        seed: of the draw.
        batch_size: texts at a time.
        progress: show a bar, or do not; by default on a terminal.

    Raises `InputError` for stores without these columns, of other rows, or with fewer than 50 texts, and for an encoder that
    encodes otherwise than the store says.
    """
    check_progress(progress)
    count = check_count("sample", sample, LEAST, advice="1000, say.")
    with ExitStack() as stack:
        store = opened_store(destination, "destination", stack)
        if label is not None:
            check_class_column(store, label)
        model = None if adapter is None else _translator(adapter, store)
        rows, texts, anchors = texts_of(store, text, count, seed, None if model is None else _directions(model))
        found = store.take(rows)
        classes = None if label is None else classes_of(found.column(label))
        before = None if source is None else _before(opened_store(source, "source", stack), store, rows, text, texts)
        forecast = None if model is None else _forecast(model, len(texts) - 1)
        opened = open_target(encoder, store.record(), texts[0], settings)
    true = encode_all(opened, texts, batch_size, progress).double()
    stored = _tensor(found, store)
    check_width(opened, stored.shape[1], true.shape[1])
    told = f"{store.column}{CONFIDENCE}"
    known = found.column(told).to_numpy(zero_copy_only=False) if told in found.schema.names else None
    measured = [neighbors_found(true, stored, true), cosines(stored, true)]
    if before is not None:
        measured.append(neighbors_found(before, before, true))
        measured.append(measured[0] - measured[-1])
    neighbors, cosine, *rest = bootstrap(torch.stack(measured))
    old, gain = rest or (None, None)
    expected = None if known is None else float(np.mean(known))
    by_class = None if classes is None else found_by_class(classes, true, stored, before)
    return Verified(
        *(str(store.address), len(texts), cosine, neighbors, old, gain, expected, forecast, by_class, store.num_rows),
        anchors=None if model is None else anchors,
    )


def _translator(adapter: IRPAdapter | str | os.PathLike[str], store: Store) -> IRPAdapter:
    """The adapter; raises `InputError` where it is not the one that translated the store."""
    model = adapter if isinstance(adapter, IRPAdapter) else IRPAdapter.from_pretrained(adapter)
    record = store.record()
    if record is None or record.adapter != model.checksum():
        got = "another one" if record is not None else "a store without a record of any"
        raise refusal("adapter", f"the one that translated {store.address}", got, "Leave it out, or give that one.")
    return model


def _directions(model: IRPAdapter) -> Tensor:
    """Of its anchors `(2 k, d_Y)`: as they were translated, and as they are where a store holds true ones."""
    with model.computing():
        anchors = model.target_anchors.double().cpu()
        translated = model.translate(model.source_anchors.detach()).double().cpu()
    return unit_rows(torch.cat([translated, anchors]))


def _forecast(model: IRPAdapter, others: int) -> Measure:
    """The share of neighbours among so many `others` that the adapter's report tells of a translated index."""
    index = cast(IndexReport, model.report(baselines=[], progress=False, index_size=others).index)
    return index.shares[0].moved


def check_width(encoder: Encoder, stored: int, made: int) -> None:
    """Raise `InputError` where an encoder makes vectors of another width than are stored."""
    if stored != made:
        advice = "Name the encoder that the store was translated to."
        raise refusal(encoder.name, f"an encoder of vectors {stored} wide", f"one of vectors {made} wide", advice)


def texts_of(
    store: Store, text: str, count: int, seed: int, known: Tensor | None = None
) -> tuple[np.ndarray[Any, Any], list[str], int]:
    """Some rows of a store, in order, that have a text, and their texts; raises `InputError` for fewer than 50.

    Rows with one of the `known (k, d)` directions are left out; the third is how many.
    """
    check_text_column(store, text)
    random = np.random.RandomState(seed)
    numbers = np.sort(random.choice(store.num_rows, min(store.num_rows, MOST_TRIED * count), replace=False))
    drawn = store.take(numbers)
    given = drawn.column(text).to_pylist()
    usable = np.array([row for row, value in enumerate(given) if value is not None and value.strip()], dtype=np.int64)
    fresh = usable
    if known is not None and len(usable):
        copies = are_copies(unit_rows(_tensor(drawn, store)), known).any(1).numpy()
        fresh = usable[~copies[usable]]
    if len(fresh) < min(LEAST, count):
        got = (
            f"{len(fresh)}" if known is None else f"{len(fresh)} beside the {len(usable) - len(fresh)} that are anchors"
        )
        raise refusal(str(store.address), f"at least {LEAST} rows with a text", got, "Name the column of texts.")
    chosen = np.sort(random.permutation(fresh)[:count])
    return numbers[chosen], [given[row] for row in chosen], len(usable) - len(fresh)


def check_text_column(store: Store, text: str) -> None:
    """Raise `InputError` where a store has no column of texts of this name."""
    texts = [
        field.name for field in store.schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    ]
    if text not in texts:
        expected = f"one of its columns of texts, {quoted(texts)}," if texts else "a store with a column of texts"
        advice = f'Name it: text="{texts[0]}".' if texts else "Translate to a store that keeps them, Parquet say."
        raise refusal(str(store.address), expected, shown(text), advice)


def open_target(encoder: Any, record: StoreRecord | None, item: str, settings: EncoderSettings) -> Encoder:
    """The encoder whose vectors a store is to have, opened as the store says, and compared with what it says."""
    target = EncoderRecord.from_dict(None if record is None else record.target_encoder, "the store's target encoder")
    if encoder is None:
        if target.id is None or not target.on_hub:
            advice = "Pass encoder=, a folder, an id or a loaded model."
            raise refusal("encoder", "one, or a store that names one on the Hub", f"none, and {target.name}", advice)
        encoder = target.id
    opened = open_recorded(encoder, target, settings, item=item)
    compare_encoder(target, opened, "refuse", "target's")
    return opened


def _before(old: Store, store: Store, rows: np.ndarray[Any, Any], text: str, texts: list[str]) -> Tensor:
    """The vectors that the same rows had before; raises `InputError` where these are others."""
    advice = "Name the store that this one was made of."
    if old.num_rows < store.num_rows:
        got = f"{old.num_rows:,}"
        raise refusal(str(old.address), f"{store.num_rows:,} rows, as the destination has", got, advice)
    found = old.take(rows)
    if text in found.schema.names and found.column(text).to_pylist() != texts:
        raise refusal(str(old.address), "the rows of the destination, in their order", "rows of other texts", advice)
    return _tensor(found, old)


def _tensor(batch: pa.RecordBatch, store: Store) -> Tensor:
    return torch.from_numpy(vectors_of(batch, store.column).astype(np.float64))
