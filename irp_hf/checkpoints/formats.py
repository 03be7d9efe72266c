"""Folders that hold something else than a whole model in safetensors: what it is, and the call that makes one of it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

from irp_hf.disk.places import cannot_be_read
from irp_hf.errors import InputError, refusal, shown

LORA, LARGEST_LORA = "adapter_config.json", 10_000_000  # bytes
READ = (".json", ".jsonl", ".txt", ".model", ".safetensors", ".jinja", ".py", ".md", ".vocab")  # ends of names
NEEDED = (".json", ".safetensors")  # of whatever model
DENIED = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
OTHERS = {  # by the ends of names of files
    ".gguf": ("GGUF", "AutoModel.from_pretrained(folder, gguf_file=name), which needs the package gguf,"),
    ".onnx": ("ONNX", "The repository that it was exported from"),
    "openvino_model.xml": ("OpenVINO", "The repository that it was exported from"),
    "tf_model.h5": ("TensorFlow", "An older transformers, with from_tf=True,"),
    "flax_model.msgpack": ("Flax", "An older transformers, with from_flax=True,"),
}


def refuse_unreadable(folder: Path, name: str) -> None:
    """Raise `InputError` for a folder, or a file in it, that this user may not read: libraries would call it missing."""
    if not _may(folder, os.R_OK | os.X_OK):
        raise cannot_be_read(name, DENIED)
    for item in folder.rglob("*"):
        inside = item.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts):  # of git, of caches
            continue
        mode = os.R_OK | os.X_OK if os.path.isdir(item) else os.R_OK if item.suffix in NEEDED else os.F_OK
        if os.path.exists(item) and not _may(item, mode):  # a link that leads nowhere is for its reader to tell
            raise cannot_be_read(f"{shown(inside.as_posix())} of {name}", DENIED)


def _may(path: Path, mode: int) -> bool:
    """Whether whoever runs this may; it is the effective user whose rights count."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def refuse_special(folder: Path, name: str) -> None:
    """Raise `InputError` for a pipe, a device or the like under a name that is read: whoever opens it may wait for ever.

    Links are followed, as the cache of the Hub is made of them.
    """
    for file in folder.rglob("*"):
        if file.suffix not in READ:
            continue
        try:
            mode = os.stat(file).st_mode
        except OSError:  # a link that leads nowhere: for its reader to tell
            continue
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            inside = file.relative_to(folder).as_posix()
            raise refusal(f"{shown(inside)} of {name}", "a file", "a pipe, a device or the like", "Remove it.")


def refuse_other_formats(folder: Path, name: str) -> None:
    """Raise `InputError` for a folder with a LoRA, or without safetensors and with weights for other libraries."""
    if os.path.isfile(folder / LORA):
        raise lora(name, folder / LORA)
    files = [file.name for file in folder.rglob("*") if os.path.isfile(file)]
    if any(file.endswith(".safetensors") for file in files):
        return
    for end, (kind, source) in OTHERS.items():
        if (found := next((file for file in sorted(files) if file.endswith(end)), None)) is not None:
            got, advice = f"{kind} alone ({found})", f"{source} gives a model whose save_pretrained writes safetensors."
            raise refusal(name, "weights as safetensors", got, advice)


def lora(name: str, file: Path | None) -> InputError:
    """The error for weights of peft, whose `adapter_config.json`, where it is here, says which model they belong to."""
    config: Any = None
    if file is not None:
        with contextlib.suppress(OSError, ValueError, RecursionError), file.open("rb") as content:
            config = json.loads(content.read(LARGEST_LORA))
    base = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    model = f"AutoModel.from_pretrained({shown(base) if isinstance(base, str) else 'its base model'})"
    advice = (
        f"Merge it: PeftModel.from_pretrained({model}, {name!r}).merge_and_unload().save_pretrained(folder); for a "
        "classifier AutoModelForSequenceClassification. Save the tokenizer there, too."
    )
    return refusal(name, "a whole model", "a LoRA, or other weights of peft, for one", advice)
