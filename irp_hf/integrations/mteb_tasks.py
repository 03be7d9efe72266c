"""Tasks of MTEB over rows that you hold: nothing is fetched, and its own runner scores them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Dataset, DatasetDict
from typing_extensions import override

from irp_hf.checks import check_count, check_list, check_text
from irp_hf.data.digests import digest
from irp_hf.errors import kind_of, missing, refusal, shown

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


class LocalClassification(AbsTaskClassification):
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

        Raises `InputError` for texts and labels that are not as many, and for labels that the other split lacks.
        """
        (texts, labels), (test_texts, test_labels) = _labelled(TRAIN, train), _labelled(TEST, test)
        numbers = {label: number for number, label in enumerate(sorted(set(labels), key=str))}
        if unseen := [label for label in test_labels if label not in numbers]:
            got = f"{shown(unseen[0])}, which no row of train has"
            raise refusal("test", "labels that train has", got, "Give rows of it to train.")
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

    @property
    def metadata(self) -> TaskMetadata:  # type: ignore[override]  # MTEB forgets those of an instance with its data
        """What MTEB knows of the task."""
        return self._own

    @override
    def load_data(self, num_proc: int | None = None, *, timer: TimingStack | None = None, **kwargs: Any) -> None:
        """The rows that were given."""
        splits = {name: Dataset.from_dict(columns) for name, columns in self._splits.items()}
        self.dataset, self.data_loaded = {"default": DatasetDict(splits)}, True

    def _calculate_scores(self, y_test: Any, *scored: Any, **options: Any) -> Any:
        """MTEB's, of labels that are read once: a lazy column of `datasets` is read anew for each of twenty looks at it."""
        return super()._calculate_scores(np.asarray(y_test), *scored, **options)


class LocalRetrieval(AbsTaskRetrieval):
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

        Raises `InputError` for what is no text, and for ids that there are not.
        """
        self._queries, self._corpus = _texts("queries", queries), _texts("corpus", corpus)
        self._relevant = {query: dict(grades) for query, grades in relevant.items()}
        for query, grades in self._relevant.items():
            _check_known("relevant", query, self._queries, "queries")
            for document in grades:
                _check_known("relevant", document, self._corpus, "corpus")
        if not any(self._relevant.values()):
            raise refusal("relevant", "a document for one query at least", "none", "Give {query: {document: 1}}.")
        told = [text for texts in (self._queries, self._corpus) for pair in texts.items() for text in pair]
        told += [str(one) for query, grades in self._relevant.items() for one in (query, *sorted(grades.items()))]
        self._own = _metadata(name, told, languages, type="Retrieval", category="t2t", main_score="ndcg_at_10")
        super().__init__()

    @property
    def metadata(self) -> TaskMetadata:  # type: ignore[override]  # MTEB forgets those of an instance with its data
        """What MTEB knows of the task."""
        return self._own

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
    texts, labels = (check_list(f"{split}'s {what}", one) for what, one in zip(("texts", "labels"), pair, strict=True))
    if not texts or len(texts) != len(labels):
        raise refusal(split, "texts, and as many labels", f"{len(texts)} texts and {len(labels)} labels", advice)
    return [check_text(f"Text {row} of {split}", text) for row, text in enumerate(texts)], labels


def _texts(name: str, given: Mapping[str, str]) -> dict[str, str]:
    """Texts by their ids, which are texts, too."""
    if not isinstance(given, Mapping) or not given:
        got = "none" if isinstance(given, Mapping) else kind_of(given)
        raise refusal(name, "texts by their ids", got, "Give {'1': 'a text'}, say.")
    for key, text in given.items():
        check_text(f"An id of {name}", key, "Give str(id).")
        check_text(f"{name} {shown(key)}", text, "Give a text.")
    return dict(given)


def _check_known(name: str, key: str, known: Mapping[str, str], where: str) -> None:
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
            check_language_code(code)
        except ValueError as error:
            expected, advice = "codes as MTEB has them, 'eng-Latn' say", "Leave them out for English."
            raise refusal("languages", expected, shown(code), advice) from error
    return TaskMetadata(
        name=f"{check_text('name', name, 'Name the task.')}-{revision}",
        description=f"Rows of your own: {name}.",
        dataset={"path": name, "revision": revision},
        modalities=["text"],
        eval_splits=[TEST],
        eval_langs=list(languages),
        **known,
    )
