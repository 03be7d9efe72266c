"""What a head is, by its content: two heads of one width and one name are two heads."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from irp_hf.checkpoints.digests import tensors_digest
from irp_hf.heads.replay import HeadReplay


def head_digest(scorer: Any) -> str | None:
    """The sha256, in hex, of a classifier's head or of any `nn.Module`; None for a function, and where it is not in memory.

    Halves and singles of the same numbers are alike: a stored head may be read in another dtype than its classifier.
    """
    if not isinstance(scorer, nn.Module):
        return None
    module = scorer.model if isinstance(scorer, HeadReplay) else scorer
    tensors = {name: _single(value) for name, value in module.state_dict().items() if isinstance(value, Tensor)}
    if not tensors or any(tensor.is_meta for tensor in tensors.values()):
        return None
    return tensors_digest(tensors)


def _single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
