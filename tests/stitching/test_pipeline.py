"""`pipeline("irp-stitch")` answers as the pipelines of transformers do, where translation changes no vector."""

from typing import Any

import pytest
import stitched
import torch
from datasets import Dataset
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset
from transformers.pipelines.text_classification import ClassificationFunction

from irp_hf.encoding import encode
from irp_hf.errors import InputError

MODALITIES = ("text", "image", "audio")


@pytest.fixture(scope="module")
def pairs(classifiers) -> dict[str, tuple[Any, Any]]:
    """For each modality the pipeline of transformers, and ours with the same model as encoder and as head."""
    return {modality: pair(modality, folder) for modality, folder in classifiers.items()}


def pair(modality: str, folder: Any, **options: Any) -> tuple[Any, Any]:
    adapter = stitched.identity(stitched.record(folder.name, modality))
    native = pipeline(f"{modality}-classification", model=str(folder), device="cpu", **options)
    return native, pipeline("irp-stitch", model=adapter, encoder=folder, head=folder, device="cpu", **options)


def same(found: Any, wanted: Any) -> bool:
    """The same lists of the same labels in the same order, with scores alike to 1e-4."""
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(same, found, wanted))
    assert set(found) == {"label", "score"}
    return found["label"] == wanted["label"] and found["score"] == pytest.approx(wanted["score"], abs=1e-4)


def top_k(modality: str) -> dict[str, int]:
    """Audio-classification has a default of 5, which every call without `top_k` puts back to all: a mistake of its own."""
    return {"top_k": 5} if modality == "audio" else {}


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_comparison_can_fail(modality, pairs):
    """The items do not all get one label, and no score is 0 or 1."""
    native, _ = pairs[modality]
    best = native(stitched.items(modality), top_k=1)
    assert len({answer["label"] for [answer] in best}) > 1
    assert all(0.15 < answer["score"] < 0.999 for [answer] in best)


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("modality", MODALITIES)
def test_one_a_list_and_a_generator(modality, batch_size, pairs):
    """In their order, in the shape that each pipeline has for it."""
    native, ours = pairs[modality]
    items, options = stitched.items(modality), {"batch_size": batch_size}
    assert same(ours(items[0], **options), native(items[0], **options, **top_k(modality)))
    for some in (items, items[:1]):
        wanted = native(some, **options, **top_k(modality))
        assert same(ours(some, **options), wanted)
        assert same(ours(tuple(some), **options), wanted)  # transformers takes a tuple for one item
        assert same(list(ours((item for item in some), **options)), wanted)
        assert same(list(ours(iter(some), **options)), wanted)  # which transformers takes for one item


@pytest.mark.parametrize("modality", MODALITIES)
def test_data_sets(modality, pairs):
    """`KeyDataset` streams, a column is a list."""
    native, ours = pairs[modality]
    items = stitched.items(modality)
    rows = [{"it": item} for item in items]
    wanted = native(items, **top_k(modality))
    answers = ours(KeyDataset(rows, "it"), batch_size=4)
    assert not isinstance(answers, list)
    assert len(answers) == 2  # batches, as transformers counts them
    assert same(list(answers), wanted)
    if modality != "audio":
        assert same(ours(Dataset.from_list(rows)["it"], batch_size=4), wanted)


@pytest.mark.parametrize("modality", MODALITIES)
def test_worker_processes(modality, pairs):
    """They read the items."""
    native, ours = pairs[modality]
    items = stitched.items(modality)
    wanted = native(items, **top_k(modality))
    assert same(ours(items, num_workers=1, batch_size=4), wanted)
    assert same(list(ours((item for item in items), num_workers=1, batch_size=4)), wanted)


@pytest.mark.parametrize("modality", MODALITIES)
def test_top_k(modality, pairs):
    """The best, some, all, and no more than there are; in one shape for one and for many."""
    native, ours = pairs[modality]
    items = stitched.items(modality, 3)
    for k in (1, 2, 99):
        assert same(ours(items, top_k=k), native(items, top_k=k))
        assert same(ours(items[0], top_k=k), native(items[0], top_k=k))
    every = native(items, top_k=99)  # image-classification takes None for its default
    assert same(ours(items, top_k=None), every)


