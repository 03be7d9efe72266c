"""One path for anchors, `encode` and pipelines: what changes a vector is recorded, compared, and done in one place."""

import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest
import tiny_encoders as tiny
import torch
from says import says
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize, Router, Transformer
from sentence_transformers.sentence_transformer.modules import Dense, Pooling
from tiny_encoders import LAYERS, VOCAB
from transformers import pipeline

from irp_hf import AnchoredSpace, AnchorSet, InputError, IRPAdapter, StitchedModel
from irp_hf.encoding import encode
from irp_hf.encoding.base import Options
from irp_hf.encoding.open import open_encoder

TEXTS, WIDTH = tiny.texts(12), LAYERS["hidden_size"]
ANCHORS = tiny.texts(40)
FIXED: dict[str, Any] = dict(method="whitened", balance=1.0, ridge=1e-3)
PROMPTS = {"query": "w1 w2 ", "passage": "w3 ", "other": "w4 w5 "}


def modules(tmp_path_factory: Any, name: str, **settings: Any) -> list[Any]:
    folder = tmp_path_factory.mktemp("models") / name
    made = tiny.model("bert", **(LAYERS | VOCAB | settings))
    if name == "document":
        with torch.no_grad():
            made.embeddings.word_embeddings.weight.mul_(-1).add_(0.3)
    tiny.save(folder, made, tiny.tokenizer())
    return [Transformer(str(folder)), Pooling(WIDTH, "mean")]


@pytest.fixture(scope="module")
def unit(tmp_path_factory) -> SentenceTransformer:
    """Of unit length by itself, with prompts of several names."""
    parts = [*modules(tmp_path_factory, "unit"), Normalize()]
    return SentenceTransformer(modules=parts, device="cpu", prompts=PROMPTS)


@pytest.fixture(scope="module")
def routed(tmp_path_factory) -> SentenceTransformer:
    """Questions by one encoder, documents by another; the second's vectors alone have unit length."""
    query, document = modules(tmp_path_factory, "query"), modules(tmp_path_factory, "document")
    return SentenceTransformer(modules=[Router.for_query_document(query, [*document, Normalize()])], device="cpu")


def stored(model: SentenceTransformer, folder: Any) -> Any:
    model.save(str(folder))
    return folder


@pytest.mark.slow
def test_what_is_asked_is_what_the_library_gives(unit, routed, tmp_path):
    """By a folder and by an object. If it fails, anchors are other vectors than users of the library have."""
    cases: list[tuple[SentenceTransformer, dict[str, Any], Any]] = [
        (unit, {}, partial(unit.encode)),
        (unit, {"truncate_dim": 7}, partial(unit.encode, truncate_dim=7)),
        (unit, dict(truncate_dim=7, normalize=True), partial(unit.encode, truncate_dim=7, normalize_embeddings=True)),
        (unit, {"prompt_name": "other"}, partial(unit.encode, prompt_name="other")),
        (unit, {"prompt": "w9 "}, partial(unit.encode, prompt="w9 ")),
        (unit, {"task": "query"}, unit.encode_query),
        (unit, {"task": "document"}, unit.encode_document),
        (unit, {"max_length": 4}, partial(unit.encode, processing_kwargs={"text": {"max_length": 4}})),
        (routed, {}, routed.encode),
        (routed, {"task": "query"}, routed.encode_query),
        (routed, {"task": "document"}, routed.encode_document),
        (routed, {"task": "query", "normalize": True}, partial(routed.encode_query, normalize_embeddings=True)),
        (routed, {"task": "query", "truncate_dim": 3}, partial(routed.encode_query, truncate_dim=3)),
    ]
    folders = {id(model): stored(model, tmp_path / str(place)) for place, model in enumerate((unit, routed))}
    for model, asked, theirs in cases:
        wanted = theirs(TEXTS)
        for encoder in (model, folders[id(model)]):
            more = {} if encoder is model else {"device": "cpu"}
            found, record = encode(encoder, TEXTS, batch_size=4, **asked, **more)
            np.testing.assert_allclose(found, wanted, atol=1e-5, err_msg=str(asked))
            norms = np.linalg.norm(wanted, axis=1)
            assert record["normalize"] == bool(np.allclose(norms, 1, atol=1e-5)), asked
            opened = open_encoder(encoder, Options(**asked, **more))
            with torch.no_grad():
                np.testing.assert_allclose(opened.embed(TEXTS), wanted, atol=1e-5)


def adapters(space: AnchoredSpace) -> IRPAdapter:
    return IRPAdapter.connect(space, space, **FIXED)


