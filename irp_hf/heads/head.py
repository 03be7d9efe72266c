"""A head, whatever it was: from vectors of the target space to logits, and what the logits mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig

from irp_hf.errors import InputError, IRPError, first_line
from irp_hf.heads.cut import HeadCut

PROBLEMS = ("regression", "single_label_classification", "multi_label_classification")


class Head(nn.Module):
    """From vectors of the target space, `(n, d_Y)`, to logits, `(n, num_labels)`, and what the logits mean."""

    def __init__(
        self,
        scorer: Callable[[Tensor], Any],
        *,
        labels: list[str] | None = None,
        problem_type: str | None = None,
        dim: int | None = None,
        record: dict[str, Any] | None = None,
    ) -> None:
        """A head of any function `scorer`; `nn.Module`s become a part of it, in evaluation mode.

        `labels` are the names of the logits, `problem_type` is one of transformers', `dim` is d_Y, `record` says where the
        head comes from; None where not known.
        """
        super().__init__()
        self.scorer = scorer
        self.labels, self.problem_type, self.dim = labels, problem_type, dim
        self.record = record or {}
        self.eval()

    def forward(self, vectors: Tensor) -> Tensor:
        """Logits `(n, num_labels)`, float32, on the head's own device; raises `InputError` where the head fails."""
        if not isinstance(vectors, Tensor) or vectors.dim() != 2:
            given = tuple(vectors.shape) if isinstance(vectors, Tensor) else type(vectors).__name__
            raise InputError(
                f"The head was given {given}; a tensor of shape (n, {self.dim or 'd_Y'}) is wanted. Give one row for each item."
            )
        if not len(vectors):  # some heads cannot run on nothing
            return self(vectors.new_zeros(1, vectors.shape[1]))[:0]  # type: ignore[no-any-return]
        if self.dim is not None and vectors.shape[1] != self.dim:
            raise InputError(
                f"The head reads vectors {self.dim} wide, not {vectors.shape[1]}. "
                "Connect the adapter to the space that this head reads."
            )
        weight = next((p for p in self.parameters() if p.is_floating_point()), None)
        fitting = vectors.float() if weight is None else vectors.to(weight.device, weight.dtype)
        try:
            logits = torch.as_tensor(self.scorer(fitting))
        except IRPError:
            raise
        except Exception as error:  # whatever a foreign head may raise
            raise InputError(
                f"The head failed on vectors of shape {tuple(vectors.shape)} ({first_line(error)}). "
                "Give a head that reads the target's vectors."
            ) from error
        if logits.dim() == 3 and logits.shape[1] == 1:  # a few models of transformers keep the place of a token
            logits = logits[:, 0]
        if logits.dim() != 2 or len(logits) != len(vectors) or logits.shape[1] != len(self.labels or logits[0]):
            raise InputError(
                f"The head gave shape {tuple(logits.shape)} for {len(vectors)} vectors; logits "
                f"({len(vectors)}, {len(self.labels or ()) or 'num_labels'}) are wanted. Give a head that returns them."
            )
        return logits.float()

    def names(self, num_labels: int) -> list[str]:
        """The labels' names, LABEL_0, ... where the head has none."""
        return self.labels or [f"LABEL_{i}" for i in range(num_labels)]

    def extra_repr(self) -> str:
        """What `print` shows."""
        name, count = self.record.get("id", "given in memory"), len(self.labels or ())
        return f"{name}: {self.dim or 'any'} wide, {count or 'unknown'} labels"


def of_config(cut: HeadCut, config: PreTrainedConfig | None, record: dict[str, Any]) -> Head:
    """A head with the names and the problem of a classifier's configuration."""
    problem, names = getattr(config, "problem_type", None), _names_of(config)
    return Head(
        cut.head_only(),
        labels=names if names and len(names) == cut.num_labels else None,
        problem_type=problem if problem in PROBLEMS else None,
        dim=cut.dim,
        record={key: value for key, value in record.items() if value is not None},
    )


def _names_of(config: Any) -> list[str] | None:
    names = getattr(config, "id2label", None)
    return [str(names[i]) for i in sorted(names)] if isinstance(names, dict) and names else None
