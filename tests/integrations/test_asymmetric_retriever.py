"""Queries by a small encoder, documents by a large one, in one model of sentence-transformers, without training."""

import warnings

import numpy as np
import pytest
import torch
from bridged import ANCHORS, HELD, TEXTS
from says import says
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from sentence_transformers.util import quantize_embeddings

from irp_hf import AnchoredSpace, AnchorSet, InputError, IRPAdapter
from irp_hf.integrations.sentence_transformers import IRPTranslation, asymmetric_retriever

PROMPTS = {"query": "w1 w2 ", "document": "w3 "}


@pytest.fixture
def small(pair):
    return SentenceTransformer(modules=[Transformer(str(pair.new)), Pooling(16, "mean")], device="cpu")


@pytest.fixture
def large(pair):
    modules = [Transformer(str(pair.old)), Pooling(24, "mean"), Normalize()]
    return SentenceTransformer(modules=modules, device="cpu", prompts=PROMPTS, similarity_fn_name="dot")


@pytest.fixture
def plain(pair):
    """As the adapter's target was encoded: not of unit length."""
    return SentenceTransformer(modules=[Transformer(str(pair.old)), Pooling(24, "mean")], device="cpu")


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_queries_are_translated_and_documents_are_the_large_encoders(pair, small, large, plain):
    """If it fails, a search compares vectors of two spaces, or of other lengths than the index has."""
    translated = pair.adapter.translate(small.encode(HELD))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = asymmetric_retriever(small, large, pair.adapter)
        queries, documents = model.encode_query(HELD), model.encode_document(HELD)
    np.testing.assert_allclose(queries, unit(translated), atol=1e-5)
    np.testing.assert_allclose(documents, large.encode_document(HELD), atol=1e-6)
    np.testing.assert_allclose(model.encode(HELD), large.encode(HELD), atol=1e-6)
    np.testing.assert_allclose(model.similarity(queries, documents), queries @ documents.T, atol=1e-5)
    assert model.get_embedding_dimension() == 24
    lengths = asymmetric_retriever(small, plain, pair.adapter).encode_query(HELD)
    np.testing.assert_allclose(lengths, translated, atol=1e-4)


def test_queries_find_their_documents(pair, small, plain):
    """If it fails, the retriever is none."""
    model = asymmetric_retriever(small, plain, pair.adapter)
    best = model.similarity(model.encode_query(HELD[:40]), model.encode_document(HELD)).argmax(1)
    assert (best == torch.arange(40)).float().mean() > 0.2  # 1 in 140, by chance


@pytest.mark.parametrize("recorded", ["w5 w6 ", None])
def test_each_side_has_its_own_prompt(pair, small, large, recorded):
    """If it fails, queries are encoded otherwise than the anchors were, or a warning leads astray."""
    anchors = AnchorSet(TEXTS[:ANCHORS])
    source = AnchoredSpace.encode(small, anchors, prompt=recorded, progress=False)
    target = AnchoredSpace.encode(large, anchors, progress=False)
    adapter = IRPAdapter.connect(source, target, method="whitened")
    large.default_prompt_name = "query"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = asymmetric_retriever(small, large, adapter)
        queries = model.encode_query(HELD)
    expected = unit(adapter.translate(small.encode([(recorded or "") + text for text in HELD])))
    np.testing.assert_allclose(queries, expected, atol=1e-4)
    np.testing.assert_allclose(model.encode_document(HELD), large.encode_document(HELD), atol=1e-6)
    np.testing.assert_allclose(model.encode(HELD), large.encode(HELD), atol=1e-6)
    with pytest.warns(UserWarning, match="source anchors were encoded with"):
        model.encode_query(HELD, prompt="w9 ")


def test_where_no_prompt_was_recorded_queries_have_the_small_encoders_own(pair, small, large):
    """If it fails, an adapter of two matrices drops the prompt that its rows had."""
    adapter = IRPAdapter.from_anchors(small.encode(TEXTS[:ANCHORS]), large.encode(TEXTS[:ANCHORS]), method="whitened")
    small.prompts["asked"], small.default_prompt_name = "w7 ", "asked"
    assert asymmetric_retriever(small, large, adapter).prompts["query"] == "w7 "


def test_it_saves_pushes_and_loads(pair, small, large, tmp_path, hub, monkeypatch):
    """If it fails, what was measured here is not what others load."""
    monkeypatch.setenv("HF_TOKEN", hub.token("me"))
    model = asymmetric_retriever(small, large, pair.adapter)
    model.save_pretrained(str(tmp_path / "model"))
    model.push_to_hub("me/retriever")
    for place in (str(tmp_path / "model"), "me/retriever"):
        again = SentenceTransformer(place, trust_remote_code=True, device="cpu")
        for call in ("encode_query", "encode_document", "encode"):
            np.testing.assert_array_equal(getattr(again, call)(HELD), getattr(model, call)(HELD))
        assert (again.similarity_fn_name, again.prompts) == ("dot", model.prompts)
    pushed = hub.files("me/retriever")
    assert not [name for name in pushed if name.endswith(".py") and not name.endswith("hub_code.py")]


def plain_model(pair, small, large):
    return SentenceTransformer(modules=[*small, IRPTranslation(pair.adapter)], device="cpu")


def router(pair, small, large):
    return asymmetric_retriever(small, large, pair.adapter)


