"""An adapter in MTEB's own runner, on rows that are held here: what it scores is what the bridge gives."""

import mteb
import numpy as np
import pytest
import tiny_encoders as tiny
import torch
from bridged import ANCHORS, HELD, TEXTS
from datasets import Dataset, DatasetDict
from mteb.abstasks import AbsTaskClassification
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import EncoderProtocol
from says import says
from sklearn.linear_model import LogisticRegression

from irp_hf import AnchoredSpace, AnchorSet, InputError, IRPAdapter
from irp_hf.encoding import encode
from irp_hf.errors import shown
from irp_hf.integrations.mteb import IRPEncoder
from irp_hf.integrations.mteb_tasks import LocalClassification, LocalRetrieval
from irp_hf.stitching import Bridge

QUIET = {"cache": None, "show_progress_bar": False, "co2_tracker": False}


def label(text):
    """The fifth of the vocabulary that a text begins in."""
    return f"topic {int(text.split()[0][1:]) // 8}"


def labelled(texts):
    return texts, [label(text) for text in texts]


@pytest.fixture(scope="module")
def topics():
    return LocalClassification("topics", labelled(TEXTS[:ANCHORS]), labelled(HELD), n_experiments=3)


@pytest.fixture(scope="module")
def search():
    """Each query is a document of the corpus by its words."""
    corpus = {f"d{row}": text for row, text in enumerate(HELD)}
    queries = {f"q{row}": HELD[row] for row in range(30)}
    return LocalRetrieval("search", queries, corpus, {f"q{row}": {f"d{row}": 1} for row in range(30)})


@pytest.fixture(scope="module")
def with_old(pair):
    """Translations alone, beside the old encoder's own vectors."""
    return Bridge(str(pair.new), pair.adapter, str(pair.old), 1)


def score(encoder, task):
    (result,) = mteb.evaluate(encoder, task, **QUIET).task_results
    return result.get_score()


def test_it_is_a_model_of_mteb(bridge):
    """If it fails, tasks refuse it."""
    encoder = IRPEncoder(bridge)
    assert isinstance(encoder, EncoderProtocol)
    meta = encoder.mteb_model_meta
    assert (meta.embed_dim, meta.modalities, len(meta.revision)) == (24, ["text"], 40)
    assert says(meta.name, "irp_hf/", "new", "old")


def test_heads_of_the_old_encoder_are_scored_on_translations(with_old, topics, pair):
    """If it fails, the benchmark scores another thing than heads that never saw the encoder."""

    found = score(IRPEncoder(with_old), topics)
    assert 0.3 < found < 1  # a fifth, by chance
    native = encode(str(pair.old), TEXTS[:ANCHORS], pooling="mean")[0].numpy()
    translated = with_old.encode(HELD)
    *_, rows = topics._undersample_data(_column(TEXTS[:ANCHORS]), 0)
    head = LogisticRegression(max_iter=100, random_state=42).fit(native[rows], [label(TEXTS[row]) for row in rows])
    first = mteb.evaluate(IRPEncoder(with_old), topics, **QUIET).task_results[0].scores["test"][0]
    expected = head.score(translated, [label(text) for text in HELD])
    assert first["scores_per_experiment"][0]["accuracy"] == pytest.approx(expected, abs=0.01)


def _column(texts):

    return Dataset.from_dict({"text": texts, "label": [label(text) for text in texts]})


def test_queries_are_scored_in_the_index_of_the_old_encoder(with_old, bridge, search, pair):
    """If it fails, documents are translated although their true vectors are there, or queries are not."""
    documents = encode(str(pair.old), HELD, pooling="mean")[0].numpy()
    assert score(IRPEncoder(with_old), search) == pytest.approx(_ndcg(with_old.encode(HELD[:30]), documents), abs=1e-4)
    assert score(IRPEncoder(bridge), search) == pytest.approx(1)  # both sides translated alike
    assert 0.2 < score(IRPEncoder(with_old), search) < 1


def _ndcg(queries, documents):
    """At 10, where one document is relevant."""
    unit = documents / np.linalg.norm(documents, axis=1, keepdims=True)
    scores = queries / np.linalg.norm(queries, axis=1, keepdims=True) @ unit.T
    ranks = (scores > np.diagonal(scores[:, : len(queries)])[:, None]).sum(1)
    return np.where(ranks < 10, 1 / np.log2(ranks + 2), 0).mean()


