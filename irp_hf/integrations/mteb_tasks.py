"""Tasks of MTEB over rows that you hold: nothing is fetched, and its own runner scores them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Dataset, DatasetDict
from typing_extensions import override

from irp_hf.checks import check_count, check_list, check_text
from irp_hf.data.digests import digest
from irp_hf.data.wrong import is_missing
from irp_hf.errors import IRPError, kind_of, missing, refusal, shown

try:
    from mteb.abstasks import AbsTaskClassification, AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.languages import check_language_code
except ImportError as error:
    raise missing("Tasks of MTEB", "mteb>=2.26", "irp_hf[mteb]") from error

if TYPE_CHECKING:
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
    from mteb.timing import TimingStack

Labelled = tuple[Sequence[str], Sequence[Any]]
ENGLISH = ("eng-Latn",)
TEST, TRAIN = "test", "train"
RELEVANT = "Give {query: {document: 1}}."
LARGEST_GRADE = 2**31 - 1  # what counts them further down has 32 bits
NAME = re.compile(r"\w[\w .,()+-]{0,59}")  # of a file, too, in MTEB's cache


class _Own:
    """A task that knows by itself what MTEB knows of it: MTEB forgets those of an instance with its data."""

    _own: TaskMetadata

    @property
    def metadata(self) -> TaskMetadata:
        """What MTEB knows of the task."""
        return self._own


class LocalClassification(_Own, AbsTaskClassification):  # type: ignore[override]  # there it is an attribute
    """Texts with labels: MTEB trains classifiers on some rows of each label, and scores them on the test rows.

        task = LocalClassification("my-topics", train=(texts, labels), test=(more_texts, their_labels))
        mteb.evaluate(IRPEncoder(bridge), task).task_results[0].get_score()

    MTEB caches a score under the task's name, which ends with a digest of the rows.
    """

    def __init__(
        self,
        name: str,
        train: Labelled,
        test: Labelled,
        *,
        samples_per_label: int = 8,
        n_experiments: int = 10,
        languages: Sequence[str] = ENGLISH,
    ) -> None:
        """Take texts and as many labels for each split; `samples_per_label` are drawn, `n_experiments` times.

        Raises `InputError` for texts and labels that are not as many, for a label that is missing, for labels that train
        lacks, and for fewer than two.
        """
        (texts, labels), (test_texts, test_labels) = _labelled(TRAIN, train), _labelled(TEST, test)
        numbers = {label: number for number, label in enumerate(sorted(set(labels), key=str))}
        if unseen := [label for label in test_labels if label not in numbers]:
            got = f"{shown(unseen[0])}, which no row of train has"
            raise refusal("test", "labels that train has", got, "Give rows of it to train.")
        if len(numbers) < 2:
            raise refusal(
                "train's labels", "two different ones at least", f"{shown(labels[0])} alone", "Add other rows."
            )
        self._splits: dict[str, dict[str, list[Any]]] = {
            TRAIN: {"text": texts, "label": [numbers[label] for label in labels]},
            TEST: {"text": test_texts, "label": [numbers[label] for label in test_labels]},
        }
        self.samples_per_label = check_count("samples_per_label", samples_per_label)
        self.n_experiments = check_count("n_experiments", n_experiments)
        told = [str(samples_per_label), str(n_experiments)]
        told += [str(value) for split in self._splits.values() for column in split.values() for value in column]
        self._own = _metadata(name, told, languages, type="Classification", category="t2c", main_score="accuracy")
        super().__init__()

    @override
    def load_data(self, num_proc: int | None = None, *, timer: TimingStack | None = None, **kwargs: Any) -> None:
        """The rows that were given."""
        splits = {name: Dataset.from_dict(columns) for name, columns in self._splits.items()}
        self.dataset, self.data_loaded = {"default": DatasetDict(splits)}, True

    def _calculate_scores(self, y_test: Any, *scored: Any, **options: Any) -> Any:
        """MTEB's, of labels that are read once: a lazy column of `datasets` is read anew for each of twenty looks at it."""
        return super()._calculate_scores(np.asarray(y_test), *scored, **options)


