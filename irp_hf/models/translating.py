"""What translates: the map of an adapter's tensors, put together once, and anew after any change of what it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast, overload

import torch
from torch import Tensor
from transformers.utils.generic import ModelOutput

from irp_hf.arithmetic import own_arithmetic, values_known, working_dtype
from irp_hf.checks import check_flag, check_number
from irp_hf.configuration_irp import IRPConfig
from irp_hf.data.arrays import LARGEST, Rows
from irp_hf.data.chunks import refuse_overflow, run
from irp_hf.data.memory import allocating
from irp_hf.errors import kind_of, refusal, shown
from irp_hf.maths.confidence import NUM_ERRORS, Confidence, error_at
from irp_hf.maths.projection import is_short
from irp_hf.maths.translation import Translation
from irp_hf.models import few_rows
from irp_hf.models.base import AnchoredModel
from irp_hf.models.keeping import Kept
from irp_hf.models.rounding import translation_of

PIECEWISE = "Give fewer rows, a smaller chunk_size, or out=, a memory map that takes the result."


@dataclass
class IRPOutput(ModelOutput):
    """Output of `IRPAdapter.forward`."""

    translated: Tensor | None = None
    """Vectors of the target space, shape (n, d_Y)."""
    confidence: Tensor | None = None
    """Expected cosine `(n,)` of each with the vector that the target encoder would have given; None unless asked for."""


class TranslatingModel(AnchoredModel):
    """A model whose tensors are those of a translation."""

    config: IRPConfig
    source_anchors: Tensor
    target_anchors: Tensor
    source_mean: Tensor
    target_mean: Tensor
    target_scale: Tensor
    landmarks: Tensor
    _kept: Kept | None = None
    """The translation of the last call."""

    def __getstate__(self) -> dict[str, Any]:
        """All but what only this process needs."""
        return {**super().__getstate__(), "_kept": None}

    @overload
    def translate(
        self, x: Any, out: Any = None, chunk_size: int | None = None, return_confidence: Literal[False] = False
    ) -> Any: ...

    @overload
    def translate(
        self, x: Any, out: Any = None, chunk_size: int | None = None, *, return_confidence: Literal[True]
    ) -> tuple[Any, Any]: ...

    def translate(self, x: Any, out: Any = None, chunk_size: int | None = None, return_confidence: bool = False) -> Any:
        """Vectors of the target space `(n, d_Y)` for vectors of the source space `x (n, d_X)`.

        Takes numpy, torch, a column of Arrow, polars, pandas or `datasets`, or a list of rows, in float16, bfloat16, float32
        or float64, and gives back the same kind and dtype: a Series of pandas has one array in each row, and keeps its index;
        lists and columns of `datasets` give numpy, lists of tensors a tensor. Of no rows, an empty list say, it gives none.

        It works on `chunk_size` rows at a time, by default as many as suit the device; `out`, an array of the result's shape
        (a memory map, say), takes the result, after all of `x` was checked.

        With `return_confidence` the answer is a pair: the vectors, and what `confidence(x)` gives, in one pass.

        Raises `InputError` for a wrong shape, width or dtype, and for NaN or infinity, with the row; and `TooLargeError` where
        the result takes more memory than there is.
        """
        check_flag("return_confidence", return_confidence)
        kept = self._kept
        if kept is not None and not return_confidence and out is None and chunk_size is None and self._owns():
            found = few_rows.translated(x, kept, self._parameters, self._settings())
            if found is not None:
                return found
        # A trace forgets what is written into a buffer.
        if isinstance(x, Tensor) and out is None and not values_known():
            output = self.forward(x, return_confidence)
            translated: Any = output.translated
            return (translated, output.confidence) if return_confidence else translated
        rows, unchanged = self._rows(x), self._unchanged(return_confidence)
        with self.computing() if unchanged is None else own_arithmetic(), allocating("translate", PIECEWISE):
            fits = unchanged is not None and unchanged.dtype == self._dtype(rows.dtype)
            translation = unchanged if unchanged is not None and fits else self._translation(rows.dtype)
            refuse_overflow(rows, *translation.target)
            step, expected = translation.translate, list[Tensor]()
            if return_confidence:

                def step(x: Tensor, out: Tensor | None = None) -> Tensor:
                    translated, cosine = translation.with_confidence(x, out)
                    expected.append(cosine.to(rows.device, rows.dtype))
                    return translated

            shape = translation.target.mean.shape
            result = run(rows, step, shape, translation.device, translation.dtype, chunk_size, out)
            translated = rows.wrap(result) if out is None else out
            if not return_confidence:
                return translated
            none = torch.empty(0, dtype=rows.dtype, device=rows.device)
            return translated, rows.wrap(torch.cat([none, *expected]))

    def confidence(self, x: Any, chunk_size: int | None = None, *, coverage: float | None = None) -> Any:
        """Expected cosine `(n,)` of each translation to the vector that the target encoder would have given.

        `x (n, d_X)` as for `translate`. Calibrated on the anchors out of fold; lower where the input is unlike the anchors,
        and near 0 for what the source's encoder would never give: noise, or another encoder's vectors.

        With `coverage`, above 0 and below 1, a lower bound instead: of vectors like the anchors, that share has a true cosine
        above its own bound (split conformal prediction). Of vectors of another domain fewer have. A bound may be negative,
        where errors reach further than what is expected: it then promises next to nothing. k independent anchors allow a
        coverage of up to k / (k + 1), and up to .999; those that share an item count as one.

        Raises `InputError` for a coverage that the anchors do not allow.
        """
        if isinstance(x, Tensor) and not values_known():
            cosine: Any = self.forward(x, return_confidence=True).confidence
            if coverage is None:
                return cosine
            with self.computing(gradients=True):
                bound = cosine + self._error(self._translation(torch.float32).confidence, coverage).to(cosine)
                return bound.clamp(-1, 1)
        rows = self._rows(x)
        with self.computing(), allocating("confidence", "Give fewer rows, or a smaller chunk_size."):
            translation = self._translation(rows.dtype)
            error = None if coverage is None else self._error(translation.confidence, coverage)
            step = partial(translation.expected_cosine, error=error)
            return rows.wrap(run(rows, step, (), translation.device, translation.dtype, chunk_size))

    def _error(self, confidence: Confidence, coverage: float) -> Tensor:
        """The error `()` that true cosines are above, with probability `coverage`."""
        coverage = check_number("coverage", coverage, above=0, below=1, advice="0.9, say.")
        if confidence.errors is None:
            got, advice = "one that was saved before bounds were kept", "Fit it again, from its .source and .target."
            raise refusal("coverage", "an adapter that knows its errors", got, advice)
        error = error_at(confidence.errors, coverage)
        if error is None:
            count = len(confidence.errors)
            known = f"{count} independent anchors" if count < NUM_ERRORS else f"the {count} errors that are kept"
            expected = f"at most {count}/{count + 1}, as {known} allow"
            raise refusal("coverage", expected, shown(coverage), "Ask for less, or give more anchors.")
        return error

    def forward(self, embeddings: Tensor, return_confidence: bool = False) -> IRPOutput:
        """The transformers way: `adapter(embeddings=x).translated` for a tensor `(n, d_X)`; gradients flow to `x`.

        With `return_confidence` also `.confidence (n,)`, what `confidence(x)` gives, in the same pass.
        """
        if not isinstance(embeddings, Tensor):
            raise refusal("embeddings", "a tensor", kind_of(embeddings), "Call translate, which takes any array.")
        check_flag("return_confidence", return_confidence)
        rows = Rows(embeddings, width=self.config.source_size, other=("target", self.config.target_size), least=0)
        with self.computing(gradients=True):
            if values_known():
                rows.check_finite()
                refuse_overflow(rows, self.target_mean, self.target_scale)
            dtype = self._dtype(embeddings.dtype)
            translation, x = self._translation(dtype), embeddings.to(self.device, dtype)
            if not values_known():  # what would be refused outside of a graph is no vector in it
                x = torch.where((x.abs() <= LARGEST).all(1, keepdim=True), x, torch.nan)
            elif x.requires_grad:
                short = is_short(x.detach() - translation.source_mean, working_dtype(embeddings.dtype, self.device))
                x = torch.where(short, x.detach(), x)
            if not return_confidence:
                return IRPOutput(translated=translation.translate(x).to(embeddings.dtype))
            translated, expected = translation.with_confidence(x)
            return IRPOutput(translated=translated.to(embeddings.dtype), confidence=expected.to(embeddings.dtype))

    def _settings(self) -> dict[str, Any]:
        """The configuration's values; transformers' look-up of a single one takes as long as a step of the arithmetic."""
        if torch.compiler.is_compiling():  # which follows no other way
            return vars(self.config)
        values: dict[str, Any] = object.__getattribute__(self.config, "__dict__")
        return values

    def _rows(self, x: Any) -> Rows:
        """What is to be translated."""
        sizes = self._settings()
        return Rows(x, "embeddings", sizes["source_size"], ("target", sizes["target_size"]), 0)

    def _unchanged(self, confidence: bool) -> Translation | None:
        """The kept translation, if what its map was made of is as it was, or the `confidence` too: all hold values then."""
        kept = self._kept
        if kept is not None and self._owns() and kept.still(self._parameters, self._settings(), confidence):
            return kept.translation
        return None

    def _owns(self) -> bool:
        """Whether all tensors are its own: what a hook or a parametrization makes anew is not."""
        return not ("_hf_hook" in self.__dict__ or self._modules or self._buffers)

    def _translation(self, dtype: torch.dtype) -> Translation:
        """The stored tensors in the dtype in which vectors of `dtype` are computed; in their own it is put together once."""
        dtype, known = self._dtype(dtype), values_known()
        unchanged = self._unchanged(confidence=True) if known else None
        if unchanged is not None and unchanged.dtype == dtype:
            return unchanged
        translation = self._translation_in(dtype)
        own = known and self._owns()
        # A copy would not follow its tensor when that is changed.
        if own and all(tensor is None or tensor.dtype == dtype for tensor in self._parameters.values()):
            self._kept = Kept(self._parameters, self._settings(), translation)
        return translation

    def _translation_in(self, dtype: torch.dtype) -> Translation:
        """The stored tensors in `dtype`."""
        return translation_of(self.config, lambda name: cast(Tensor, getattr(self, name)).to(dtype))

    def _dtype(self, dtype: torch.dtype) -> torch.dtype:
        """In which vectors of `dtype` are computed."""
        return working_dtype(dtype, self.device, bool(self._settings().get("double")))
