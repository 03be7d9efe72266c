"""The Hub: its ids, what is fetched from it and pushed to it, and its errors as ours.

Users meet this as `from_pretrained` and `push_to_hub`.
"""

from irp_hf.hub.download import Pinned, fetch, pin
from irp_hf.hub.errors import hub_errors
from irp_hf.hub.upload import PushOptions, push

__all__ = ["Pinned", "PushOptions", "fetch", "hub_errors", "pin", "push"]