@pytest.mark.parametrize("make", [plain_model, router])
def test_half_precision_gives_the_same_to_its_rounding(pair, small, large, make, tmp_path):
    """If it fails, a model on a GPU, where half is usual, searches with other vectors, or does not load again."""
    model = make(pair, small, large)
    whole = model.encode_query(HELD), model.encode_document(HELD)
    model.half().save_pretrained(str(tmp_path))
    again = SentenceTransformer(str(tmp_path), trust_remote_code=True, device="cpu", model_kwargs={"dtype": "float16"})
    for made in (model, again):
        for given, expected in zip((made.encode_query(HELD), made.encode_document(HELD)), whole, strict=True):
            assert given.dtype == np.float16
            assert (unit(given.astype(np.float32)) * unit(expected)).sum(1).min() > 0.999
    assert {weight.dtype for weight in pair.adapter.parameters()} == {torch.float32}


@pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary"])
@pytest.mark.parametrize("make", [plain_model, router])
def test_quantised_vectors_are_those_of_the_translations(pair, small, large, make, precision):
    """If it fails, a small index holds something else than quantised translations."""
    model = make(pair, small, large)
    for call in (model.encode_query, model.encode_document):
        np.testing.assert_array_equal(call(HELD, precision=precision), quantize_embeddings(call(HELD), precision))


def test_bits_of_translated_queries_find_documents(pair, small, plain):
    """If it fails, quantised translations cannot search: of the large encoder's own, at least a part is found."""
    model = asymmetric_retriever(small, plain, pair.adapter)
    documents = model.encode_document(HELD)
    for precision, lookup in (("int8", {"calibration_embeddings": documents}), ("binary", {})):
        rows = quantize_embeddings(documents, precision, **lookup)
        queries = quantize_embeddings(model.encode_query(HELD[:40]), precision, **lookup)
        if precision == "binary":
            bits = [np.unpackbits((one.astype(np.int16) + 128).astype(np.uint8), axis=1) for one in (queries, rows)]
            near = -(bits[0][:, None] != bits[1][None]).sum(-1)
        else:
            near = -np.linalg.norm(queries[:, None].astype(np.float32) - rows[None], axis=-1)
        ranks = (near > np.diagonal(near[:, :40])[:, None]).sum(1)
        assert (ranks < 10).mean() > 0.3  # 1 in 14, by chance


def test_a_truncated_index_stays_truncated(pair, small, plain):
    """If it fails, queries are wider than the documents of an index that keeps the first numbers alone."""
    plain.truncate_dim = 8
    model = asymmetric_retriever(small, plain, pair.adapter)
    assert model.encode_query(HELD[:3]).shape == model.encode_document(HELD[:3]).shape == (3, 8)
    cut = IRPAdapter.from_anchors(small.encode(TEXTS[:ANCHORS]), plain.encode(TEXTS[:ANCHORS]), method="whitened")
    model = asymmetric_retriever(small, plain, cut)
    np.testing.assert_allclose(model.encode_query(HELD), cut.translate(small.encode(HELD)), atol=1e-4)


def test_encoders_that_are_not_the_adapters_are_refused(pair, small, large, refusal):
    """If it fails, a model that compares two spaces is saved and searched with."""
    text = refusal(asymmetric_retriever, small, small, pair.adapter, error=InputError)
    assert says(text, "document_encoder", "24", "16")
    assert says(refusal(asymmetric_retriever, large, large, pair.adapter, error=InputError), "16 wide", "24")
    text = refusal(asymmetric_retriever, small, small[0].auto_model, pair.adapter, error=InputError)
    assert says(text, "a SentenceTransformer", "a BertModel")
    assert says(refusal(asymmetric_retriever, small, large, 3, error=InputError), "adapter", "an int")


def test_a_document_encoder_of_the_same_width_that_is_another_is_told(pair, small, plain, large):
    """If it fails, queries are translated to a space in which no document lies, without a word."""
    other = SentenceTransformer(modules=[Transformer(str(pair.old)), Pooling(24, "cls")], device="cpu")
    with pytest.warns(UserWarning, match="target anchors are of another encoder"):
        asymmetric_retriever(small, other, pair.adapter)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain.truncate_dim = 8
        for same in (plain, plain.half(), large):
            asymmetric_retriever(small, same, pair.adapter)


def test_encoders_that_cannot_be_loaded_are_refused(pair, small, plain, tmp_path, refusal):
    """If it fails, another library's traceback tells of a model that nobody named."""
    pair.adapter.save_pretrained(tmp_path / "adapter")
    (tmp_path / "empty").mkdir()
    for place in ("", "/nowhere", str(tmp_path / "empty"), str(tmp_path / "adapter")):
        text = refusal(asymmetric_retriever, place, plain, pair.adapter)
        assert says(text, place or "''")
        assert says(refusal(asymmetric_retriever, small, place, pair.adapter), place or "''")


def test_it_takes_folders(pair, small, large, tmp_path):
    """If it fails, each part must be loaded by hand."""
    parts = [str(tmp_path / name) for name in ("small", "large", "adapter")]
    for part, place in zip((small, large, pair.adapter), parts, strict=True):
        part.save_pretrained(place)
    model = asymmetric_retriever(*parts)
    np.testing.assert_allclose(
        model.encode_query(HELD[:5]), router(pair, small, large).encode_query(HELD[:5]), atol=1e-6
    )
