"""`StitchedModel`: an encoder, an adapter and a head that was built for another encoder, as one model."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils.generic import ModelOutput
from typing_extensions import Self, Unpack

from irp_hf.arithmetic import check_evaluating, own_arithmetic
from irp_hf.checks import check_absent, check_alias, check_batch_size, check_flag, check_names
from irp_hf.data.arrays import Rows
from irp_hf.data.canary import Canary
from irp_hf.data.columns import check_request, column_of
from irp_hf.data.listed import in_order
from irp_hf.data.progress import check_progress
from irp_hf.encoding.base import Encoder, EncoderSettings
from irp_hf.encoding.batches import batches_bar, reads_files, tolerance
from irp_hf.encoding.canary import recognise
from irp_hf.encoding.held import Held
from irp_hf.encoding.inputs import read_items, refuse_no_texts
from irp_hf.encoding.looks import FEW, Look
from irp_hf.encoding.lost import empty_among, refuse_lost
from irp_hf.encoding.prefixes import other_prefix, prompts_of
from irp_hf.encoding.recorded import OnMismatch, check_on_mismatch, open_recorded
from irp_hf.encoding.running import embedded
from irp_hf.errors import InputError, kind_of, refusal, warn
from irp_hf.parallel.sharded import BLOCK_SIZE, Again, all_processes, run_in_folder
from irp_hf.stitching.parts import (
    compare_head,
    connect_spaces,
    named_encoder,
    named_head,
    open_adapter,
    token_for,
)

CHECKED = 32  # rows of a block that are classified again before a run goes on
# Settings, of what lies in files.
OF_STORED = ("device", "device_map", "dtype", "trust_remote_code", "subfolder", "variant")
ROUNDING = 5  # how much farther than vectors their logits may be off


@dataclass
class StitchedOutput(ModelOutput):
    """Output of `StitchedModel`."""

    logits: Tensor | None = None
    """`(n, num_labels)`, float32."""
    confidence: Tensor | None = None
    """Expected cosine `(n,)` of each translation to the vector that the target encoder would have given."""


class StitchedModel(nn.Module):
    """Encoder → adapter → head: items in, logits out.

    The three parts may lie on different devices; `.to(device)` moves what is not spread over several already.
    """

    def __init__(
        self,
        encoder: Any = None,
        adapter: Any = None,
        head: Any = None,
        *,
        on_mismatch: OnMismatch = "refuse",
        revision: str | None = None,
        token: str | bool | None = None,
        encoder_token: str | bool | None = None,
        head_revision: str | None = None,
        head_token: str | bool | None = None,
        head_trust_remote_code: bool = False,
        head_subfolder: str | None = None,
        head_variant: str | None = None,
        adapter_revision: str | None = None,
        adapter_token: str | bool | None = None,
        adapter_subfolder: str | None = None,
        **settings: Unpack[EncoderSettings],
    ) -> None:
        """Put the parts together; each is an id, a folder or an object.

        Args:
            encoder: as for `irp_hf.encoding.encode`; None takes the one that the adapter names. It is opened with the
                pooling, prompt and normalisation that the adapter's anchors were encoded with.
            adapter: an `IRPAdapter`, or where one lies; None connects two spaces, which `encoder` and `head` then are or name.
            head: as for `irp_hf.heads.open_head`; None takes the classifier that the adapter's target was encoded at.
            on_mismatch: "refuse" or "warn", where the encoder now loaded is another than that of the anchors, or encodes
                otherwise: with another pooling, prompt, route, cut, normalisation or revision. Its weights are compared
                by their digest, and it encodes the few items that the source's space has kept. "ignore" looks at nothing.
            revision: branch, tag or commit of the encoder on the Hub.
            token: for all repositories on the Hub; by default the one that the adapter was fetched with.
            encoder_token: for the encoder's alone.
            head_revision: of the head's repository.
            head_token: for it alone.
            head_trust_remote_code: run code that the head's repository brings.
            head_subfolder: of the head's repository or folder.
            head_variant: of its weights: "fp16" of `model.fp16.safetensors`.
            adapter_revision: of the adapter's repository.
            adapter_token: for it alone.
            adapter_subfolder: of the adapter's repository or folder.
            **settings: of the encoder: `pooling`, `prompt`, `normalize`, `device`, `dtype`, `device_map`, `processor`,
                `trust_remote_code`, `subfolder`, `variant`, ...

        Raises `InputError` for parts that do not fit each other, and what their own loading raises.
        """
        super().__init__()
        own = [name for name in inspect.signature(StitchedModel).parameters if name != "settings"]
        check_names("StitchedModel", settings, EncoderSettings.__annotations__, own)
        check_on_mismatch(on_mismatch)
        check_flag("head_trust_remote_code", head_trust_remote_code, "Give True only where you have read the code.")
        if adapter is None:
            self.adapter = connect_spaces(encoder, head, (revision, head_revision), token)
            encoder = head = revision = head_revision = None
        else:
            self.adapter = open_adapter(
                adapter, adapter_revision, token_for(adapter, adapter_token, token), adapter_subfolder
            )
        token = self.adapter.hub_token if token is None else token
        self.head = named_head(
            self.adapter,
            head,
            head_revision,
            token_for(head, head_token, token),
            head_trust_remote_code,
            head_subfolder,
            head_variant,
            encoder is None,
        )
        self._on_mismatch: OnMismatch = on_mismatch
        self._prefix_told = False
        self._recognise_head()
        opened = named_encoder(self.adapter, encoder, settings, revision, token_for(encoder, encoder_token, token))
        self.encoder_module = opened.module
        self._settings: dict[str, Any] = {name: value for name, value in settings.items() if name not in OF_STORED}
        self._take(opened)
        self.eval()

    @property
    def config(self) -> PreTrainedConfig:
        """The adapter's, which names the other two parts."""
        return self.adapter.config

    @property
    def device(self) -> torch.device:
        """The adapter's."""
        return self.adapter.device

    @property
    def modality(self) -> str | None:
        """What the encoder reads: "text", "image" or "audio"; None of a function where neither it nor a kept item says that."""
        canary = Canary.from_dict(self.adapter.config.source_canary, "source_canary")
        texts = canary is not None and all(isinstance(item, str) for item in canary.items)
        texts = texts and self.encoder.modality is None
        return "text" if texts else self.encoder.modality

    @own_arithmetic()
    def forward(
        self,
        items: Sequence[Any],
        return_confidence: bool | None = None,
        first: int = 0,
        *,
        confidence: bool | None = None,
        max_length: int | None = None,
    ) -> StitchedOutput:
        """Classify a batch of items as the encoder's `embed` takes them; see `predict` for more and for other ones.

        `return_confidence` adds the adapter's confidence in each; `confidence` is another name for it. `first` is the row of
        the first item, for errors. `max_length` cuts texts to fewer tokens than the encoder reads by itself.
        """
        both = _asked(return_confidence, confidence)
        check_evaluating(self.encoder.name, self.encoder_module)
        check_evaluating("The head", self.head)
        listed = list(in_order(items, least=0))
        self._follow(len(listed))
        if not self._head_as_it_was():
            self._recognise_head()
        self._warn_of_prefix(listed)
        vectors = self._embed(listed, self._encoder(max_length), first).to(torch.float32)
        try:
            output = self.adapter(embeddings=vectors, return_confidence=both)
            logits = self.head(output.translated)
        except InputError:
            refuse_lost(self.encoder, vectors, listed, range(first, first + len(listed)))  # names the item
            raise
        return StitchedOutput(logits=logits, confidence=output.confidence)

    @own_arithmetic()
    def predict(
        self,
        items: Sequence[Any],
        batch_size: int = 32,
        return_confidence: bool | None = None,
        progress: bool | None = None,
        *,
        confidence: bool | None = None,
    ) -> StitchedOutput:
        """Logits `(n, num_labels)` of `items`, on the CPU in their order; texts, pictures or sounds as users have them.

        `return_confidence` adds the adapter's confidence `(n,)`; `confidence` is another name for it. `progress` shows a bar,
        or does not; by default on a terminal, for more than a few batches. No items give no rows.

        Raises `InputError` that names the row of an item that cannot be read.
        """
        items = check_request(items, batch_size, least=0)
        both = _asked(return_confidence, confidence)
        parts: list[StitchedOutput] = []
        with batches_bar("Classifying", len(items), batch_size, progress) as bar:
            for start in range(0, max(len(items), 1), batch_size):  # of no items the labels' number is told, too
                batch = [items[row] for row in range(start, min(start + batch_size, len(items)))]
                parts.append(self(self.read(batch, start), both, start))
                bar.update(len(batch))
        return StitchedOutput(**{name: torch.cat([part[name].cpu() for part in parts]) for name in parts[0]})

    def predict_dataset(
        self,
        dataset: Any,
        column: str,
        out_folder: str | os.PathLike[str],
        *,
        batch_size: int = 32,
        return_confidence: bool | None = None,
        block_size: int = BLOCK_SIZE,
        progress: bool | None = None,
        confidence: bool | None = None,
    ) -> dict[str, np.ndarray[Any, Any]]:
        """`predict` for a column of a `datasets.Dataset`, on all processes of `accelerate launch`, each on its own device.

        Returns "logits" `(n, num_labels)` and, with `return_confidence` (or `confidence`, its other name), "confidence"
        `(n,)`, mapped from `.npy` files in `out_folder`, in every process; the bits do not depend on the number of processes,
        and a run that died goes on. For `block_size` and what is raised see `irp_hf.parallel.run_sharded`.
        """
        batch_size, both = check_batch_size(batch_size), _asked(return_confidence, confidence)
        check_progress(progress)
        items, state = column_of(dataset, column), all_processes()
        if state.num_processes > 1:
            self.to(state.device)

        def classify(rows: Sequence[Any]) -> dict[str, Any]:
            output = self.predict(rows, batch_size, both, progress=False)
            return {name: value.numpy() for name, value in output.items()}

        self._follow()
        parts = dict(
            encoder=self.encoder.full_record().to_dict(),
            adapter=self.adapter.checksum(),
            head=self.head.full_record().to_dict(),
        )
        record = {"id": "a stitched model", "parts": parts, "batch_size": batch_size, "confidence": both}
        again = Again(None if self.encoder_module is None else CHECKED, ROUNDING * tolerance(self.encoder))
        files = reads_files(self.encoder)
        return run_in_folder(classify, items, out_folder, block_size, record, progress, again, files)

    def unnamed(self) -> dict[str, str]:
        """Which of "encoder" and "head" is not what the adapter names on the Hub, and what it is instead."""
        source, target = self.config.source_record, self.config.target_record
        own = {"encoder": self.encoder.record, "head": self.head.record}
        named = {"encoder": source.on_hub, "head": target.on_hub and target.at_head}
        kept = {"encoder": source.id, "head": target.id}
        words = {
            "encoder": self.encoder.name,
            "head": own["head"].name if own["head"].id else kind_of(self.head.scorer),
        }
        return {part: f"the {part} {words[part]}" for part in own if not named[part] or own[part].id != kept[part]}

    def read(self, items: Sequence[Any], first: int = 0) -> list[Any]:
        """Items as `forward` takes them; `first` is the row of the first one, for errors."""
        if self.encoder.modality is None and self.modality == "text":
            refuse_no_texts(self.encoder, items, first)
        return read_items(self.encoder, items, first)

    def _take(self, encoder: Encoder) -> None:
        """Recognise an encoder, and use it from now on."""
        config, anchors = self.adapter.config, self.adapter.source_anchors
        canary = Canary.from_dict(config.source_canary, "source_canary")
        recognise(config.source_record, canary, anchors, encoder, self._on_mismatch)
        self.encoder = encoder
        self._shorter: dict[int, Encoder] = {}
        self._look: Look | Held | None = _look_at(encoder)

    def _follow(self, num_items: int = FEW) -> None:
        """Open the encoder again, and recognise it, where it, its tokenizer or what else it holds was edited since."""
        module = self.encoder_module
        if self._as_it_was(num_items):
            return
        if module is None:
            self._take(self.encoder)
            return
        settings: Any = {**self._settings, "modality": self.encoder.modality}
        if isinstance(module, PreTrainedModel):
            settings["processor"] = self.encoder.processors[0]
        self._take(named_encoder(self.adapter, module, settings, None, None))

    def _as_it_was(self, num_items: int = FEW) -> bool:
        return self._look is not None and self._look.is_still_so(num_items)

    def _recognise_head(self) -> None:
        """Compare the head with the one whose input the target's anchors are, where the adapter knows that, and watch it."""
        compare_head(self.adapter.config.target_record, self.head, self._on_mismatch)
        self._watch_head()

    def _watch_head(self, known: bool = True) -> None:
        watched = self.adapter.config.target_record.head_sha256 is not None and self._on_mismatch != "ignore"
        self._head_look = Look(self.head, ()) if watched and known else None
        self._head_is_known = known

    def _head_as_it_was(self) -> bool:
        return self._head_is_known and (self._head_look is None or self._head_look.is_still_so())

    @contextmanager
    def moving(self) -> Iterator[None]:
        """Within it the encoder may be moved to another device or dtype, and is not taken for another one afterwards."""
        known, head_known = self._as_it_was(), self._head_as_it_was()
        yield
        if known:
            self._look = _look_at(self.encoder)
        if head_known:
            self._watch_head()

    def __getstate__(self) -> dict[str, Any]:
        """As pickle can carry it: whether encoder and head are as they were recognised, and not where they lie in memory."""
        return {**vars(self), "_look": self._as_it_was(), "_head_look": self._head_as_it_was()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        known, head_known = state["_look"], state.get("_head_look")
        super().__setstate__({**state, "_look": None, "_head_look": None})  # type: ignore[no-untyped-call]
        if known:
            self._look = _look_at(self.encoder)
        self._watch_head(head_known is not False)

    def _encoder(self, max_length: int | None) -> Encoder:
        """The encoder, or the same one that cuts texts to fewer tokens."""
        own = self.encoder.record.max_length
        if max_length is None or (own is not None and max_length >= own):
            return self.encoder
        if self.encoder_module is None or self.modality != "text":
            check_absent("max_length", max_length, f"{self.encoder.name} is a function, or reads no text")
        if max_length not in self._shorter:
            plain = isinstance(self.encoder_module, PreTrainedModel)
            settings: EncoderSettings = {"max_length": max_length}
            if plain:
                settings["processor"] = self.encoder.processors[0]
            self._shorter[max_length] = open_recorded(self.encoder_module, self.encoder.record, settings)
        return self._shorter[max_length]

    def _warn_of_prefix(self, items: list[Any]) -> None:
        """Warn, once, of texts that carry a prompt in themselves where the anchors' have none, or lack theirs."""
        if self._prefix_told or self._on_mismatch == "ignore":
            return
        canary = Canary.from_dict(self.adapter.config.source_canary, "source_canary")
        kept = [item for item in canary.items if isinstance(item, str)] if canary is not None else []
        given = [item[0] if isinstance(item, tuple) else item for item in items]
        if len(kept) < 2 or not all(isinstance(text, str) for text in given):
            return
        if told := other_prefix(kept, given, prompts_of(self.encoder_module, self.encoder.record.prompt)):
            self._prefix_told = True
            warn(told)

    def _embed(self, items: list[Any], encoder: Encoder, first: int) -> Tensor:
        if not items:
            return torch.empty(0, self.adapter.config.source_size, dtype=torch.float32, device=self.device)
        given = embedded(encoder, items, range(first, first + len(items)))
        if isinstance(self._look, Held):
            self._look.renew()
        rows = Rows(given, f"vectors of {encoder.name}")
        vectors = rows[0 : rows.num_rows]
        shape = (len(items), self.adapter.config.source_size)
        if tuple(vectors.shape) != shape:
            expected, got = f"shape {shape}, which the adapter reads", f"{tuple(vectors.shape)}"
            advice = "Pass the encoder that the adapter's anchors were encoded with."
            if len(vectors) < len(items):
                advice = f"Let it return one row for each item.{empty_among(items, range(first, first + len(items)))}"
            raise refusal(f"vectors of {encoder.name}", expected, got, advice)
        return vectors

    def train(self, mode: bool = True) -> Self:
        """Nothing: no part of it is trained here, and in training mode encoder and head would answer by chance."""
        return super().train(False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move the parts, except one that Accelerate spread over devices."""
        with self.moving():
            for part in self.children():
                if not any(hasattr(module, "_hf_hook") for module in part.modules()):
                    part._apply(fn)
        return self


def _look_at(encoder: Encoder) -> Look | Held:
    """What it is made of now; of a function, what that holds."""
    return Held(encoder.embed) if encoder.module is None else Look(encoder.module, encoder.processors)


def _asked(return_confidence: bool | None, confidence: bool | None) -> bool:
    """Whether confidences are asked for, by either name; False by default."""
    given = check_alias("return_confidence", return_confidence, "confidence", confidence)
    return given is not None and check_flag("return_confidence", given)
