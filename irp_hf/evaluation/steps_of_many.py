"""Rows of many pairs that lost their step: windows show them, and bisection between these where they begin and end."""

from __future__ import annotations

from dataclasses import replace

from irp_hf.data.arrays import Rows
from irp_hf.maths.alignment import Run, coordinates, misaligned_runs

WINDOW = 2000  # rows that are looked at one by one
WINDOWS = 9, 65  # evenly spaced, the first rows and the last among them: for few pairs, and for many
APART = 25_000  # rows that a window stands for, where there are many
EDGE = 32  # rows within which a run that began before a window is seen to begin there


def steps_lost(source: Rows, target: Rows) -> list[Run]:
    """Runs of rows of these that lost their step, in their order."""
    return _Windows(source, target).runs()


class _Windows:
    """Both sides, of which some windows are read."""

    def __init__(self, source: Rows, target: Rows) -> None:
        self.source, self.target = source, target
        self.count: int = source.num_rows
        self.size: int = min(WINDOW, self.count)

    def starts(self) -> list[int]:
        """Where the windows begin."""
        few, most = WINDOWS
        number = min(max(few, self.count // APART), most, -(-self.count // self.size))
        last = self.count - self.size
        return sorted({last * place // max(number - 1, 1) for place in range(number)})

    def runs(self) -> list[Run]:
        """What the windows show, joined where one run reaches over several."""
        found: list[Run] = []
        before = 0
        open_ended: Run | None = None  # that reached the end of the window before
        for start in self.starts():
            seen = self.at(start)
            if open_ended is not None:
                goes_on = next((run for run in seen if _same(run, open_ended) and self.begins(run, start)), None)
                if goes_on is None:
                    found[-1] = replace(open_ended, stop=self.end(open_ended, before, start))
                else:
                    found[-1] = _joined(open_ended, goes_on)
                    seen.remove(goes_on)
            for run in seen:
                inside = start == 0 or not self.begins(run, start)
                whole = run if inside else replace(run, first=self.begin(run, before, start))
                if not found or whole.first >= found[-1].stop - EDGE:  # of windows that overlap
                    found.append(whole)
            open_ended = found[-1] if found and found[-1].stop >= start + self.size - EDGE else None
            before = start
        return [replace(run, stop=self.count) if run.stop >= self.count - 1 else run for run in found]

    def at(self, start: int) -> list[Run]:
        """The runs of the window that begins at this row."""
        rows = slice(start, start + self.size)
        runs = misaligned_runs(*coordinates(self.source[rows].double(), self.target[rows].double()))
        return [
            replace(run, first=run.first + start, stop=run.stop + start, offset=run.offset + 2 * start * run.reverse)
            for run in runs
        ]

    def begins(self, run: Run, start: int) -> bool:
        """Whether it is there from the begin of its window on."""
        return run.first <= start + EDGE

    def begin(self, run: Run, without: int, within: int) -> int:
        """The row where it begins: between a window that does not have it and one that has it from its begin on."""
        while within - without > 1:
            middle = (without + within) // 2
            seen = next((one for one in self.at(middle) if _same(one, run)), None)
            if seen is not None and not self.begins(seen, middle):
                return seen.first
            without, within = (middle, within) if seen is None else (without, middle)
        return within

    def end(self, run: Run, within: int, without: int) -> int:
        """The row after its last: between a window that has it to its end and one that does not have it."""
        while without - within > 1:
            middle = (without + within) // 2
            seen = next((one for one in self.at(middle) if _same(one, run)), None)
            if seen is not None and seen.stop < middle + self.size - EDGE:
                return seen.stop
            within, without = (within, middle) if seen is None else (middle, without)
        return within + self.size


def _same(one: Run, other: Run) -> bool:
    return (one.offset, one.reverse) == (other.offset, other.reverse)


def _joined(one: Run, other: Run) -> Run:
    """Both as one, with the cosines of both."""
    share = (one.stop - one.first) / (one.stop - one.first + other.stop - other.first)
    own, found = (share * mine + (1 - share) * its for mine, its in ((one.own, other.own), (one.found, other.found)))
    return replace(one, stop=max(one.stop, other.stop), own=own, found=found)
