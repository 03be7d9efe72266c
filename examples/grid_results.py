"""What a comparison found: means over samples of anchors, intervals over test rows, and the table of both."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import torch
from grid import CHANCE, INVERSES, NATIVE, OURS, RAW, Scores, Task
from torch import Tensor
from trec import RESULTS, ROOT, versions

from irp_hf.evaluation import bootstrap, number, signed
from irp_hf.evaluation.from_dict import dataclass_from_dict
from irp_hf.evaluation.printed import markdown

ALL = "all"


@dataclass(frozen=True)
class Cell:
    """One contestant at one task, by one measure."""

    task: str
    measure: str
    contestant: str
    samples: tuple[float, ...]
    """Its mean over the test rows, for each sample of anchors."""
    low: float
    high: float
    """The 95 % interval of its mean, over test rows."""

    @property
    def mean(self) -> float:
        """Over samples."""
        return sum(self.samples) / len(self.samples)

    def __str__(self) -> str:
        """As `.709 ±.004`, mean and standard deviation over samples; without the latter where all are alike."""
        spread = torch.tensor(self.samples, dtype=torch.float64).std(correction=0)
        return number(self.mean) + (f" ±{number(float(spread))}" if len(set(self.samples)) > 1 else "")


@dataclass(frozen=True)
class Difference:
    """Ours less one baseline, row by row of the same test set; with its 95 % interval."""

    task: str
    measure: str
    baseline: str
    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        """As `+.046 (+.030 to +.062)`."""
        mean, low, high = map(signed, (self.mean, self.low, self.high))
        return f"{mean} ({low} to {high})"


@dataclass(frozen=True)
class Results:
    """All that a table, a picture or a reader of JSON wants."""

    title: str
    command: str
    versions: tuple[str, ...]
    num_anchors: int
    seeds: tuple[int, ...]
    num_test: int
    cells: tuple[Cell, ...]
    differences: tuple[Difference, ...]

    @classmethod
    def of(
        cls,
        title: str,
        tasks: Sequence[Task],
        scores: Scores,
        num_anchors: int,
        seeds: Sequence[int],
        packages: Iterable[str],
    ) -> Results:
        """Means, intervals and differences of all scores `(samples, m, n)`."""
        cells, differences = [], []
        for task in tasks:
            for row, measure in enumerate(task.measures):
                given = _known(scores[task.name], row)
                for name, every in given.items():
                    (measured,) = bootstrap(every.mean(0)[None])
                    samples = tuple(every.mean(1).tolist())
                    cells.append(Cell(task.name, measure, name, samples, measured.low, measured.high))
                differences += [Difference(task.name, measure, name, *gain) for name, gain in _gains(given)]
        differences += list(_gains_over_all(tasks, scores))
        known = [f"{name} {version}" for name, version in versions(packages).items()]
        known.append(f"Python {platform.python_version()}")
        script = os.path.relpath(sys.argv[0], ROOT)
        num_test = len(tasks[0].target_test)
        command = " ".join(["python", script, *sys.argv[1:]])
        return cls(title, command, tuple(known), num_anchors, tuple(seeds), num_test, tuple(cells), tuple(differences))

    def save(self, name: str) -> None:
        """The numbers and their table."""
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", "utf-8")
        (RESULTS / f"{name}.md").write_text(self.to_markdown(), "utf-8")

    @classmethod
    def read(cls, name: str) -> Results:
        """What was saved."""
        plain = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
        return dataclass_from_dict(cls, plain, name)

    def to_markdown(self) -> str:
        """A table for each measure, what it means, and how to get it again."""
        measures = list(dict.fromkeys(cell.measure for cell in self.cells))
        tables = "\n\n".join(markdown(self.table(measure)) for measure in measures)
        seeds = ", ".join(map(str, self.seeds))
        return (
            f"**{self.title}**\n\n{tables}\n\n"
            f"{self.num_anchors:,} anchors, {self.num_test:,} test rows that are no anchors and chose nothing. Mean and "
            f"standard deviation over samples of anchors (seeds {seeds}); in parentheses the 95 % interval of the "
            "difference, row by row of the test set.\n\n"
            f"`{self.command}`, with {', '.join(self.versions)}.\n"
        )

    def table(self, measure: str) -> list[list[str]]:
        """Contestants down, tasks across; last what is kept of the native value, on the mean over tasks.

        The differences in the last column are of the measure itself, on the mean over tasks.
        """
        cells = {(c.contestant, c.task): c for c in self.cells if c.measure == measure}
        contestants = list(dict.fromkeys(name for name, _ in cells))
        tasks = list(dict.fromkeys(task for _, task in cells))
        lines = [[measure, *tasks, "kept, mean"]]
        for name in contestants:
            kept = [cells[name, task].mean / cells[NATIVE, task].mean for task in tasks]
            lines.append([name, *(str(cells[name, task]) for task in tasks), number(sum(kept) / len(kept))])
        best = [self.best_baseline(task, measure) for task in (*tasks, ALL)]
        lines.append(["best baseline", *(difference.baseline for difference in best)])
        lines.append(["irp_hf: auto less it", *map(str, best)])
        return lines

    def best_baseline(self, task: str, measure: str) -> Difference:
        """The baseline that comes nearest to ours."""
        found = [d for d in self.differences if (d.task, d.measure) == (task, measure)]
        return min(found, key=lambda difference: difference.mean)


def _known(scores: dict[str, Tensor], row: int) -> dict[str, Tensor]:
    """One measure `(samples, n)` of every contestant that has it."""
    return {name: every[:, row] for name, every in scores.items() if not every[:, row].isnan().any()}


def _gains_over_all(tasks: Sequence[Task], scores: Scores) -> Iterable[Difference]:
    """The same on the mean over tasks; all have the same test rows."""
    for row, measure in enumerate(tasks[0].measures):
        given = [_known(scores[task.name], row) for task in tasks]
        over_all = {name: torch.stack([rows[name] for rows in given]).mean(0) for name in given[0]}
        yield from (Difference(ALL, measure, name, *gain) for name, gain in _gains(over_all))


def _gains(given: dict[str, Tensor]) -> Iterable[tuple[str, tuple[float, float, float]]]:
    """Ours less each baseline: mean and interval of the differences `(n,)`, the mean over samples."""
    ours = given[OURS].mean(0)
    for name, every in given.items():
        if name not in (NATIVE, CHANCE, RAW, OURS, *INVERSES.values()):
            (gain,) = bootstrap((ours - every.mean(0))[None], bounded=False)
            yield name, (gain.mean, gain.low, gain.high)
