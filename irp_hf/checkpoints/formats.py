"""Folders that hold something else than a whole model in safetensors: what it is, and the call that makes one of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from irp_hf.errors import InputError, refusal, shown

LORA = "adapter_config.json"
OTHERS = {  # by the ends of names of files
    ".gguf": ("GGUF", "AutoModel.from_pretrained(folder, gguf_file=name), which needs the package gguf,"),
    ".onnx": ("ONNX", "The repository that it was exported from"),
    "openvino_model.xml": ("OpenVINO", "The repository that it was exported from"),
    "tf_model.h5": ("TensorFlow", "An older transformers, with from_tf=True,"),
    "flax_model.msgpack": ("Flax", "An older transformers, with from_flax=True,"),
}


def refuse_other_formats(folder: Path, name: str) -> None:
    """Raise `InputError` for a folder with a LoRA, or without safetensors and with weights for other libraries."""
    if (folder / LORA).is_file():
        raise lora(name, (folder / LORA).read_text(encoding="utf-8", errors="replace"))
    files = [file.name for file in folder.rglob("*") if file.is_file()]
    if any(file.endswith(".safetensors") for file in files):
        return
    for end, (kind, source) in OTHERS.items():
        if (found := next((file for file in sorted(files) if file.endswith(end)), None)) is not None:
            got, advice = f"{kind} alone ({found})", f"{source} gives a model whose save_pretrained writes safetensors."
            raise refusal(name, "weights as safetensors", got, advice)


def lora(name: str, content: str) -> InputError:
    """The error for weights of peft, whose `adapter_config.json` says which model they belong to."""
    try:
        config: Any = json.loads(content)
    except ValueError:
        config = None
    base = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    model = f"AutoModel.from_pretrained({shown(base) if isinstance(base, str) else 'its base model'})"
    advice = (
        f"Merge it: PeftModel.from_pretrained({model}, {name!r}).merge_and_unload().save_pretrained(folder); for a "
        "classifier AutoModelForSequenceClassification. Save the tokenizer there, too."
    )
    return refusal(name, "a whole model", "a LoRA, or other weights of peft, for one", advice)
