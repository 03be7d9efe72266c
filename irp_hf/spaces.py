"""`AnchoredSpace`: one encoder's anchors, all that the other side ever needs of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from huggingface_hub import ModelCard
from torch import Tensor
from typing_extensions import Self

from irp_hf.anchors import AnchorSet
from irp_hf.arrays import Rows, as_matrix
from irp_hf.configuration_irp import AnchoredSpaceConfig
from irp_hf.errors import AnchorMismatchError, InputError
from irp_hf.inverses.base import Inverse
from irp_hf.inverses.kernel import KernelInverse
from irp_hf.inverses.pruned import PrunedInverse
from irp_hf.inverses.whitened import WhitenedInverse
from irp_hf.options import check_given, check_method
from irp_hf.pretrained import AnchoredModel
from irp_hf.projection import Statistics, denormalize, normalize, statistics
from irp_hf.selection import METHODS
from irp_hf.translation import refuse_overflow


class AnchoredSpace(AnchoredModel):
    """The space of one encoder, described by its own anchors.

    Tensors: `anchors (k, d)`, `mean (d,)`, `mean_scale ()`, all float32.
    """

    config_class = AnchoredSpaceConfig
    sealed = ("anchor_fingerprint",)
    anchors: Tensor
    mean: Tensor
    mean_scale: Tensor

    def __init__(self, config: AnchoredSpaceConfig) -> None:
        super().__init__(config)
        for name, shape in self.shapes(config).items():
            self._put(name, torch.zeros(shape))
        self.post_init()

    @classmethod
    def shapes(cls, config: AnchoredSpaceConfig) -> dict[str, tuple[int, ...]]:
        """The names and shapes of all tensors of a space of this configuration."""
        k, d = config.num_anchors, config.hidden_size
        return {"anchors": (k, d), "mean": (d,), "mean_scale": ()}

    @classmethod
    def from_embeddings(
        cls, embeddings: Any, anchor_set: AnchorSet | None = None, encoder: str | dict[str, Any] | None = None
    ) -> Self:
        """A space from embeddings `(k, d)` that were made elsewhere: numpy, torch, Arrow, a `datasets` column or lists.

        `anchor_set` are the items they encode, in the same order; with it, spaces that do not belong together are refused.
        `encoder` says who encoded: an id, or a dictionary with `id`, `revision`, `pooling`, `prompt`, ...

        Raises `InputError` for anything but a finite floating-point matrix of at least two different rows.
        """
        if anchor_set is not None and not isinstance(anchor_set, AnchorSet):
            raise _no_anchor_set("anchor_set", anchor_set)
        anchors = as_matrix(embeddings).detach().float()
        if anchor_set is not None and len(anchor_set) != len(anchors):
            raise AnchorMismatchError(
                f"The embeddings have {len(anchors)} rows, the anchor set {len(anchor_set)} items. "
                "Encode anchor_set.view(), all of it and in its order."
            )
        check_anchors(anchors)
        config = AnchoredSpaceConfig(
            num_anchors=anchors.shape[0],
            hidden_size=anchors.shape[1],
            anchor_fingerprint=anchor_set.fingerprint if anchor_set is not None else None,
            anchor_set=anchor_set.record if anchor_set is not None else None,
            encoder=_encoder_record(encoder),
        )
        return cls(config)._fill(anchors)

    def _fill(self, anchors: Tensor) -> Self:
        stats = statistics(anchors.double())
        self._put("anchors", anchors)
        self._put("mean", stats.mean)
        self._put("mean_scale", stats.scale)
        return self

    @classmethod
    def encode(cls, encoder: Any, anchors: AnchorSet, view: str | None = None, **options: Any) -> Self:
        """Load an encoder and encode one view of `anchors` with it.

        `encoder` is a folder or an id, a loaded `SentenceTransformer` or transformers model, or a function from a list of
        items to `(n, d)`. The options are those of `irp_hf.encoding.encode`: `pooling`, `prompt`, `normalize`, `at="head"`,
        `batch_size`, `device`, `out`, ... Of a two-tower model, the view tells the side.

        Raises `InputError` where the right pooling is not known and not given.
        """
        from irp_hf.encoding import encode

        if not isinstance(anchors, AnchorSet):
            raise _no_anchor_set("anchors", anchors)
        embeddings, record = encode(encoder, anchors.view(view), **options)
        record["view"] = view if view is not None else anchors.views[0]
        return cls.from_embeddings(embeddings, anchors, record)

    @property
    def unit_anchors(self) -> Tensor:
        """Anchors centred and at unit length, shape (k, d), float64."""
        return normalize(self.anchors.double(), self.statistics)

    @property
    def statistics(self) -> Statistics:
        """Mean and mean scale of the anchors, float64."""
        return Statistics(self.mean.double(), self.mean_scale.double())

    def to_relative(self, x: Any, method: str = "kernel", **options: Any) -> Any:
        """Relative coordinates `(n, k)` of `x (n, d)`: the source half of an inverse, from this space's anchors alone.

        `options` are the hyper-parameters of the inverse (`gamma`, `ridge`, `balance`, ...); what is not given has a default
        that suits most spaces. Returns the kind that `x` is.
        """
        inverse = inverse_of(method, **options)
        rows = Rows(x, width=self.config.hidden_size)
        vectors = normalize(self._double(rows), self.statistics, inverse.lift)
        anchors = normalize(self.anchors.double(), self.statistics, inverse.lift)
        return rows.wrap(inverse.relative(vectors, anchors).to(rows.dtype))

    def to_absolute(self, z: Any, method: str = "kernel", **options: Any) -> Any:
        """Vectors `(n, d)` of this space from relative coordinates `z (n, k)`: the target half, from its anchors alone."""
        inverse = inverse_of(method, **options)
        rows = Rows(z, "relative coordinates", self.config.num_anchors)
        refuse_overflow(rows, self.mean, self.mean_scale)
        directions = inverse.absolute(self._double(rows), self.unit_anchors)
        return rows.wrap(denormalize(directions, self.statistics).to(rows.dtype))

    def _double(self, rows: Rows) -> Tensor:
        rows.check_finite()
        return rows[0 : rows.num_rows].to(self.anchors.device, torch.float64)

    def _card(self, repo_id: str, folder: Path, **about: Any) -> ModelCard:
        from irp_hf.cards import space_card

        return space_card(cast(AnchoredSpaceConfig, self.config), repo_id, **about)

    def extra_repr(self) -> str:
        """What `print` shows."""
        name = (self.config.encoder or {}).get("id", "unknown encoder")
        return f"{name}: {self.config.num_anchors} anchors, {self.config.hidden_size} wide"


def open_space(space: Any, name: str = "the space") -> AnchoredSpace:
    """A space, or the one in a folder or on the Hub; raises `InputError` for anything else."""
    if isinstance(space, str | os.PathLike):
        return AnchoredSpace.from_pretrained(space)
    if not isinstance(space, AnchoredSpace):
        raise InputError(
            f"{name} is a {type(space).__name__}; an AnchoredSpace, a folder or an id is wanted. Make one with "
            "AnchoredSpace.encode or AnchoredSpace.from_embeddings, or call IRPAdapter.from_anchors."
        )
    return space


def inverse_of(method: str, **options: Any) -> Inverse:
    """The inverse of that name with the given hyper-parameters and defaults for the others."""
    check_method(method, METHODS)
    given = {name: value for name, value in vars(check_given(method, **options)).items() if value is not None}
    kinds: dict[str, Any] = {"kernel": KernelInverse, "whitened": WhitenedInverse, "pruned": PrunedInverse}
    fields = kinds[method].__dataclass_fields__
    return kinds[method](**{name: value for name, value in given.items() if name in fields})  # type: ignore[no-any-return]


SMALLEST = 1e-15  # mean scale: the square of a row's norm must stay far inside float32


def _no_anchor_set(name: str, given: Any) -> InputError:
    return InputError(f"{name} is a {type(given).__name__}; an AnchorSet is wanted. Make one: AnchorSet(items).")


def _encoder_record(encoder: Any) -> dict[str, Any] | None:
    """Who encoded, as it goes into a configuration; raises `InputError` where JSON cannot hold it."""
    if encoder is None:
        return None
    record = {"id": encoder} if isinstance(encoder, str) else encoder
    try:
        if isinstance(record, dict) and json.loads(json.dumps(record)) == record:
            return record
    except (TypeError, ValueError):
        pass
    raise InputError(
        f"encoder is {encoder!r:.80}; an id or a dictionary of plain values is wanted. Give the encoder's id, say."
    )


def check_anchors(anchors: Tensor, name: str = "the embeddings") -> None:
    """Raise `InputError` where `anchors (k, d)` cannot describe a space: fewer than two rows, all alike, or tiny."""
    if len(anchors) < 2:
        raise InputError(
            f"There is 1 anchor in {name}; at least 2 are wanted. Some hundred to a few thousand work well."
        )
    spread = (anchors - anchors[0]).abs().max()
    if spread <= 1e-6 * anchors.abs().max():
        raise InputError(
            f"All {len(anchors)} anchors in {name} are the same vector; different ones are wanted. "
            "Check what the encoder was given."
        )
    scale = float(statistics(anchors.double()).scale)
    if scale < SMALLEST:
        raise InputError(
            f"The anchors in {name} have a mean scale of {scale:.3g}; at least {SMALLEST:g} is wanted. "
            "Multiply them by a constant."
        )


class AnchorsOf(NamedTuple):
    """Which anchors a side holds, as far as it is known."""

    side: str
    num_anchors: int
    fingerprint: str | None = None

    @classmethod
    def space(cls, side: str, space: AnchoredSpace) -> AnchorsOf:
        """Those of a space."""
        return cls(side, space.config.num_anchors, space.config.anchor_fingerprint)

    def __str__(self) -> str:
        known = f"{self.fingerprint[:8]}…" if self.fingerprint else "without fingerprint"
        return f"{self.side} {known} ({self.num_anchors} items)"


def refuse_other_anchors(one: AnchorsOf, other: AnchorsOf) -> None:
    """Raise `AnchorMismatchError` where two sides are known to hold different anchors."""
    differ = one.fingerprint and other.fingerprint and one.fingerprint != other.fingerprint
    if differ or one.num_anchors != other.num_anchors:
        raise AnchorMismatchError(
            f"Anchor sets differ: {one}, {other}. Both spaces must encode the same items in the same order; encode one of them "
            "again with the anchor set of the other."
        )
