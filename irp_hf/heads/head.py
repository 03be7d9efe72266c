"""A head, whatever it was: from vectors of the target space to logits, what the logits mean, and labels."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig
from typing_extensions import Self

from irp_hf.arithmetic import own_arithmetic
from irp_hf.checks import check_choice, check_count, check_list, quoted
from irp_hf.data.pickles import refuse_unpicklable
from irp_hf.errors import IRPError, first_line, kind_of, printable, refusal, shown
from irp_hf.heads.cut import HeadCut
from irp_hf.heads.digests import head_digest
from irp_hf.heads.probabilities import ending, like_probabilities
from irp_hf.heads.tracing import shape_or_kind
from irp_hf.records import EncoderRecord
from irp_hf.turns import Turns

MULTI = "multi_label_classification"
PROBLEMS = ("regression", "single_label_classification", MULTI)
MOST_BITS = 62  # of an int64 that tells a set of labels
NAMED = 12  # classes that an error names
LOGITS = "Pass it without its last layer, as head[:-1]; of an estimator pass the estimator itself."
RESTING = Turns()
_rests: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()  # parts to train, and how many threads let them rest


class Head(nn.Module):
    """From vectors of the target space, `(n, d_Y)`, to logits, `(n, num_labels)`, and what the logits mean."""

    def __init__(
        self,
        scorer: Callable[[Tensor], Any],
        *,
        labels: list[str] | None = None,
        problem_type: str | None = None,
        dim: int | None = None,
        record: EncoderRecord | Mapping[str, Any] | None = None,
        classes: list[Any] | None = None,
    ) -> None:
        """A head of any function `scorer`; `nn.Module`s become a part of it, in evaluation mode.

        `labels` are the names of the logits, `problem_type` is one of transformers', `dim` is d_Y, `record` says where the
        head comes from: the id and the commit of its classifier; `classes` are the values that stand for the logits in a
        user's table, as a fitted estimator's `classes_` are. None where not known. Raises `InputError` for others.
        """
        super().__init__()
        if not callable(scorer):
            raise refusal("scorer", "a function from vectors to logits", kind_of(scorer), "Open others with open_head.")
        self.scorer = scorer
        self.labels = None if labels is None else check_list("labels", labels, least=1)
        self.problem_type = None if problem_type is None else check_choice("problem_type", problem_type, PROBLEMS)
        self.dim = None if dim is None else check_count("dim", dim)
        self.record = EncoderRecord.from_dict(record, "record")
        self.classes = None if classes is None else check_list("classes", classes, least=1)
        for value in self.classes or ():
            if not isinstance(value, Hashable):
                raise refusal("classes", "numbers or texts", shown(value), "Give what stands in a column of labels.")
        if self.classes is not None and self.labels is not None and len(self.classes) != len(self.labels):
            expected, got = f"one for each of {len(self.labels)} labels", f"{len(self.classes)}"
            raise refusal("classes", expected, got, "Give them in the order of the logits.")
        self.eval()

    @own_arithmetic(gradients=True)
    def forward(self, vectors: Tensor) -> Tensor:
        """Logits `(n, num_labels)`, float32, on the head's own device; raises `InputError` where the head fails."""
        if not isinstance(vectors, Tensor) or vectors.dim() != 2:
            got = shape_or_kind(vectors)
            expected = f"a tensor of shape (n, {self.dim or 'd_Y'})"
            raise refusal("The head's vectors", expected, got, "Give one row for each item.")
        if not len(vectors):  # some heads cannot run on nothing
            return self(vectors.new_zeros(1, vectors.shape[1]))[:0]  # type: ignore[no-any-return]
        if self.dim is not None and vectors.shape[1] != self.dim:
            advice = "Connect the adapter to the space that this head reads."
            raise refusal("The head's vectors", f"{self.dim} numbers each", f"{vectors.shape[1]}", advice)
        weight = next((p for p in self.parameters() if p.is_floating_point()), None)
        fitting = vectors.float() if weight is None else vectors.to(weight.device, weight.dtype)
        try:
            logits = logits_of(self.scorer(fitting))
        except IRPError:
            raise
        except Exception as error:  # whatever a foreign head may raise
            raise refusal(
                "The head",
                f"one that reads vectors of shape {tuple(vectors.shape)}",
                f"{type(error).__name__} ({first_line(error)})",
                "Give a head that reads the target's vectors.",
            ) from error
        if logits.dim() == 3 and logits.shape[1] == 1:  # a few models of transformers keep the place of a token
            logits = logits[:, 0]
        rows, count = len(vectors), len(self.labels or ())
        if logits.dim() != 2 or len(logits) != rows or not logits.shape[1] or (count and logits.shape[1] != count):
            expected = f"logits of shape ({rows}, {count or 'num_labels'}) for {rows} vectors"
            got = f"shape {tuple(logits.shape)}"
            advice = "Give a head that returns one row of logits for each vector."
            if logits.shape == (rows,):
                advice = "Of one score for each vector, give head(vectors)[:, None]; numbers of classes are no scores."
            raise refusal("The head", expected, got, advice)
        return logits.float()

    @own_arithmetic()
    def predict(self, vectors: Tensor) -> Tensor:
        """The label of each of `vectors (n, d_Y)` as the number of its logit: `(n,)` int64, on the CPU.

        It is the largest logit's; of a head with one logit it is 1 where that is above 0, and else 0. Of a head with several
        labels at once it is a number that tells the set of those whose logits are above 0. The head is asked in
        evaluation mode, and left in the mode that it was in. Raises `InputError` for a regressor, which has no labels, for NaN
        among the logits, where labels are told by signs and the head ends in a sigmoid or a softmax, and where `forward` does.
        """
        self.check_has_labels()
        with evaluation_mode(self):
            logits = self(vectors)
        if logits.isnan().any():
            row = int(logits.isnan().any(1).nonzero()[0])
            raise refusal(
                "The head's logits", "numbers", f"NaN in row {row} of {len(logits)}", "Check the head's weights."
            )
        if self._by_sign(logits) and (end := ending(self.scorer)):
            expected, got = "logits, above 0 where a label is given", f"numbers of one sign, since {end}"
            raise refusal("The head", expected, got, LOGITS)
        if self.problem_type == MULTI:
            return _numbered_sets(logits > 0).cpu()
        labels: Tensor = (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)
        return labels.cpu()

    @own_arithmetic(gradients=True)
    def like_probabilities(self, vectors: Tensor, by_sign: bool = False) -> str | None:
        """How what it gives for `vectors (n, d_Y)` tells that these are no logits, in words; None where it does not.

        `by_sign` asks that of heads alone whose labels the signs of the logits tell.
        """
        with torch.no_grad(), evaluation_mode(self):
            outputs = self(vectors)
            if not len(outputs) or (by_sign and not self._by_sign(outputs)):
                return None
            return like_probabilities(self.scorer, self, vectors, outputs)

    def _by_sign(self, logits: Tensor) -> bool:
        return self.problem_type == MULTI or logits.shape[1] == 1

    def check_has_labels(self) -> None:
        """Raise `InputError` for a regressor."""
        if self.problem_type == "regression":
            raise refusal("head", "a classifier, whose labels can be compared", "a regressor", "Give a classifier.")

    @own_arithmetic()
    def number_labels(self, labels: Any, vectors: Tensor) -> Tensor:
        """The true labels of `vectors (n, d_Y)` as `predict` numbers them: `(n,)` int64.

        `labels (n,)`, of any kind of array, are values among `classes` where the head has them, else names among `labels` or
        numbers of logits; of a head with several labels at once `(n, num_labels)`, 1 where a label is given and else 0. Raises
        `InputError` for other labels, and where `forward` does.
        """
        if self.problem_type == MULTI:
            with torch.no_grad(), evaluation_mode(self):
                count = self(vectors[:1]).shape[1]
            return _numbered_sets(torch.from_numpy(_given(labels, len(vectors), count)))
        given = _one_each(labels, len(vectors))
        if self.classes is not None:
            return _places(given.tolist(), self.classes)
        if given.dtype.kind in "OSU" and self.labels is not None and len(self.labels) > 1:
            return _places(given.tolist(), self.labels)
        if given.dtype.kind not in "biu" or given.min() < 0:
            got = str(given.min() if given.dtype.kind == "i" else given.dtype)
            expected = "whole numbers from 0, each the place of the right logit"
            raise refusal("labels", expected, got, "Number the classes as the head's logits are.")
        with evaluation_mode(self):
            count = max(2, self(vectors[:1]).shape[1])  # one logit parts two classes
        if given.max() >= count:
            expected = f"numbers from 0 to {count - 1}, each the place of the right logit"
            raise refusal("labels", expected, str(given.max()), "Number the classes as the head's logits are.")
        return torch.from_numpy(given.astype(np.int64))

    def full_record(self) -> EncoderRecord:
        """Its record with the digest of its tensors; a function has none."""
        digest = head_digest(self.scorer)
        return self.record if digest is None else self.record.with_values(head_sha256=digest)

    def names(self, num_labels: int) -> list[str]:
        """The labels' names, LABEL_0, ... where the head has none."""
        return self.labels or [unnamed(i) for i in range(num_labels)]

    def __getstate__(self) -> dict[str, Any]:
        """As pickle can carry it; raises `InputError` for a function of the user's own that it cannot."""
        refuse_unpicklable("The head", self.scorer)
        return dict(vars(self))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A copy; a function need not have a name for that."""
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__setstate__(copy.deepcopy(dict(vars(self)), memo))  # type: ignore[no-untyped-call]
        return twin

    def extra_repr(self) -> str:
        """What `print` shows."""
        name, count = printable(self.record.id or "given in memory"), len(self.labels or ())
        return f"{name}: {self.dim or 'any'} wide, {count or 'unknown'} labels"


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Within it, dropout and batch statistics rest; once no thread is within it, each part is in the mode that it was in."""
    with RESTING.taken():
        training = [part for part in module.modules() if part.training or part in _rests]
        for part in training:
            _rests[part] = _rests.get(part, 0) + 1
            part.training = False
    try:
        yield
    finally:
        with RESTING.taken():
            for part in training:
                _rests[part] -= 1
                if not _rests[part]:
                    del _rests[part]
                    part.training = True