def vectors(adapter: IRPAdapter, encoder: Any, **settings: Any) -> torch.Tensor:
    """What the adapter gets from the encoder in a stitched model."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = StitchedModel(encoder, adapter, torch.nn.Identity(), **settings)
    with torch.no_grad():
        return model.encoder.embed(ANCHORS)


@pytest.mark.parametrize(
    "asked",
    [
        *({}, {"truncate_dim": 7}, {"truncate_dim": 7, "normalize": True}, {"task": "query"}, {"task": "document"}),
        *({"max_length": 4}, {"prompt_name": "other"}, {"prompt": ""}),
    ],
)
def test_a_pipeline_encodes_as_the_anchors_were(asked, unit, routed, tmp_path):
    """To the bit of the anchors' own batch, whatever was asked of them; nothing needs to be said again."""
    for name, model in (("unit", unit), ("routed", routed)):
        if name == "routed" and "prompt_name" in asked:
            continue
        space = AnchoredSpace.encode(model, AnchorSet(ANCHORS), batch_size=len(ANCHORS), **asked)
        adapter = adapters(space)
        torch.testing.assert_close(vectors(adapter, model), space.anchors.data, atol=1e-6, rtol=1e-6)
        folder = stored(model, tmp_path / name)
        torch.testing.assert_close(vectors(adapter, folder), space.anchors.data, atol=1e-5, rtol=1e-5)


def test_an_object_with_a_cut_of_its_own(unit):
    """Anchors had norms of .57 and the pipeline's vectors of 1. The user's object stays as it is."""
    cut = SentenceTransformer(modules=list(unit), device="cpu", truncate_dim=7)
    space = AnchoredSpace.encode(cut, AnchorSet(ANCHORS))
    assert (space.config.encoder["truncate_dim"], space.config.encoder["normalize"]) == (7, False)
    norms = space.anchors.norm(dim=1)
    assert (norms < 0.99).all()
    adapter = adapters(space)
    for encoder in (cut, unit):
        torch.testing.assert_close(vectors(adapter, encoder), space.anchors.data, atol=1e-5, rtol=1e-5)
    assert (cut.truncate_dim, unit.truncate_dim) == (7, None)
    whole = AnchoredSpace.encode(unit, AnchorSet(ANCHORS))
    found = vectors(adapters(whole), cut)  # whose cut is left out, since the anchors were whole
    torch.testing.assert_close(found, whole.anchors.data, atol=1e-5, rtol=1e-5)


def test_what_differs_is_refused(unit, routed, refusal):
    """If it fails, another route, another width or shorter texts pass without a word."""
    head = torch.nn.Identity()
    query = adapters(AnchoredSpace.encode(routed, AnchorSet(ANCHORS), task="query"))
    text = refusal(StitchedModel, routed, query, head, task="document", error=InputError)
    assert says(text, "task='query'", "task='document'", "on_mismatch='warn'")
    with pytest.warns(UserWarning, match="task='document'"):
        StitchedModel(routed, query, head, task="document", on_mismatch="warn")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        StitchedModel(routed, query, head, task="document", on_mismatch="ignore")
    text = refusal(
        pipeline, "irp-stitch", model=query, encoder=routed, head=head, encoder_task="document", error=InputError
    )
    assert says(text, "task='query'", "task='document'")
    short = adapters(AnchoredSpace.encode(unit, AnchorSet(ANCHORS), max_length=4))
    text = refusal(StitchedModel, unit, short, head, max_length=5, error=InputError)
    assert says(text, "max_length=4", "max_length=5")
    cut = adapters(AnchoredSpace.encode(unit, AnchorSet(ANCHORS), truncate_dim=7))
    text = refusal(pipeline, "irp-stitch", model=cut, encoder=unit, head=head, truncate_dim=6, error=InputError)
    assert says(text, "truncate_dim=7", "truncate_dim=6")


def test_another_dtype_is_a_warning_and_the_recorded_one_the_default(unit, tmp_path):
    """It changes little; but the same numbers should come unless somebody asks otherwise."""
    folder = stored(unit, tmp_path / "unit")
    adapter = adapters(AnchoredSpace.encode(folder, AnchorSet(ANCHORS), dtype="bfloat16", device="cpu"))
    head = torch.nn.Identity()
    assert StitchedModel(folder, adapter, head, device="cpu").encoder.record.dtype == "bfloat16"
    with pytest.warns(UserWarning, match="dtype='float32'"):
        StitchedModel(folder, adapter, head, device="cpu", dtype="float32")


