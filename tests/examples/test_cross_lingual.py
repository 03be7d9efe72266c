"""examples/cross_lingual.py: which sentences are anchors and which are tested, what is scored, and a small real run."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = ROOT / "examples"
TEXTS = st.integers(0, 6).map(lambda number: f"word{number}")
TABLES = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=12)


@pytest.fixture(autouse=True)
def _examples_found(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))


@pytest.fixture(scope="module")
def data():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        import cross_lingual_data

        yield cross_lingual_data


@pytest.fixture(scope="module")
def tasks():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        import cross_lingual_task

        yield cross_lingual_task


def joined(rows: list[tuple[str, str]]) -> list[set[int]]:
    """Rows that a chain of shared texts joins, by growing one row's set until nothing is added."""
    found = []
    for row in range(len(rows)):
        group, size = {row}, 0
        while len(group) > size:
            size = len(group)
            english, spanish = ({rows[member][side] for member in group} for side in (0, 1))
            group |= {other for other, (en, es) in enumerate(rows) if en in english or es in spanish}
        found.append(group)
    return found


@given(TABLES)
def test_a_meaning_is_all_that_translations_join(data, rows):
    """If it fails, a translation of an anchor may be tested: the test would know its answers."""
    english, spanish = zip(*rows, strict=True)
    numbers = data.meanings(english, spanish)
    groups = joined(rows)
    for one, other in product(range(len(rows)), repeat=2):
        assert (numbers[one] == numbers[other]) == (other in groups[one])


@pytest.mark.slow
@given(TABLES)
def test_one_pair_of_each_meaning_is_kept(data, rows):
    """If it fails, meanings are lost or kept twice."""
    kept = data.one_per_meaning(pd.DataFrame(rows, columns=["en", "es"]))
    assert len(kept) == len({frozenset(group) for group in joined(rows)})
    assert not kept["en"].duplicated().any()
    assert not kept["es"].duplicated().any()
    assert set(zip(kept["en"], kept["es"], strict=True)) <= set(rows)


def test_case_and_punctuation_make_no_meaning(data):
    """If it fails, `Wait!` may be an anchor and `wait` a test sentence."""
    assert data.words("¡Espera,  Tom!") == data.words("espera tom") == "espera tom"
    assert len(set(data.meanings(["Wait!", "wait", "Go."], ["¡Espera!", "Aguarda.", "Ve."]))) == 2


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("Who painted it?", "person"),
        ("Where's the book?", "place"),
        ("How many are there?", "number"),
        ("When did he go?", "number"),
        ("Why do cats purr?", "description"),
        ("How are you?", None),  # asks for none of the classes
        ("Whose is it?", None),
        ("Do you know who he is?", None),
        ("Where there is smoke, there is fire.", None),  # no question
    ],
)
def test_the_first_words_tell_the_class(data, question, wanted):
    """If it fails, the column "right class" is wrong."""
    assert data.asked_for(question) == wanted


@pytest.mark.slow
def test_the_classes_are_those_of_trec(data):
    """If it fails, the first words name other classes than the head was trained on."""
    from trec import load_trec

    trec = load_trec()
    asked = np.array([data.asked_for(text) for text in trec.texts], object)
    known = asked != np.array(None)
    assert known.sum() > 1000
    assert (asked[known] == trec.labels[known]).mean() > 0.95


def small_pairs(data, monkeypatch):
    rows = [(f"Who is {name}?" if name % 2 else f"This is {name}.", f"¿Quién es {name}?") for name in range(60)]
    monkeypatch.setattr(data, "NUM_ANCHORS", 10)
    return data.divide(pd.DataFrame(rows, columns=["en", "es"]), 20, 7)


def test_parts_are_disjoint(data, monkeypatch):
    """If it fails, an anchor is tested, or a test question is no question."""
    pairs = small_pairs(data, monkeypatch)
    assert (len(pairs.sentences), len(pairs.questions), len(pairs.others)) == (20, 7, 33)
    texts = [text for part in (pairs.sentences, pairs.questions, pairs.others) for text in part["en"]]
    assert len(set(texts)) == 60
    assert set(pairs.questions["class"]) == {"person"}


