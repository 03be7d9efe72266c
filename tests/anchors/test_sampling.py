"""Which rows become anchors."""

import os
import subprocess
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path

import datasets
import numpy as np
import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from says import says

import irp_hf.anchors.anchor_set
from irp_hf.anchors.anchor_set import AnchorSet
from irp_hf.anchors.sampling import farthest, stratified
from irp_hf.errors import InputError, MissingDependencyError

PACKAGE = str(Path(irp_hf.anchors.anchor_set.__file__).parents[1])
TEXTS = [f"text {row}" for row in range(100)]
LABELS = ["rare"] * 10 + ["some"] * 30 + ["many"] * 60
TABLE = {"text": TEXTS, "label": LABELS}
TABLE_OF_DATASETS = datasets.Dataset.from_dict(TABLE)
POINTS = np.random.RandomState(0).standard_normal((100, 8))
WITH_NAN, WITH_ZEROS = POINTS.copy(), POINTS.copy()
WITH_NAN[3, 2], WITH_ZEROS[7] = np.nan, 0


def test_every_kind_of_table_gives_the_same_anchors():
    """The same rows in a Dataset, a frame or a list would give other anchors."""
    table = datasets.Dataset.from_dict(TABLE)
    sets = [
        AnchorSet.sample(rows, num_anchors=10, seed=1)
        for rows in (table, table.with_format("torch"), pandas.DataFrame(TABLE), table.to_list(), TEXTS)
    ]
    assert all(anchors == sets[0] for anchors in sets)
    assert sets[0].view() == [TEXTS[row] for row in sets[0].indices]