def test_a_longest_text_of_the_users_own(unit, tmp_path_factory):
    """The object reads fewer tokens, or more than its positions seem to allow: what was recorded is asked of it."""
    space = AnchoredSpace.encode(unit, AnchorSet(ANCHORS))
    short = SentenceTransformer(modules=[*modules(tmp_path_factory, "short"), Normalize()], device="cpu")
    short.max_seq_length = 3
    torch.testing.assert_close(vectors(adapters(space), short), space.anchors.data, atol=1e-5, rtol=1e-5)
    assert short.max_seq_length == 3
    far = SentenceTransformer(modules=modules(tmp_path_factory, "far"), device="cpu")
    far.max_seq_length = 10_000
    again = AnchoredSpace.encode(far, AnchorSet(ANCHORS))
    assert again.config.encoder["max_length"] == 10_000
    vectors(adapters(again), far)


def test_functions_and_plain_models_are_cut_too(tmp_path):
    """By the same code, so that a space of theirs and a pipeline agree."""
    folder = tiny.save(tmp_path / "plain", tiny.model("bert", **LAYERS, **VOCAB), tiny.tokenizer())
    whole = encode(folder, ANCHORS, pooling="mean", device="cpu")[0]
    wanted = torch.nn.functional.normalize(whole[:, :5])
    asked = dict(truncate_dim=5, normalize=True)
    for encoder, more in (
        (folder, {"pooling": "mean", "device": "cpu"}),
        (lambda texts: whole[[ANCHORS.index(text) for text in texts]].numpy(), {}),
    ):
        space = AnchoredSpace.encode(encoder, AnchorSet(ANCHORS), **asked, **more)
        torch.testing.assert_close(space.anchors.data, wanted, atol=1e-5, rtol=1e-5)
        assert (space.config.encoder["truncate_dim"], space.config.encoder["normalize"]) == (5, True)
    found = vectors(adapters(space), folder, pooling="mean", device="cpu")
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_old_records_know_nothing_of_it(unit):
    """A space that was published before must open as it did."""
    old = {"id": "unit", "pooling": "mean", "prompt": None, "normalize": True, "dtype": "float32"}
    adapter = adapters(AnchoredSpace.from_embeddings(unit.encode(ANCHORS), encoder=old))
    torch.testing.assert_close(vectors(adapter, unit), torch.from_numpy(unit.encode(ANCHORS)), atol=1e-6, rtol=0)


def test_a_dense_layer_after_the_normalisation(tmp_path_factory):
    """Its vectors have any length: that a `Normalize` stands somewhere in the model says nothing."""
    torch.manual_seed(0)
    parts = [*modules(tmp_path_factory, "dense"), Normalize(), Dense(WIDTH, 6)]
    model = SentenceTransformer(modules=parts, device="cpu")
    found, record = encode(model, TEXTS)
    assert record["normalize"] is False
    np.testing.assert_allclose(found, model.encode(TEXTS), atol=1e-6)
    assert encode(model, TEXTS, normalize=True)[1]["normalize"] is True


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"truncate_dim": 17}, ["truncate_dim", "at most 16", "17"]),
        ({"truncate_dim": 0}, ["truncate_dim", "0"]),
        ({"max_length": 65_000}, ["max_length", "512", "65000"]),
        ({"max_length": "4"}, ["max_length", "'4'"]),
        ({"prompt_name": "querry"}, ["prompt_name", "'querry'", "'passage', 'other'"]),
        ({"prompt_name": "query", "prompt": "w1"}, ["prompt_name", "prompt= is given"]),
        ({"task": 3}, ["task", "3"]),
        ({"task": "querry"}, ["task", "'query', 'document'", "'querry'"]),
    ],
)
def test_what_cannot_be_asked(options, words, unit, refusal):
    """If it fails, a slip changes nothing without a word, or ends in an error of another library."""
    assert says(refusal(encode, unit, TEXTS, error=InputError, **options), *words)


def test_what_only_some_encoders_have(routed, refusal, tmp_path):
    """Routes of a model without that one, prompts by name of a plain model, tokens of pictures."""
    text = refusal(encode, routed, TEXTS, task="answer", error=InputError)
    assert says(text, "task", "'query', 'document'", "'answer'")
    folder = tiny.save(tmp_path / "plain", tiny.model("bert", **LAYERS, **VOCAB), tiny.tokenizer())
    for option in ({"task": "query"}, {"prompt_name": "query"}):
        assert says(refusal(encode, folder, TEXTS, pooling="mean", error=InputError, **option), *option)
        assert says(refusal(encode, lambda texts: np.ones((len(texts), 2)), TEXTS, error=InputError, **option), *option)
    vit = tiny.save(tmp_path / "vit", tiny.model("vit", **LAYERS, **tiny.PATCHES), tiny.image_processor())
    text = refusal(encode, vit, tiny.pictures(), pooling="cls", max_length=5, error=InputError)
    assert says(text, "max_length", "no text")