@pytest.mark.parametrize("modality", MODALITIES)
def test_functions_of_the_logits(modality, pairs):
    """Also as the members of transformers' enumeration and in capitals, which some of its pipelines take."""
    native, ours = pairs[modality]
    items = stitched.items(modality, 3)
    for function in ("softmax", "sigmoid", "none"):
        wanted = native(items, function_to_apply=function, top_k=3)
        assert same(ours(items, function_to_apply=function, top_k=3), wanted)
        assert same(ours(items, function_to_apply=function.upper(), top_k=3), wanted)
    assert same(ours(items, function_to_apply=None, top_k=3), native(items, top_k=3))
    for member in ClassificationFunction:
        wanted = native(items, function_to_apply=member, top_k=3)
        assert same(ours(items, function_to_apply=member, top_k=3), wanted)


@pytest.mark.parametrize("modality", ["text", "image"])
def test_keywords_at_construction(modality, classifiers):
    """They hold for every call that does not say otherwise; audio-classification forgets its own."""
    native, ours = pair(modality, classifiers[modality], top_k=2, function_to_apply="none", batch_size=4, num_workers=0)
    items = stitched.items(modality)
    assert same(ours(items), native(items))
    assert same(ours(items, top_k=1, function_to_apply="softmax"), native(items, top_k=1, function_to_apply="softmax"))
    # Text-classification puts one more list around one text's, if its top_k comes from the construction.
    assert same(ours(items[0]), native(items)[0])


PROBLEMS = {
    "several labels at once": dict(problem_type="multi_label_classification"),
    "regression of several numbers": dict(problem_type="regression"),
    "regression of one": dict(problem_type="regression", num_labels=1),
    "one label": dict(problem_type=None, num_labels=1),
    "not said": dict(problem_type=None),
}


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("modality", MODALITIES)
def test_the_heads_problem(modality, problem, tmp_path):
    """Sigmoid, nothing or softmax."""
    native, ours = pair(modality, stitched.save(tmp_path / "it", modality, **PROBLEMS[problem]))
    items = stitched.items(modality, 3)
    # Of one label audio-classification makes a softmax, which is always 1.
    sigmoid = {"function_to_apply": "sigmoid"} if (modality, problem) == ("audio", "one label") else {}
    assert same(ours(items, top_k=5), native(items, top_k=5, **sigmoid))


def test_names_of_labels_that_nobody_named():
    """LABEL_0, as transformers has them."""
    encoder = stitched.embed
    made = pipeline("irp-stitch", model=stitched.identity(), encoder=encoder, head=torch.nn.Linear(stitched.WIDTH, 2))
    assert {answer["label"] for answer in made("a text", top_k=None)} == {"LABEL_0", "LABEL_1"}


@pytest.mark.parametrize("modality", MODALITIES)
def test_confidence(modality, classifiers):
    """That of the adapter for the encoder's vector, with every answer, and alone where it is asked for."""
    adapter = stitched.rough(stitched.record(modality, modality))
    ours = pipeline(
        "irp-stitch",
        model=adapter,
        encoder=classifiers[modality],
        head=classifiers[modality],
        device="cpu",
    )
    items = stitched.items(modality)
    encoder = ours.stitched.encoder
    with torch.no_grad():
        vectors = torch.cat([encoder.embed(ours.stitched.read([item])) for item in items])
    wanted = ours.stitched.adapter.confidence(vectors).tolist()
    assert len(set(wanted)) == len(wanted)
    for batch_size in (1, 4):
        answers = ours(items, top_k=2, return_confidence=True, batch_size=batch_size)
        for answer, confidence in zip(answers, wanted, strict=True):
            assert [each["confidence"] for each in answer] == pytest.approx([confidence] * 2, abs=1e-4)
    assert same(ours(items, top_k=2, return_confidence=False), ours(items, top_k=2))
    one = ours(items[0], return_confidence=True)
    assert one[0]["confidence"] == pytest.approx(wanted[0], abs=1e-4)


def test_confidence_at_construction(classifiers):
    made = pipeline(
        "irp-stitch", model=stitched.identity(), encoder=classifiers["text"], head=classifiers["text"], return_confidence=True,
        at="head",
    )  # fmt: skip
    assert "confidence" in made("w1 w2")[0]
    assert "confidence" not in made("w1 w2", return_confidence=False)[0]


PAIRS = [{"text": "w1 w2", "text_pair": "w3"}, {"text": "w4", "text_pair": "w5 w6 w7"}, {"text": "w8"}]


