"""A tokenizer's files, looked at before its library reads them: that library runs some of what they say while it loads.

A text goes through steps that replace and add characters. Few of them, one after another, make a terabyte of one letter.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from irp_hf.checkpoints.limits import check_size, read_json
from irp_hf.checkpoints.repository import Repository
from irp_hf.errors import InputError, refusal, shown

TOKENIZER, SETTINGS = "tokenizer.json", "tokenizer_config.json"
LARGEST_TOKENIZER = 200_000_000  # bytes; of a quarter of a million tokens it has some 30 million
VERSIONED = re.compile(r"tokenizer\.[\w.-]+\.json", re.ASCII)  # for some versions of transformers: settings name them
ATOM = re.compile(
    r"""([^\\\[\](){}*+?|.^$]|\\[snrt]|\[(?:[^\\\[\]&^|-]|\\[snrt])+\])(?:\{([1-9]\d{0,2}),?\}|\+(?!\+))?"""
)
PLAIN = re.compile(
    rf"(?:{ATOM.pattern})+(?:\|(?:{ATOM.pattern})+)*"
)  # an expression of which every reader takes the same
MOST_VERSIONS, MOST_STEPS, DEEPEST = 10, 100, 8
MOST_GROWTH = 2_000  # times as many bytes as the text; XLNet's steps give some 800 if each does its worst
NORMAL_FORM, COMPATIBLE = 3, 11  # of what people write; the worst of all, which a step before may put into every text
LONGEST_PATTERN = 10_000  # characters; those of large models have a few hundred
MOST_TOKENS = 4_000_000
LONGEST_TOKEN = 10_000  # characters
MOST_UNIGRAM = 10_000_000  # bytes of all tokens: the library keeps some 340 for each of them
MOST_ADDED_TOKENS = 1 << 16
MOST_ADDED = 1 << 20  # bytes of all tokens that are no part of the vocabulary
MOST_PADDING = 1 << 17  # tokens
MOST_TEMPLATE = 1_000  # tokens that are put around each text
LONGEST_WORD = 10_000  # characters that are looked up as one
LONGEST_AFFIX = 100  # characters before each part of a word but the first
STEPS: dict[str, float] = {  # how many bytes come of one
    **dict.fromkeys(("Strip", "StripAccents", "Nmt", "Lowercase"), 1),
    **dict.fromkeys(("Whitespace", "WhitespaceSplit", "Split", "Punctuation", "Digits", "UnicodeScripts"), 1),
    **dict.fromkeys(("BertPreTokenizer", "CharDelimiterSplit", "FixedLength", "FixedLengthPreTokenizer"), 1),
    **dict.fromkeys(("ByteFallback", "CTC", "BPEDecoder", "WordPiece", "Fuse"), 1),
    **dict.fromkeys(("BertProcessing", "RobertaProcessing"), 1),
    "BertNormalizer": NORMAL_FORM,
    "ByteLevel": 2,
    "Metaspace": 4,
}
INNER = ("normalizers", "pretokenizers", "processors", "decoders")  # the steps of a sequence
KINDS = ("normalizer", "pre_tokenizer", "post_processor")
SAVE_AGAIN = "Do not use it, or save the tokenizer again."


def check_tokenizer(repository: Repository, token: str | bool | None, folder: str = "") -> bool:
    """Raise `InputError` for a tokenizer that makes far more of a text than it has, or takes all memory to load.

    False for a folder without a `tokenizer.json`, of which only `check_loaded` can tell. Raises `HubError`.
    """
    names = [TOKENIZER]
    settings = read_json(repository, (PurePosixPath(folder) / SETTINGS).as_posix(), token)
    listed = settings.get("fast_tokenizer_files") if isinstance(settings, dict) else None
    if isinstance(listed, list):
        names += [name for name in listed if isinstance(name, str) and name != TOKENIZER]
    if len(names) > MOST_VERSIONS or not all(name == TOKENIZER or VERSIONED.fullmatch(name) for name in names):
        subject = f"The {SETTINGS} of {repository.name}"
        expected = f"at most {MOST_VERSIONS} files beside it, as tokenizer.4.0.0.json"
        raise refusal(subject, expected, shown(listed), SAVE_AGAIN)
    if isinstance(settings, dict):
        added = settings.get("added_tokens_decoder")
        _check_added(f"The {SETTINGS} of {repository.name}", [*added.values()] if isinstance(added, dict) else None)
    checked = False
    for name in names:
        path = (PurePosixPath(folder) / name).as_posix()
        if (file := repository.file(path, token)) is not None:
            _check_file(f"The {path} of {repository.name}", file)
            checked = True
    return checked


def check_loaded(name: str, tokenizer: Any) -> None:
    """Raise `InputError` for a tokenizer of the model `name`, made of other files, whose steps a stranger's could not be."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    growth = _Growth(f"The tokenizer of {name}")
    for kind in KINDS:
        if (step := getattr(backend, kind, None)) is not None:
            growth.of(json.loads(step.__getstate__()))


