"""`AnchoredSpace`: one encoder's anchors, all that the other side ever needs of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard
from torch import Tensor
from typing_extensions import Self, Unpack

from irp_hf.anchors.anchor_set import AnchorSet
from irp_hf.arithmetic import own_arithmetic
from irp_hf.configuration_irp import AnchoredSpaceConfig
from irp_hf.data.arrays import Rows, as_matrix
from irp_hf.data.chunks import refuse_overflow
from irp_hf.encoding.base import EncodeOptions
from irp_hf.encoding.batches import encode
from irp_hf.errors import AnchorMismatchError, InputError, kind_of, refusal
from irp_hf.maths.projection import Statistics, denormalize, normalize, statistics
from irp_hf.maths.request import InverseOptions, Method, inverse_of
from irp_hf.models.base import AnchoredModel
from irp_hf.models.cards import space_card
from irp_hf.models.checks import check_anchors
from irp_hf.records import EncoderRecord


class AnchoredSpace(AnchoredModel):
    """The space of one encoder, described by its own anchors.

    Tensors: `anchors (k, d)`, `mean (d,)`, `mean_scale ()`, all float32.
    """

    config_class = AnchoredSpaceConfig
    config: AnchoredSpaceConfig
    checksum_fields = ("anchor_fingerprint",)
    anchors: Tensor
    mean: Tensor
    mean_scale: Tensor

    @classmethod
    def shapes(cls, config: AnchoredSpaceConfig) -> dict[str, tuple[int, ...]]:
        """The names and shapes of all tensors of a space of this configuration."""
        k, d = config.num_anchors, config.hidden_size
        return {"anchors": (k, d), "mean": (d,), "mean_scale": ()}

    @classmethod
    @own_arithmetic()
    def from_embeddings(
        cls,
        embeddings: Any,
        anchor_set: AnchorSet | None = None,
        encoder: str | dict[str, Any] | EncoderRecord | None = None,
    ) -> Self:
        """A space from embeddings `(k, d)` that were made elsewhere: numpy, torch, Arrow, a `datasets` column or lists.

        `anchor_set` are the items they encode, in the same order; with it, spaces that do not belong together are refused.
        `encoder` says who encoded: an id, or a dictionary with `id`, `revision`, `pooling`, `prompt`, ...

        Raises `InputError` for anything but a finite floating-point matrix of at least two different rows.
        """
        record = EncoderRecord.from_dict({"id": encoder} if isinstance(encoder, str) else encoder, "encoder")
        if anchor_set is not None and not isinstance(anchor_set, AnchorSet):
            raise _no_anchor_set("anchor_set", anchor_set)
        anchors = as_matrix(embeddings).detach().float()
        if anchor_set is not None and len(anchor_set) != len(anchors):
            raise refusal(
                "embeddings",
                f"{len(anchor_set)} rows, one for each item of the anchor set",
                f"{len(anchors)}",
                "Encode anchor_set.view(), all of it and in its order.",
                AnchorMismatchError,
            )
        check_anchors(anchors)
        config = AnchoredSpaceConfig(
            num_anchors=anchors.shape[0],
            hidden_size=anchors.shape[1],
            anchor_fingerprint=anchor_set.fingerprint if anchor_set is not None else None,
            anchor_set=anchor_set.record if anchor_set is not None else None,
            encoder=None if encoder is None else record.to_dict(),
        )
        return cls(config)._fill(anchors)

    def _fill(self, anchors: Tensor) -> Self:
        stats = statistics(anchors.double())
        self._set_tensor("anchors", anchors)
        self._set_tensor("mean", stats.mean)
        self._set_tensor("mean_scale", stats.scale)
        return self

    @classmethod
    def encode(
        cls, encoder: Any, anchors: AnchorSet, view: str | None = None, **options: Unpack[EncodeOptions]
    ) -> Self:
        """Load an encoder and encode one view of `anchors` with it.

        `encoder` is a folder or an id, a loaded `SentenceTransformer` or transformers model, or a function from a list of
        items to `(n, d)`. The options are those of `irp_hf.encoding.encode`: `pooling`, `prompt`, `normalize`, `at="head"`,
        `batch_size`, `device`, `out`, ... Of a two-tower model, the view tells the side.

        Raises `InputError` where the right pooling is not known and not given.
        """
        if not isinstance(anchors, AnchorSet):
            raise _no_anchor_set("anchors", anchors)
        embeddings, record = encode(encoder, anchors.view(view), **options)
        record["view"] = view if view is not None else anchors.views[0]
        return cls.from_embeddings(embeddings, anchors, record)

    @property
    def unit_anchors(self) -> Tensor:
        """Anchors centred and at unit length, shape (k, d), float64."""
        with self.computing():
            return normalize(self.anchors.double(), self.statistics)

    @property
    def statistics(self) -> Statistics:
        """Mean and mean scale of the anchors, float64."""
        with self.computing():
            return Statistics(self.mean.double(), self.mean_scale.double())

    def to_relative(self, x: Any, method: Method = "kernel", **options: Unpack[InverseOptions]) -> Any:
        """Relative coordinates `(n, k)` of `x (n, d)`: the source half of an inverse, from this space's anchors alone.

        `options` are the hyper-parameters of the inverse (`gamma`, `ridge`, `balance`, ...); what is not given has a default
        that suits most spaces. Returns the kind that `x` is.
        """
        inverse = inverse_of(method, **options)
        rows = Rows(x, width=self.config.hidden_size)
        with self.computing():
            vectors = normalize(self._double(rows), self.statistics, inverse.lift)
            anchors = normalize(self.anchors.double(), self.statistics, inverse.lift)
            return rows.wrap(inverse.relative(vectors, anchors).to(rows.dtype))

    def to_absolute(self, z: Any, method: Method = "kernel", **options: Unpack[InverseOptions]) -> Any:
        """Vectors `(n, d)` of this space from relative coordinates `z (n, k)`: the target half, from its anchors alone."""
        inverse = inverse_of(method, **options)
        rows = Rows(z, "relative coordinates")
        if rows.width != self.config.num_anchors:
            advice = "Make them with to_relative of a space of the same anchors."
            expected = f"width {self.config.num_anchors}, a column for each anchor"
            raise refusal(rows.name, expected, f"width {rows.width}", advice)
        with self.computing():
            refuse_overflow(rows, self.mean, self.mean_scale)
            directions = inverse.absolute(self._double(rows), self.unit_anchors)
            return rows.wrap(denormalize(directions, self.statistics).to(rows.dtype))

    def _double(self, rows: Rows) -> Tensor:
        rows.check_finite()
        return rows[0 : rows.num_rows].to(self.anchors.device, torch.float64)

    def _card(self, repo_id: str, folder: Path, **about: Any) -> ModelCard:
        return space_card(self.config, repo_id, **about)

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"{self.config.encoder_record.name}: {self.config.num_anchors} anchors, {self.config.hidden_size} wide"


def open_space(space: Any, name: str = "the space") -> AnchoredSpace:
    """A space, or the one in a folder or on the Hub; raises `InputError` for anything else."""
    if isinstance(space, str | os.PathLike):
        return AnchoredSpace.from_pretrained(space)
    if not isinstance(space, AnchoredSpace):
        advice = "Make one with AnchoredSpace.encode or from_embeddings; of arrays, call IRPAdapter.from_anchors."
        raise refusal(name, "an AnchoredSpace, or the folder or the id of one", kind_of(space), advice)
    return space


def _no_anchor_set(name: str, given: Any) -> InputError:
    return refusal(name, "an AnchorSet", kind_of(given), "Make one: AnchorSet(items).")
