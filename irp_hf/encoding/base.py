"""What an encoder is, and how any is opened: a folder, an id, a loaded model, a function.

Every kind comes down to an `Encoder`: one batch in, one matrix out, and a record of who encoded. A new kind
is one more file that makes one.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict, get_args

import torch

from irp_hf.checkpoints.digests import processors_digest, weights_digest
from irp_hf.checkpoints.repository import check_subfolder, check_variant
from irp_hf.checks import check_absent, check_choice, check_count, check_flag, check_list, check_text, quoted, written
from irp_hf.data.pickles import carries_code, refuse_unpicklable
from irp_hf.data.wrong import dtype_name
from irp_hf.encoding.closures import foreign, packed, unpacked
from irp_hf.errors import InputError, first_line, kind_of, refusal, shown
from irp_hf.heads.cut import HeadCut
from irp_hf.heads.digests import head_digest
from irp_hf.hub.ids import check_revision
from irp_hf.records import EncoderRecord

Modality = Literal["text", "image", "audio"]
At = Literal["head"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
SPREADS = ("auto", "balanced", "balanced_low_0", "sequential")  # what Accelerate knows
Pair = tuple[str, str]  # of texts that a tokenizer puts together


class EncoderSettings(TypedDict, total=False):
    """How an encoder is opened, wherever it lies; see `Options`."""

    pooling: str | Sequence[str] | None
    prompt: str | None
    prompt_name: str | None
    task: str | None
    max_length: int | None
    truncate_dim: int | None
    normalize: bool | None
    device: str | torch.device | None
    dtype: str | torch.dtype | None
    at: At | None
    modality: Modality | None
    processor: Any
    device_map: str | dict[str, Any] | None
    trust_remote_code: bool
    subfolder: str | None
    variant: str | None


class EncoderOptions(EncoderSettings, total=False):
    """How an encoder is opened, and which of the Hub's."""

    revision: str | None
    token: str | bool | None


class EncodeOptions(EncoderOptions, total=False):
    """What `irp_hf.encoding.encode` takes by name."""

    batch_size: int
    out: str | os.PathLike[str] | None
    progress: bool | None