def test_a_cache_tells_adapters_weights_and_rows_apart(with_old, bridge, pair, topics, tmp_path):
    """If it fails, the score of one adapter, or of other rows, is handed on as that of another."""
    mixed = Bridge(str(pair.new), pair.adapter, str(pair.old), 0.5)
    other = Bridge(str(pair.new), pair.adapter.reverse("whitened").reverse("whitened"), str(pair.old), 1)
    encoders = [IRPEncoder(one) for one in (with_old, bridge, mixed, other)]
    assert len({encoder.mteb_model_meta.revision for encoder in encoders}) == 4
    assert IRPEncoder(with_old).mteb_model_meta.revision == encoders[0].mteb_model_meta.revision
    cache = mteb.ResultCache(str(tmp_path))
    options = {**QUIET, "cache": cache}
    scores = [mteb.evaluate(one, topics, **options).task_results[0].get_score() for one in encoders[:2]]
    again = mteb.evaluate(encoders[0], topics, **options, overwrite_strategy="only-cache").task_results[0].get_score()
    assert again == pytest.approx(scores[0], abs=1e-5)
    swapped = LocalClassification("topics", labelled(TEXTS[:ANCHORS]), (HELD, topics_of_others()), n_experiments=3)
    assert swapped.metadata.name != topics.metadata.name
    with pytest.raises(ValueError, match="no results found"):
        mteb.evaluate(encoders[0], swapped, **options, overwrite_strategy="only-cache")


def topics_of_others():
    return [label(text) for text in HELD[::-1]]


def test_a_task_runs_again_after_its_data_was_forgotten(bridge, search):
    """If it fails, a second model cannot be scored on the same task."""
    assert score(IRPEncoder(bridge), search) == score(IRPEncoder(bridge), search)
    assert not search.data_loaded


def test_what_it_cannot_score_is_refused(bridge, refusal):
    """If it fails, an integer precision is written down and not made."""
    task = LocalRetrieval("few", {"q": HELD[0]}, {"d": HELD[1]}, {"q": {"d": 1}})
    options = {**QUIET, "encode_kwargs": {"precision": "int8"}, "error": InputError}
    assert says(refusal(mteb.evaluate, IRPEncoder(bridge), task, **options), "precision", "'int8'")


@pytest.mark.parametrize(
    ("train", "test", "words"),
    [
        ((["a"], [1, 2]), (["b"], [1]), ["train", "1 texts and 2 labels"]),
        ((["a"], [1]), (["b"], [2]), ["test", "2", "train"]),
        ((["a", 3], [1, 1]), (["b"], [1]), ["Text 1 of train", "3"]),
        (["a", "b", "c"], (["b"], [1]), ["train", "3 values"]),
        (3, (["b"], [1]), ["train", "3"]),
        ((["a", "b"], [1, None]), (["b"], [1]), ["train", "None in row 1"]),
        ((["a", "b"], [1, 2]), (["b"], np.array([np.nan])), ["test", "nan in row 0"]),
        ((["a", "b"], [[1], [2]]), (["b"], [1]), ["train", "[1] in row 0"]),
        ((["a", "b"], [1, 1]), (["b"], [1]), ["train", "two", "1 alone"]),
    ],
)
def test_rows_that_are_no_classification_are_refused(train, test, words, refusal):
    """If it fails, MTEB fails at them in the middle of a run, or scores something else."""
    assert says(refusal(LocalClassification, "few", train, test, error=InputError), *words)


@pytest.mark.parametrize(
    ("queries", "corpus", "relevant", "words"),
    [
        ({"q": "a"}, {"d": "b"}, {"q": {"e": 1}}, ["relevant", "'e'", "corpus"]),
        ({"q": "a"}, {"d": "b"}, {"p": {"d": 1}}, ["relevant", "'p'", "queries"]),
        ({"q": "a"}, {"d": "b"}, {}, ["relevant", "none"]),
        ({"q": 3}, {"d": "b"}, {"q": {"d": 1}}, ["queries 'q'", "3"]),
        (["a"], {"d": "b"}, {"q": {"d": 1}}, ["queries", "a list"]),
        ({"q": "a"}, {"d": "b"}, None, ["relevant", "None"]),
        ({"q": "a"}, {"d": "b"}, {"q": ["d"]}, ["relevant 'q'", "a list"]),
        ({"q": "a"}, {"d": "b"}, {"q": {"d": 0.5}}, ["'d'", "'q'", "0.5"]),
        ({"q": "a"}, {"d": "b"}, {"q": {"d": 10**30}}, ["'d'", "'q'", "10000"]),
        ({"q": "a"}, {"d": "b"}, {"q": {"d": 0}}, ["relevant", "none"]),
    ],
)
def test_rows_that_are_no_retrieval_are_refused(queries, corpus, relevant, words, refusal):
    """If it fails, MTEB fails at them in the middle of a run, or scores something else."""
    assert says(refusal(LocalRetrieval, "few", queries, corpus, relevant, error=InputError), *words)


