"""What a sentence-transformers model that ends in a translation is watched for: edits, other weights, another prompt."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from irp_hf.checkpoints.digests import processors_digest, weights_digest
from irp_hf.data.wrong import dtype_name
from irp_hf.encoding.looks import Look
from irp_hf.encoding.prefixes import prefix_of, prompts_of, with_it, without
from irp_hf.errors import shown, warn
from irp_hf.records import EncoderRecord

if TYPE_CHECKING:
    from sentence_transformers.base.model import BaseModel

TOKENS = "input_ids"  # in what modules hand on


class Watched:
    """A model and its encoder as it was looked at; no part of the module that looks."""

    def __init__(
        self, model: BaseModel, encoder: list[nn.Module], recorded: EncoderRecord, texts: Sequence[str] = ()
    ) -> None:
        self._model, self.encoder = weakref.ref(model), encoder
        self.prompt = Prompt(recorded, encoder, texts)
        tokenizers = (getattr(encoder[0], "processor", None), getattr(encoder[0], "tokenizer", None))
        reads = [one for one in tokenizers if one is not None][:1]
        self.look = Look(nn.ModuleList(encoder), reads)
        self.content = Content(model, encoder, reads)

    @property
    def model(self) -> BaseModel | None:
        """None where it is no more."""
        return self._model()


class Content:
    """An encoder's weights and tokenizer by their digests, which tell an edit that none of the kept texts meets."""

    def __init__(self, model: BaseModel, encoder: list[nn.Module], tokenizers: list[Any]) -> None:
        parts = nn.ModuleList(encoder)
        self._weights, self._tokenizer = weights_digest(parts), processors_digest(tokenizers)
        first = next((one for one in parts.parameters() if one.is_floating_point()), None)
        self._dtype = None if first is None else dtype_name(first.dtype)
        self._whole = not any(hasattr(part, "sub_modules") for part in model.modules())
        """Not one route of several, all of which the anchors' record counts."""

    def differs(self, before: Content | None, recorded: EncoderRecord) -> str | None:
        """What is other than it was when it was last looked at, or when the anchors were encoded, in words."""
        then = "than when it was last looked at"
        if before is None:
            then = "than when the adapter's source anchors were encoded"
        weights, tokenizer, dtype = (
            (recorded.weights_sha256, recorded.processor_sha256, recorded.dtype)
            if before is None
            else (before._weights, before._tokenizer, before._dtype)
        )
        if before is None and not self._whole:
            return None
        if None not in (weights, self._weights) and dtype == self._dtype and weights != self._weights:
            return f"other weights {then}"
        if None not in (tokenizer, self._tokenizer) and tokenizer != self._tokenizer:
            return f"another tokenizer {then}"
        return None


_Begins = tuple[str, list[int]]
"""What texts begin with, and its tokens."""


