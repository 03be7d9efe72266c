"""What stands in for weights and inputs while an architecture is traced: noise of the right shapes.

Where a head begins is a matter of the architecture alone. So a model of any size is built in next to no memory, and batches
are made for it in which only shapes and kinds of token matter.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedConfig, PreTrainedModel

from irp_hf.errors import HeadCutError, refusal

LENGTHS = (16, 24)  # tokens: enough for what samples down by four
CHANNELS, SIZE, FRAMES = 3, 224, 16  # where the configuration does not say

# What makes tensors: without values, which is how layers make their weights, and with values, as buffers have.
EMPTY = frozenset({torch.empty, torch.empty_strided})
FILLED = frozenset(
    {torch.arange, torch.eye, torch.full, torch.linspace, torch.logspace, torch.ones, torch.rand, torch.randint}
    | {torch.randn, torch.randperm, torch.range, torch.scalar_tensor, torch.tensor, torch.tril_indices}
    | {torch.triu_indices, torch.zeros, torch.hann_window, torch.hamming_window}
)


class WithoutWeights(TorchFunctionMode):
    """Within it this thread makes tensors without values on the device "meta", where they take no memory; others on the CPU.

    So a model is built with its buffers and without weights, and transformers initialises nothing. Context managers that
    promise the same (`init_empty_weights`, `no_init_weights`) patch torch for all threads of the process.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call `func` of torch, with a device where none is named."""
        named = dict(kwargs or {})
        if named.get("device") is None and (func in EMPTY or func in FILLED):
            # By tensor([]) transformers asks where models are made, and initialises none on "meta".
            nothing = func is torch.tensor and isinstance(args[0], list) and not args[0]
            named["device"] = "meta" if func in EMPTY or nothing else "cpu"
        return func(*args, **named)


def model_without_weights(model_class: type[PreTrainedModel], config: PreTrainedConfig) -> PreTrainedModel:
    """A `model_class` of this configuration in evaluation mode, float32, filled with noise as `fill_with_noise` gives it.

    The rows of a matrix overlap in memory, so that it takes about a hundredth of what its weights would take. Nothing that
    other threads see is changed. Raises `HeadCutError` where a buffer has no values, which the architecture sets elsewhere.
    """
    with WithoutWeights():
        model: PreTrainedModel = model_class(config)
    for name, buffer in model.named_buffers():
        if buffer.is_meta and buffer.numel():
            got, advice = f"{name} without any", "Load it, and pass the model."
            raise refusal(model_class.__name__, "values for all buffers of a new model", got, advice, HeadCutError)
    fill_with_noise(model, seed=0)
    model.float().eval()
    return model


def fill_with_noise(model: nn.Module, seed: int, keep: frozenset[str] = frozenset()) -> None:
    """Give every parameter of `model` noise of another seed, except those named in `keep`; what is tied stays tied."""
    generator = torch.Generator("cpu").manual_seed(seed)
    kept = {id(parameter) for name, parameter in model.named_parameters(remove_duplicate=False) if name in keep}
    made: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is None or id(parameter) in kept:
                continue
            if id(parameter) not in made:
                made[id(parameter)] = nn.Parameter(_noise(parameter.shape, generator, name), requires_grad=False)
            module._parameters[name] = made[id(parameter)]


def _noise(shape: torch.Size, generator: torch.Generator, name: str) -> Tensor:
    """Weights about as large as training leaves them. Each row of a matrix is the one before it, moved by one."""
    if len(shape) < 2:
        return 0.1 * _normal(shape, generator) + float(name == "weight")
    width = shape[1:].numel()
    gain = 2 if len(shape) > 3 else 1  # else what pictures differ in fades layer by layer
    line = _normal((shape[0] + width - 1,), generator) * (gain * width**-0.5)
    noise: Tensor = line.as_strided(shape, (1, *torch.empty(shape[1:], dtype=torch.float32, device="meta").stride()))
    return noise


def _normal(shape: Sequence[int], generator: Generator) -> Tensor:
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float32, device="cpu")


def dummy_inputs(model: PreTrainedModel, kind: str, rows: int, processor: Any = None) -> dict[str, Any]:
    """`rows` different items of a `kind`, "text", "image", "audio" or "video", as `model(**dummy_inputs(...))` reads them.

    `processor` is the repository's image processor or feature extractor; without one, the shape of pictures is taken from the
    configuration, and that of sound is not known. Raises `HeadCutError` where that is not enough.
    """
    generator = torch.Generator("cpu").manual_seed(rows)
    reads = inspect.signature(model.forward).parameters
    if "input_ids" in reads and (kind == "text" or model.main_input_name == "input_ids"):
        inputs = _tokens(model.config, rows, generator)
        if "bbox" in reads:
            box = torch.tensor([1, 2, 3, 4], dtype=torch.int64, device="cpu")
            inputs["bbox"] = box.expand(*inputs["input_ids"].shape, 4).contiguous()
        return inputs
    if processor is not None:
        made = _processed(processor, kind, rows, generator)
        return {name: value for name, value in made.items() if name in reads}
    if kind == "audio":
        raise refusal(
            type(model).__name__,
            "a feature extractor beside it, which says how sound becomes its input",
            "none",
            "Put preprocessor_config.json beside it, or pass HeadCut(model, **inputs) with a batch of yours.",
            HeadCutError,
        )
    name = next(name for name in ("pixel_values_videos", "pixel_values", "inputs") if name in reads)
    return {name: _normal((rows, *_picture_shape(model.config, kind)), generator)}


def _tokens(config: PreTrainedConfig, rows: int, generator: Generator) -> dict[str, Any]:
    """Rows of several lengths, padded on the right, with a single end of sequence."""
    text: Any = config.get_text_config()
    known: dict[str, Any] = text.to_dict()
    special = {value for name, value in known.items() if "token_i" in name and isinstance(value, int)}
    plain = [i for i in range(min(known.get("vocab_size") or 64, 1000)) if i not in special]
    end_id, pad_id = known.get("eos_token_id"), known.get("pad_token_id")
    length = LENGTHS[rows % 2]
    known_ids = torch.tensor(plain, dtype=torch.int64, device="cpu")
    ids = known_ids[torch.randint(len(plain), (rows, length), generator=generator, dtype=torch.int64, device="cpu")]
    mask = torch.ones_like(ids)
    for row in range(rows):
        end = length - 2 * (row % 3)
        if isinstance(end_id, int):
            ids[row, end - 1] = end_id
        if pad_id is not None:
            ids[row, end:], mask[row, end:] = pad_id, 0
    return {"input_ids": ids, "attention_mask": mask}


def _processed(processor: Any, kind: str, rows: int, generator: Generator) -> dict[str, Any]:
    if kind == "audio":
        rate = processor.sampling_rate
        waves = list(_normal((rows, rate), generator).numpy())
        return dict(processor(waves, sampling_rate=rate, padding=True, return_tensors="pt"))
    size = (rows, FRAMES, 64, 64, 3)
    pictures = torch.randint(256, size, generator=generator, dtype=torch.uint8, device="cpu").numpy()
    items = [list(frames) for frames in pictures] if kind == "video" else [frames[0] for frames in pictures]
    return dict(processor(items, return_tensors="pt"))


def _picture_shape(config: PreTrainedConfig, kind: str) -> list[int]:
    vision = getattr(config, "vision_config", config)
    size = getattr(vision, "image_size", None) or getattr(vision, "crop_size", None) or SIZE
    height, width = (size, size) if isinstance(size, int) else list(size)[-2:]
    shape = [getattr(vision, "num_channels", None) or CHANNELS, height, width]
    frames = getattr(vision, "num_frames", None) or getattr(vision, "frames_per_clip", None) or FRAMES
    return [frames, *shape] if kind == "video" else shape
