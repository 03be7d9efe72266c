"""True embeddings in place of translated ones, row by row: a store serves from the first minute, and ends exact."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout
from typing_extensions import Unpack, override

from irp_hf.checks import check_choice, check_count, check_number
from irp_hf.data.progress import check_progress
from irp_hf.disk.places import written_in_words
from irp_hf.encoding.base import EncoderSettings
from irp_hf.encoding.batches import encode
from irp_hf.errors import refusal, shown
from irp_hf.evaluation.printed import Printed, Table
from irp_hf.models.delivering import CONFIDENCE, at_unit_length
from irp_hf.stores.address import Address
from irp_hf.stores.base import IS_TRUE, Matrix, Store
from irp_hf.stores.found import times_found
from irp_hf.stores.open import opened_store
from irp_hf.stores.record import StoreRecord
from irp_hf.stores.verify import check_text_column, check_width, open_target

Order = Literal["found", "confidence"]
ORDERS: tuple[Order, ...] = get_args(Order)


@dataclass(frozen=True)
class Reencoded(Printed):
    """How far a store has come."""

    destination: str
    num_rows: int
    num_encoded: int
    """Rows that were encoded now."""
    true_rows: int
    """Rows that an encoder made, by now."""
    without_text: int
    """Rows that are left as they are, since there is nothing to be encoded."""
    least: float | None
    """The lowest confidence of the rows that are still to be encoded; None where none is."""
    seconds: float

    @override
    def caption(self) -> str:
        of_all = f"{self.true_rows:,} of {self.num_rows:,} are true, {self.true_rows / self.num_rows:.1%}"
        return f"Encoded {self.num_encoded:,} rows of {self.destination}: {of_all}."

    @override
    def tables(self) -> list[Table]:
        return []

    @override
    def conclusions(self) -> list[str]:
        said = (
            []
            if self.least is None
            else [f"Of those that are translated, the least sure has a confidence of {self.least:.3f}."]
        )
        if self.without_text:
            said.append(f"{self.without_text:,} have no text, and stay as they are.")
        return said


def reencode(
    destination: Any,
    encoder: Any = None,
    *,
    text: str,
    budget: int | None = None,
    until: float | None = None,
    order: Order = "found",
    batch_size: int = 32,
    progress: bool | None = None,
    **settings: Unpack[EncoderSettings],
) -> Reencoded:
    """Encode rows of a translated store for real, and put them in its place, those first that searches find most.

    A call that was interrupted goes on where it was when it is made again. The store is changed in one step, at the end.

    Args:
        destination: the address of the translated vectors, made with `confidence=True`, or an opened `Store`.
        encoder: the target's: a folder, an id, a loaded model or a function; by default the one on the Hub that the store
            names. It is opened as the target's anchors were encoded, but for `settings`, as `irp_hf.encoding.encode` has them.
        text: the column of texts that the vectors are of. Rows without a text stay as they are.
        budget: encode at most so many rows.
        until: encode only rows whose confidence is below that. With neither, all.
        order: which come first: "found", those that are most often among the ten nearest to others, or "confidence", those of
            the lowest. A part that is true serves searches better where it is what these find (docs/move.md).
        batch_size: texts at a time.
        progress: show a bar, or do not; by default on a terminal.

    Raises `InputError` for a store without confidences or texts, or that irp_hf did not write, for another encoder than the
    store says, and while another call is at work on it.
    """
    check_progress(progress)
    if budget is not None:
        budget = check_count("budget", budget, advice="Leave it out for all rows.")
    if until is not None:
        until = check_number("until", until, -1, 1, advice="0.6, say.")
    order = check_choice("order", order, ORDERS)
    began = time.monotonic()
    with ExitStack() as stack:
        own = isinstance(destination, Store)
        stack.enter_context(_locked(destination.address if own else Address.of("destination", destination)))
        store = opened_store(destination, "destination", stack)  # what another call left of it
        record = _record_of(store)
        check_text_column(store, text)
        confidences, true, has_text = _told(store, text)
        found = times_found(store, progress) if order == "found" else np.zeros(store.num_rows, dtype=np.int64)
        rows = _chosen(confidences, found, ~true & has_text, budget, until)
        before = store.digest()
        _remove_kept(store, but=before)  # of a call that was killed once its vectors were in their place
        if len(rows):
            kept = _kept(store, before, rows)
            vectors = _encoded(store, record, rows, text, encoder, batch_size, progress, settings, kept)
            if store.digest() != before:
                advice = "Run it again, while nobody else writes to it."
                raise refusal(str(store.address), "the same store as at the beginning", "one that was changed", advice)
            true[rows] = True
            store.replace(rows, vectors, record.with_values(true_rows=int(true.sum()), vectors=None))
            _remove_kept(store)
    left = confidences[~true & has_text]
    return Reencoded(
        str(store.address),
        store.num_rows,
        len(rows),
        int(true.sum()),
        int((~has_text & ~true).sum()),
        float(left.min()) if len(left) else None,
        time.monotonic() - began,
    )


@contextmanager
def _locked(address: Address) -> Iterator[None]:
    """Have a store alone, among calls of this function on this machine; raises `InputError` while another one has it.

    A file is written as a whole, and of a database a table or a collection: that is what one call has.
    """
    home, name = _home(address)
    inside = "" if address.scheme in (None, "datasets") else (address.inside or "").partition(".")[0]
    place = os.path.realpath(address.place) if os.path.exists(address.place) else address.place
    path = home / f"{name}.reencoded-{_short(f'{place}#{inside}'.encode())}.lock"
    lock = FileLock(path, timeout=0)
    with written_in_words(path):
        try:
            lock.acquire()
        except (Timeout, RuntimeError) as error:  # the latter where this very thread holds it
            expected, got = "a store that no other call of reencode works on", "one that is in use"
            raise refusal(str(address), expected, got, "Wait until the other one ends.") from error
    try:
        yield
    finally:
        with suppress(OSError):
            if sys.platform != "win32":  # which removes no open file
                path.unlink(missing_ok=True)
        lock.release()
        with suppress(OSError):
            if sys.platform == "win32":
                path.unlink(missing_ok=True)


def _record_of(store: Store) -> StoreRecord:
    record = store.record()
    if record is None:
        advice = "Translate one first: translate_store(..., confidence=True)."
        raise refusal(str(store.address), "a store that irp_hf has translated", "one without its record", advice)
    return record


def _told(store: Store, text: str) -> tuple[Matrix, Matrix, Matrix]:
    """The confidences of all rows, which are true by now, and which have a text, each `(n,)`."""
    told, flag = f"{store.column}{CONFIDENCE}", f"{store.column}{IS_TRUE}"
    if told not in store.schema.names:
        advice = "Translate anew with confidence=True."
        raise refusal(str(store.address), f"a column {shown(told)}, which tells what to begin with", "none", advice)
    confidences, true, texts = [], [], []
    for batch in store.batches():
        confidences.append(np.asarray(batch.column(told), dtype=np.float64))
        known = flag in batch.schema.names
        true.append(np.asarray(batch.column(flag).fill_null(False)) if known else np.zeros(batch.num_rows, bool))
        texts.append(np.array([bool(value and value.strip()) for value in batch.column(text).to_pylist()], dtype=bool))
    return np.concatenate(confidences), np.concatenate(true).astype(bool), np.concatenate(texts)


def _chosen(confidences: Matrix, found: Matrix, is_open: Matrix, budget: int | None, until: float | None) -> Matrix:
    """The open rows to encode, rising: those found most often, and of these the ones of the lowest confidences."""
    rows = np.flatnonzero(is_open if until is None else is_open & (confidences < until))
    order = np.lexsort([confidences[rows], -found[rows]])
    return np.sort(rows[order[:budget]])


def _encoded(
    store: Store,
    record: StoreRecord,
    rows: Matrix,
    text: str,
    encoder: Any,
    batch_size: int,
    progress: bool | None,
    settings: EncoderSettings,
    kept: Path,
) -> Matrix:
    """True vectors of these rows, in the store's own dtype and length; on the way they are kept in a file."""
    texts = _texts_at(store, rows, text)
    opened = open_target(encoder, record, texts[0], settings)
    found, _ = encode(opened, texts, batch_size=batch_size, out=kept, progress=progress)
    vectors = found.numpy().astype(np.float32)
    check_width(opened, store.width, vectors.shape[1])
    if record.unit_length:
        vectors = at_unit_length(vectors)
    return vectors.astype(store.dtype)