@pytest.mark.slow
def test_the_sample_is_the_same_in_every_release_and_process():
    """Two owners who name the same dataset and seed would encode different items."""
    expected = (26, 86, 2, 55, 75)
    assert AnchorSet.sample(TEXTS, num_anchors=5, seed=0).indices == expected
    code = (
        f"import sys, types; package = types.ModuleType('irp_hf'); package.__path__ = [{PACKAGE!r}];"
        "sys.modules['irp_hf'] = package; from irp_hf.anchors.anchor_set import AnchorSet;"
        "print(AnchorSet.sample([f'text {row}' for row in range(100)], num_anchors=5, seed=0).indices)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == str(expected)


def test_a_smaller_sample_is_the_beginning_of_a_larger_one():
    """A study of the number of anchors could not slice one set of embeddings."""
    for options in ({}, {"strategy": "farthest", "embeddings": POINTS}):
        small = AnchorSet.sample(TEXTS, num_anchors=10, seed=5, **options).indices
        large = AnchorSet.sample(TEXTS, num_anchors=40, seed=5, **options).indices
        assert large[:10] == small
        assert AnchorSet.sample(TEXTS, num_anchors=10, seed=6, **options).indices != small


def test_several_columns_become_views():
    """Parallel anchors in two languages could not be taken from one table."""
    table = datasets.Dataset.from_dict({"a": TEXTS, "b": [text.upper() for text in TEXTS]})
    named = AnchorSet.sample(table, views={"en": "a", "es": "b"}, num_anchors=5)
    assert named.views == ("en", "es")
    assert named.view("es") == [text.upper() for text in named.view("en")]
    assert AnchorSet.sample(table, column=["a", "b"], num_anchors=5).views == ("a", "b")
    assert AnchorSet.sample(table, column="b", num_anchors=5).views == ("text",)


def test_pictures_come_from_a_dataset(tmp_path):
    """Sampling pictures would fail, or would see them otherwise than a list of the same pictures."""
    images = [Image.new("RGB", (4, 3), (row, 0, 0)) for row in [0, 1, 2, 3, 3]]
    table = datasets.Dataset.from_dict({"image": images}, features=datasets.Features(image=datasets.Image()))
    anchors = AnchorSet.sample(table, column="image", num_anchors=4)
    assert (anchors.views, anchors.num_duplicates) == (("image",), 1)
    assert anchors == AnchorSet([images[row] for row in anchors.indices])


def test_duplicates_are_dropped_before_sampling():
    """A repeated row would be drawn twice, or `embeddings` would go out of step with the rows."""
    rows = [TEXTS[row // 2] for row in range(100)]
    points = np.repeat(POINTS[:50], 2, axis=0)
    for options in (
        {},
        {"strategy": "farthest", "embeddings": points},
        {"strategy": "kmeans", "embeddings": points},
        {"strategy": "stratified", "label_column": "label"},
    ):
        table = [{"text": text, "label": row % 4 // 2} for row, text in enumerate(rows)]
        anchors = AnchorSet.sample(table, num_anchors=50, **options)
        assert sorted(anchors.indices) == list(range(0, 100, 2))
        assert anchors.num_duplicates == 50


def greedy(points: np.ndarray, count: int, start: int) -> list[int]:
    """Always on to the row whose largest cosine with those before is smallest, the first of equal ones."""
    chosen, nearest = [start], np.full(len(points), -np.inf, dtype=np.float32)
    while len(chosen) < count:
        np.maximum(nearest, points @ points[chosen[-1]], out=nearest)
        nearest[chosen[-1]] = np.inf
        chosen.append(int(nearest.argmin()))
    return chosen


@pytest.mark.parametrize("copies", [1, 3])
def test_farthest_points_are_the_greedy_ones(copies):
    """The anchors would not spread over the space, or two owners with one seed would sample others, ties among them."""
    points = np.tile(POINTS, (copies, 1))
    unit = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    count = len(points) - 5
    chosen = farthest(unit, count, 0)
    assert chosen == greedy(unit, count, chosen[0])
    assert chosen[0] == np.random.RandomState(0).permutation(len(points))[0]
    assert len(set(chosen)) == count


def test_the_sample_of_farthest_points_is_the_same_in_every_release():
    """Two owners who name the same embeddings and seed would encode different items."""
    found = AnchorSet.sample(TEXTS, num_anchors=8, strategy="farthest", embeddings=POINTS).indices
    assert found == (26, 63, 14, 89, 69, 97, 46, 34)


def test_whole_numbers_and_columns_are_embeddings_too():
    """Quantized embeddings, or those in a column of the table itself, could not be used."""
    whole = np.round(POINTS * 100).astype(np.int16)
    column = datasets.Dataset.from_dict({"e": [row.tolist() for row in whole.astype(np.float64)]})["e"]
    options = {"num_anchors": 8, "strategy": "farthest"}
    samples = [
        AnchorSet.sample(TEXTS, embeddings=found, **options) for found in (whole, torch.from_numpy(whole), column)
    ]
    assert samples[0].indices == samples[1].indices == samples[2].indices


@pytest.mark.parametrize("strategy", ["farthest", "kmeans"])
def test_embeddings_spread_the_anchors(strategy):
    """Ten tight clusters would not each get an anchor; torch, half precision and scale must not matter."""
    centres = np.random.RandomState(1).standard_normal((10, 8))
    points = np.repeat(centres, 10, axis=0) + 0.01 * POINTS
    for embeddings in (points, 1e4 * points.astype(np.float16), torch.tensor(points, dtype=torch.bfloat16)):
        anchors = AnchorSet.sample(TEXTS, num_anchors=10, strategy=strategy, embeddings=embeddings)
        assert {row // 10 for row in anchors.indices} == set(range(10))


def test_kmeans_fills_up_where_embeddings_are_equal():
    """Equal embeddings of distinct texts would give fewer anchors than asked for."""
    points = np.repeat(POINTS[:5], 20, axis=0)
    with pytest.warns(UserWarning, match="distinct clusters"):
        anchors = AnchorSet.sample(TEXTS, num_anchors=30, strategy="kmeans", embeddings=points)
    assert len(anchors) == 30


@given(st.lists(st.sampled_from("abcd"), min_size=2, max_size=40), st.data())
def test_stratified_keeps_shares(labels, data):
    """A rare label would vanish or crowd out the others."""
    count = data.draw(st.integers(2, len(labels)))
    chosen = stratified(labels, count, 0)
    assert len(chosen) == len(set(chosen)) == count
    drawn = Counter(labels[row] for row in chosen)
    for label, total in Counter(labels).items():
        assert abs(drawn[label] - total * count / len(labels)) < 1
    gaps = {label: total * count / len(labels) - drawn[label] for label, total in Counter(labels).items()}
    assert all(abs(gaps[one] - gaps[two]) < 1 + 1e-9 for one, two in combinations(gaps, 2))


def test_stratified_reads_labels_of_the_table():
    """The labels would belong to other rows."""
    anchors = AnchorSet.sample(pandas.DataFrame(TABLE), num_anchors=10, strategy="stratified", label_column="label")
    assert Counter(LABELS[row] for row in anchors.indices) == {"rare": 1, "some": 3, "many": 6}


FARTHEST = {"strategy": "farthest"}
WRONG = [
    ({"num_anchors": 200}, ["num_anchors", "200", "at most 100", "0 duplicates"]),
    ({"num_anchors": 1}, ["num_anchors", "at least 2", "got 1"]),
    ({"num_anchors": 2.5}, ["num_anchors", "2.5"]),
    ({"num_anchors": True}, ["num_anchors", "True"]),
    ({"seed": -1}, ["seed", "-1", "4294967295"]),
    ({"seed": None}, ["seed", "None"]),
    ({"strategy": "best"}, ["strategy", "'best'", "'uniform', 'kmeans', 'farthest', 'stratified'"]),
    ({"strategy": ["kmeans"]}, ["strategy", "['kmeans']"]),
    ({"strategy": "kmeans"}, ["embeddings", "'kmeans'", "None"]),
    ({"strategy": "stratified"}, ["label_column", "'stratified'", "None"]),
    ({"embeddings": POINTS}, ["embeddings", "'uniform'", "'kmeans', 'farthest'"]),
    ({"label_column": "label"}, ["label_column", "'uniform'"]),
    ({"strategy": "stratified", "label_column": ["label"]}, ["label_column", "['label']"]),
    ({"column": "txt"}, ["'txt'", "'text', 'label'"]),
    ({"column": 0}, ["column", "0"]),
    ({"column": [["text"]]}, ["column", "['text']"]),
    ({"column": []}, ["at least 2", "no view"]),
    ({"views": "text"}, ["views", "'text'"]),
    ({"views": {"en": None}}, ["view 'en'", "None"]),
    (FARTHEST | {"embeddings": POINTS[:9]}, ["embeddings", "(100, d)", "(9, 8)"]),
    (FARTHEST | {"embeddings": POINTS[0]}, ["embeddings", "(8,)"]),
    (FARTHEST | {"embeddings": "points.npy"}, ["embeddings", "'points.npy'"]),
    (FARTHEST | {"embeddings": WITH_NAN}, ["Row 3 of embeddings", "NaN"]),
    (FARTHEST | {"embeddings": WITH_ZEROS}, ["Row 7 of embeddings", "zeros", "1 row"]),
    (FARTHEST | {"embeddings": POINTS.astype(str)}, ["embeddings", "<U32"]),
]


@pytest.mark.parametrize(("options", "words"), WRONG)
def test_wrong_options_are_refused_in_words(options, words, refusal):
    """A wrong option would be ignored, or fail deep inside numpy."""
    text = refusal(AnchorSet.sample, TABLE_OF_DATASETS, error=InputError, **options)
    assert says(text, *words)


@pytest.mark.parametrize(
    ("table", "options", "words"),
    [
        (TABLE_OF_DATASETS.to_iterable_dataset(), {}, ["an IterableDataset", "take"]),
        (
            datasets.DatasetDict(train=TABLE_OF_DATASETS, test=TABLE_OF_DATASETS),
            {},
            ["a DatasetDict", "'train', 'test'"],
        ),
        ([{"text": "a"}, {"txt": "b"}], {}, ["Row 1 of the dataset", "'txt'", "'text'"]),
        ([{"text": "a"}, "b"], {}, ["Row 1 of the dataset", "no columns"]),
        (TEXTS, {"column": ["a", "b"]}, ["2 columns", "bare items"]),
        (TEXTS, {"strategy": "stratified", "label_column": "label"}, ["'label'", "bare items"]),
        (pandas.DataFrame([["a", "b"]], columns=["text", "text"]), {}, ["'text'", "2 of that name"]),
        ([], {}, ["at least 2", "0 in 'text'"]),
        (5, {}, ["dataset", "an int"]),
        (TABLE_OF_DATASETS.with_transform(lambda rows: rows), {}, ["a transform", "reset_format"]),
    ],
)
def test_wrong_tables_are_refused_in_words(table, options, words, refusal):
    """A stream or a dict of splits would fail without a word on what to pass instead."""
    text = refusal(AnchorSet.sample, table, error=InputError, **options)
    assert says(text, *words)


@pytest.mark.parametrize("label", [None, float("nan"), pandas.NA, [1]])
def test_a_missing_label_is_refused_in_words(label, refusal):
    """Every NaN would count as a label of its own."""
    rows = [{"text": "a", "label": 1}, {"text": "b", "label": label}]
    options = {"num_anchors": 2, "strategy": "stratified", "label_column": "label"}
    text = refusal(AnchorSet.sample, rows, error=InputError, **options)
    assert "Row 1 of 'label'" in text
    assert repr(label) in text


def test_kmeans_without_scikit_learn_names_the_extra(monkeypatch):
    """Users would read that a module they never heard of is missing."""
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    with pytest.raises(MissingDependencyError) as caught:
        AnchorSet.sample(TEXTS, num_anchors=5, strategy="kmeans", embeddings=POINTS)
    assert "scikit-learn" in str(caught.value)
    assert "pip install 'irp_hf[sampling]'" in str(caught.value)