@dataclass(frozen=True)
class Options:
    """What the caller of `encode` asked for; None where nothing. Raises `InputError` for a value of the wrong type."""

    pooling: str | Sequence[str] | None = None
    prompt: str | None = None
    prompt_name: str | None = None
    """Of a sentence-transformers model: the one of its prompts that is put in front."""
    task: str | None = None
    """Of a sentence-transformers model: "query" or "document", as its `encode_query` and `encode_document`, or a route."""
    max_length: int | None = None
    """How many tokens of a text are read."""
    truncate_dim: int | None = None
    """How many leading numbers of a vector are kept."""
    normalize: bool | None = None
    device: str | torch.device | None = None
    dtype: str | torch.dtype | None = None
    revision: str | None = None
    token: str | bool | None = field(default=None, repr=False)
    at: At | None = None
    """"head": the vector that a classifier's head reads."""
    modality: Modality | None = None
    """"text", "image" or "audio": the side of a two-tower model; what a function takes."""
    processor: Any = None
    """Tokenizer, image processor or feature extractor of a transformers model that is loaded already."""
    device_map: str | dict[str, Any] | None = None
    """How Accelerate spreads a model over devices: "auto", or the devices of its parts by name."""
    trust_remote_code: bool = False
    """Whether code that the repository brings may run."""
    subfolder: str | None = None
    """The folder inside the repository, or inside of a folder, that the encoder lies in."""
    variant: str | None = None
    """Which of several weights beside each other: "fp16" of `model.fp16.safetensors`."""

    def __post_init__(self) -> None:
        if self.pooling is not None and not isinstance(self.pooling, str):
            poolings = check_list("pooling", self.pooling, least=1, advice="Name one: 'mean', say.")
            texts = tuple(check_text("pooling", pooling, "Name one: 'mean', say.") for pooling in poolings)
            object.__setattr__(self, "pooling", texts[0] if len(texts) == 1 else texts)
        if self.prompt is not None:
            check_text("prompt", self.prompt, "Give the text itself that goes in front of every item.")
        self._check_extent()
        if self.normalize is not None:
            check_flag("normalize", self.normalize, "Leave it out for the encoder's own way.")
        check_device("device", self.device)
        check_dtype("dtype", self.dtype)
        check_revision(self.revision)
        check_subfolder(self.subfolder)
        check_variant(self.variant)
        if not isinstance(self.token, str | bool | None):  # which is a secret, and not shown
            advice = "Leave it out for the one that you are logged in with."
            raise refusal("token", "a token of the Hub, True or False", kind_of(self.token), advice)
        if self.at is not None:
            check_choice("at", self.at, get_args(At), "Leave it out for the encoder's own vectors.")
        if self.modality is not None:
            check_choice("modality", self.modality, MODALITIES, "Leave it out where there is only one.")
        check_device_map("device_map", self.device_map)
        check_flag("trust_remote_code", self.trust_remote_code, "Give True only where you have read the code.")
        if self.device is not None and self.device_map is not None:
            got = f"{shown(str(self.device))} and device_map={shown(self.device_map)}"
            raise refusal("device", "either a device or a device_map", got, "Leave one of them out.")

    def _check_extent(self) -> None:
        """Raise `InputError` for another route, length or width than there can be."""
        for name in ("prompt_name", "task"):
            if getattr(self, name) is not None:
                check_text(name, getattr(self, name), "Leave it out where the model has no such thing.")
        if self.prompt is not None:
            check_absent("prompt_name", self.prompt_name, "prompt= is given")
        for name in ("max_length", "truncate_dim"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), advice="Leave it out for all.")


@dataclass(frozen=True)
class RecordedOptions(Options):
    """What a record of anchors asks for besides, and no user."""

    whole: bool = False
    """Of a sentence-transformers model: leave out the cut of its own, since the anchors were not cut."""


