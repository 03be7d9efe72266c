"""sentence-transformers models with two sides or two poolings; the usual ones are in test_batches.py."""

import warnings

import pytest
import tiny_encoders as tiny
import torch
from encoding.test_towers import parts
from says import says
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import BoW, Dense, Pooling, WordEmbeddings
from sentence_transformers.sentence_transformer.modules.tokenizer import WhitespaceTokenizer
from transformers import CLIPProcessor, pipeline

from irp_hf import AnchoredSpace, AnchorSet, InputError, IRPAdapter, StitchedModel
from irp_hf.encoding import encode


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> SentenceTransformer:
    towers, tokenizer, image_processor = parts("clip")
    folder = tmp_path_factory.mktemp("models") / "clip"
    tiny.save(folder, towers, CLIPProcessor(image_processor=image_processor, tokenizer=tokenizer))
    return SentenceTransformer(str(folder), device="cpu")


def test_the_items_tell_the_side(model, tmp_path):
    """Of a folder and of a loaded model; pictures are not put through the side of text."""
    model.save(str(tmp_path / "towers"))
    for items, modality in ((tiny.texts(), "text"), (tiny.pictures(), "image")):
        wanted = torch.from_numpy(model.encode(items))
        for encoder in (tmp_path / "towers", model):
            options = {} if encoder is model else {"device": "cpu"}
            found, record = encode(encoder, items, batch_size=2, **options)
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
            assert record.get("modality", "text") == modality


def test_a_side_that_is_not_there(model, refusal):
    """In words, with those that are."""
    text = refusal(encode, model, tiny.waves(), modality="audio", error=InputError)
    assert says(text, "modality", "'audio'", "'text', 'image'", "clip")
    assert says(refusal(encode, model, [7], error=InputError), "modality", None, "'text', 'image'", "clip")


@pytest.fixture(scope="module")
def two_modes(tmp_path_factory) -> SentenceTransformer:
    """A vector of two poolings, one after the other, which sentence-transformers names by a tuple."""
    folder = tmp_path_factory.mktemp("models") / "two-modes"
    tiny.save(folder, tiny.model("bert", **tiny.LAYERS, **tiny.VOCAB), tiny.tokenizer())
    return SentenceTransformer(modules=[Transformer(str(folder)), Pooling(16, ("mean", "max"))], device="cpu")


def test_two_poolings_are_recorded_as_json_has_them(two_modes, tmp_path):
    """A tuple that comes back as a list would be another encoder: no space would load, and no run go on."""
    anchors = AnchorSet(tiny.texts(9))
    space = AnchoredSpace.encode(two_modes, anchors)
    assert (space.config.hidden_size, space.config.encoder["pooling"]) == (32, ["mean", "max"])
    space.save_pretrained(tmp_path / "space")
    assert AnchoredSpace.from_pretrained(tmp_path / "space").config.encoder == space.config.encoder
    assert encode(two_modes, tiny.texts())[1]["pooling"] == ["mean", "max"]
    two_modes.save(str(tmp_path / "encoder"))
    record = encode(tmp_path / "encoder", tiny.texts(), pooling=["mean", "max"], device="cpu")[1]
    assert record["pooling"] == ["mean", "max"]


def test_a_pooling_has_one_name(two_modes, refusal):
    """The same model in transformers, whose pooling is "last", would be refused as one that pools otherwise."""
    last = SentenceTransformer(modules=[two_modes[0], Pooling(16, "lasttoken")], device="cpu")
    found, record = encode(last, tiny.texts())
    assert record["pooling"] == "last"
    encoder = two_modes[0].model.config._name_or_path
    same, plain = encode(encoder, tiny.texts(), pooling="last", device="cpu")
    assert plain["pooling"] == "last"
    torch.testing.assert_close(found, same, atol=1e-5, rtol=1e-5)