def test_a_language_that_mteb_does_not_know_is_refused(refusal):
    """If it fails, the error is one of another library, about a field that nobody gave."""
    options = {"languages": ["English"], "error": InputError}
    text = refusal(LocalRetrieval, "few", {"q": "a"}, {"d": "b"}, {"q": {"d": 1}}, **options)
    assert says(text, "languages", "English", "eng-Latn")


@pytest.mark.parametrize("name", ["", "../mine", "a/b", "x" * 250])
def test_a_name_that_no_file_can_have_is_refused(name, refusal):
    """If it fails, a score lies outside of MTEB's cache, or is lost after a run of hours."""
    text = refusal(LocalRetrieval, name, {"q": "a"}, {"d": "b"}, {"q": {"d": 1}}, error=InputError)
    assert says(text, "name", shown(name))
    assert says(refusal(LocalRetrieval, "n", {"q": "a"}, {"d": "b"}, {"q": {"d": 1}}, languages=[3]), "languages", "3")


def test_labels_and_grades_of_other_kinds_are_the_same_task(bridge):
    """If it fails, labels of an array or a tensor, and grades of numpy, end in another library's traceback."""
    labels = [row % 2 for row in range(40)]
    tasks = [
        LocalClassification("kinds", (HELD[:40], kind), (HELD[40:80], labels), n_experiments=2)
        for kind in (labels, np.array(labels), torch.tensor(labels), np.array(labels, bool))
    ]
    assert len({score(IRPEncoder(bridge), task) for task in tasks}) == 1
    corpus = {f"d{row}": text for row, text in enumerate(HELD[:20])}
    tasks = [LocalRetrieval("kinds", {"q": HELD[0]}, corpus, {"q": {"d0": one}}) for one in (1, True, np.int64(1))]
    assert {score(IRPEncoder(bridge), task) for task in tasks} == {1.0}
    assert len({task.metadata.name for task in tasks}) == 1


PICTURES = tiny.pictures(36)


class Pictures(AbsTaskClassification):
    """Noise in two classes, a task of MTEB's own kind."""

    metadata = TaskMetadata(
        name="pictures",
        description="Noise.",
        dataset={"path": "pictures", "revision": "1"},
        type="ImageClassification",
        modalities=["image"],
        category="i2c",
        eval_langs=["eng-Latn"],
        main_score="accuracy",
    )
    input_column_name = "image"
    n_experiments = 2

    def load_data(self, *args, **options):
        splits = {"train": PICTURES[:20], "test": PICTURES[20:]}
        rows = {name: {"image": one, "label": [row % 2 for row in range(len(one))]} for name, one in splits.items()}
        self.dataset = DatasetDict({name: Dataset.from_dict(columns) for name, columns in rows.items()})
        self.data_loaded = True


def test_pictures_are_scored_too(tmp_path):
    """If it fails, only texts can be measured, or pictures are read as something else."""
    folder = tiny.save(tmp_path / "vit", tiny.model("vit", **tiny.LAYERS, **tiny.PATCHES), tiny.image_processor())
    space = AnchoredSpace.encode(str(folder), AnchorSet(PICTURES), pooling="cls", progress=False)
    target = AnchoredSpace.from_embeddings(np.tanh(space.anchors.detach().numpy()[:, :9]), AnchorSet(PICTURES))
    bridge = Bridge(str(folder), IRPAdapter.connect(space, target, method="whitened"))
    seen = []

    class Watched(IRPEncoder):
        def encode(self, *args, **options):
            seen.append(super().encode(*args, **options))
            return seen[-1]

    assert 0 <= score(Watched(bridge), Pictures()) <= 1
    np.testing.assert_allclose(seen[-1], bridge.encode(PICTURES[20:]), atol=1e-4)


def test_items_of_two_kinds_at_once_are_refused(bridge, refusal):
    """If it fails, a picture's caption is scored as if it were the picture."""
    both = Pictures.metadata.model_copy(update={"modalities": ["image", "text"]})
    options = {"task_metadata": both, "hf_split": "test", "hf_subset": "default", "error": InputError}
    assert says(refusal(IRPEncoder(bridge).encode, [], **options), "image and text", "pictures")
