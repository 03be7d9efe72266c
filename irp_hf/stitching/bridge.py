"""`Bridge`: a new encoder's queries for an index of an old encoder's vectors, which stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor
from typing_extensions import Unpack, override

from irp_hf.arithmetic import own_arithmetic
from irp_hf.checks import check_names, check_number
from irp_hf.data.arrays import Rows
from irp_hf.data.canary import Canary
from irp_hf.data.listed import in_order
from irp_hf.encoding.base import Encoder, EncoderSettings
from irp_hf.encoding.batches import encode_all
from irp_hf.encoding.canary import recognise
from irp_hf.encoding.recorded import OnMismatch, check_on_mismatch, open_recorded
from irp_hf.errors import refusal
from irp_hf.evaluation.intervals import Measure, bootstrap
from irp_hf.evaluation.printed import Printed, Table, number
from irp_hf.maths.mixing import NEAREST, WEIGHTS, found_by_weight, mixed
from irp_hf.maths.projection import has_unit_length, unit_rows
from irp_hf.models.adapter import IRPAdapter
from irp_hf.models.reports import chosen_again
from irp_hf.stitching.parts import named_encoder, open_adapter

LEAST_INDEPENDENT = 24  # anchors: halves of fewer tell next to nothing


@dataclass(frozen=True)
class Weighed(Printed):
    """What queries of each weight found among held-out anchors: of the three that are nearest by the new encoder."""

    num_anchors: int
    shares: dict[float, Measure]
    """By the weight of the translation: 0 is the old encoder alone, 1 the translation alone."""

    @property
    def best(self) -> float:
        """The weight whose queries found most on the mean."""
        return max(self.shares, key=lambda weight: self.shares[weight].mean)

    @override
    def caption(self) -> str:
        what = f"the new encoder's own {NEAREST} nearest that queries find there by their old vectors"
        return f"{self.num_anchors:,} anchors, each half of them held out of a fit on the other: share of {what}."

    @override
    def tables(self) -> list[Table]:
        rows = [[f"{weight:.1f}", str(share)] for weight, share in self.shares.items()]
        return [[["weight of the translation", "found"], *rows]]

    @override
    def conclusions(self) -> list[str]:
        best, kept = self.best, self.shares
        numbers = (
            f"the old encoder's own queries find {number(kept[0.0].mean)}, translated ones {number(kept[1.0].mean)}"
        )
        if best == 0:
            return [f"Keep the old encoder for queries: {numbers}."]
        if best == 1:
            return [f"Translated queries alone are best: {numbers}."]
        return [f"Mixed, with a weight of {best:.1f}, they find {number(kept[best].mean)}: {numbers}."]


class Bridge:
    """Queries by a new encoder, as vectors for an index that an old encoder made.

    The adapter leads from the new encoder to the old one. Where the old encoder is still at hand, what it makes of the query is
    mixed with the translation, as one vector; by how much, held-out anchors tell. Without it, the translation is the answer.

        bridge = Bridge("sentence-transformers/all-MiniLM-L6-v2", adapter, old_encoder="me/old-encoder")
        index.search(bridge.encode(["a question of a user"]), 10)
    """

    def __init__(
        self,
        encoder: Any = None,
        adapter: Any = None,
        old_encoder: Any = None,
        weight: float | Literal["auto"] = "auto",
        *,
        on_mismatch: OnMismatch = "refuse",
        **settings: Unpack[EncoderSettings],
    ) -> None:
        """Put the parts together; each is an id, a folder or an object.

        Args:
            encoder: the new one; None takes the one on the Hub that the adapter names as its source.
            adapter: an `IRPAdapter` from the new encoder to the old one, or where one lies.
            old_encoder: the one that made the index, where it is still to be had.
            weight: of the translation, from 0 (the old encoder alone) to 1. "auto" takes the one whose queries find most of
                what the new encoder finds, among anchors that are held out: neither encoder alone finds more there.
            on_mismatch: "refuse", "warn" or "ignore", where an encoder is another than that of the anchors.
            **settings: of the new encoder, as `irp_hf.encoding.encode` has them.

        Raises `InputError` for parts that do not fit each other, and for a weight below 1 without an old encoder.
        """
        own = ("encoder", "adapter", "old_encoder", "weight", "on_mismatch")
        check_names("Bridge", settings, EncoderSettings.__annotations__, own)
        check_on_mismatch(on_mismatch)
        if weight != "auto":
            weight = check_number("weight", weight, 0, 1, advice='0.7, say, or "auto".')
        if old_encoder is None and weight not in ("auto", 1):
            got, advice = f"none, and a weight of {weight:g}", "Pass old_encoder=, or leave the weight out."
            raise refusal("old_encoder", "one to mix the translation with", got, advice)
        self.adapter: IRPAdapter = open_adapter(adapter)
        self.encoder: Encoder = self._opened(encoder, settings, on_mismatch)
        """The new one, opened."""
        self.old_encoder: Encoder | None = None if old_encoder is None else self._opened_old(old_encoder, on_mismatch)
        """The one that made the index, if it is there."""
        with self.adapter.computing():
            self._unit = has_unit_length(self.adapter.target_anchors)
        self.weighed: Weighed | None = None
        """What each weight found among held-out anchors; None where the weight was given, or there is nothing to mix."""
        self.weight = 1.0
        """Of the translation."""
        if self.old_encoder is not None and weight != "auto":
            self.weight = float(weight)
        elif self.old_encoder is not None:
            self.weighed = weigh(self.adapter)
            self.weight = self.weighed.best

    def encode(
        self, queries: Sequence[Any], batch_size: int = 32, progress: bool | None = None
    ) -> np.ndarray[Any, Any]:
        """Vectors `(n, d)` of queries, float32, for the old index: at unit length where the old encoder's vectors have it.

        Raises `InputError` for what is no list of queries, a text alone too, and for those that the encoders do not read.
        """
        queries = list(in_order(queries, "queries", least=0))
        new = self._made(self.encoder, queries, batch_size, progress) if self.weight else None
        old = (
            self._made(self.old_encoder, queries, batch_size, progress)
            if self.old_encoder is not None and self.weight < 1
            else None
        )
        found: np.ndarray[Any, Any] = self.mix(new, old)
        return found

    def encode_documents(
        self, documents: Sequence[Any], batch_size: int = 32, progress: bool | None = None
    ) -> np.ndarray[Any, Any]:
        """Vectors `(n, d)` of documents that come to the index: the old encoder's own where it is there, else translations.

        Float32, and as it gives them. Raises `InputError` for what is no list, and for documents that the encoders do not read.
        """
        if self.old_encoder is None:
            return self.encode(documents, batch_size, progress)
        listed = list(in_order(documents, "documents", least=0))
        return self._made(self.old_encoder, listed, batch_size, progress)

    @property
    def is_alike(self) -> bool:
        """Whether a text has the same vector as a query and as a document."""
        return self.old_encoder is None or self.weight == 0

    def mix(self, new: Any = None, old: Any = None) -> Any:
        """The same of vectors that are there already: `new (n, d_X)` of the new encoder, and `old (n, d_Y)` of the old one.

        What has no weight may be left out. Raises `InputError` for what is missing or does not fit.
        """
        if (new is None and self.weight > 0) or (old is None and self.weight < 1):
            missing = "old" if new is not None else "new"
            got = f"none, beside a weight of {self.weight:g}"
            raise refusal(missing, "vectors of that encoder too", got, "Pass both, row i of the same query.")
        if old is None:
            moved = self._translated(new)
            return moved.wrap(self._scaled(moved))
        rows = Rows(old, "old", self.adapter.config.target_size, ("source", self.adapter.config.source_size), least=0)
        mine = rows.whole() if rows.num_rows else rows[0:0]
        if new is None:
            return rows.wrap(mine.clone())
        translated = self._scaled(self._translated(new)).to(mine.device)
        if translated.shape != mine.shape:
            got = f"{len(translated)} of the new encoder and {len(mine)} of the old"
            raise refusal("new and old", "as many vectors of both", got, "Encode the same queries by both.")
        with own_arithmetic():
            return rows.wrap(mixed(translated.double(), mine.double(), self.weight).to(rows.dtype))

    def _translated(self, new: Any) -> Rows:
        """Translations of whatever holds vectors, in its own kind."""
        return Rows(self.adapter.translate(new), "new", self.adapter.config.target_size, least=0)

    def _scaled(self, moved: Rows) -> Tensor:
        """Translations `(n, d_Y)` at the length that the index has."""
        rows = moved.whole() if moved.num_rows else moved[0:0]
        with own_arithmetic():
            return unit_rows(rows) if self._unit else rows

    def _made(
        self, encoder: Encoder, queries: list[Any], batch_size: int, progress: bool | None
    ) -> np.ndarray[Any, Any]:
        return encode_all(encoder, queries, batch_size, progress).numpy()

    def _opened(self, encoder: Any, settings: EncoderSettings, on_mismatch: OnMismatch) -> Encoder:
        opened = named_encoder(self.adapter, encoder, settings, None, self.adapter.hub_token)
        config = self.adapter.config
        canary = Canary.from_dict(config.source_canary, "source_canary")
        recognise(config.source_record, canary, self.adapter.source_anchors, opened, on_mismatch)
        return opened

    def _opened_old(self, encoder: Any, on_mismatch: OnMismatch) -> Encoder:
        config = self.adapter.config
        canary = Canary.from_dict(config.target_canary, "target_canary")
        item = None if canary is None else canary.items[0]
        opened = open_recorded(encoder, config.target_record, {}, item=item)
        recognise(config.target_record, canary, self.adapter.target_anchors, opened, on_mismatch, "target's")
        return opened


@own_arithmetic()
def weigh(adapter: IRPAdapter) -> Weighed:
    """What mixed queries find among held-out anchors, for each weight of the translation.

    Either half is translated by a fit on the other, and searches itself. Raises `InputError` for an adapter without pairs, or
    with too few of them to tell anything.
    """
    if adapter.config.discovered is not None:
        advice = "Give a weight; evaluate(x, y) on a few true pairs tells how good the translation is."
        raise refusal("weight", "an adapter of pairs, which can be held out", "one that was made without any", advice)
    with adapter.computing():
        known = adapter.fitted
        fitted = known if known is not None and known.checksum == adapter.checksum() else None
        choice, pairs = chosen_again(adapter.config, adapter.source_anchors, adapter.target_anchors, fitted)
    independent = len(pairs.labels.unique())
    if independent < LEAST_INDEPENDENT:
        expected = f"at least {LEAST_INDEPENDENT} independent anchors, to choose it by"
        raise refusal("weight", expected, f"{independent}", "Give a weight: 0.7, say.")
    shares = bootstrap(found_by_weight(choice, pairs, adapter.config.seed))
    return Weighed(len(pairs), dict(zip(WEIGHTS, shares, strict=True)))
