"""What an encoder is made of at a moment, seen at next to no cost: so that an edit after it was opened does not go unseen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from irp_hf.checkpoints.digests import parts_of
from irp_hf.checkpoints.samples import TURNS, Samples

PLAIN = (type(None), bool, int, float, str)
HOOKS = ("_forward_hooks", "_forward_pre_hooks")
OF_ALL = frozenset(vars(nn.Module())) - {"training"}  # which torch itself keeps in every module
FEW = 8  # items: fewer are encoded so fast that a part of the samples is looked at, each in its turn
Values = Mapping[str, Any]


class Look:
    """An encoder's modules, tensors and settings, and those of its tokenizer or processor, when they were looked at.

    Where things stand is noted once, so that to look again takes a hundredth of a small encoder's time, and of texts that come
    one by one a fiftieth.
    """

    def __init__(self, module: nn.Module, processors: Iterable[Any]) -> None:
        """Look at it now."""
        self._held: list[Values] = []
        """Of what every entry is the same object: modules by their names, parameters, hooks."""
        self._attributes: list[Values] = []
        """Of what there are as many."""
        self._settings: list[tuple[Values, str]] = []
        """Of what the values are the same: numbers and texts."""
        self._objects: list[tuple[Values, str]] = []
        """Of what the values are the same objects."""
        self._tensors: list[Tensor] = []
        self._processors = [part for processor in processors for part in parts_of(processor)]
        left = [(module, False)]
        while left:
            part, moves = left.pop()
            moves = moves or "_hf_hook" in part.__dict__  # Accelerate's, which brings the weights for each run
            self._add(part.__dict__, moves)
            left += [(child, moves) for child in part.children()]
        for processor in self._processors:
            self._note(getattr(processor, "__dict__", {}), of_objects=False)
        self._samples, self._turn = Samples(self._tensors), 0
        self._then = self._now()

    def is_still_so(self, num_items: int = FEW) -> bool:
        """Whether nothing of it was changed since; an edit of single rows is seen after `TURNS` calls for few items."""
        try:
            same = self._now() == self._then
        except KeyError:  # something was taken away
            return False
        self._turn = (self._turn + 1) % TURNS
        return same and self._samples.are_still_so(None if num_items >= FEW else self._turn)

    def _add(self, part: Values, moves: bool) -> None:
        self._held += [part["_modules"], *(part[name] for name in HOOKS)]
        if not moves:
            self._held.append(part["_parameters"])
        passing = part["_non_persistent_buffers_set"]  # some models make them anew at need
        kept = [name for name in part["_buffers"] if name not in passing]
        tensors = [*part["_parameters"].values(), *(part["_buffers"][name] for name in kept)]
        if not moves:
            self._objects += [(part["_buffers"], name) for name in kept]
            self._tensors += [tensor for tensor in tensors if tensor is not None and not tensor.is_meta]
        self._attributes.append(part)
        self._note(part, of_objects=True)

    def _note(self, values: Values, of_objects: bool) -> None:
        for name, value in values.items():
            if name in OF_ALL or "cache" in name:
                continue
            if type(value) in PLAIN:
                self._settings.append((values, name))
            elif of_objects and name != "_hf_hook":
                self._objects.append((values, name))
                if isinstance(value, PreTrainedConfig):
                    self._note(vars(value), of_objects=False)

    def _now(self) -> tuple[list[Any], ...]:
        return (
            [id(value) for values in self._held for value in values.values()],
            [len(values) for values in self._attributes],
            [values[name] for values, name in self._settings],
            [id(values[name]) for values, name in self._objects],
            [(tensor.data_ptr(), tensor.is_inference() or tensor._version) for tensor in self._tensors],
            list(map(told_of_processor, self._processors)),
        )


def told_of_processor(processor: Any) -> Any:
    """What a tokenizer or a processor was set to, besides plain values."""
    if not isinstance(processor, PreTrainedTokenizerBase):
        return repr(getattr(processor, "__dict__", None))
    backend = getattr(processor, "_tokenizer", None)
    parts = () if backend is None else (backend.normalizer, backend.pre_tokenizer, backend.post_processor)
    return id(backend), len(processor), *map(repr, parts), repr(processor.__dict__.get("_special_tokens_map"))
