"""A new encoder's queries for an old index, as LangChain's `Embeddings`."""

from __future__ import annotations

from typing_extensions import override

from irp_hf.errors import missing
from irp_hf.integrations.embedders import BridgeLike, Embedder

try:
    from langchain_core.embeddings import Embeddings
except ImportError as error:
    raise missing("IRPEmbeddings", "langchain-core>=1", "irp_hf[langchain]") from error


class IRPEmbeddings(Embeddings):
    """Vectors of texts for a vector store that an old encoder filled.

        store = InMemoryVectorStore(IRPEmbeddings(Bridge(new_encoder, adapter)))

    A query is encoded by the new encoder and translated, or mixed with what the old encoder makes of it, as the bridge says.
    Documents that come to the store are encoded by the old encoder where the bridge has it, and else as queries are; all
    texts as the adapter's anchors were encoded, by the same prompt. A store whose vectors were moved to the new encoder's space
    needs no translation: there the new encoder itself embeds.
    """

    def __init__(self, bridge: BridgeLike, batch_size: int = 32) -> None:
        """Take a `Bridge`, or an adapter, an object or a place, whose record names its encoder on the Hub.

        Raises `InputError` for anything else, and what `Bridge` raises.
        """
        self._embedder = Embedder(bridge, batch_size)

    @override
    def embed_query(self, text: str) -> list[float]:
        """The vector `(d_Y)` that searches the store for a query; `aembed_query` is the asynchronous twin."""
        found: list[float] = self._embedder.queries([text])[0].tolist()
        return found

    @override
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors `(n, d_Y)` of documents that come to the store; `aembed_documents` is the asynchronous twin."""
        found: list[list[float]] = self._embedder.documents(texts).tolist()
        return found