def test_a_run_with_two_poolings_goes_on(two_modes, tmp_path, monkeypatch):
    """It died after two of five batches; what it wrote is kept, and two batches are looked at again each time."""
    wanted, encoded = encode(two_modes, tiny.texts(), batch_size=2)[0], []
    whole = two_modes.preprocess

    def counted(texts, **options):
        if len(encoded) == 2:
            raise KeyboardInterrupt
        encoded.append(texts)
        return whole(texts, **options)

    monkeypatch.setattr(two_modes, "preprocess", counted)
    with pytest.raises(KeyboardInterrupt):
        encode(two_modes, tiny.texts(), batch_size=2, out=tmp_path / "it.npy")
    monkeypatch.setattr(
        two_modes, "preprocess", lambda texts, **options: encoded.append(texts) or whole(texts, **options)
    )
    for calls in (7, 9):  # the second time there is nothing to do
        found, record = encode(two_modes, tiny.texts(), batch_size=2, out=tmp_path / "it.npy")
        assert len(encoded) == calls
        torch.testing.assert_close(found, wanted)
    assert record["pooling"] == ["mean", "max"]


def test_a_pipeline_with_two_poolings_opens(two_modes, tmp_path, refusal):
    """The same encoder must not be refused as one that pools otherwise; another one must."""
    anchors = AnchorSet(tiny.texts(30))
    space = AnchoredSpace.encode(two_modes, anchors)
    IRPAdapter.connect(space, space, method="whitened", balance=1.0, ridge=0.1).save_pretrained(tmp_path / "adapter")
    two_modes.save(str(tmp_path / "encoder"))
    head = torch.nn.Linear(32, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for encoder in (two_modes, tmp_path / "encoder"):
            pipe = pipeline("irp-stitch", model=str(tmp_path / "adapter"), encoder=encoder, head=head, device="cpu")
            assert len(pipe(tiny.texts(3))) == 3
    swapped = SentenceTransformer(modules=[two_modes[0], Pooling(16, ("max", "mean"))], device="cpu")
    text = refusal(StitchedModel, swapped, str(tmp_path / "adapter"), head, error=InputError)
    assert says(text, "pooling=('mean', 'max')", "pooling=('max', 'mean')")


def test_the_name_that_was_meant_is_said(two_modes, refusal):
    """A list of all names has the right one in it, and nobody reads it."""
    prompted = SentenceTransformer(modules=list(two_modes), prompts={"query": "w1 ", "passage": "w2 "}, device="cpu")
    for options, meant in (
        ({"prompt_name": "Query"}, "query"),
        ({"prompt_name": "passages"}, "passage"),
        ({"task": "querry"}, "query"),
        ({"task": "Documents"}, "document"),
    ):
        assert f"Write '{meant}'." in refusal(encode, prompted, ["w1"], error=InputError, **options)
    plain = two_modes[0].model
    text = refusal(encode, plain, ["w1"], pooling="Means", processor=tiny.tokenizer(), error=InputError)
    assert "Write 'mean'." in text


def of_words(kind: str, **settings) -> SentenceTransformer:
    """A model without a transformer, whose tokenizer splits at spaces."""
    if kind == "BoW":
        return SentenceTransformer(modules=[BoW(tiny.WORDS), Dense(len(tiny.WORDS), 8)], device="cpu")
    table = torch.randn(len(tiny.WORDS), 8, generator=torch.Generator().manual_seed(0)).numpy()
    words = WordEmbeddings(WhitespaceTokenizer(tiny.WORDS, **settings), table)
    return SentenceTransformer(modules=[words, Pooling(8)], device="cpu")


@pytest.mark.parametrize("kind", ["BoW", "WordEmbeddings"])
def test_models_of_words(kind, tmp_path):
    """They have no tokenizer of transformers: there was a raw AttributeError."""
    model, anchors = of_words(kind), AnchorSet(tiny.texts(9))
    model.save(str(tmp_path / "words"))
    wanted = torch.from_numpy(model.encode(tiny.texts(9)))
    records = []
    for encoder in (model, str(tmp_path / "words"), tmp_path / "words"):
        space = AnchoredSpace.encode(encoder, anchors)
        torch.testing.assert_close(space.anchors, wanted, atol=1e-5, rtol=1e-5)
        records.append(space.config.encoder["processor_sha256"])
    assert records[0] == records[1] == records[2]
    space.check(model)


def test_what_a_tokenizer_of_words_does_is_known_again():
    """Another one would make other vectors of the same weights, and pass as the same encoder."""
    digests = [
        encode(of_words("WordEmbeddings", **settings), tiny.texts(3))[1]["processor_sha256"]
        for settings in ({}, {"stop_words": ["w1", "w2"]}, {"stop_words": ["w2", "w1"]}, {"do_lower_case": True})
    ]
    assert digests[1] == digests[2]
    assert len(set(digests)) == 3