def of_config(
    cut: HeadCut, config: PreTrainedConfig | None, name: str | None, commit: str | None, kind: str | None = None
) -> Head:
    """A head with the names and the problem of a classifier's configuration, and where the classifier comes from."""
    problem, names = getattr(config, "problem_type", None), label_names(config)
    record = {"id": name, "revision": commit, "kind": kind}
    return Head(
        cut.head_only(),
        labels=names if names and len(names) == cut.num_labels else None,
        problem_type=problem if problem in PROBLEMS else None,
        dim=cut.dim,
        record={key: value for key, value in record.items() if value is not None},
    )


def logits_of(output: Any) -> Tensor:
    """The logits in what a head returned: a tensor, an array, nested lists, or what holds one as "logits"."""
    if isinstance(output, Mapping) and "logits" in output:
        output = output["logits"]
    elif hasattr(output, "logits"):
        output = output.logits
    if isinstance(output, tuple) and len(output) == 1:
        output = output[0]
    if isinstance(output, Mapping) or (isinstance(output, tuple) and any(np.ndim(part) for part in output[1:])):
        held = quoted(output) if isinstance(output, Mapping) else f"{len(output)} values"
        advice = "Pass a function that takes the logits out of it: lambda vectors: head(vectors)[0], say."
        raise refusal("The head", "a tensor of logits", f"{kind_of(output)} of {held}", advice)
    if hasattr(output, "toarray"):
        output = output.toarray()
    if not isinstance(output, Tensor):  # of lists numpy makes float64, whatever dtype is torch's default
        array = np.asarray(output)
        if array.dtype.hasobject:
            raise TypeError(f"it returned {kind_of(output)}")
        output = torch.from_numpy(array)
    logits: Tensor = output.to_dense() if output.layout is not torch.strided else output
    if logits.is_complex() or logits.dtype == torch.bool or (logits.dim() < 2 and not logits.is_floating_point()):
        got = f"{logits.dtype} of shape {tuple(logits.shape)}"
        advice = "Pass the classifier itself, or a function that gives its scores."
        raise refusal("The head", "logits, a score for each label", got, advice)
    return logits


