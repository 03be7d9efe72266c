"""`IRPAdapter`: translates vectors of a source encoder into the space of a target encoder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub import CommitInfo, ModelCard
from torch import Tensor
from transformers.utils.generic import ModelOutput
from typing_extensions import Self

from irp_hf.configuration_irp import IRPConfig
from irp_hf.data.arrays import Rows, as_matrix
from irp_hf.data.chunks import refuse_overflow, room, run
from irp_hf.errors import AnchorMismatchError, InputError
from irp_hf.evaluation.comparison import Against
from irp_hf.evaluation.held_out import Evaluation, evaluate
from irp_hf.evaluation.report import Report
from irp_hf.heads.labels import head_labels
from irp_hf.maths.confidence import Confidence
from irp_hf.maths.inverses.base import Folded, KernelMap, LinearMap
from irp_hf.maths.projection import Statistics
from irp_hf.maths.translation import Translation
from irp_hf.models.base import AnchoredModel
from irp_hf.models.checks import AnchorsOf, check_anchors, refuse_other_anchors
from irp_hf.models.fitting import HYPER_PARAMETERS, fit
from irp_hf.models.reports import card_with_report, make_report
from irp_hf.models.space import AnchoredSpace, open_space


@dataclass
class IRPOutput(ModelOutput):
    """Output of `IRPAdapter.forward`."""

    translated: Tensor | None = None
    """Vectors of the target space, shape (n, d_Y)."""


class IRPAdapter(AnchoredModel):
    """Translation from a source space to a target space by inverse relative projection (arXiv 2406.15057).

    Tensors, all float32: `source_anchors (k, d_X)`, `target_anchors (k, d_Y)`, `source_mean`, `target_mean`, `target_scale`;
    the folded map, `weight (d_X, d_Y)`, or `landmarks (m, d_X)`, `coefficients (m, d_Y)` and `intercept (d_Y,)`; and the
    confidence, `confidence_coefficients (m,)`, `confidence_bias ()`, `confidence_norm_slope ()`. Where the configuration
    has a lift, d_X of landmarks and weight is one more, and `source_lift ()` is what that coordinate of every row is.
    """

    config_class = IRPConfig
    config: IRPConfig
    told = ("report",)
    source_anchors: Tensor
    target_anchors: Tensor
    target_mean: Tensor
    target_scale: Tensor
    sealed_if_set = ("lift",)
    sealed = (
        *("method", "objective", "given", "seed", "anchor_fingerprint"),
        *(name for name in HYPER_PARAMETERS if name != "lift"),
    )

    def __init__(self, config: IRPConfig) -> None:
        super().__init__(config)
        for name, shape in self.shapes(config).items():
            self._put(name, torch.zeros(shape))
        self.post_init()

    @classmethod
    def shapes(cls, config: IRPConfig) -> dict[str, tuple[int, ...]]:
        """The names and shapes of all tensors of an adapter of this configuration."""
        k, m, source, target = config.num_anchors, config.num_landmarks, config.source_size, config.target_size
        lifted = source + bool(config.lift)
        folded = {"coefficients": (m, target), "intercept": (target,)}
        return {
            "source_anchors": (k, source),
            "target_anchors": (k, target),
            "source_mean": (source,),
            "target_mean": (target,),
            "target_scale": (),
            "landmarks": (m, lifted),
            **({"source_lift": ()} if config.lift else {}),
            **(folded if config.method == "kernel" else {"weight": (lifted, target)}),
            "confidence_coefficients": (m,),
            "confidence_bias": (),
            "confidence_norm_slope": (),
        }

    @classmethod
    def connect(
        cls,
        source: AnchoredSpace | str | os.PathLike[str],
        target: AnchoredSpace | str | os.PathLike[str],
        method: str = "auto",
        objective: str = "cosine",
        head: Any = None,
        **options: Any,
    ) -> Self:
        """Connect two spaces that hold the same anchors; no encoder is loaded.

        Args:
            source: the space to translate from, or where one lies: a folder or an id on the Hub.
            target: the space to translate to, likewise.
            method: "kernel", "whitened", "pruned" (the paper), or "auto": the best of the three by the objective.
            objective: "cosine" (right for heads), "neighbors" (right for an index) or "agreement" with a head.
            head: for "agreement": an `nn.Module` or callable from `(n, d_Y)` to logits, or a fitted classifier.
            **options: `gamma`, `ridge`, `balance`, `restoration`, `num_landmarks`, `num_subspaces`, `pruning_threshold`,
                `lift`, `seed`. What is given is kept, what is not is chosen from the anchors.

        Raises `AnchorMismatchError` where the anchors differ, `InputError` for options that do not exist or fit.
        """
        source, target = open_space(source, "source"), open_space(target, "target")
        refuse_other_anchors(AnchorsOf.space("source", source.config), AnchorsOf.space("target", target.config))
        adapter = cls._fit(source.anchors, target.anchors, method, objective, head, options)
        adapter.config.anchor_fingerprint = source.config.anchor_fingerprint or target.config.anchor_fingerprint
        adapter.config.anchor_set = source.config.anchor_set or target.config.anchor_set
        adapter.config.source_encoder = source.config.encoder
        adapter.config.target_encoder = target.config.encoder
        return adapter

    @classmethod
    def from_anchors(
        cls,
        source_embeddings: Any,
        target_embeddings: Any,
        method: str = "auto",
        objective: str = "cosine",
        head: Any = None,
        **options: Any,
    ) -> Self:
        """The same as `connect` for raw parallel anchors `(k, d_X)` and `(k, d_Y)`: row i of both is the same item."""
        source = as_matrix(source_embeddings, "source embeddings").float()
        target = as_matrix(target_embeddings, "target embeddings").float()
        if len(source) != len(target):
            raise AnchorMismatchError(
                f"The source has {len(source)} anchors, the target {len(target)}. "
                "Encode the same items in the same order on both sides."
            )
        check_anchors(source, "source embeddings")
        check_anchors(target, "target embeddings")
        return cls._fit(source, target, method, objective, head, options)

    @classmethod
    def _fit(
        cls, source: Tensor, target: Tensor, method: str, objective: str, head: Any, options: dict[str, Any]
    ) -> Self:
        config, tensors = fit(source, target, method, objective, head, options)
        adapter = cls(config)
        for name, tensor in tensors.items():
            adapter._put(name, tensor)
        return adapter

    @torch.no_grad()
    def translate(self, x: Any, out: Any = None, chunk_size: int | None = None) -> Any:
        """Vectors of the target space `(n, d_Y)` for vectors of the source space `x (n, d_X)`.

        Takes numpy, torch, an Arrow or `datasets` column, or nested lists, in float16, bfloat16, float32 or float64, and
        gives back the same kind and dtype. It works on `chunk_size` rows at a time, by default as many as suit the
        device; `out`, an array of the result's shape (a memory map, say), takes the result, after all of `x` was checked.

        Raises `InputError` for a wrong shape, width or dtype, and for NaN or infinity, with the row.
        """
        rows = Rows(x, width=self.config.source_size)
        refuse_overflow(rows, self.target_mean, self.target_scale)
        result = room(rows, out, self.config.target_size)
        run(rows, self._translation(rows.dtype).translate, result, self.device, chunk_size)
        return rows.wrap(result) if out is None else out

    @torch.no_grad()
    def confidence(self, x: Any, chunk_size: int | None = None) -> Any:
        """Expected cosine `(n,)` of each translation to the vector that the target encoder would have given.

        `x (n, d_X)` as for `translate`. Calibrated on the anchors out of fold; low where the input is unlike the anchors.
        """
        rows = Rows(x, width=self.config.source_size)
        expected = torch.empty(rows.num_rows, dtype=rows.dtype, device=rows.device)
        run(rows, self._translation(rows.dtype).expected_cosine, expected, self.device, chunk_size)
        return rows.wrap(expected)

    def forward(self, embeddings: Tensor) -> IRPOutput:
        """The transformers way: `adapter(embeddings=x).translated` for a tensor `(n, d_X)`; gradients flow to `x`."""
        if not isinstance(embeddings, Tensor):
            raise InputError(
                f"embeddings are a {type(embeddings).__name__}; a tensor is wanted. Call translate, which takes any array."
            )
        rows = Rows(embeddings, width=self.config.source_size)
        rows.check_finite()
        refuse_overflow(rows, self.target_mean, self.target_scale)
        dtype = torch.float64 if embeddings.dtype == torch.float64 else torch.float32
        translated = self._translation(dtype).translate(embeddings.to(self.device, dtype))
        return IRPOutput(translated=translated.to(embeddings.dtype))

    def _translation(self, dtype: torch.dtype) -> Translation:
        """The stored tensors in the dtype that a computation on `dtype` uses."""

        def get(name: str) -> Tensor:
            tensor: Tensor = self._parameters[name]  # type: ignore[assignment]
            return tensor.double() if dtype == torch.float64 else tensor

        gamma = cast(float, self.config.gamma)  # of the confidence, where the inverse has none
        folded: Folded = (
            KernelMap(get("landmarks"), get("coefficients"), get("intercept"), gamma)
            if self.config.method == "kernel"
            else LinearMap(get("weight"))
        )
        confidence = Confidence(
            get("landmarks"),
            get("confidence_coefficients"),
            gamma,
            get("confidence_bias"),
            get("confidence_norm_slope"),
        )
        target = Statistics(get("target_mean"), get("target_scale"))
        return Translation(
            folded, confidence, get("source_mean"), get("source_lift") if self.config.lift else None, target
        )

    @property
    def source(self) -> AnchoredSpace:
        """The source's anchors as a space of their own."""
        return self._space(self.source_anchors, self.config.source_encoder)

    @property
    def target(self) -> AnchoredSpace:
        """The target's anchors as a space of their own."""
        return self._space(self.target_anchors, self.config.target_encoder)

    def _space(self, anchors: Tensor, encoder: dict[str, Any] | None) -> AnchoredSpace:
        space = AnchoredSpace.from_embeddings(anchors, encoder=encoder)
        space.config.anchor_fingerprint = self.config.anchor_fingerprint
        space.config.anchor_set = self.config.anchor_set
        return space

    def reverse(self, method: str = "auto", objective: str = "cosine", head: Any = None, **options: Any) -> Self:
        """The adapter from the target to the source, from the same anchors; the options are those of `connect`."""
        return self.connect(self.target, self.source, method, objective, head, **options)

    def evaluate(self, x: Any, y: Any, head: Any = None) -> Evaluation:
        """How near the translations of `x (n, d_X)` come to the true vectors `y (n, d_Y)`, on pairs that are no anchors.

        With a head of the target also how often it says the same of both.
        """
        source = as_matrix(x, "x", self.config.source_size)
        true = as_matrix(y, "y", self.config.target_size)
        if len(source) != len(true):
            raise AnchorMismatchError(
                f"x has {len(source)} rows, y {len(true)}. Give the vectors of the same items in the same order."
            )
        translated = self.translate(source).double()
        return evaluate(translated, true.double(), None if head is None else head_labels(head))

    def report(self, head: Any = None, progress: bool = True, *, against: Against = ("Procrustes", "ridge")) -> Report:
        """What to expect, from held-out anchors: this inverse, the other two and baselines; the learning curve.

        With a head of the target also how often it agrees. Prints as a table, shows in notebooks, and `.plot()` draws it.

        Args:
            head: as for `connect`.
            progress: show bars on standard error.
            against: "all", names of `irp_hf.against.BASELINES`, or functions `fit(source (k, d_X), target (k, d_Y))` that
                give an object with `translate`, as a list or by name.
        """
        labels = None if head is None else head_labels(head)
        return make_report(self.config, self.source_anchors, self.target_anchors, labels, progress, against)

    def push_to_hub(  # type: ignore[override]
        self, repo_id: str, *, report: Report | bool = True, **options: Any
    ) -> CommitInfo:
        """Push the adapter and a card that says what to expect of it, as one commit.

        `report`: True measures, with the anchors held out, which takes about as long as fitting; a `Report` that was made
        before is taken as it is; False leaves the figures out. The options are `private`, `token`, `revision`, `create_pr`,
        `commit_message`, `commit_description` and `exist_ok`, as `AnchoredSpace.push_to_hub` has them.

        Raises `HubError` where the Hub refuses or the connection breaks: then nothing was published.
        """
        return super().push_to_hub(repo_id, report=report, **options)

    def _card(self, repo_id: str, folder: Path, **about: Any) -> ModelCard:
        report = about["report"]
        if not isinstance(report, Report | bool):
            raise InputError(
                f"report is a {type(report).__name__}; a Report, True or False is wanted. Pass adapter.report(), say."
            )
        return card_with_report(self.config, repo_id, folder, self.report() if report is True else report or None)

    def extra_repr(self) -> str:
        """What `print` shows."""
        c = self.config
        names = [(side or {}).get("id", "unknown encoder") for side in (c.source_encoder, c.target_encoder)]
        return f"{names[0]} ({c.source_size}) to {names[1]} ({c.target_size}), {c.method}, {c.num_anchors} anchors"