def test_anchors_have_two_views_of_the_same_rows(data, monkeypatch):
    """If it fails, the sides encode different sentences, or sentences that are tested."""
    pairs = small_pairs(data, monkeypatch)
    anchors = pairs.anchors(0)
    assert len(anchors) == 10
    known = set(zip(pairs.others["en"], pairs.others["es"], strict=True))
    assert set(zip(anchors.view("en"), anchors.view("es"), strict=True)) <= known
    assert pairs.anchors(0) == anchors
    assert pairs.anchors(1) != anchors


@pytest.fixture(scope="module")
def built(tasks):
    generator = np.random.default_rng(0)
    asked = np.array(["place", "person", "number"])[generator.integers(3, size=12)]
    index = torch.from_numpy(generator.normal(size=(30, 4)))
    head = LogisticRegression().fit(index[:12].numpy(), asked)
    return tasks.Built(index, head, asked)


def test_scores_are_those_of_a_slow_reference(tasks, built):
    """If it fails, a table shows other recalls, ranks or shares than it names."""
    x = built.questions + torch.from_numpy(np.random.default_rng(1).normal(size=(12, 4)))
    native = built.answers(built.questions)
    wanted = []
    for row, vector in enumerate(x):
        cosines = [float(vector @ other / vector.norm() / other.norm()) for other in built.index]
        rank = sum(cosine >= cosines[row] for cosine in cosines)
        answer = built.head.predict(vector[None].float().numpy())[0]
        wanted.append([rank == 1, rank <= 10, 1 / rank, answer == native[row], answer == built.asked[row]])
    found = built.score(native)(x)
    assert found.shape == (len(tasks.MEASURES), 12)
    assert torch.allclose(found, torch.tensor(wanted, dtype=torch.float64).T)
    assert 0 < found[0].mean() < found[1].mean() < 1  # neither trivially right nor wrong


def test_native_vectors_find_themselves(built):
    """If it fails, native is not 1 by definition, as the notes promise."""
    assert torch.equal(built.score(built.answers(built.questions))(built.questions)[:4], torch.ones(4, 12).double())


def test_chance_is_what_guesses_get(built):
    """If it fails, "better than chance" is measured against a wrong number."""
    ranks, answers = range(1, 31), built.answers(built.questions)
    guessed = [
        np.mean([rank == 1 for rank in ranks]),
        np.mean([rank <= 10 for rank in ranks]),
        np.mean([1 / rank for rank in ranks]),
        *(np.mean([a == b for a, b in product(answers, side)]) for side in (answers, built.asked)),
    ]
    assert built.chance() == pytest.approx(guessed)


@pytest.mark.slow
def test_a_small_real_run(data, monkeypatch, tmp_path):
    """If it fails, Spanish no longer reaches the English index and head, or a second run gives another table."""
    import cross_lingual

    for name, value in {"NUM_SENTENCES": 200, "NUM_QUESTIONS": 150, "NUM_ANCHORS": 300}.items():
        monkeypatch.setattr(data, name, value)
    caches = (data.load_pairs, cross_lingual.build)
    for cache in caches:
        cache.cache_clear()
    try:
        (first,), (again,) = (list(cross_lingual.compare([(data.USE, data.MINILM)], [0])) for _ in range(2))
    except SystemExit as missing:
        pytest.skip(str(missing))
    finally:
        for cache in caches:
            cache.cache_clear()
    assert first == again
    cells = {(cell.contestant, cell.measure): cell for cell in first.cells}
    for measure in cross_lingual.MEASURES:
        ours = cells[cross_lingual.OURS, measure]
        for name in (cross_lingual.CHANCE, cross_lingual.RAW, cross_lingual.READS):
            assert ours.low > cells[name, measure].high
        assert 0 < cells[cross_lingual.REBUILT, measure].mean <= 1
    assert cells[cross_lingual.NATIVE, "class as in English"].mean == 1