class LocalRetrieval(_Own, AbsTaskRetrieval):  # type: ignore[override]
    """Queries, documents, and which of these are relevant: MTEB searches by cosine, and scores by NDCG at 10.

        task = LocalRetrieval("my-search", {"q1": "how to …"}, {"d1": "A manual of …"}, {"q1": {"d1": 1}})
        mteb.evaluate(IRPEncoder(bridge), task).task_results[0].get_score()

    MTEB caches a score under the task's name, which ends with a digest of the rows.
    """

    def __init__(
        self,
        name: str,
        queries: Mapping[str, str],
        corpus: Mapping[str, str],
        relevant: Mapping[str, Mapping[str, int]],
        *,
        languages: Sequence[str] = ENGLISH,
    ) -> None:
        """Take texts by their ids, and for ids of queries the grades of documents, by their ids.

        A grade is a whole number, above 0 for what is relevant. Raises `InputError` for what is no text or no grade, and for
        ids that there are not.
        """
        self._queries, self._corpus = _texts("queries", queries), _texts("corpus", corpus)
        self._relevant: dict[str, dict[str, int]] = {}
        for query, grades in _mapping("relevant", relevant).items():
            _check_known("relevant", query, self._queries, "queries")
            self._relevant[query] = own = {}
            for document, grade in _mapping(f"relevant {shown(query)}", grades).items():
                _check_known("relevant", document, self._corpus, "corpus")
                subject = f"Grade of {shown(document)} for {shown(query)}"
                grade = int(grade) if isinstance(grade, bool) else grade
                own[document] = check_count(subject, grade, -LARGEST_GRADE, LARGEST_GRADE, "1 is relevant, 0 is not.")
        if not any(grade > 0 for grades in self._relevant.values() for grade in grades.values()):
            raise refusal("relevant", "a document for one query at least", "none", RELEVANT)
        told = [text for texts in (self._queries, self._corpus) for pair in texts.items() for text in pair]
        told += [str(one) for query, grades in self._relevant.items() for one in (query, *sorted(grades.items()))]
        self._own = _metadata(name, told, languages, type="Retrieval", category="t2t", main_score="ndcg_at_10")
        super().__init__()

    @override
    def load_data(self, num_proc: int | None = None, *, timer: TimingStack | None = None, **kwargs: Any) -> None:
        """The rows that were given."""
        rows: RetrievalSplitData = {
            "queries": _rows({query: self._queries[query] for query in self._relevant}),
            "corpus": _rows(self._corpus),
            "relevant_docs": self._relevant,
            "top_ranked": None,
        }
        self.dataset, self.data_loaded = {"default": {TEST: rows}}, True


def _labelled(split: str, given: Labelled) -> tuple[list[str], list[Any]]:
    """Texts and labels, as many of both."""
    advice = "Give a pair: (texts, labels)."
    pair = check_list(split, given, advice=advice)
    if len(pair) != 2:
        raise refusal(split, "texts and labels", f"{len(pair)} values", advice)
    texts, marks = pair
    plain = marks.tolist() if hasattr(marks, "tolist") else marks  # an array's or a tensor's own numbers are no labels
    texts, labels = check_list(f"{split}'s texts", texts), check_list(f"{split}'s labels", plain)
    if not texts or len(texts) != len(labels):
        raise refusal(split, "texts, and as many labels", f"{len(texts)} texts and {len(labels)} labels", advice)
    for row, label in enumerate(labels):
        if is_missing(label) or not _is_hashable(label):
            got = f"{shown(label)} in row {row}"
            raise refusal(
                f"{split}'s labels", "one label for each text", got, "Give a text or a number, or drop the row."
            )
    return [check_text(f"Text {row} of {split}", text) for row, text in enumerate(texts)], labels


def _is_hashable(label: Any) -> bool:
    try:
        hash(label)
    except TypeError:
        return False
    return True


def _texts(name: str, given: Mapping[str, str]) -> dict[str, str]:
    """Texts by their ids, which are texts, too."""
    if not isinstance(given, Mapping) or not given:
        got = "none" if isinstance(given, Mapping) else kind_of(given)
        raise refusal(name, "texts by their ids", got, "Give {'1': 'a text'}, say.")
    for key, text in given.items():
        check_text(f"An id of {name}", key, "Give str(id).")
        check_text(f"{name} {shown(key)}", text, "Give a text.")
    return dict(given)


def _mapping(name: str, given: Any) -> Mapping[Any, Any]:
    """Grades by ids."""
    if not isinstance(given, Mapping):
        raise refusal(name, "grades by the ids of documents, for ids of queries", kind_of(given), RELEVANT)
    return given


def _check_known(name: str, key: Any, known: Mapping[str, str], where: str) -> None:
    """Raise `InputError` for an id that there is not."""
    if key not in known:
        raise refusal(name, f"ids of {where}", f"{shown(key)}, which is none", f"Leave it out, or give it to {where}.")


def _rows(texts: Mapping[str, str]) -> Dataset:
    return Dataset.from_dict({"id": list(texts), "text": list(texts.values())})


def _metadata(name: str, told: list[str], languages: Sequence[str], **known: Any) -> TaskMetadata:
    """What MTEB knows of a task; `told` is all that its scores depend on."""
    revision = digest(told).partition(":")[2][:12]
    for code in check_list("languages", languages, least=1):
        try:
            check_language_code(check_text("languages", code))
        except ValueError as error:
            if isinstance(error, IRPError):
                raise
            expected, advice = "codes as MTEB has them, 'eng-Latn' say", "Leave them out for English."
            raise refusal("languages", expected, shown(code), advice) from error
    advice = "Shorten it, and leave out what names of files cannot hold: my-search, say."
    if not NAME.fullmatch(check_text("name", name, "Name the task.")):
        raise refusal(
            "name", "up to 60 letters, digits and spaces, with which a file may be named", shown(name), advice
        )
    return TaskMetadata(
        name=f"{name}-{revision}",
        description=f"Rows of your own: {name}.",
        dataset={"path": name, "revision": revision},
        modalities=["text"],
        eval_splits=[TEST],
        eval_langs=list(languages),
        **known,
    )
