"""What a save or a push may not replace: files of another model, whose names are the same for all models of transformers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection
from fnmatch import fnmatchcase
from pathlib import Path

from irp_hf.checkpoints.limits import CONFIG, LARGEST_CONFIG
from irp_hf.checkpoints.modules import MODULES
from irp_hf.disk.places import named
from irp_hf.disk.plain import read_text
from irp_hf.errors import refusal, shown

# Files that a save replaces, that a loader would read in place of ours, or by which other libraries know a model of theirs.
# Others, such as a user's own tensors, stay beside a save.
OF_A_MODEL = (
    *("model.safetensors", "model[.-]*.safetensors", "model[.-]*.index.json"),  # also of a variant, and in shards
    *("pytorch_model.bin", "pytorch_model[.-]*.bin", "pytorch_model[.-]*.index.json"),
    *("adapter_config.json", "adapter_model.*"),  # PEFT
    *("tf_model.h5", "tf_model-*.h5", "flax_model.msgpack", "flax_model-*.msgpack", "rust_model.ot"),  # transformers
    *("model_index.json", "diffusion_pytorch_model*"),  # diffusers
    *("config_sentence_transformers.json", "sentence_bert_config.json", "config_setfit.json", "model_head.pkl"),
    *("open_clip_config.json", "open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
    *("*.gguf", "ggml-*.bin", "consolidated.*", "params.json", "*.nemo", "*.tflite", "*.mlmodel", "*.mlpackage"),
    *("saved_model.pb", "keras_metadata.pb", "model.weights.h5", "MLmodel", "sklearn_model.*", "*.skops"),
    *(f"model.{ending}" for ending in ("bin", "h5", "joblib", "keras", "onnx", "pickle", "pkl", "pt", "pth", "zip")),
    *("model_quantized.onnx", "model_optimized.onnx", "hyperparams.yaml"),  # Optimum; SpeechBrain
)
SPACY = {"config.cfg", "meta.json"}  # each of which alone is a usual name


def refuse_another_model(folder: Path, model_type: str, code: str) -> None:
    """Raise `InputError` where a model of that type would be saved over another one, or beside the weights of one.

    What was saved of the same type may be replaced, also where its configuration is damaged: then the file `code` tells it.
    """
    names = set[str]()
    with contextlib.suppress(OSError):  # not there yet, or for the save to tell
        names = {file.name for file in folder.iterdir()}
    _refuse("folder", named(folder), names, lambda: folder / CONFIG, model_type, code)


def refuse_another_repository(
    repo_id: str, names: Collection[str], config: Callable[[], Path | None], model_type: str, code: str
) -> None:
    """Raise `InputError` where a push would replace another model, as `refuse_another_model` does of a folder.

    `names` are the repository's files, and `config` gives its config.json, on this machine.
    """
    _refuse("repository", repr(repo_id), names, config, model_type, code)


def _refuse(
    place: str, name: str, names: Collection[str], config: Callable[[], Path | None], model_type: str, code: str
) -> None:
    found = _another_model(names, config, model_type, code)
    if found is not None:
        expected = f"a {place} without another model, since a save of type {model_type!r} would replace its files"
        raise refusal(name, expected, found, f"Give another {place}.")


def _another_model(names: Collection[str], config: Callable[[], Path | None], model_type: str, code: str) -> str | None:
    """What another model has among files of these names, in words."""
    if MODULES in names:
        return f"a sentence-transformers model, of which {MODULES} tells"
    file = config() if CONFIG in names else None
    text = None if file is None else _text(file)
    empty = file is None or (text is not None and not text.strip())  # as a save that broke may leave it
    kind = None if text is None else _type(text)
    if kind == model_type or (kind is None and code in names):
        return None
    if not empty:
        return f"a {CONFIG} of {'no model of that type' if kind is None else f'type {shown(kind)}'}"
    theirs = sorted(name for name in names if any(fnmatchcase(name, pattern) for pattern in OF_A_MODEL))
    theirs = theirs or sorted(SPACY if {*names} >= SPACY else ())
    return f"files of a model without a {CONFIG} ({shown(theirs[0])})" if theirs else None


def _text(file: Path) -> str | None:
    """What a configuration says; None where it cannot be read."""
    try:
        return read_text(file, LARGEST_CONFIG)
    except (OSError, ValueError):
        return None


def _type(text: str) -> str | None:
    """The model type in a configuration; None where it tells none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    kind = content.get("model_type") if isinstance(content, dict) else None
    return kind if isinstance(kind, str) else None
