"""`AnchoredSpace`: one encoder's anchors, and unpaired rows beside them: all that the other side ever needs of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import torch
from huggingface_hub import ModelCard
from torch import Tensor
from typing_extensions import Self, Unpack

from irp_hf.anchors.anchor_set import AnchorSet
from irp_hf.arithmetic import own_arithmetic
from irp_hf.checks import check_flag, check_names
from irp_hf.configuration_irp import CHECKSUM_VERSION, AnchoredSpaceConfig
from irp_hf.data.arrays import Rows, as_matrix
from irp_hf.data.canary import Canary
from irp_hf.data.chunks import refuse_overflow
from irp_hf.data.memory import allocating
from irp_hf.encoding.base import EncodeOptions, EncoderSettings, Options
from irp_hf.encoding.batches import encode, open_to_encode
from irp_hf.encoding.canary import keep, recognise
from irp_hf.encoding.recorded import OnMismatch, check_on_mismatch, open_recorded
from irp_hf.errors import AnchorMismatchError, InputError, kind_of, refusal
from irp_hf.maths.halves import Side, half
from irp_hf.maths.inverses.base import Inverse
from irp_hf.maths.projection import Statistics, denormalize, normalize, statistics
from irp_hf.maths.request import Given, InverseOptions, Method, half_given
from irp_hf.models.background import Unpaired, beside, from_half, in_half
from irp_hf.models.background_items import BackgroundItems
from irp_hf.models.base import AnchoredModel
from irp_hf.models.cards import space_card
from irp_hf.models.checks import check_anchors
from irp_hf.models.stored import wrong_space
from irp_hf.records import EncoderRecord

RUN = ("batch_size", "out", "progress")  # what `encode` takes besides how the encoder is opened

FEWER = "Give num_landmarks, or a space of fewer anchors; IRPAdapter.connect takes any number of them."


class AnchoredSpace(AnchoredModel):
    """The space of one encoder, described by its own anchors.

    Tensors: `anchors (k, d)`, `mean (d,)`, `mean_scale ()`, all float32. With a background also `background (n, d)`, float16,
    as seen from `mean` and in units of `mean_scale` (`background_rows` gives them in those of the encoder), and
    `background_numbers (n,)`, int64, which of the rows that were given these are; without one these two are None.
    """

    config_class = AnchoredSpaceConfig
    config: AnchoredSpaceConfig
    checksum_fields = ("anchor_fingerprint",)
    checksum_fields_if_set = ("kept", "discovered")
    checksum_records = ("anchor_set", "encoder", "canary")
    may_lack = ("background", "background_numbers")
    dtypes = MappingProxyType({"background": torch.float16, "background_numbers": torch.int64})
    anchors: Tensor
    mean: Tensor
    mean_scale: Tensor
    background: Tensor | None
    background_numbers: Tensor | None
    halves: Mapping[str, Inverse] = MappingProxyType({})
    """What was chosen for this side until now, by what was asked; kept in memory, and saved nowhere."""

    @classmethod
    def shapes(cls, config: AnchoredSpaceConfig) -> dict[str, tuple[int, ...]]:
        """The names and shapes of all tensors of a space of this configuration."""
        k, d = config.num_anchors, config.hidden_size
        n = config.num_background
        beside = {} if n is None else {"background": (n, d), "background_numbers": (n,)}
        return {"anchors": (k, d), "mean": (d,), "mean_scale": (), **beside}

    @classmethod
    @own_arithmetic()
    @allocating("embeddings", "Give fewer anchors.")
    def from_embeddings(
        cls,
        embeddings: Any,
        anchor_set: AnchorSet | None = None,
        encoder: str | dict[str, Any] | EncoderRecord | None = None,
        *,
        background: Any = None,
        **unknown: Any,
    ) -> Self:
        """A space from embeddings `(k, d)` that were made elsewhere: numpy, torch, Arrow, a `datasets` column or lists.

        `anchor_set` are the items they encode, in the same order; with it, spaces that do not belong together are refused.
        `encoder` says who encoded: an id, or a dictionary with `id`, `revision`, `pooling`, `prompt`, ...

        `background (n, d)` are vectors of other items by the same encoder, in correspondence with nothing: a thousand or more,
        of the domain that will be translated. Where another space has some of its own, few shared anchors are enough
        (docs/few-pairs.md). They are published with the space, in half precision. Copies and anchors among them are left out,
        and of more than 20,000, which may be more than memory holds, a sample is kept.

        Raises `InputError` for anything but a finite floating-point matrix of at least two different rows, and for a background
        that is none of this space, or of fewer than 100 rows.
        """
        check_names("from_embeddings", unknown, ("embeddings", "anchor_set", "encoder", "background"))
        record = EncoderRecord.from_dict({"id": encoder} if isinstance(encoder, str) else encoder, "encoder")
        if anchor_set is not None and not isinstance(anchor_set, AnchorSet):
            raise _no_anchor_set("anchor_set", anchor_set)
        anchors = as_matrix(embeddings).detach()
        if anchor_set is not None and len(anchor_set) != len(anchors):
            raise refusal(
                "embeddings",
                f"{len(anchor_set)} rows, one for each item of the anchor set",
                f"{len(anchors)}",
                "Encode anchor_set.view(), all of it and in its order.",
                AnchorMismatchError,
            )
        check_anchors(anchors)
        anchors = anchors.float()
        unpaired = None if background is None else beside(background, anchors)
        config = AnchoredSpaceConfig(
            num_anchors=anchors.shape[0],
            hidden_size=anchors.shape[1],
            anchor_fingerprint=anchor_set.fingerprint if anchor_set is not None else None,
            anchor_set=anchor_set.record if anchor_set is not None else None,
            encoder=None if encoder is None else record.to_dict(),
            num_background=None if unpaired is None else len(unpaired.rows),
            checksum_version=CHECKSUM_VERSION,
        )
        return cls(config)._fill(anchors, unpaired)

    def _fill(self, anchors: Tensor, unpaired: Unpaired | None) -> Self:
        stats = statistics(anchors.double())
        self._set_tensor("anchors", anchors)
        self._set_tensor("mean", stats.mean)
        self._set_tensor("mean_scale", stats.scale)
        if unpaired is not None:
            self._set_tensor("background", in_half(unpaired, self.statistics))
            self._set_tensor("background_numbers", unpaired.numbers.to(anchors.device))
        return self

    def what_is_wrong(self) -> str | None:
        """What no save gives: besides what `AnchoredModel` says, a mean and a scale that are not those of the anchors."""
        return super().what_is_wrong() or wrong_space(dict(self.named_parameters()))

    @classmethod
    def encode(
        cls,
        encoder: Any,
        anchors: AnchorSet,
        view: str | None = None,
        *,
        background: Any = None,
        canary: bool = True,
        **options: Unpack[EncodeOptions],
    ) -> Self:
        """Load an encoder and encode one view of `anchors` with it.

        `encoder` is a folder or an id, a loaded `SentenceTransformer` or transformers model, or a function from a list of
        items to `(n, d)`. The options are those of `irp_hf.encoding.encode`: `pooling`, `prompt`, `normalize`, `at="head"`,
        `batch_size`, `device`, `out`, ... Of a two-tower model, the view tells the side.

        `background` are other items of the same kind, a list or a column, which are encoded as the anchors are and stand
        beside them as `from_embeddings` has it: their vectors are published with the space, the items are not. Of more than
        20,000 a sample is encoded. Beside `out=`, they have a file of their own, whose name ends in `.background.npy`.

        `canary` keeps four of the items with the space, by which `check` and pipelines know the encoder again; they are
        published with it. False keeps none.

        Raises `InputError` where the right pooling is not known and not given, and for a background that is no list of such
        items, which all could be anchors beside these, or of fewer than 100.
        """
        if not isinstance(anchors, AnchorSet):
            raise _no_anchor_set("anchors", anchors)
        check_names(
            "AnchoredSpace.encode",
            options,
            EncodeOptions.__annotations__,
            ("encoder", "anchors", "view", "background", "canary"),
        )
        check_flag("canary", canary, "Give False to keep none of the items.")
        items = anchors.one_by_one(view)
        how: dict[str, Any] = {**options}
        run: Any = {name: how.pop(name) for name in RUN if name in how}
        others = None if background is None else BackgroundItems.of(background, isinstance(items[0], str), run)
        opened = open_to_encode(encoder, items, Options(**how), **run)
        embeddings, record = encode(opened, items, **run)
        record["view"] = view if view is not None else anchors.views[0]
        unpaired = None if others is None else others.encoded(opened)
        space = cls.from_embeddings(embeddings, anchors, record, background=unpaired)
        if others is not None:
            space._set_tensor("background_numbers", others.numbers[cast(Tensor, space.background_numbers).cpu()])
        kept = keep(space.anchors, items, opened) if canary else None
        space.config.canary = None if kept is None else kept.to_dict()
        return space

    def check(
        self,
        encoder: Any,
        *,
        on_mismatch: OnMismatch = "refuse",
        revision: str | None = None,
        token: str | bool | None = None,
        **settings: Unpack[EncoderSettings],
    ) -> None:
        """Refuse an encoder that is not the one of this space's anchors, or encodes otherwise than it did.

        It is opened as the anchors were encoded, but for `settings`, as `irp_hf.encoding.encode` has them. Its weights are
        compared by their digest, and it encodes the few items that the space has kept. `on_mismatch="warn"` warns instead.

        Raises `InputError` that says what differs.
        """
        check_on_mismatch(on_mismatch)
        record, canary = self.config.encoder_record, Canary.from_dict(self.config.canary, "canary")
        item = None if canary is None else canary.items[0]
        opened = open_recorded(encoder, record, settings, revision, token, item, ("on_mismatch", "revision", "token"))
        recognise(record, canary, self.anchors, opened, on_mismatch, "space's")

    @property
    def background_rows(self) -> Tensor | None:
        """The rows of the background as the encoder gave them, but for rounding, `(n, d)`, float32; None where there is none.

        They stand in the order in which they were given; `background_numbers (n,)` tells which of those rows they are.
        """
        if self.config.num_background is None:
            return None
        with self.computing():
            return from_half(cast(Tensor, self.background), self.statistics)

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

        `options` are the hyper-parameters of the inverse (`gamma`, `ridge`, `balance`, ...). What is not given has a default
        that suits most spaces; λ of `whitened` is chosen from this space's anchors, once. Returns the kind that `x` is.
        """
        given = half_given(method, **options)
        rows = Rows(x, width=self.config.hidden_size, least=0)
        with self.computing(), allocating("to_relative", FEWER):
            inverse = self._half(method, given, "source")
            vectors = normalize(self._double(rows), self.statistics, inverse.lift)
            anchors = normalize(self.anchors.double(), self.statistics, inverse.lift)
            return rows.wrap(inverse.relative(vectors, anchors).to(rows.dtype))

    def to_absolute(self, z: Any, method: Method = "kernel", **options: Unpack[InverseOptions]) -> Any:
        """Vectors `(n, d)` of this space from relative coordinates `z (n, k)`: the target half, from its anchors alone.

        `options` as for `to_relative`, and a `balance` must be the same there. What is not given of `pruned` and `whitened`, δ
        and λ, is chosen from this space's anchors, once.
        """
        given = half_given(method, **options)
        advice = "They have a column for each anchor: make them with to_relative of a space of the same anchors."
        rows = Rows(z, "relative coordinates", self.config.num_anchors, least=0, advice=advice)
        with self.computing(), allocating("to_absolute", FEWER):
            refuse_overflow(rows, self.mean, self.mean_scale)
            inverse = self._half(method, given, "target")
            directions = inverse.absolute(self._double(rows), self.unit_anchors)
            return rows.wrap(denormalize(directions, self.statistics).to(rows.dtype))

    def _half(self, method: str, given: Given, side: Side) -> Inverse:
        """The half of an inverse for this side, which is chosen once for the same anchors and options."""
        asked = repr((method, given, side, self.checksum()))
        if asked not in self.halves:
            self.halves = {**self.halves, asked: half(method, given, self.anchors, side)}
        return self.halves[asked]

    def _double(self, rows: Rows) -> Tensor:
        rows.check_finite()
        return rows[0 : rows.num_rows].to(self.anchors.device, torch.float64)

    def _card(self, repo_id: str, folder: Path, **about: Any) -> ModelCard:
        return space_card(self.config, repo_id, **about)

    def extra_repr(self) -> str:
        """What `print` shows."""
        c = self.config
        beside = "" if c.num_background is None else f" before {c.num_background} unpaired rows"
        return f"{c.encoder_record.name}: {c.num_anchors} anchors{beside}, {c.hidden_size} wide"


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
