"""Text by a plain transformers model: one vector of all its tokens."""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from irp_hf.checks import is_number
from irp_hf.encoding.base import Encoder, Options, Pair, make_record, no_such_pooling
from irp_hf.encoding.forward import hidden_of, one_length_at_a_time, reading, run_model
from irp_hf.encoding.sources import Source, encoder_part
from irp_hf.errors import refusal, shown

POOLINGS = ("mean", "cls", "last", "pooler")


def open_text(source: Source, options: Options) -> Encoder:
    """Encoders, decoders, and the encoder of an encoder-decoder."""
    name, pooling = source.name, options.pooling
    if pooling not in POOLINGS:
        raise no_such_pooling(name, pooling, POOLINGS)
    whole = source.model(part=encoder_part, unused="" if pooling == "pooler" else "pooler")
    model = encoder_part(whole)
    tokenizer = source.processor("tokenizer")
    longest = longest_text(tokenizer, model, options.max_length)
    read = reader(tokenizer, model, name, options.prompt, longest)

    def embed(batch: dict[str, Tensor]) -> Tensor:
        output = run_model(model, batch, name, "text")
        if pooling != "pooler":
            hidden = hidden_of(output, name)
            return pool(hidden, batch["attention_mask"].to(hidden.device), pooling)
        if getattr(output, "pooler_output", None) is None:
            expected = f"one that {name} has, which is a model without a pooler"
            raise refusal("pooling", expected, "'pooler'", "Name 'mean', 'cls' or 'last'.")
        pooled: Tensor = output.pooler_output
        return pooled

    by_length = "attention_mask" not in inspect.signature(model.forward).parameters
    run_texts = one_length_at_a_time(read, embed) if by_length else lambda texts: embed(read(texts))
    record = make_record(name, source.commit, model.dtype, options).with_values(max_length=longest)
    return Encoder(run_texts, record, "text", model, processors=(tokenizer,), pairs=True)


def pool(tokens: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """Vectors `(n, d)` of `tokens (n, t, d)`: their mean, the first ("cls") or the last of each row.

    `mask (n, t)` is 1 at tokens and 0 at padding, on the left or on the right.
    """
    if pooling == "mean":
        weights = mask[:, :, None].float()
        return (tokens.float() * weights).sum(1) / weights.sum(1)
    places = mask.argmax(1) if pooling == "cls" else mask.cumsum(1).argmax(1)
    return tokens[torch.arange(len(tokens), dtype=torch.int64, device=tokens.device), places]


def reader(
    tokenizer: Any, model: Any, name: str, prompt: str | None, longest: int | None
) -> Callable[[list[Any]], dict[str, Tensor]]:
    """A function from texts to what `model` takes, on the CPU; what is longer than `longest` tokens is cut.

    With padding on the right, every kind of attention and of position sees a text as if it were alone.
    """
    tokenizer = padding(tokenizer, name)
    fill = getattr(model.config, "pad_token_id", None)  # some models look for it, and some tokenizers pad with another
    cut: dict[str, Any] = dict(truncation=longest is not None, max_length=longest)

    def read(texts: list[Any]) -> dict[str, Tensor]:
        prompted = [with_prompt(prompt or "", text) for text in texts]
        with reading(tokenizer, "texts", "tokenizer.json"):
            batch = tokenizer(
                prompted, padding=True, padding_side="right", return_tensors="pt", return_attention_mask=True, **cut
            )
        if not (known := batch["attention_mask"].any(1)).all():
            text = shown(texts[int((~known).nonzero()[0])])
            raise refusal(f"The text {text}", f"at least one token of {name}'s", "none", "Leave out such texts.")
        if fill is not None and fill >= 0:
            batch["input_ids"].masked_fill_(batch["attention_mask"] == 0, fill)
        return dict(batch)

    return read


def with_prompt(prompt: str, text: str | Pair) -> str | Pair:
    """A text, or the first of a pair, behind a prompt."""
    return prompt + text if isinstance(text, str) else (prompt + text[0], text[1])


def padding(tokenizer: Any, name: str) -> Any:
    """The tokenizer, or a copy that pads with another of its special tokens where it has none for that.

    Not with one that ends every text: classifiers look for the last token that is no padding.
    """
    if tokenizer.pad_token is not None:
        return tokenizer
    ends = tokenizer.convert_ids_to_tokens(tokenizer("one")["input_ids"][-1:])
    others = (tokenizer.eos_token, tokenizer.unk_token, tokenizer.bos_token)
    token = next((token for token in others if token is not None and token not in ends), None)
    if token is None:
        expected, advice = "a token to pad with", "Set its pad_token, and pass it as processor=."
        raise refusal(f"The tokenizer of {name}", expected, "none", advice)
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.pad_token = token
    return tokenizer


def longest_text(tokenizer: Any, model: Any, asked: int | None) -> int | None:
    """How many tokens of a text are read, None for any number; raises `InputError` for more than the model has places for."""
    positions = getattr(model.config, "max_position_embeddings", None)
    limit = tokenizer.model_max_length
    if not is_number(limit) or limit < 1:
        advice = "Save the tokenizer again with the number of tokens that the model reads."
        raise refusal("model_max_length of the tokenizer", "a number of tokens", shown(limit), advice)
    own = _longest(limit, positions)
    most = None if not positions or positions < 0 else max(own or 0, positions - 2)
    return own if asked in (None, own) else check_fits(asked, most)


def check_fits(asked: int, most: int | None) -> int:
    """`max_length` as it was asked for; raises `InputError` where a model cannot read so many tokens."""
    if most is not None and asked > most:
        raise refusal("max_length", f"at most {most}, which the model can read", str(asked), "Give fewer tokens.")
    return asked


def _longest(tokenizer_limit: int, positions: int | None) -> int | None:
    """How many tokens a text may have, None for any number."""
    positions = positions if positions and positions > 0 else None  # XLNet's -1 means any number
    if tokenizer_limit < sys.maxsize:
        return min(tokenizer_limit, positions or tokenizer_limit)
    return positions - 2 if positions else None  # a tokenizer that does not know; RoBERTa counts from 2
