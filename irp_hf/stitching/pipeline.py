"""The task "irp-stitch": `pipeline("irp-stitch", model=adapter)` classifies with a head that was built for another encoder."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, Sequence, ValuesView
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset
from transformers import Pipeline
from transformers.pipelines.pt_utils import KeyDataset, PipelineDataset, PipelineIterator

from irp_hf.arithmetic import own_arithmetic
from irp_hf.checks import (
    check_absent,
    check_batch_size,
    check_choice,
    check_count,
    check_flag,
    check_names,
    check_number,
    check_text,
    check_workers,
)
from irp_hf.data.listed import LISTED, in_order
from irp_hf.data.pictures import PictureColumn, decoded_here
from irp_hf.data.wrong import module_of
from irp_hf.encoding.base import EncoderOptions, check_device, check_device_map, check_dtype, check_usable
from irp_hf.encoding.inputs import refuse_longer
from irp_hf.errors import IRPError, kind_of, refusal, warn
from irp_hf.heads.head import LOGITS
from irp_hf.hub.fetching import SECONDS, fetch_url
from irp_hf.stitching.model import StitchedModel
from irp_hf.stitching.pipeline_items import from_base64, is_pair_of_before

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda logits: logits.softmax(-1),
    "sigmoid": torch.sigmoid,
    "none": lambda logits: logits,
}
UNCUT = (False, "do_not_truncate")
OF_TOKENIZERS: dict[str, tuple[Any, ...]] = {  # as text-classification hands them on, and what changes nothing here
    "text_pair": (),
    "truncation": (True, "longest_first", "only_first", "only_second", *UNCUT),
    "padding": (True, False, "longest", "max_length", "do_not_pad"),
    "max_length": (),
    "pad_to_multiple_of": (),
}
UNSET = -1
ASKED = 64  # anchors of the target, of which the head is asked whether it gives logits
TOP_K = 5  # of pictures and sounds, as in transformers
PROCESSORS = ("processor", "tokenizer", "image_processor", "feature_extractor")
# Which pipeline() has of its own, or mean the model's.
KEPT = ("device", "dtype", "device_map", "revision", "token", "trust_remote_code", "task", "subfolder", "variant")
PARTS = (
    *("on_mismatch", "encoder_token", "head_revision", "head_token", "head_trust_remote_code"),
    *("head_subfolder", "head_variant"),
    *(name for name in EncoderOptions.__annotations__ if name not in (*KEPT, *PROCESSORS)),
)
ENCODER = ("revision", "device_map", "trust_remote_code", "task", "subfolder", "variant")  # with encoder_
MAKING = (*PARTS, *(f"encoder_{name}" for name in ENCODER), "encoder", "head", "encoder_device", "head_device")
OF_ALL = (*PROCESSORS, "video_processor", "batch_size", "num_workers", "binary_output", "torch_dtype")  # any pipeline's


class NoAdapterGiven(os.PathLike[str]):
    """Stands for the model of `pipeline("irp-stitch", encoder=..., head=...)`, which is none."""

    def __fspath__(self) -> str:
        return os.curdir  # it exists, so that pipeline() does not ask the Hub for it

    def __str__(self) -> str:
        return "the adapter that connects the spaces encoder= and head="


class IRPStitchPipeline(Pipeline):
    """Classify texts, pictures or sounds: encoder → adapter → head, which was built for another encoder.

    Inputs and outputs are those of the text-, image- and audio-classification pipelines, whichever the encoder reads.
    """

    _load_tokenizer: Any = False
    _load_processor: Any = False
    _load_image_processor: Any = False
    _load_video_processor: Any = False
    _load_feature_extractor: Any = False

    def __init__(
        self,
        model: Any,
        encoder: Any = None,
        head: Any = None,
        *,
        task: str = "irp-stitch",
        device: int | str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        encoder_device: str | torch.device | None = None,
        head_device: str | torch.device | None = None,
        **kwargs: Any,
    ) -> None:
        """Stitch; `transformers.pipeline` calls this with what it does not know itself.

        Args:
            model: an `IRPAdapter`, or a `StitchedModel`, which has an encoder and a head already. Without one, `encoder` and
                `head` are two anchored spaces, published ones by their ids, and the adapter between them is fitted at once.
            encoder: as for `StitchedModel`; by default the one that the adapter names.
            head: likewise.
            task: "irp-stitch".
            device: of all three parts; `pipeline(device_map="auto")` spreads the encoder over several.
            dtype: of the encoder's and the head's weights; the adapter stays float32.
            encoder_device: of the encoder alone.
            head_device: of the head alone.
            **kwargs: `encoder_revision`, `encoder_token`, `encoder_device_map`, `encoder_trust_remote_code`, `encoder_task`;
                `head_revision`, `head_token`, `head_trust_remote_code`; `encoder_subfolder`, `encoder_variant`,
                `head_subfolder`, `head_variant`; `on_mismatch`
                and the encoder's `pooling`, `prompt`, `normalize`, `modality`, `tokenizer`, ... as for `StitchedModel`;
                `batch_size`, `num_workers`, and all keywords of a call.
        """
        parts = {name: kwargs.pop(name) for name in PARTS if name in kwargs}
        parts |= {name: kwargs.pop(f"encoder_{name}") for name in ENCODER if f"encoder_{name}" in kwargs}
        for name in PROCESSORS:
            if kwargs.get(name) is not None:
                parts["processor"] = kwargs.pop(name)
        if dtype not in (None, "auto"):
            check_dtype("dtype", dtype)
            parts["dtype"] = getattr(torch, dtype) if isinstance(dtype, str) else dtype
        self._sanitize_parameters(
            **{name: kwargs[name] for name in kwargs if name not in OF_ALL}
        )  # before anything loads
        _check_devices(device=device, encoder_device=encoder_device, head_device=head_device)
        self.stitched = _stitched(model, encoder, head, parts, _device_map_of_pipeline())
        where: Any = device
        stays = isinstance(model, StitchedModel) and device is None  # the user put its parts where they are
        super().__init__(self.stitched.adapter, task=task, device=model.device if stays else where, **kwargs)
        if not stays:
            self.stitched.to(self.device)
        if encoder_device is not None and self.stitched.encoder_module is not None:
            with self.stitched.moving():
                self.stitched.encoder_module.to(encoder_device)
        self.stitched.head.to(head_device, parts.get("dtype"))
        if self._postprocess_params.get("function_to_apply") != "none":
            self._warn_of_probabilities()

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Classify one input, a list, a generator or a data set (`KeyDataset`).

        Args:
            inputs: texts, and {"text", "text_pair"} for an encoder with a tokenizer; PIL images, paths, URLs, base64;
                waveforms, {"array", "sampling_rate"}, paths, URLs; as the encoder reads.
            *args: none.
            **kwargs: `top_k`, how many labels, by default 1 of texts and 5 of pictures and sounds, None for all;
                `function_to_apply`, "softmax", "sigmoid" or "none", by default what suits the head's problem type;
                `return_confidence`, which adds the adapter's `confidence` for the input, the expected cosine with the vector
                that the target's own encoder would have given; `timeout`, the seconds that a URL may take, by default 60, None
                for any (its file may have 268 MB, packed or unpacked); `batch_size`, `num_workers`;
                `text_pair`, a second text for each one; `truncation` and `padding` as tokenizers take them, which change
                no answer, nor does `pad_to_multiple_of`: texts are cut where the encoder ends, but `truncation=False` refuses
                those that would be, and padding is no part of what it reads; `max_length`, which cuts them to fewer tokens.

        Returns a list of {"label", "score"} for each input, and as text-classification does the best one alone for texts
        where no `top_k` is given. Raises `InputError` for what cannot be read and for unknown keywords.
        """
        if isinstance(inputs, KeyDataset) and inputs.key in (getattr(inputs.dataset, "column_names", None) or ()):
            column = decoded_here(inputs.dataset[inputs.key])
            inputs = _Items(column) if isinstance(column, PictureColumn) else inputs
        listed = _is_column(inputs) or (isinstance(inputs, Sequence) and not isinstance(inputs, str | bytes))
        inputs = in_order(inputs, "inputs", least=0) if listed else inputs
        if (listed or isinstance(inputs, Dataset)) and hasattr(inputs, "__len__") and not len(inputs):
            self._sanitize_parameters(**{name: value for name, value in kwargs.items() if name not in OF_ALL})
            return [] if listed else iter(())
        if listed:  # a column of pictures is decoded piece by piece
            inputs = Subset(inputs, range(len(inputs)))
        elif isinstance(inputs, Iterator) or module_of(inputs) == "datasets":  # the base class streams generators alone
            inputs = (item for item in inputs)
        result = super().__call__(inputs, *args, **kwargs)  # type: ignore[no-untyped-call]
        if listed:
            return list(result)
        alone = isinstance(result, dict) and isinstance(inputs, str)
        return [result] if alone else result  # of one text, as text-classification does

    def get_iterator(
        self,
        inputs: Any,
        num_workers: int,
        batch_size: int,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> PipelineIterator:
        """As the base class has it, but with batches of items: the encoder pads them, and knows how."""
        batch_size, num_workers = check_batch_size(batch_size), check_workers(num_workers)
        sized = hasattr(inputs, "__len__")
        numbered: Any = _Numbered(inputs) if sized else enumerate(inputs)
        read: Any = (PipelineDataset if sized else PipelineIterator)(numbered, self._read, preprocess_params)
        loader = _Loader(
            read,
            batch_size,
            num_workers=num_workers if sized else min(num_workers, 1),
            collate_fn=_together,
            generator=torch.Generator("cpu"),  # else it draws a number from the caller's
        )
        classified = PipelineIterator(loader, self.forward, forward_params, loader_batch_size=batch_size)
        return PipelineIterator(classified, self.postprocess, postprocess_params)

    def _read(self, numbered: tuple[int, Any], **params: Any) -> dict[str, Any]:
        """Read one item of many; in a worker process an error would be buried in a traceback, so it is raised later."""
        row, item = numbered
        try:
            return self.preprocess(item, row=row, **params)
        except IRPError as error:
            return {"items": [error], "row": row}

    def preprocess(  # type: ignore[override]
        self,
        item: Any,
        timeout: float | None = SECONDS,
        text_pair: str | None = None,
        truncation: Any = None,
        max_length: int | None = None,
        row: int = 0,
    ) -> dict[str, Any]:
        """Read one item; `row` is its place, for errors."""
        if text_pair is not None and isinstance(item, str):
            item = {"text": item, "text_pair": text_pair}
        if is_pair_of_before(item):
            item = {"text": item[0][0], "text_pair": item[0][1]}
        if self.stitched.modality != "text" and isinstance(item, str) and item.startswith(("http://", "https://")):
            item = fetch_url(item, timeout)
        elif self.stitched.modality == "image" and isinstance(item, str):
            item = from_base64(item)
        if isinstance(item, Mapping) and "raw" in item:  # as the pipelines of transformers call an array of sound
            item = {"array": item["raw"], **item}
        items = self.stitched.read([item], row)
        if truncation is not None and getattr(truncation, "value", truncation) in UNCUT:
            refuse_longer(self.stitched.encoder, items, max_length, row)
        return {"items": items, "row": row}

    def _forward(  # type: ignore[override]
        self, inputs: dict[str, Any], confidence: bool = False, max_length: int | None = None
    ) -> dict[str, Tensor]:
        items = inputs["items"]
        for item in items:
            if isinstance(item, IRPError):
                raise item
        return {
            **self.stitched(items, confidence, inputs["row"], max_length=max_length),
            "text": torch.tensor([isinstance(item, str | tuple) for item in items], dtype=torch.bool, device="cpu"),
        }

    def postprocess(  # type: ignore[override]
        self, outputs: dict[str, Tensor], top_k: int | None = UNSET, function_to_apply: str | None = None
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """Name the labels of one item."""
        logits = outputs["logits"][0]
        scores = FUNCTIONS[(function_to_apply or self._function(len(logits))).lower()](logits).tolist()
        confidence = {"confidence": float(outputs["confidence"])} if "confidence" in outputs else {}
        names = self.stitched.head.names(len(scores))
        answers = [{"label": name, "score": score, **confidence} for name, score in zip(names, scores, strict=True)]
        answers.sort(key=lambda answer: answer["score"], reverse=True)
        if top_k != UNSET:
            return answers[:top_k]
        return answers[0] if outputs["text"] else answers[:TOP_K]

    def _warn_of_probabilities(self) -> None:
        """Warn of a head that gives probabilities, of which scores would be made once more, by the target's anchors."""
        head, anchors = self.stitched.head, self.stitched.adapter.target_anchors
        if head.problem_type == "regression" or anchors.is_meta:
            return
        with contextlib.suppress(IRPError):  # a head that fails says so where it is used
            if told := head.like_probabilities(anchors[:ASKED]):
                advice = f"{LOGITS} Where these are the scores that are wanted, give function_to_apply='none'."
                warn(str(refusal("The head", "logits, of which scores are made", told, advice)))

    def _function(self, num_labels: int) -> str:
        problem = self.stitched.head.problem_type
        if problem == "regression":
            return "none"
        return "sigmoid" if problem == "multi_label_classification" or num_labels == 1 else "softmax"

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        known = ("top_k", "function_to_apply", "return_confidence", "timeout", *OF_TOKENIZERS)
        for name in kwargs:
            if name not in known and (name in MAKING or name in PROCESSORS):
                advice = f"Give {name}= to pipeline('irp-stitch', ...), which makes it."
                raise refusal("irp-stitch", "what a call takes", repr(name), advice)
        check_names("irp-stitch", kwargs, known, (*MAKING, *OF_ALL))
        top_k, function, timeout = (kwargs.get(name) for name in ("top_k", "function_to_apply", "timeout"))
        if top_k is not None:
            check_count("top_k", top_k, advice="Give a number of labels from 1, or None for all.")
        if function is not None:
            check_choice("function_to_apply", function.lower() if isinstance(function, str) else function, FUNCTIONS)
        if timeout is not None:
            check_number("timeout", timeout, above=0, advice="Give seconds, or None to wait for any time.")
        for name, choices in OF_TOKENIZERS.items():
            _check_of_tokenizers(name, kwargs.get(name), choices)
        if "return_confidence" in kwargs:
            check_flag("return_confidence", kwargs["return_confidence"])
        return (
            {name: kwargs[name] for name in kwargs if name in ("timeout", "text_pair", "truncation", "max_length")},
            {
                name: kwargs[given]
                for name, given in (("confidence", "return_confidence"), ("max_length", "max_length"))
                if given in kwargs
            },
            {name: kwargs[name] for name in kwargs if name in ("top_k", "function_to_apply")},
        )

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Save the adapter, which names the encoder and the head; these stay where they are.

        Warns where one of them could not be found elsewhere: it lies in a folder or in memory, or another one was given.
        """
        self.model.save_pretrained(save_directory, **kwargs)
        if lost := self.stitched.unnamed():
            parts = " and ".join(f"{name}=" for name in lost)
            expected, got = (
                "an encoder and a head on the Hub, which the saved adapter names",
                " and ".join(lost.values()),
            )
            warn(str(refusal("irp-stitch", expected, got, f"Pass {parts} where it is opened again.")))


class _Items(Dataset[Any]):
    """A sequence as a data set of torch, which a pipeline streams."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, row: int) -> Any:
        return self.items[row]


class _Loader(DataLoader[Any]):
    """Draws the seed of its workers where no mode of the caller's is on."""

    @own_arithmetic()
    def __iter__(self) -> Any:
        return super().__iter__()


def _check_of_tokenizers(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    """Raise `InputError` for a value that would change what the encoder reads, or that tokenizers do not know."""
    if value is None:
        return
    if name in ("max_length", "pad_to_multiple_of"):
        check_count(name, value, advice="Leave it out for as many tokens as the encoder reads.")
    elif name == "text_pair":
        check_text(name, value, "Give a second text; of several, give dictionaries with text and text_pair.")
    else:
        choice = value.value if isinstance(value, Enum) else value
        check_choice(
            name, choice, choices, "Leave it out: texts are cut where the encoder ends, and padded as it wants."
        )


class _Numbered(Dataset[tuple[int, Any]]):
    """Items with their rows."""

    def __init__(self, items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, row: int) -> tuple[int, Any]:
        return row, self.items[row]


def _is_column(inputs: Any) -> bool:
    """Whether it holds several items, in the way of a table, of numpy or of a dictionary."""
    if isinstance(inputs, np.ndarray):
        return inputs.ndim > 0 and inputs.dtype.kind in "OUT"
    if isinstance(inputs, KeysView | ValuesView | ItemsView):
        return True
    return module_of(inputs) in LISTED and hasattr(inputs, "__len__")


def _stitched(model: Any, encoder: Any, head: Any, parts: dict[str, Any], device_map: Any) -> StitchedModel:
    """The parts put together, those that are named opened as `parts` and the `device_map` of `pipeline` say."""
    check_device_map("device_map", device_map)
    if isinstance(model, StitchedModel):
        for name, part in {"encoder": encoder, "head": head, "device_map": device_map, **parts}.items():
            check_absent(name, part, "a StitchedModel has its parts already", show=kind_of)  # it may be a token
        return model
    model = None if isinstance(model, NoAdapterGiven) else model
    if (
        encoder is None or model is None or isinstance(encoder, str | os.PathLike)
    ):  # a single device is known only later
        spread = parts.get("device_map") or device_map or getattr(model, "device_map", None)
        parts = parts | ({"device_map": spread} if spread else {"device": "cpu"})
    else:
        check_absent("device_map", device_map, "the encoder is loaded already")
    return StitchedModel(encoder, model, head, **parts)


def _device_map_of_pipeline() -> Any:
    """The `device_map` that `transformers.pipeline` was called with: of a model that is loaded it tells nobody.

    That holds for the adapter alone, which is small; the encoder, which may need it, is loaded here.
    """
    caller = sys._getframe(2)  # of this pipeline's __init__
    if (caller.f_code.co_name, caller.f_globals.get("__name__")) != ("pipeline", "transformers.pipelines"):
        return None
    return caller.f_locals.get("device_map")


def _check_devices(**devices: Any) -> None:
    for name, device in devices.items():
        check_device(name, device)
        if device is not None and (name, device) != ("device", -1):  # which is the CPU for any pipeline
            check_usable(name, device)


def _together(read: list[dict[str, Any]]) -> dict[str, Any]:
    return {"items": [item for one in read for item in one["items"]], "row": read[0]["row"]}
