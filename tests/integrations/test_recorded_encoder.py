"""`IRPTranslation` behind an encoder that cuts, that has routes, or that is another one than the anchors'."""

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import tiny_encoders as tiny
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tiny_encoders import LAYERS, VOCAB

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter
from irp_hf.integrations.sentence_transformers import IRPTranslation

TEXTS, WIDTH = tiny.texts(40), LAYERS["hidden_size"]


@pytest.fixture(scope="module")
def sides(tmp_path_factory) -> list[list[Any]]:
    """The modules of two encoders of one width."""
    made = []
    for place in range(2):
        model = tiny.model("bert", **LAYERS, **VOCAB)
        with torch.no_grad():
            model.embeddings.word_embeddings.weight.mul_(1 - 2 * place).add_(place)
        folder = tiny.save(tmp_path_factory.mktemp("models") / str(place), model, tiny.tokenizer())
        made.append([Transformer(str(folder)), Pooling(WIDTH, "mean")])
    return made


def adapter(encoder: SentenceTransformer, **asked: Any) -> IRPAdapter:
    space = AnchoredSpace.encode(encoder, AnchorSet(TEXTS), **asked)
    return IRPAdapter.connect(space, space, method="whitened", balance=1.0, ridge=1e-3)


def quietly(modules: list[Any], **options: Any) -> SentenceTransformer:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return SentenceTransformer(modules=modules, device="cpu", **options)


def test_another_encoder_of_that_width(sides):
    """If it fails, an index is filled with noise, and nothing says so."""
    own, other = sides
    made = adapter(SentenceTransformer(modules=own, device="cpu"))
    quietly([*own, IRPTranslation(made)])
    with pytest.warns(UserWarning, match="another encoder.*cosines of"):
        SentenceTransformer(modules=[*other, IRPTranslation(made)], device="cpu")


@pytest.mark.parametrize("normalize", [False, True])
def test_anchors_that_were_cut(sides, normalize):
    """The vectors are cut before they are translated, as the anchors were; a whole one would be refused for its width."""
    encoder = SentenceTransformer(modules=sides[0], device="cpu")
    made = adapter(encoder, truncate_dim=6, normalize=normalize)
    found = quietly([*sides[0], IRPTranslation(made)]).encode(TEXTS)
    wanted = made.translate(encoder.encode(TEXTS, truncate_dim=6, normalize_embeddings=normalize))
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_the_other_route_and_shorter_texts(sides):
    """Anchors of one route before a translation in the other: in words."""
    routed = SentenceTransformer(modules=[Router.for_query_document(*sides)], device="cpu")
    made = adapter(routed, task="query")
    query, document = sides
    quietly([Router.for_query_document([*query, IRPTranslation(made)], document)])
    with pytest.warns(UserWarning, match="task='query', the model has task='document'"):
        SentenceTransformer(modules=[Router.for_query_document(query, [*document, IRPTranslation(made)])], device="cpu")
    short = adapter(SentenceTransformer(modules=query, device="cpu"), max_length=4)
    with pytest.warns(UserWarning, match="max_length=4, the model has max_length=64"):
        SentenceTransformer(modules=[*query, IRPTranslation(short)], device="cpu")


UNUSED = 60  # a row of the embedding matrix that no word has


def edited(modules: list[Any]) -> list[Any]:
    """With a row of another token changed, which no text that was kept has."""
    with torch.no_grad():
        modules[0].auto_model.embeddings.word_embeddings.weight[UNUSED] += 1
    return modules


@pytest.mark.parametrize("by", ["torch", "memory"])
def test_an_edit_that_no_kept_text_meets(sides, by):
    """Texts with that token would be translated from vectors that the anchors know nothing of."""
    modules = [copy.deepcopy(module) for module in sides[0]]
    made = adapter(SentenceTransformer(modules=modules, device="cpu"))
    model = quietly([*modules, IRPTranslation(made)])
    model.encode(TEXTS)
    weight = modules[0].auto_model.embeddings.word_embeddings.weight
    if by == "torch":
        edited(modules)
    else:
        weight.detach().numpy()[UNUSED] += 1
    with pytest.warns(UserWarning, match="other weights than when it was last looked at"):
        model.encode(TEXTS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it was said
        model.encode(TEXTS)
    with pytest.warns(UserWarning, match="other weights than when the adapter's source anchors were encoded"):
        SentenceTransformer(modules=[*modules, IRPTranslation(made)], device="cpu")


def test_a_tokenizer_that_is_edited_where_no_kept_text_meets_it(sides):
    """A word that is taken out of the vocabulary reads as an unknown one."""
    modules = [copy.deepcopy(module) for module in sides[0]]
    made = adapter(SentenceTransformer(modules=modules, device="cpu"))
    model = quietly([*modules, IRPTranslation(made)])
    modules[0].tokenizer.add_tokens(["w99"])
    with pytest.warns(UserWarning, match="another tokenizer"):
        model.encode(TEXTS)


def test_no_edit_is_no_edit(sides, tmp_path):
    """Another precision, another device, a save and its loading, a route of two, an adapter that knows of no weights."""
    own = [copy.deepcopy(module) for module in sides[0]]
    made = adapter(SentenceTransformer(modules=own, device="cpu"))
    model = quietly([*own, IRPTranslation(made)])
    model.save(str(tmp_path))
    unknown = IRPAdapter.from_anchors(
        made.source_anchors, made.target_anchors, method="whitened", balance=1.0, ridge=0.1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SentenceTransformer(str(tmp_path), trust_remote_code=True, device="cpu").encode(TEXTS)
        for dtype in (torch.float64, torch.bfloat16):
            quietly([*(copy.deepcopy(part).to(dtype) for part in own), IRPTranslation(made)]).encode(TEXTS)
        model.to(torch.float64).encode(TEXTS)
        model.to(torch.float32).encode(TEXTS)
        quietly([*edited([copy.deepcopy(part) for part in own]), IRPTranslation(unknown)]).encode(TEXTS)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        router = Router.for_query_document([*own, IRPTranslation(made)], [*sides[1]])
        SentenceTransformer(modules=[router], device="cpu").encode_query(TEXTS)
    assert not [str(one.message) for one in seen if "weights" in str(one.message)]


def test_an_encoder_that_is_edited_later(sides):
    """An index would be searched with noise; what is no edit says nothing and encodes nothing twice."""
    modules = [copy.deepcopy(module) for module in sides[0]]
    made = adapter(SentenceTransformer(modules=modules, device="cpu"))
    model = quietly([*modules, IRPTranslation(made)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wanted = model.encode(TEXTS)
        assert np.array_equal(model.encode(TEXTS), wanted)
        for twin in (
            copy.deepcopy(model),
            pickle.loads(pickle.dumps(model)),
            model.to(torch.float64).to(torch.float32),
        ):
            assert np.array_equal(twin.encode(TEXTS), wanted)
        assert not any(name.startswith("2.encoder") for name, _ in model.named_modules())
    for edit in (lambda weight: weight.mul_(-3), lambda weight: weight.add_(torch.randn_like(weight))):
        with torch.no_grad():
            edit(modules[0].auto_model.embeddings.word_embeddings.weight)
        with pytest.warns(UserWarning, match="another encoder.*cosines of"):
            model.encode(TEXTS)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # it was said
            model.encode(TEXTS)