def _check_file(subject: str, file: Path) -> None:
    check_size(subject, file, LARGEST_TOKENIZER)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise refusal(subject, "a file in JSON", f"another ({type(error).__name__})", SAVE_AGAIN) from error
    if not isinstance(content, dict):
        raise refusal(subject, "the description of a tokenizer", shown(content), SAVE_AGAIN)
    check_content(subject, content)


def check_content(subject: str, content: Mapping[str, Any]) -> None:
    """Raise `InputError` for what `tokenizer.json` must not say; `subject` names it in errors."""
    growth = _Growth(subject)
    for kind in KINDS:
        growth.of(content.get(kind))
    _Growth(subject).of(content.get("decoder"))  # of tokens, not of what the other steps made
    _check_added(subject, content.get("added_tokens"))
    _check_padding(subject, content.get("padding"))
    if isinstance(model := content.get("model"), dict):
        _check_model(subject, model)


class _Growth:
    """How much longer texts may become: the product over all steps, each at its worst."""

    def __init__(self, subject: str) -> None:
        self.subject, self.steps = subject, MOST_STEPS
        self.times, self.foreign = 1.0, False
        """So many bytes of one; whether a step has put in characters that are no ASCII."""

    def of(self, step: Any, depth: int = 0) -> None:
        """One more step, or those of a sequence; raises `InputError` for too many, and for what cannot be told."""
        if step is None:
            return
        self.steps -= 1
        if depth > DEEPEST or self.steps < 0:
            raise self._wrong(f"at most {MOST_STEPS} steps, {DEEPEST} deep", "more")
        kind = step.get("type") if isinstance(step, dict) else None
        inner = [step[name] for name in INNER if name in step] if kind == "Sequence" else []
        if len(inner) == 1 and isinstance(inner[0], list):
            for one in inner[0]:
                self.of(one, depth + 1)
            return
        try:
            self.times *= self._growth(kind, step)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._wrong("steps whose growth is known", f"{shown(kind or step)}") from error
        if not self.times <= MOST_GROWTH:
            got = f"more, with its {kind}"
            raise self._wrong(f"steps that make at most {MOST_GROWTH:,} characters of one", got)

    def _growth(self, kind: Any, step: dict[str, Any]) -> float:
        if kind in STEPS:
            self._check_pattern(step.get("pattern"))
            return STEPS[kind]
        if kind in ("NFC", "NFD", "NFKC", "NFKD"):
            return COMPATIBLE if self.foreign else NORMAL_FORM
        if kind in ("Replace", "Prepend"):
            content = step["content"] if kind == "Replace" else step["prepend"]
            self.foreign = self.foreign or not content.isascii()
            size = len(content.encode())
            pattern = step["pattern"] if kind == "Replace" else None
            self._check_pattern(pattern)
            least = _least_match(pattern) if isinstance(pattern, dict) else 0
            return max(1.0, size / least) if least else 1.0 + size  # it may fit between any two characters
        if kind == "Precompiled":
            self.foreign = True
            return _longest_replacement(step["precompiled_charsmap"])
        if kind == "TemplateProcessing":
            return max(self._template(step, name) for name in ("single", "pair"))
        raise ValueError(kind)

    def _check_pattern(self, pattern: Any) -> None:
        text = next(iter(pattern.values()), "") if isinstance(pattern, dict) else pattern or ""
        if not isinstance(text, str) or len(text) > LONGEST_PATTERN:
            raise self._wrong(f"patterns of at most {LONGEST_PATTERN:,} characters", "a longer one")

    def _template(self, step: dict[str, Any], name: str) -> float:
        """How often a text comes in a template, which must not put more around it than a model reads."""
        pieces = step[name]
        tokens = step.get("special_tokens") or {}
        ids = [len(tokens[piece["SpecialToken"]["id"]]["ids"]) for piece in pieces if "SpecialToken" in piece]
        if sum(ids) > MOST_TEMPLATE or len(pieces) > MOST_TEMPLATE:
            raise self._wrong(f"at most {MOST_TEMPLATE:,} tokens around a text", "more")
        sequences = [piece["Sequence"]["id"] for piece in pieces if "Sequence" in piece]
        return float(max((sequences.count(which) for which in set(sequences)), default=1))

    def _wrong(self, expected: str, got: str) -> InputError:
        return refusal(self.subject, expected, got, SAVE_AGAIN)