def _numbered_sets(given: Tensor) -> Tensor:
    """A number `(n,)` for the set of labels of each row of `given (n, num_labels)`, the same for the same sets."""
    count = given.shape[1]
    if count <= MOST_BITS:
        worth = 2 ** torch.arange(count, dtype=torch.int64, device=given.device)
    else:  # two sets of so many share a number once in 2^62
        drawn = torch.Generator("cpu").manual_seed(0)
        worth = torch.randint(2**62, (count,), generator=drawn, dtype=torch.int64, device="cpu").to(given.device)
    return (given.long() * worth).sum(1)


def _given(labels: Any, num_rows: int, num_labels: int) -> np.ndarray[Any, Any]:
    """Which labels each row has, `(n, num_labels)` of booleans."""
    try:
        given = np.asarray(labels.toarray() if hasattr(labels, "toarray") else labels)
    except ValueError:
        given = np.empty(0)  # lists of unequal length
    if given.shape != (num_rows, num_labels) or given.dtype.kind not in "biuf" or not np.isin(given, (0, 1)).all():
        expected = f"zeros and ones of shape ({num_rows}, {num_labels}), 1 where a vector has a label"
        got = f"{given.dtype} of shape {given.shape}"
        raise refusal("labels", expected, got, "sklearn.preprocessing.MultiLabelBinarizer makes them of lists.")
    return given.astype(bool)