class Prompt:
    """What was put in front of the anchors, told apart by its tokens from what stands in front of the texts of a call.

    Which prompt a call names, no module is told, and a text may have it in itself: only the tokens that the encoder is given
    count, and which of them it leaves out of its pooling.
    """

    def __init__(self, recorded: EncoderRecord, encoder: list[nn.Module], texts: Sequence[str]) -> None:
        """Of the record of the anchors, the encoder, whose first module reads texts, and some of the anchors' texts."""
        self.text = (recorded.prompt or "") if recorded.knows("prompt") else None
        self._first: Any = encoder[0]
        self._texts = texts
        self.tokens = prompt_tokens(self._first, self.text) if self.text else []
        """None where that module does not tell."""
        parts = [part for module in encoder for part in module.modules()]
        self._left_out = any(getattr(part, "include_prompt", True) is False for part in parts)
        self._told = False
        self._prefixes: tuple[_Begins | None, list[_Begins]] | None = None

    def warn_of_another(self, model: BaseModel, features: dict[str, Any]) -> None:
        """Warn, once, of a batch that begins otherwise, and name the call that puts the right prompt in front."""
        if self._told or self.text is None or self.tokens is None:
            return
        if told := self._in_the_texts(model, features):
            self._told = True
            warn(told)
        if self._told or self._is_alike(features):
            return
        self._told = True
        length = _length(features)
        then = f"prompt={self.text!r}" if self.text else "no prompt"
        now = "another prompt" if length and self.text else "one" if length else "none"
        name = next((name for name, prompt in model.prompts.items() if prompt == self.text), None)
        call = f"prompt={self.text!r}" if name is None or not self.text else f"prompt_name={name!r}"
        words = zip(*(text.split() for text in self._texts), strict=False) if len(self._texts) > 1 else ()
        front = " ".join(same[0] for same in takewhile(lambda column: len(set(column)) == 1, words))
        of_texts = f", of texts that begin as the anchors' do: {shown(front)}" if front else ""
        warn(
            f"The adapter's source anchors were encoded with {then}, and these texts have {now} in front: their translations "
            f"will be worse than reported. Call encode(texts, {call}){of_texts}."
        )

    def _is_alike(self, features: dict[str, Any]) -> bool:
        """Whether the texts of a batch begin as the anchors' do; also where their tokens are not told."""
        length = _length(features)
        if self._left_out and bool(length) != bool(self.text):
            return False  # a prompt in the texts themselves is pooled with them
        if not length and not self.text:
            return True
        if not isinstance(features.get(TOKENS), Tensor):
            return bool(length) == bool(self.text)
        if self.text:
            wanted = self.tokens or []
            return all(row[: len(wanted)] == wanted for row in rows_of(features))
        return self._is_in_the_anchors(rows_of(features)[0], length)

    def _in_the_texts(self, model: BaseModel, features: dict[str, Any]) -> str | None:
        """How texts without a prompt begin otherwise than the anchors' own, in words; None where they do not."""
        ids = features.get(TOKENS)
        if self.text or _length(features) or len(self._texts) < 2 or not isinstance(ids, Tensor) or ids.dim() != 2:
            return None
        if self._prefixes is None:
            self._prefixes = self._in_tokens(prompts_of(model))
        prefix, known = self._prefixes
        first = next(iter(rows_of({name: value[:1] for name, value in features.items() if isinstance(value, Tensor)})))
        if prefix is not None:
            text, tokens = prefix
            if first[: len(tokens)] == tokens or any(row[: len(tokens)] == tokens for row in rows_of(features)):
                return None
            return without(text)
        found = [(text, tokens) for text, tokens in known if first[: len(tokens)] == tokens]
        rows = rows_of(features) if found else []
        found = [(text, tokens) for text, tokens in found if all(row[: len(tokens)] == tokens for row in rows)]
        return with_it(max(found, key=lambda one: len(one[1]))[0]) if found else None

    def _in_tokens(self, prompts: Sequence[str]) -> tuple[_Begins | None, list[_Begins]]:
        """The prompt that the anchors' own texts begin with; where there is none, the prompts that none of them begins with."""
        prefix = prefix_of(self._texts, prompts)
        asked = (
            [prefix] if prefix else [one for one in prompts if not any(text.startswith(one) for text in self._texts)]
        )
        unknown = getattr(getattr(self._first, "tokenizer", None), "unk_token_id", None)
        tokens = [(text, prompt_tokens(self._first, text) or []) for text in asked]
        known = [(text, numbers) for text, numbers in tokens if numbers and unknown not in numbers]
        return (known[0], []) if prefix and known else (None, [] if prefix else known)

    def _is_in_the_anchors(self, row: list[int], length: int) -> bool:
        """Whether an anchor's own text begins with the `length` tokens that a call put in front of one.

        The last one of a prompt may have grown together with the text, so it counts only where it is the only one.
        """
        try:
            anchors = rows_of(self._first.preprocess(list(self._texts), prompt="")) if self._texts else []
            always = _shared(*(rows_of(self._first.preprocess([text], prompt=""))[0] for text in ("a", "b")))
        except Exception:  # it reads texts in another way
            return False
        return any(_shared(row, anchor) >= max(length - 1, always + 1) for anchor in anchors)


def prompt_tokens(first: Any, prompt: str) -> list[int] | None:
    """The numbers of the tokens that any text begins with behind a prompt; None where the module that reads it does not tell.

    The last one of a prompt may grow together with the text.
    """
    try:
        two = [first.preprocess([text], prompt=prompt) for text in ("a", "b")]
        one, other = (rows_of(features)[0][: _length(features)] for features in two)
    except Exception:  # it reads no texts, or they are read in another way
        return None
    return one[: _shared(one, other)] or None


def _shared(one: list[int], other: list[int]) -> int:
    """How many tokens two texts begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def rows_of(features: dict[str, Any]) -> list[list[int]]:
    """The tokens of each text of a batch, without what it is padded with."""
    ids, mask = features[TOKENS], features.get("attention_mask")
    if not isinstance(mask, Tensor) or mask.shape != ids.shape:
        return [row.tolist() for row in ids]
    return [row[kept].tolist() for row, kept in zip(ids, mask.bool(), strict=True)]


def _length(features: dict[str, Any]) -> int:
    """How many tokens of a batch are a prompt, by a number or a tensor that holds it for each row; 0 where nothing is said."""
    length = features.get("prompt_length")
    return int(length.reshape(-1)[0]) if isinstance(length, Tensor) else int(length or 0)
