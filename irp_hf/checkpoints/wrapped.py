"""Loaded models inside of what runs them: compiled, copied to several devices, or with a LoRA of peft."""

from __future__ import annotations

from typing import Any

from torch import nn

from irp_hf.errors import first_line, kind_of, refusal


def unwrapped(model: Any) -> Any:
    """The model itself, of `torch.compile`, `DataParallel` and `DistributedDataParallel`; of peft the model with its LoRA.

    What is no such wrapper stays as it is. Raises `InputError` for what peft puts in front of the input, such as prompts:
    the model alone would not see it.
    """
    while isinstance(model, nn.Module):
        if isinstance(inner := model.__dict__.get("_modules", {}).get("_orig_mod"), nn.Module):
            model = inner
        elif isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif hasattr(model, "peft_config") and hasattr(model, "get_base_model"):
            model = _of_peft(model)
        else:
            break
    return model


def _of_peft(model: Any) -> Any:
    kinds = [config for config in model.peft_config.values() if getattr(config, "is_prompt_learning", False)]
    if kinds:
        got = f"{kind_of(model)} with {kind_of(kinds[0])}, which adds to the input"
        raise refusal("The model", "one whose weights say all", got, "Pass a function that runs it.")
    try:
        return model.get_base_model()
    except Exception as error:  # whatever peft raises
        got = f"{kind_of(model)} ({first_line(error)})"
        raise refusal("The model", "a model of peft that can be opened", got, "Pass merge_and_unload().") from error
