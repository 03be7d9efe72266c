"""Prompts that texts carry in themselves, "query: " in front of each: the anchors and not what is given, or the reverse.

A first word that texts share is none ("What is ...", of questions): a prompt ends in a colon, or is one of those that the
encoder or a well-known family of encoders asks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any

from irp_hf.errors import shown

END = ": "
KNOWN = (  # of E5, Nomic, BGE and EmbeddingGemma
    *("query: ", "passage: ", "search_query: ", "search_document: ", "clustering: ", "classification: "),
    "Represent this sentence for searching relevant passages: ",
    *("task: search result | query: ", "title: none | text: "),
)


def prompts_of(encoder: Any, recorded: str | None = None) -> tuple[str, ...]:
    """The prompts that texts for a model may carry: those that it names, the one that was recorded, and well-known ones."""
    named = getattr(encoder, "prompts", None)
    own = [prompt for prompt in named.values() if isinstance(prompt, str)] if isinstance(named, dict) else []
    return tuple(dict.fromkeys(prompt for prompt in (*own, recorded or "", *KNOWN) if prompt.strip()))


def prefix_of(texts: Sequence[str], prompts: Iterable[str]) -> str:
    """The prompt that several texts all begin with; an empty text where they have none in common."""
    if len(texts) < 2:
        return ""
    first, last = min(texts), max(texts)  # in their order, what these share all do
    shared = "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    until_colon = shared[: shared.rfind(END) + len(END)] if END in shared else ""
    return max([until_colon, *(prompt for prompt in prompts if shared.startswith(prompt))], key=len)


def other_prefix(kept: Sequence[str], given: Sequence[str], prompts: Sequence[str]) -> str | None:
    """How the `given` texts begin otherwise than those of the anchors that were `kept`, in words; None where they do not."""
    if not given or len(kept) < 2:
        return None
    if prefix := prefix_of(kept, prompts):
        return None if any(text.startswith(prefix) for text in given) else without(prefix)
    found = [prompt for prompt in prompts if all(text.startswith(prompt) for text in given)]
    found = [prompt for prompt in found if not any(text.startswith(prompt) for text in kept)]
    return with_it(max(found, key=len)) if found else None


def without(prefix: str) -> str:
    """The words for texts that lack what the anchors' have."""
    return (
        f"The texts of the adapter's source anchors begin with {shown(prefix)}, and these do not: their translations will be "
        "worse than reported. Put it in front of each."
    )


def with_it(prompt: str) -> str:
    """The words for texts that have what the anchors' lack."""
    return (
        f"These texts begin with {shown(prompt)}, and those of the adapter's source anchors do not: their translations will be "
        "worse than reported. Leave it out."
    )
