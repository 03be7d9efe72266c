"""LlamaIndex with a bridge: what it embeds, an index that an old encoder filled, and what is refused."""

import asyncio
import pickle

import numpy as np
import pytest
from bridged import HELD
from llama_index.core import VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from says import says

from irp_hf import InputError
from irp_hf.encoding import encode
from irp_hf.integrations.llama_index import IRPEmbedding
from irp_hf.stitching import Bridge


def test_it_gives_what_the_bridge_gives(bridge):
    """If it fails, an index is searched by other vectors than were measured."""
    embedding, expected = IRPEmbedding(bridge, embed_batch_size=4), bridge.encode(HELD[:9])
    np.testing.assert_allclose([embedding.get_query_embedding(text) for text in HELD[:9]], expected, atol=1e-5)
    np.testing.assert_allclose(embedding.get_text_embedding_batch(HELD[:9]), expected, atol=1e-5)
    np.testing.assert_allclose(embedding.get_text_embedding(HELD[1]), expected[1], atol=1e-5)
    assert (embedding.class_name(), embedding.embed_batch_size) == ("IRPEmbedding", 4)
    assert says(embedding.model_name, "new", "old")


def test_the_asynchronous_twins_give_the_same(bridge):
    """If it fails, a server's answers are others than those of a script."""
    embedding, expected = IRPEmbedding(bridge), bridge.encode(HELD[:9])

    async def together():
        query = await embedding.aget_query_embedding(HELD[0])
        one = await embedding.aget_text_embedding(HELD[1])
        return query, one, await embedding.aget_text_embedding_batch(HELD[:9])

    query, one, many = asyncio.run(together())
    np.testing.assert_allclose(query, expected[0], atol=1e-5)
    np.testing.assert_allclose(one, expected[1], atol=1e-5)
    np.testing.assert_allclose(many, expected, atol=1e-5)


def test_an_index_of_the_old_encoder_is_searched(pair, bridge):
    """If it fails, what was there before is not found by the new encoder's queries."""
    both = Bridge(str(pair.new), pair.adapter, str(pair.old), 1)
    nodes = IngestionPipeline(transformations=[IRPEmbedding(both)]).run(nodes=[TextNode(text=text) for text in HELD])
    true = encode(str(pair.old), HELD, pooling="mean")[0].numpy()
    np.testing.assert_allclose([node.embedding for node in nodes], true, atol=1e-5)
    index = VectorStoreIndex(nodes, embed_model=IRPEmbedding(both))
    retriever = index.as_retriever(similarity_top_k=1, embed_model=IRPEmbedding(bridge))
    found = [retriever.retrieve(text)[0].text == text for text in HELD[:40]]
    assert np.mean(found) > 0.2  # 1 in 140, by chance


def test_it_pickles(bridge):
    """If it fails, a pipeline with several processes cannot take it."""
    embedding = IRPEmbedding(bridge)
    again = pickle.loads(pickle.dumps(embedding))
    assert again.get_query_embedding(HELD[0]) == pytest.approx(embedding.get_query_embedding(HELD[0]), abs=1e-6)


def test_a_cache_that_would_mix_queries_and_texts_is_refused(pair, bridge, refusal):
    """If it fails, a text that was a query before comes into the index by a mixed vector."""
    mixed = Bridge(str(pair.new), pair.adapter, str(pair.old), 0.7)
    text = refusal(IRPEmbedding, mixed, embeddings_cache=SimpleKVStore(), error=InputError)
    assert says(text, "embeddings_cache", "queries")
    later = IRPEmbedding(mixed)
    assert says(refusal(setattr, later, "embeddings_cache", SimpleKVStore(), error=InputError), "embeddings_cache")
    later.embeddings_cache = None
    embedding = IRPEmbedding(bridge, embeddings_cache=SimpleKVStore())
    assert embedding.get_query_embedding(HELD[0]) == embedding.get_text_embedding(HELD[0])
    assert says(refusal(IRPEmbedding, None, error=InputError), "adapter", "None")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"embed_batch_size": 0}, ["embed_batch_size", "0"]),
        ({"embed_batch_size": 5000}, ["embed_batch_size", "2048", "5000"]),
        ({"batch_size": 4}, ["batch_size", "embed_batch_size="]),
    ],
)
def test_options_that_it_has_not_are_refused(bridge, options, words, refusal):
    """If it fails, a misspelt option is without effect, or ends in pydantic's traceback."""
    assert says(refusal(IRPEmbedding, bridge, **options, error=InputError), *words)
