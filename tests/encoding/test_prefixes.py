"""A prompt that stands in the texts themselves: "query: " in the anchors and not in a call would translate worse, unsaid.

A warning that is often wrong is not read any more: what real texts begin with alike is no prompt.
"""

from __future__ import annotations

import warnings
from itertools import combinations
from typing import Any

import pytest
import stitched
import torch
from says import says
from sentence_transformers import SentenceTransformer

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter, StitchedModel
from irp_hf.encoding.prefixes import KNOWN, other_prefix, prefix_of, prompts_of

QUESTIONS = [f"What is the {thing}" for thing in ("moon ?", "capital of Peru ?", "name : and why ?", "sea", "law of 3")]
OTHERS = [
    "How far is it : a mile ?",
    "Who wrote Dune: the book ?",
    "CNN : what is it ?",
    "query languages",
    "A: B",
    "1: 2",
]


def queries(texts: list[str], prompt: str = "query: ") -> list[str]:
    return [prompt + text for text in texts]


@pytest.mark.parametrize("prompt", [*KNOWN, "Question: ", "Instruct: find it\nQuery: ", "Titel: "])
def test_what_the_anchors_begin_with_is_asked_of_what_is_given(prompt: str) -> None:
    kept = queries(QUESTIONS, prompt)
    assert prefix_of(kept, KNOWN) == prompt
    assert says(other_prefix(kept, QUESTIONS[:1], KNOWN) or "", repr(prompt)[1:20], "Put it in front")
    assert other_prefix(kept, kept[2:3], KNOWN) is None
    assert other_prefix(kept, [*OTHERS, kept[0]], KNOWN) is None


@pytest.mark.parametrize("prompt", KNOWN)
def test_what_is_given_begins_with_a_known_prompt_that_the_anchors_lack(prompt: str) -> None:
    assert says(other_prefix(QUESTIONS, queries(OTHERS, prompt), KNOWN) or "", "Leave it out")
    assert other_prefix(QUESTIONS, [*queries(OTHERS, prompt), "not so"], KNOWN) is None


def test_a_prompt_of_the_encoders_own_needs_no_colon() -> None:
    class Encoder:
        prompts = {"query": "zoek ", "document": ""}

    own = prompts_of(Encoder())
    assert "" not in own
    assert says(other_prefix(queries(QUESTIONS, "zoek "), QUESTIONS, own) or "", "'zoek '")
    assert says(other_prefix(QUESTIONS, queries(QUESTIONS, "zoek "), own) or "", "'zoek '")
    assert other_prefix(queries(QUESTIONS, "zoek "), QUESTIONS, KNOWN) is None


def test_texts_as_they_are_raise_no_alarm() -> None:
    """Questions that begin alike, a colon in some, one text that looks like a prompt."""
    for kept in (QUESTIONS, OTHERS, QUESTIONS[:2], ["What: ?", "What is: ?"]):
        for given in [[text] for text in QUESTIONS + OTHERS] + [list(pair) for pair in combinations(OTHERS, 2)]:
            assert other_prefix(kept, given, KNOWN) is None
    assert other_prefix(queries(QUESTIONS)[:1], QUESTIONS, KNOWN) is None
    assert other_prefix(queries(QUESTIONS), [], KNOWN) is None


def said(call: Any, *args: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        call(*args)
    return [str(one.message) for one in seen if "begin with" in str(one.message)]


WORDS = ["moon", "lake", "who", "where", "what", "sky", "tree", "of", "query", ":", "one", "two", "three", "four"]
TEXTS = [f"{a} {b} {c}" for a, b, c in combinations(WORDS[:8], 3)][:48]


def embed(texts: list[str]) -> torch.Tensor:
    """The mean of words' vectors."""
    table = torch.randn(len(WORDS), stitched.WIDTH, generator=torch.Generator().manual_seed(0))
    words = [[WORDS.index(word) for word in text.replace(":", " :").split()] for text in texts]
    return torch.stack([table[row].mean(0) for row in words])


@pytest.mark.parametrize(("anchors", "given"), [(queries(TEXTS), TEXTS), (TEXTS, queries(TEXTS))])
def test_a_stitched_model_tells_once(anchors: list[str], given: list[str]) -> None:
    space = AnchoredSpace.encode(embed, AnchorSet(anchors))
    adapter = IRPAdapter.connect(space, space, method="whitened", balance=1.0, ridge=0.1)
    model = StitchedModel(embed, adapter, torch.nn.Linear(stitched.WIDTH, 3))
    assert said(model.predict, anchors) == []
    (told,) = said(model.predict, given)
    assert says(told, "'query: '")
    assert said(model.predict, given) == []
    quiet = StitchedModel(embed, adapter, torch.nn.Linear(stitched.WIDTH, 3), on_mismatch="ignore")
    assert said(quiet.predict, given) == []


@pytest.mark.parametrize(("anchors", "given"), [(queries(TEXTS), TEXTS), (TEXTS, queries(TEXTS))])
def test_a_stitched_sentence_transformer_tells_once(anchors: list[str], given: list[str], tmp_path: Any) -> None:
    """It is told the tokens alone."""
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from tiny_encoders import LAYERS, VOCAB, model, save
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from irp_hf.integrations.sentence_transformers import IRPTranslation

    words = {word: row for row, word in enumerate(["[PAD]", "[UNK]", *WORDS])}
    inner = Tokenizer(models.WordLevel(words, "[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]")
    folder = save(tmp_path / "bert", model("bert", **LAYERS, **VOCAB), tokenizer)
    encoder = SentenceTransformer(modules=[Transformer(str(folder)), Pooling(stitched.WIDTH, "mean")], device="cpu")
    space = AnchoredSpace.encode(encoder, AnchorSet(anchors))
    adapter = IRPAdapter.connect(space, space, method="whitened", balance=1.0, ridge=0.1)
    stitch = SentenceTransformer(modules=[*encoder, IRPTranslation(adapter)], device="cpu")
    assert said(stitch.encode, anchors) == []
    assert said(stitch.encode, ["of unknown words", anchors[0]]) == []
    (told,) = said(stitch.encode, given)
    assert says(told, "'query: '")
    assert said(stitch.encode, given) == []