@pytest.mark.parametrize("batch_size", [1, 4])
def test_pairs_of_texts(batch_size, pairs):
    """Premise and hypothesis, question and passage: the second text would be refused, or lost."""
    native, ours = pairs["text"]
    options = {"batch_size": batch_size}
    wanted = [native(pair) for pair in PAIRS]
    assert len({answer["score"] for answer in (*wanted, native("w1 w2")[0])}) == 4
    assert same([ours(pair) for pair in PAIRS], wanted)
    assert same(ours([*PAIRS, "w9"], **options), [*wanted, native("w9")[0]])
    assert same(ours(PAIRS[0], top_k=None), native(PAIRS[0], top_k=None))
    assert same(ours("w1", text_pair="w2"), native("w1", text_pair="w2"))
    assert same(ours(["w1", "w3 w4"], text_pair="w2", **options), native(["w1", "w3 w4"], text_pair="w2"))


def test_a_pair_as_older_versions_had_it(pairs):
    """[[[text, text]]], which text-classification still takes, would be refused; several pairs in one list never worked."""
    native, ours = pairs["text"]
    assert same(ours([[["w1 w2", "w3"]]]), native([[["w1 w2", "w3"]]]))
    assert same(ours([[["w1 w2", "w3"]]]), [native({"text": "w1 w2", "text_pair": "w3"})])
    with pytest.raises(InputError, match="Item 0"):
        ours([["w1 w2", "w3"]])


def test_pairs_by_the_encoder_alone(classifiers):
    """Anchors of pairs could not be encoded, and a batch be sorted by the number of its texts."""
    vectors, _ = encode(classifiers["text"], PAIRS, at="head", batch_size=2)
    for row, pair in enumerate(PAIRS):
        torch.testing.assert_close(vectors[row], encode(classifiers["text"], [pair], at="head")[0][0])


@pytest.mark.parametrize("batch_size", [1, 3])
def test_an_empty_text_among_others(batch_size, pairs):
    """One of a thousand would lose the others' answers."""
    native, ours = pairs["text"]
    texts = ["w1 w2", "", "w3", " ", "\n"]
    assert same(ours(texts, batch_size=batch_size), native(texts))
    assert same(ours(""), native(""))


@pytest.mark.parametrize(
    "options",
    [
        {"truncation": True},
        {"truncation": "longest_first", "padding": True},
        {"padding": "max_length"},
        {"padding": True, "truncation": True, "pad_to_multiple_of": 8},
    ],
)
def test_keywords_of_tokenizers(options, pairs):
    """Calls that work with text-classification would be refused."""
    native, ours = pairs["text"]
    texts = [*stitched.items("text"), "w1 " * 60]
    assert same(ours(texts, **options), native(texts, **options))
    assert same(ours(texts, batch_size=3, **options), native(texts, batch_size=3, **{"padding": True} | options))


@pytest.mark.parametrize("max_length", [2, 5, 64, 500])
def test_texts_that_are_cut_shorter(max_length, pairs):
    """`truncation=True, max_length=...` is in many a call; other tokens would be read than were asked for."""
    native, ours = pairs["text"]
    texts = [*stitched.items("text"), "w1 " * 70]
    wanted = native(texts, truncation=True, max_length=min(max_length, 64))
    assert same(ours(texts, truncation=True, max_length=max_length, batch_size=2), wanted)
    assert same(ours(texts), native(texts, truncation=True))  # the next call is as before


def test_a_sentence_transformer_cuts_shorter(sentence):
    """The same of a model with a tokenizer of its own."""
    head = torch.nn.Linear(stitched.WIDTH, 3)
    pipe = pipeline("irp-stitch", model=stitched.identity(), encoder=sentence, head=head)
    assert pipe("w1 w2 w3", max_length=3) == pipe("w1 w2 w9", max_length=3) != pipe("w1 w2 w3")


def test_keywords_of_tokenizers_that_would_change_something(pairs, refusal):
    """A typing error would change nothing without a word."""
    _, ours = pairs["text"]
    for options in (
        {"truncation": "do_not_cut"},
        {"padding": "longst"},
        {"text_pair": ["w1"]},
        {"max_length": 0},
        {"pad_to_multiple_of": 0},
        {"add_special_tokens": False},  # other tokens than those that the anchors had
    ):
        text = refusal(ours, "w1", error=InputError, **options)
        assert next(iter(options)) in text