@dataclass(frozen=True)
class Encoder:
    """An encoder that is ready to run."""

    embed: Callable[[list[Any]], Any]
    """From a batch of items to `(n, d)`, of any floating dtype and on any device: the vectors as everybody is to have them.

    What `open_encoder` gives has cut them and brought them to unit length where that was asked for; nobody does it again.

    Items are strings, PIL images in RGB, or float32 mono waveforms `(t,)` in numpy, as `modality` says.
    """
    record: EncoderRecord
    """Who encodes and how: what the other side must do alike."""
    modality: str | None = "text"
    """"text", "image" or "audio"; None: whatever the function takes."""
    module: torch.nn.Module | None = None
    """What `.to(device)` moves, and `embed` follows; None for a function."""
    sampling_rate: int | None = None
    """Of audio, in Hz."""
    unit_length: bool = False
    """Whether `embed` gives vectors of unit length."""
    processors: tuple[Any, ...] = ()
    """Its tokenizer or processor."""
    head: HeadCut | None = None
    """Of a classifier whose head's input is encoded: where it is cut."""
    pairs: bool = False
    """Whether a text may be a pair of texts."""

    @property
    def name(self) -> str:
        """The name in its record."""
        return self.record.name

    def __getstate__(self) -> dict[str, Any]:
        """As pickle can carry it, without any token; raises `InputError` for a function of the user's own that it cannot."""
        state = self._state()
        if carries_code():
            return state
        for function in foreign(state["embed"]):
            expected, got = (
                "a function that pickle finds by its name",
                f"{function.__qualname__} of {function.__module__}",
            )
            raise refusal(f"The encoder {self.name}", expected, got, "Define it at the top of a module.")
        if self.module is None:
            refuse_unpicklable(f"The encoder {self.name}", state["embed"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, unpacked(value))

    def __deepcopy__(self, memo: dict[int, Any]) -> Encoder:
        """A copy whose `embed` runs the copy of the module, and not the module itself."""
        twin = object.__new__(Encoder)
        memo[id(self)] = twin
        twin.__setstate__(copy.deepcopy(self._state(), memo))
        return twin

    def _state(self) -> dict[str, Any]:
        return {**vars(self), "embed": packed(self.embed)}

    def full_record(self) -> EncoderRecord:
        """Its record with the digests of what encodes, as far as they can be told: of a function they cannot.

        The tensors of a classifier's head are no part of what encodes; they have a digest of their own.
        """
        if self.module is None:
            return self.record
        own = () if self.head is None else self.head.head_only().model.state_dict().keys()
        digests = {
            "weights_sha256": weights_digest(self.module, own),
            "processor_sha256": processors_digest(self.processors),
            "head_sha256": None if self.head is None else head_digest(self.head.head_only()),
        }
        return self.record.with_values(**{name: value for name, value in digests.items() if value})


def make_record(
    name: str, commit: str | None, dtype: torch.dtype | None, options: Options, modality: str | None = None
) -> EncoderRecord:
    """Who encodes and how; the modality where it is not plain text, and `at` where it is something."""
    record = EncoderRecord.of(
        id=name,
        revision=commit,
        pooling=options.pooling,
        prompt=options.prompt or None,
        normalize=bool(options.normalize),
        dtype=None if dtype is None else dtype_name(dtype),
        truncate_dim=options.truncate_dim,
        task=options.task,
    )
    more = {"modality": None if modality == "text" else modality, "at": options.at}
    more |= {"subfolder": options.subfolder, "variant": options.variant}
    return record.with_values(**{key: value for key, value in more.items() if value})


def check_device(name: str, device: Any) -> None:
    """Raise `InputError` unless it is a device by its name, its number or as PyTorch has it, or None."""
    if isinstance(device, torch.device | None) or (isinstance(device, int) and not isinstance(device, bool)):
        return
    try:
        torch.device(check_text(name, device, "Give 'cpu' or 'cuda', say."))
    except RuntimeError as error:
        raise refusal(name, "a device of PyTorch", shown(device), "Give 'cpu' or 'cuda', say.") from error


def check_usable(name: str, device: Any) -> None:
    """Raise `InputError` where PyTorch has no such device here."""
    try:
        torch.empty(0, dtype=torch.float32, device=device)
    except (AssertionError, RuntimeError, ValueError) as error:
        got = f"{shown(device)} ({first_line(error)})"
        raise refusal(name, "a device of this machine", got, "Leave it out, or give 'cpu'.") from error


def check_device_map(name: str, value: Any) -> None:
    """Raise `InputError` unless it is a way to spread a model that Accelerate knows, or devices of this machine, or None."""
    if value is None or (isinstance(value, str) and value in SPREADS):
        return
    if not isinstance(value, str | int | torch.device | Mapping) or isinstance(value, bool):
        raise refusal(name, "a name or a dictionary", shown(value), "Give 'auto', say.")
    for device in value.values() if isinstance(value, Mapping) else [value]:
        if not (isinstance(device, str) and device == "disk"):
            check_device(name, device)
            check_usable(name, device)


def check_dtype(name: str, dtype: Any) -> None:
    """Raise `InputError` unless it is a floating dtype of PyTorch or the name of one, or None."""
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if dtype is not None and not (isinstance(found, torch.dtype) and found.is_floating_point):
        raise refusal(name, "a floating dtype of PyTorch", shown(dtype), "Give 'float16', say.")


def no_such_pooling(name: str, pooling: Any, choices: Sequence[str]) -> InputError:
    """The error for a plain transformers model whose vectors are not made in that way."""
    advice = written(
        pooling, choices, "Name the one that its model card uses; what a classifier's head reads is at='head'."
    )
    return refusal(
        "pooling", f"one of {quoted(choices)} for {name}, a plain transformers model", shown(pooling), advice
    )