def _least_match(pattern: dict[str, Any]) -> int:
    """How many bytes a pattern takes away at least; 0 where that is not plain to see."""
    if "String" in pattern:
        return len(pattern["String"].encode())
    expression: str = pattern["Regex"]
    if not PLAIN.fullmatch(expression):
        return 0
    return min(
        sum(len(atom.encode()) if len(atom) == 1 else 1 for atom, _ in ATOM.findall(choice) if atom)
        + sum(int(count) - 1 for _, count in ATOM.findall(choice) if count)
        for choice in expression.split("|")
    )


def _longest_replacement(charsmap: Any) -> float:
    """Of a table of sentencepiece: the length of a trie, the trie, and replacements that end with a zero."""
    data = base64.b64decode(charsmap or "")
    begin = 4 + int.from_bytes(data[:4], "little")
    return float(max((len(part) for part in data[begin:].split(b"\0")), default=1) or 1)


def _check_added(subject: str, added: Any) -> None:
    texts = [entry.get("content") for entry in added if isinstance(entry, dict)] if isinstance(added, list) else []
    total = sum(len(text.encode("utf-8", "replace")) for text in texts if isinstance(text, str))
    if len(texts) > MOST_ADDED_TOKENS:
        raise refusal(subject, f"at most {MOST_ADDED_TOKENS:,} added tokens", f"{len(texts):,}", SAVE_AGAIN)
    if total > MOST_ADDED:
        raise refusal(subject, f"at most {MOST_ADDED:,} bytes of added tokens", f"{total:,}", SAVE_AGAIN)


def _check_padding(subject: str, padding: Any) -> None:
    if not isinstance(padding, dict):
        return
    strategy = padding.get("strategy")
    fixed = strategy.get("Fixed") if isinstance(strategy, dict) else None
    for value in (fixed, padding.get("pad_to_multiple_of")):
        if value is not None and not (isinstance(value, int) and 0 <= value <= MOST_PADDING):
            raise refusal(subject, f"padding to at most {MOST_PADDING:,} tokens", shown(value), SAVE_AGAIN)


def _check_model(subject: str, model: dict[str, Any]) -> None:
    vocab = model.get("vocab")
    tokens: Any = vocab if isinstance(vocab, dict | list) else ()
    if len(tokens) > MOST_TOKENS:
        raise refusal(subject, f"at most {MOST_TOKENS:,} tokens", f"{len(tokens):,}", SAVE_AGAIN)
    if isinstance(vocab, list):  # of Unigram: a token and its score
        tokens = [entry[0] for entry in vocab if isinstance(entry, list) and entry and isinstance(entry[0], str)]
        total = sum(len(token.encode("utf-8", "replace")) for token in tokens)
        if total > MOST_UNIGRAM:
            raise refusal(subject, f"at most {MOST_UNIGRAM:,} bytes of tokens", f"{total:,}", SAVE_AGAIN)
    longest = max(map(len, tokens), default=0)
    for what, value, most in (
        ("characters in a token", longest, LONGEST_TOKEN),
        ("max_input_chars_per_word", model.get("max_input_chars_per_word"), LONGEST_WORD),
        ("characters of continuing_subword_prefix", len(model.get("continuing_subword_prefix") or ""), LONGEST_AFFIX),
        ("characters of end_of_word_suffix", len(model.get("end_of_word_suffix") or ""), LONGEST_AFFIX),
    ):
        if isinstance(value, int) and value > most:
            raise refusal(subject, f"at most {most:,} {what}", shown(value), SAVE_AGAIN)
