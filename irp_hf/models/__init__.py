"""What is saved and published: anchored spaces, adapters, and their cards."""

from irp_hf.models.adapter import IRPAdapter
from irp_hf.models.finding import FoundSpace, find_spaces
from irp_hf.models.many import PairSums
from irp_hf.models.space import AnchoredSpace
from irp_hf.models.translating import IRPOutput

__all__ = ["AnchoredSpace", "FoundSpace", "IRPAdapter", "IRPOutput", "PairSums", "find_spaces"]
