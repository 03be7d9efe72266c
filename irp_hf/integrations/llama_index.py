"""A new encoder's queries for an old index, as LlamaIndex's `BaseEmbedding`."""

from __future__ import annotations

import asyncio
from typing import Any

from typing_extensions import override

from irp_hf.checks import check_count, check_names
from irp_hf.errors import missing, refusal
from irp_hf.integrations.embedders import BridgeLike, Embedder

try:
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.bridge.pydantic import PrivateAttr
except ImportError as error:
    raise missing("IRPEmbedding", "llama-index-core>=0.14", "irp_hf[llama-index]") from error


MOST_AT_ONCE = 2048  # texts, by LlamaIndex


class IRPEmbedding(BaseEmbedding):
    """Vectors of texts for an index that an old encoder filled.

        retriever = index.as_retriever(embed_model=IRPEmbedding(Bridge(new_encoder, adapter)))

    A query is encoded by the new encoder and translated, or mixed with what the old encoder makes of it, as the bridge says.
    Texts that come to the index are encoded by the old encoder where the bridge has it, and else as queries are; all of them as
    the adapter's anchors were encoded, by the same prompt. An index whose vectors were moved to the new encoder's space needs
    no translation: there the new encoder itself embeds.
    """

    _embedder: Embedder = PrivateAttr()

    def __init__(self, bridge: BridgeLike, *, embed_batch_size: int = 32, **options: Any) -> None:
        """Take a `Bridge`, or an adapter, an object or a place, whose record names its encoder on the Hub.

        `options` are those of `BaseEmbedding`. Raises `InputError` for anything else, for a cache where queries have other
        vectors than texts, and what `Bridge` raises.
        """
        check_names("IRPEmbedding", options, type(self).model_fields, ("bridge", "embed_batch_size"))
        embedder = Embedder(bridge, check_count("embed_batch_size", embed_batch_size, 1, MOST_AT_ONCE))
        _check_cache(options.get("embeddings_cache"), embedder)
        super().__init__(embed_batch_size=embed_batch_size, **{"model_name": embedder.name, **options})
        self._embedder = embedder

    @override
    def __setattr__(self, name: str, value: Any) -> None:
        if name == "embeddings_cache":  # which may come later, too
            _check_cache(value, self._embedder)
        super().__setattr__(name, value)

    @classmethod
    @override
    def class_name(cls) -> str:
        """By which LlamaIndex names it."""
        return "IRPEmbedding"

    @override
    def _get_query_embedding(self, query: str) -> list[float]:
        found: list[float] = self._embedder.queries([query])[0].tolist()
        return found

    @override
    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        found: list[list[float]] = self._embedder.documents(texts).tolist()
        return found

    @override
    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    @override
    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    @override
    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, text)

    @override
    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)


def _check_cache(cache: Any, embedder: Embedder) -> None:
    """Raise `InputError` for a cache where it would hand on a query's vector as a text's."""
    if cache is not None and not embedder.bridge.is_alike:
        got, advice = "a cache, which knows a text by its words alone", "Leave embeddings_cache out."
        raise refusal("embeddings_cache", "none where queries have other vectors than texts", got, advice)