def _texts_at(store: Store, rows: Matrix, text: str) -> list[str]:
    """The texts of rows; vectors are not kept in memory for it."""
    found, start = list[str](), 0
    for batch in store.batches():
        inside = rows[slice(*np.searchsorted(rows, [start, start + batch.num_rows]))] - start
        found += batch.column(text).take(pa.array(inside)).to_pylist()
        start += batch.num_rows
    return found


def _kept(store: Store, digest: str, rows: Matrix) -> Path:
    """The file in which vectors of these rows are kept until all are there, for a store of this digest."""
    home, start = _place(store)
    return home / f"{start}{_short(digest.encode())}-{_short(rows.tobytes())}.npy"


def _remove_kept(store: Store, but: str | None = None) -> None:
    """Remove what calls kept of vectors for this store, and no longer need; what goes with that digest stays."""
    home, start = _place(store)
    for entry in list(home.iterdir()):
        if not entry.name.startswith(start) or (
            but is not None and entry.name.startswith(start + _short(but.encode()))
        ):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def _place(store: Store) -> tuple[Path, str]:
    """The folder for such files, beside a store on the disk, and what the names of those of this store begin with."""
    home, name = _home(store.address)
    return home, f"{name}.reencoded-{_short(str(store.address).encode())}-"


def _home(address: Address) -> tuple[Path, str]:
    """The folder for what is kept of a store, and what the store is called there."""
    place = Path(address.place)
    home = place.parent if os.path.exists(place) else Path(tempfile.gettempdir())
    return home, place.name or "store"


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
