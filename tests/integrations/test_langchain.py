"""LangChain's own tests of embeddings, and a store that an old encoder filled, searched by a new one."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from bridged import ANCHORS, HELD, TEXTS
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests
from says import says

from irp_hf import AnchoredSpace, AnchorSet, InputError, IRPAdapter
from irp_hf.encoding import encode
from irp_hf.integrations.langchain import IRPEmbeddings
from irp_hf.stitching import Bridge


class OfABridge:
    """What the standard tests are told."""

    @pytest.fixture(autouse=True)
    def _bridge(self, bridge):
        self._made = bridge

    @property
    def embeddings_class(self):
        return IRPEmbeddings

    @property
    def embedding_model_params(self):
        return {"bridge": self._made}


class TestUnit(OfABridge, EmbeddingsUnitTests):
    """If one fails, LangChain cannot make it."""


@pytest.mark.asyncio
@pytest.mark.filterwarnings("ignore::pytest.PytestWarning")  # not all of them are asynchronous
class TestIntegration(OfABridge, EmbeddingsIntegrationTests):
    """If one fails, LangChain gets something else than lists of floats of one length. They need no network here."""


def test_it_gives_what_the_bridge_gives(pair, bridge):
    """If it fails, a store is searched by other vectors than were measured."""
    embeddings = IRPEmbeddings(bridge)
    queries = np.array([embeddings.embed_query(text) for text in HELD[:9]], np.float32)
    np.testing.assert_allclose(queries, bridge.encode(HELD[:9]), atol=1e-5)
    np.testing.assert_allclose(embeddings.embed_documents(HELD[:9]), bridge.encode(HELD[:9]), atol=1e-5)
    assert embeddings.embed_documents([]) == []


def test_documents_are_the_old_encoders_where_it_is_there(pair):
    """If it fails, a document's vector in the store is a guess although the true one can be had."""
    bridge = Bridge(str(pair.new), pair.adapter, str(pair.old), 0.7)
    embeddings = IRPEmbeddings(bridge, batch_size=4)
    true = encode(str(pair.old), HELD[:9], pooling="mean")[0].numpy()
    np.testing.assert_allclose(embeddings.embed_documents(HELD[:9]), true, atol=1e-5)
    np.testing.assert_allclose(embeddings.embed_query(HELD[0]), bridge.encode(HELD[:1])[0], atol=1e-5)
    assert np.abs(np.array(embeddings.embed_query(HELD[0])) - true[0]).max() > 1e-3


def test_a_store_of_the_old_encoder_is_searched(pair, bridge):
    """If it fails, what was there before is not found by the new encoder's queries."""
    store = InMemoryVectorStore(IRPEmbeddings(Bridge(str(pair.new), pair.adapter, str(pair.old), 1)))
    store.add_texts(HELD)
    store.embedding = IRPEmbeddings(bridge)
    found = [store.similarity_search(text, k=1)[0].page_content == text for text in HELD[:40]]
    assert np.mean(found) > 0.2  # 1 in 140, by chance


def test_threads_and_tasks_get_their_own(bridge):
    """If it fails, one call of a server gets the vectors of another."""
    embeddings = IRPEmbeddings(bridge)
    expected = np.array(embeddings.embed_documents(HELD))
    parts = [slice(row, row + 1 + row % 7) for row in range(60)]
    with ThreadPoolExecutor(8) as pool:
        for part, found in zip(
            parts, pool.map(lambda part: embeddings.embed_documents(HELD[part]), parts), strict=True
        ):
            np.testing.assert_allclose(found, expected[part], atol=1e-3)

    async def together():
        return await asyncio.gather(*(embeddings.aembed_query(text) for text in HELD[:20]))

    np.testing.assert_allclose(asyncio.run(together()), expected[:20], atol=1e-3)


def test_what_is_no_bridge_is_refused(pair, refusal):
    """If it fails, an encoder alone is taken for a bridge, and translates nothing."""
    assert says(refusal(IRPEmbeddings, 3, error=InputError), "adapter", "an int")
    assert says(refusal(IRPEmbeddings, pair.adapter, error=InputError), "encoder", "Hub")  # it names a folder
    assert says(refusal(IRPEmbeddings, pair.adapter, 0, error=InputError), "batch_size", "0")


@pytest.mark.slow
def test_an_adapter_names_its_encoder_on_the_hub(pair, hub, monkeypatch):
    """If it fails, the id of an adapter alone does not do."""
    monkeypatch.setenv("HF_TOKEN", hub.token("me"))
    hub.upload("me/new", pair.new)
    anchors = AnchorSet(TEXTS[:ANCHORS])
    source = AnchoredSpace.encode("me/new", anchors, pooling="mean", progress=False)
    target = AnchoredSpace.from_embeddings(pair.adapter.target_anchors, anchors)
    IRPAdapter.connect(source, target, method="kernel", gamma=1.0, ridge=1e-2).push_to_hub(
        "me/new-to-old", report=False
    )
    found = IRPEmbeddings("me/new-to-old").embed_documents(HELD[:9])
    np.testing.assert_allclose(found, Bridge(str(pair.new), pair.adapter).encode(HELD[:9]), atol=1e-5)
