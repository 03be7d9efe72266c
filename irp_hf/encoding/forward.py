"""Run a transformers model on what its processor made, wherever the model lies."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from irp_hf.errors import IRPError, first_line, is_panic, kind_of, refusal


@contextmanager
def reading(processor: Any, items: str, file: str) -> Iterator[None]:
    """Turn whatever a processor or a tokenizer raises of items into `InputError`: its `file` may say almost anything."""
    try:
        yield
    except IRPError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        expected, got = f"one that reads these {items}", f"an error ({first_line(error)})"
        advice = f"Look at the items, and at the {file} that it was loaded from."
        raise refusal(kind_of(processor), expected, got, advice) from error


def run_model(model: Any, batch: Mapping[str, Any], name: str, items: str, method: str = "forward") -> Any:
    """What a method of `model` makes of a batch; `name` of the model and `items`, as "text", are for the `InputError`."""
    inputs = inputs_of(model, batch, method)
    try:
        return (model if method == "forward" else getattr(model, method))(**inputs)
    except torch.OutOfMemoryError:
        raise
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        expected, got = f"a model that runs on {items} alone", f"an error ({first_line(error)})"
        raise refusal(name, expected, got, "Pass a function that runs it.") from error


def inputs_of(model: Any, batch: Mapping[str, Any], method: str = "forward") -> dict[str, Any]:
    """What a method names among its arguments: processors make more than some models take.

    Tensors go to the model's device, floating ones to its dtype.
    """
    names = inspect.signature(getattr(model, method)).parameters
    inputs: dict[str, Any] = {key: value for key, value in batch.items() if key in names}
    for key, value in inputs.items():
        if isinstance(value, Tensor):
            inputs[key] = value.to(device_of(model), model.dtype if value.is_floating_point() else None)
    return inputs | ({"use_cache": False} if "use_cache" in names else {})


def device_of(model: Any) -> torch.device:
    """Where a model reads its inputs: of one whose weights Accelerate brings in for each run, where it brings them."""
    device: torch.device = model.device
    if device.type != "meta":
        return device
    for part in model.modules():
        hook: Any = getattr(part, "_hf_hook", None)
        for one in getattr(hook, "hooks", (hook,)):
            if getattr(one, "execution_device", None) is not None:
                return torch.device(one.execution_device)
    return device


def hidden_of(output: Any, name: str) -> Tensor:
    """The last hidden state, `(n, t, d)` or `(n, c, h, w)`."""
    hidden = getattr(output, "last_hidden_state", None)
    if not isinstance(hidden, Tensor):
        expected, got = "a model that returns its last hidden state", f"one that returns {kind_of(output)}"
        raise refusal(name, expected, got, "Pass its base_model, or at='head' for a classifier.")
    return hidden


def poolers_of(output: Any) -> tuple[str, ...]:
    """("pooler",) where a model gives what its pooler made, else ()."""
    return ("pooler",) if isinstance(getattr(output, "pooler_output", None), Tensor) else ()


def one_length_at_a_time(
    read: Callable[[list[Any]], Mapping[str, Any]], embed: Callable[[Any], Tensor]
) -> Callable[[list[Any]], Tensor]:
    """Embed items of one shape together, so that nothing is padded: for models that see padding as input."""

    def embed_all(items: list[Any]) -> Tensor:
        groups: dict[tuple[Any, ...], list[int]] = {}
        for row, item in enumerate(items):
            groups.setdefault(_shapes(read([item])), []).append(row)
        vectors = torch.cat([embed(read([items[row] for row in rows])) for rows in groups.values()])
        order = torch.tensor([*itertools.chain(*groups.values())], dtype=torch.int64, device=vectors.device)
        return vectors[order.argsort()]

    return embed_all


def padding_matters(
    read: Callable[[list[Any]], Mapping[str, Any]], embed: Callable[[Any], Tensor], short: Any, long: Any
) -> bool:
    """Whether the vector of `short` changes when it is padded to the length of `long`."""
    with torch.no_grad():
        alone, beside = embed(read([short]))[0], embed(read([short, long]))[0].float()
    tolerance, alone = torch.finfo(alone.dtype).eps ** 0.5, alone.float()
    return not bool((alone - beside).abs().max() <= tolerance * alone.abs().max())


def _shapes(batch: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple((key, tuple(value.shape)) for key, value in batch.items() if isinstance(value, Tensor))
