"""What the modules of a sentence-transformers model are set to: what the library would overlook, or take for something else.

It warns in its log, if at all, and goes on: a Dense layer gets another activation, a text another length.
"""

from __future__ import annotations

import ast
import inspect
from typing import Any

from irp_hf.checks import is_count, quoted
from irp_hf.errors import refusal, shown

OF_THE_MODEL, OF_SENTENCES = "config_sentence_transformers.json", "SentenceTransformer"
OF_TRANSFORMER = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""Of a Transformer module: the library takes the first that there is."""
HANDED_ON = {  # what a stranger may ask of the loaders of transformers; each file's own settings can say the rest
    ("model_args", "model_kwargs"): ("attn_implementation", "dtype", "torch_dtype", "add_pooling_layer"),
    ("tokenizer_args", "processor_kwargs"): (
        *("model_max_length", "padding_side", "truncation_side", "do_lower_case", "use_fast", "add_prefix_space"),
    ),
    ("config_args", "config_kwargs"): ("attn_implementation", "dtype", "torch_dtype", "add_pooling_layer"),
}
OVERRULED = (  # what irp_hf itself says to the loaders, whatever a file says
    *("trust_remote_code", "revision", "token", "cache_dir", "local_files_only", "subfolder", "use_safetensors"),
)
OLD_POOLINGS = ("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
MODALITIES = ("text", "image", "audio", "video", "message")
FEATURES = ("sentence_embedding", "token_embeddings")
MOST_TOKENS = 1 << 17  # that a text is padded to
LONGEST_ROUTE = 1_000  # characters
LOAD_IT = "Load it yourself where you trust it, and pass the SentenceTransformer; or do not use it."


def check_model(subject: str, content: Any) -> None:
    """Raise `InputError` for a model of another kind, which would be converted, and for prompts that are no texts."""
    content = _dictionary(subject, content)
    kind = content.get("model_type") or OF_SENTENCES
    if kind != OF_SENTENCES:
        raise refusal(subject, f"a model of type {OF_SENTENCES}", shown(kind), "Pass a function that gives vectors.")
    prompts = content.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(text, str) for text in prompts.values()):
        raise refusal(subject, "prompts, each a text", shown(prompts), LOAD_IT)


def check_module(subject: str, kind: type, content: Any, trusted: bool) -> None:
    """Raise `InputError` for settings of a module, of the class `kind`, that it would not be built with.

    Where code of the repository is `trusted`, an activation may be a class of its own.
    """
    content = _dictionary(subject, content)
    name, parents = kind.__name__, {parent.__name__ for parent in kind.__mro__}
    known = inspect.signature(kind).parameters
    renamed: dict[str, str] = getattr(kind, "config_key_renames", {})
    old_poolings = {f"pooling_mode_{one}": content.get(f"pooling_mode_{one}") for one in OLD_POOLINGS}
    for key, value in content.items():
        if parents & {"Dense", "Normalize"} and renamed.get(key, key) not in known and value:
            raise refusal(subject, f"settings that {name} has", shown(key), LOAD_IT)
        default = known[key].default if key in known else None
        is_flag = isinstance(default, bool) or ("Pooling" in parents and key in old_poolings)
        if is_flag and not isinstance(value, bool):
            raise refusal(subject, f"True or False as {key}", shown(value), LOAD_IT)
    if "Dense" in parents and "activation_function" in content:
        _check_activation(subject, content["activation_function"], trusted)
    if "Normalize" in parents:
        for key in ("module_input_name", "module_output_name"):
            if content.get(key) not in (None, *FEATURES):
                raise refusal(subject, f"one of {quoted(FEATURES)} as {key}", shown(content[key]), LOAD_IT)
    if name == "Pooling":
        given = [value for value in old_poolings.values() if value is not None]
        if given and not any(given) and "pooling_mode" not in content:
            raise refusal(subject, "a way to pool", "none", "Do not use it, or name its pooling_mode.")


def check_transformer(subject: str, content: Any, trusted: bool) -> None:
    """Raise `InputError` for settings of a Transformer module that hand on to transformers what a stranger should not say."""
    content = _dictionary(subject, content)
    for names, allowed in HANDED_ON.items():
        for name in names:
            handed = content.get(name) or {}
            if not isinstance(handed, dict):
                raise refusal(subject, f"names and values as {name}", shown(handed), LOAD_IT)
            others = [key for key in handed if key not in (*allowed, *OVERRULED)]
            if others and not trusted:
                raise refusal(subject, f"at most {quoted(allowed)} in {name}", shown(others[0]), LOAD_IT)
    for key in content.get("modality_config") or ():
        if not isinstance(key, str) or not set(key.split("+")) <= set(MODALITIES):
            raise refusal(subject, f"items that are {quoted(MODALITIES)}", shown(key), LOAD_IT)
    longest = content.get("max_seq_length")
    if longest is not None and not (is_count(longest) and longest > 0):
        raise refusal(subject, "a number of tokens, or null, as max_seq_length", shown(longest), LOAD_IT)
    if (lower := content.get("do_lower_case")) not in (None, False, True):
        raise refusal(subject, "True or False as do_lower_case", shown(lower), LOAD_IT)
    _check_lengths(subject, content.get("processing_kwargs"))


def check_routes(subject: str, content: dict[str, Any], most: int) -> None:
    """Raise `InputError` for more than `most` modules on all routes together, and for a rule that would be skipped."""
    structure, parameters = (content.get(name) or {} for name in ("structure", "parameters"))
    lists: list[Any] = [*structure.values()] if isinstance(structure, dict) else [None]
    if not all(isinstance(names, list) for names in lists) or sum(len(names) for names in lists) > most:
        raise refusal(subject, f"routes of at most {most} modules in all", shown(structure), LOAD_IT)
    rules = parameters.get("route_mappings") if isinstance(parameters, dict) else None
    for rule in rules or ():
        try:
            read = ast.literal_eval(rule) if len(rule) <= LONGEST_ROUTE else None
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            read = None
        if not isinstance(read, tuple) or len(read) != 2:
            raise refusal(subject, "rules for a task and a modality", shown(rule), LOAD_IT)


def _check_activation(subject: str, activation: Any, trusted: bool) -> None:
    if not isinstance(activation, str) or not (trusted or activation.startswith("torch.")):
        expected, advice = "an activation_function of torch, as torch.nn.modules.activation.Tanh", LOAD_IT
        raise refusal(subject, expected, shown(activation), advice)


def _check_lengths(subject: str, values: Any) -> None:
    """Of what a processor is told at each call: it may be told to pad."""
    for key, value in values.items() if isinstance(values, dict) else ():
        if isinstance(value, dict):
            _check_lengths(subject, value)
        elif isinstance(value, int | float) and not 0 <= value <= MOST_TOKENS:
            raise refusal(subject, f"a number up to {MOST_TOKENS:,} as {key}", shown(value), LOAD_IT)


def _dictionary(subject: str, content: Any) -> dict[str, Any]:
    """The settings of a file, none where there is no file; a file that is no JSON is for the library to refuse."""
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise refusal(subject, "settings by their names", shown(content), LOAD_IT)
    return content
