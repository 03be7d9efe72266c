"""How a report says by what its method was chosen, and why not another that its table shows better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from irp_hf.evaluation.from_dict import Check, within
from irp_hf.evaluation.held_out import Row
from irp_hf.evaluation.measures import among
from irp_hf.evaluation.printed import number
from irp_hf.maths.inverses import INVERSES, Inverse
from irp_hf.maths.metrics import NEIGHBORS
from irp_hf.maths.request import OBJECTIVES

COMPARED = "it is shown for comparison and never chosen, since it needs the vectors of both sides in one place"
UNSURE = "where that is not sure, the cosine decides"
LARGER = "A larger index keeps fewer: report(index_size=) says how many."
AMONG_MORE = "Of a larger index so many candidates hold fewer: evaluate(x, y) says how many on pairs of your own."
A_TENTH = f"a tenth of the anchors, but {NEIGHBORS} at least: among more, whatever is any good finds nearly all"
MATCHED_ANEW = "folds of the anchors, of which none had a part in what was matched for it"


@dataclass(frozen=True)
class Setting:
    """Hyper-parameters that the selection tried, and their objective out of fold."""

    words: str
    """As `connect` takes them, `gamma=2, ridge=0.003, restoration=0.5`."""
    score: float

    def checks(self) -> list[Check]:
        """Whether what was read can be true."""
        return [within("score", self.score, -1, 1)]


@dataclass(frozen=True)
class Chosen:
    """What a report knows of the choice of its method."""

    method: str
    objective: str
    score: float
    finalists: Sequence[Setting]
    rows: Sequence[Row]
    num_anchors: int
    given: bool
    """Whether the user chose the method."""
    of_index: bool
    """Whether the report says what an index keeps."""
    by_clusters: bool = False
    """Whether what is kept of inputs unlike the anchors decided."""
    depth: int | None = None
    """How many candidates were asked for, where the objective has any."""
    backed: bool | None = None
    """Where unpaired rows stood behind the anchors for the choice: whether what is measured is that fit."""

    def words(self) -> str:
        """A paragraph: by what it was chosen, how flat the optimum is, and what the table shows better."""
        return " ".join([self._choice(), *self._surpassed()])

    def _choice(self) -> str:
        inverse = next((inverse for inverse in INVERSES.values() if inverse.title == self.method), Inverse)
        by = self._title(self.objective)
        held_out = inverse.held_out if self.backed is None else MATCHED_ANEW
        where = f" on clusters of anchors that were left out whole{'' if self.given else ', as below'}"
        text = f"Chosen by {by}{where if self.by_clusters else ''}: {self.method}, {number(self.score)} by {held_out}."
        if self.given:
            text = f"The method was given: {self.method}, {by} {number(self.score)} by {held_out}."
            text += f" Its settings were chosen{where}." if self.by_clusters else ""
        if self.objective == "neighbors" and not self.of_index:
            text += f" {LARGER}"
        text += self._candidates()
        by_angle = self.objective == "cosine"  # about the mean, which all vectors of a space may share
        if len(self.finalists) == 1:
            return text
        best, other = self.finalists
        measure = ", by the cosine about the mean and with nothing restored yet" if by_angle else ""
        text += (
            f" How flat its optimum is: in tuning{measure}, {best.words} had {number(best.score)}, and the best of "
            f"the others, {other.words}, {number(other.score)}."
        )
        less = round(other.score - best.score, 3)
        why = inverse.lower if by_angle else UNSURE
        return f"{text} The first was taken although it had {number(less)} less: {why}." if less > 0 else text

    def _title(self, name: str) -> str:
        """What a measure is called."""
        return among(name, self.num_anchors, depth=self.rows[0].evaluation.depth)

    def _candidates(self) -> str:
        """What recall tells of an index; empty of another objective."""
        found = self.rows[0].evaluation.depth
        if self.depth is None or found is None:
            return ""
        stand = f" Here {found:,} stand for {self.depth:,} candidates in an index: {A_TENTH}."
        return f"{stand if found < self.depth else ''} {AMONG_MORE}"

    def _surpassed(self) -> list[str]:
        """Why the chosen method is not another that the table shows better: by what it was chosen, or by chance."""
        chosen = next(row for row in self.rows if row.method == self.method)
        titles = [inverse.title for inverse in INVERSES.values()]
        rivals = [row for row in self.rows if row.method in titles and row is not chosen]
        told = []
        for name in (name for name in OBJECTIVES if name in chosen.evaluation.measures()):
            sure = name != self.objective  # by which nothing was chosen: what may be chance is no news
            if name == self.objective or not self.given:
                told += self._better(name, chosen, rivals, sure)
            if name == self.objective:
                others = [row for row in self.rows if row.method not in titles]
                told += self._better(name, chosen, others, sure, COMPARED)
        return told

    def _better(self, name: str, chosen: Row, rows: list[Row], sure: bool, why: str = "") -> list[str]:
        """A sentence on the best of these rows by a measure, where that is above the chosen one's; `sure`: beyond chance."""
        measured = [(row.evaluation.measures()[name], row.method) for row in rows if name in row.evaluation.measures()]
        if not measured:
            return []
        (best, method), own = max(measured, key=lambda one: one[0].mean), chosen.evaluation.measures()[name]
        chance = best.low <= own.high
        if round(best.mean, 3) <= round(own.mean, 3) or (sure and chance):
            return []
        by, where = self._title(name), "within" if chance else "beyond"
        figures = f"{method} reaches {number(best.mean)}, {chosen.method} {number(own.mean)}"
        return [f"By {by}, {figures}, {where} the intervals: {why or self._why(name, chance)}."]

    def _why(self, name: str, chance: bool) -> str:
        """Why an inverse that is better by this measure was not chosen; by `chance`, it may be."""
        if self.given:
            return "the method was given"
        if self.backed is False and name == self.objective:
            return "it was chosen with unpaired rows, which are not stored"
        if self.by_clusters and name == self.objective:
            return "the choice was for inputs unlike the anchors"
        if name == self.objective and name != "cosine" and chance:
            return UNSURE
        if name == self.objective:
            return "it was chosen with options that were given, or with a head that this report does not have"
        return f"objective={name!r} chooses by that"