def _one_each(labels: Any, num_rows: int) -> np.ndarray[Any, Any]:
    """The labels as an array `(n,)`."""
    try:
        given = np.asarray(labels.tolist() if isinstance(labels, Tensor) else labels)
    except ValueError as error:
        advice = "Choose one class of several."
        raise refusal("labels", "one class for each vector", "lists of unequal length", advice) from error
    if given.shape != (num_rows,):
        expected = f"one for each of {num_rows} vectors, shape {(num_rows,)}"
        raise refusal("labels", expected, f"shape {given.shape}", "Give them in the order of x.")
    return given


def _places(labels: list[Any], known: list[Any]) -> Tensor:
    """The place of each label among the classes that are known; a name that two classes share tells neither."""
    places = {label: place for place, label in enumerate(known) if known.count(label) == 1}
    for label in labels:
        if not isinstance(label, Hashable) or label not in places:
            expected = f"classes of the head, {quoted(known[:NAMED])}{', …' if len(known) > NAMED else ''}"
            raise refusal("labels", expected, shown(label), "Name them as the head does.")
    return torch.tensor([places[label] for label in labels], dtype=torch.int64, device="cpu")


def label_names(config: Any) -> list[str] | None:
    """The names of the logits by a configuration's `id2label`: of logit i what stands at i, LABEL_i where nothing does.

    There are as many logits as names, as transformers counts them. JSON keeps the numbers as texts. None without, and where
    they do not tell each logit's: a key that is no number, one a second time, a value that is no name.
    """
    names = getattr(config, "id2label", None)
    if not isinstance(names, dict) or not names or not all(isinstance(name, str | Real) for name in names.values()):
        return None
    try:
        numbered = {int(number): str(name) for number, name in names.items()}
        "".join(numbered.values()).encode()  # half of a character is none
    except (TypeError, ValueError):
        return None
    return [numbered.get(i, unnamed(i)) for i in range(len(names))] if len(numbered) == len(names) else None


def unnamed(logit: int) -> str:
    """What a logit is called that has no name, as transformers calls it."""
    return f"LABEL_{logit}"
