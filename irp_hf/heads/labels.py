"""The labels that a head gives to vectors, whatever the head is."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from torch import Tensor, nn

from irp_hf.heads.head import Head, evaluation_mode
from irp_hf.heads.open import open_head


class HeadLabels:
    """The labels `(n,)` that a head gives to target vectors `(n, d_Y)`, as a function: `Head.predict`."""

    def __init__(self, head: Head) -> None:
        self.head = head

    def __call__(self, vectors: Tensor) -> Tensor:
        """The label of each vector as the number of its logit, int64, on the CPU."""
        return self.head.predict(vectors)


def head_labels(head: Any) -> HeadLabels:
    """The labels `(n,)` that a head gives to target vectors `(n, d_Y)`, as a function: `Head.predict` of what it opens to.

    `head` is anything that `irp_hf.heads.open_head` opens: an id or a folder of a classifier, a loaded one, an `nn.Module` or a
    function from vectors to logits, a fitted scikit-learn classifier. A module is asked in evaluation mode and left in the mode
    that it was in.

    Raises `InputError` for anything else and for a regressor, and the function does so where the head fails.
    """
    return HeadLabels(open_classifier(head))


def open_classifier(head: Any) -> Head:
    """What `open_head` makes of a head, which is left in the mode that it was in; raises `InputError` for a regressor too."""
    with evaluation_mode(head) if isinstance(head, nn.Module) else nullcontext():
        opened = open_head(head)
    opened.check_has_labels()
    return opened
