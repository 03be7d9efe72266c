"""A classifier's head alone: found by autograd, cut, read from a file, or any function."""

from irp_hf.heads.cut import HeadCut
from irp_hf.heads.head import Head
from irp_hf.heads.labels import head_labels
from irp_hf.heads.open import open_head

__all__ = ["Head", "HeadCut", "head_labels", "open_head"]
