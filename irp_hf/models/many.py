"""Fits on more pairs than an exact solve can take: a sample, sums over chunks, and the judges as the anchors that are kept."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from irp_hf.arithmetic import own_arithmetic
from irp_hf.checks import quoted
from irp_hf.configuration_irp import IRPConfig
from irp_hf.data.arrays import LARGEST, Rows, refuse_not_finite
from irp_hf.data.canary import Canary
from irp_hf.data.memory import allocating, free_memory, size_of
from irp_hf.data.progress import SECONDS, progress_bar
from irp_hf.errors import FitWarning, TooLargeError, refusal, warn
from irp_hf.evaluation.doubts import Doubt
from irp_hf.evaluation.doubts_of_many import Look, doubts_of_many
from irp_hf.heads.labels import head_labels
from irp_hf.maths.many.choosing import select_from
from irp_hf.maths.many.plan import EXACT, JUDGES, LANDMARKS, LEAST, METHODS, Request, make_plan, num_judges, sample_size
from irp_hf.maths.many.sums import Moments, Sums
from irp_hf.maths.request import check_given, check_objective, methods_of
from irp_hf.models.checks import both_sides, check_anchors
from irp_hf.models.fitting import Fitted, finished, fixed_names, of_choice, unasked_head

CHUNK = 8192  # rows that are read at once
LONG = 300.0  # seconds of a forecast that is worth a warning
FEWER = (3000, 2000, 1000, 500)  # landmarks, where memory does not do for the usual number
MATRICES = 8  # of m by m numbers, that a solve with m landmarks holds at once
SAMPLED = 6  # copies of a sample, at most, while a plan is made
CANARIES = ("source_canary", "target_canary")
SHARE = 0.8  # of the free memory, that is taken


@dataclass(frozen=True)
class Asked:
    """What a fit on many pairs was asked for."""

    request: Request
    given: tuple[str, ...]
    """Names of the options that were given."""
    method_given: bool


def asked(method: str, objective: str, has_head: bool, options: Any) -> Asked:
    """The request, checked; raises `InputError` as `fit` does."""
    methods, given = methods_of(method), check_given(method, **options)
    goal = check_objective(objective, has_head, options.get("depth"))
    summed = tuple(name for name in methods if name in METHODS)
    if not summed:
        advice = f"Choose one of these, or give at most {EXACT:,} of the pairs."
        raise refusal("method", f"'auto' or one of {quoted(METHODS)}, for sums", repr(method), advice)
    if given.folds != "rows":
        advice = f"Give at most {EXACT:,} of the pairs, or leave folds out."
        raise refusal("folds", "'rows', for sums over many pairs", repr(given.folds), advice)
    if given.rigid:
        advice = f"Give at most {EXACT:,} of the pairs, or leave rigid out."
        raise refusal("rigid", "0, for sums over many pairs, which hold no rotation", f"{given.rigid:g}", advice)
    return Asked(Request(summed, goal, given), tuple(fixed_names(options)), len(methods) == 1)


def needed_memory(landmarks: int, sample: int, widths: int) -> int:
    """Bytes that a fit with so many landmarks takes, from a sample of so many rows that are as wide on both sides together."""
    return 8 * (MATRICES * landmarks**2 + SAMPLED * sample * widths + 4 * widths**2) + 4 * CHUNK * (
        landmarks + 2 * widths
    )


def landmarks_for(count: int, widths: int, what: Asked, device: torch.device) -> int:
    """How many landmarks carry the map of so many pairs: what was asked for, or what time and the free memory allow.

    Raises `TooLargeError` where the memory does not do.
    """
    free, most = free_memory(device), count - num_judges(count)
    wanted = what.request.given.num_landmarks
    if "kernel" not in what.request.methods:
        return 0
    for m in (LANDMARKS, *FEWER) if wanted is None else (wanted,):
        m = min(m, most)
        needed = needed_memory(m, sample_size(count, m), widths)
        if free is None or needed <= SHARE * free:
            return m
    got = f"{size_of(free or 0)} that are free"
    advice = "Give fewer num_landmarks, choose method='whitened', or free some memory."
    raise refusal("fit", f"{size_of(needed / SHARE)} of memory for {m:,} landmarks", got, advice, TooLargeError)


class PairSums:
    """Sums over parallel pairs, from which `IRPAdapter.from_sums` makes an adapter; sums over disjoint parts can be added up.

    A sample of the pairs settles what all parts must have in common: landmarks, γ, and which pairs judge. Every process makes
    `PairSums` of the same sample, calls `add` with its own part of the pairs, the sample's included, and `over_processes` or
    `+` brings the parts together:

        sums = PairSums(sample_x, sample_y)
        sums.add(my_part_of_x, my_part_of_y)
        adapter = IRPAdapter.from_sums(sums.over_processes())
    """

    @own_arithmetic()
    def __init__(
        self,
        source_sample: Any,
        target_sample: Any,
        method: str = "auto",
        objective: str = "cosine",
        head: Any = None,
        **options: Any,
    ) -> None:
        """Settle the plan by a sample of pairs in random order, `(s, d_X)` and `(s, d_Y)`; some ten thousand are enough.

        The other arguments are those of `IRPAdapter.from_anchors`. Raises `InputError` for what cannot be used, and
        `TooLargeError` where the memory does not do.
        """
        what = asked(method, objective, head is not None, options)
        source, target = both_sides(source_sample, target_sample)
        numbers = torch.arange(source.num_rows, dtype=torch.int64, device="cpu")
        m = landmarks_for(source.num_rows, source.width + target.width, what, source.device)
        self._begin(what, head, source, target, numbers, m)

    @classmethod
    def of_sample(cls, what: Asked, head: Any, source: Rows, target: Rows, first: list[int]) -> PairSums:
        """Of no pairs yet, by a seeded sample of these; the `first` row numbers judge, as far as they can."""
        k = source.num_rows
        m = landmarks_for(k, source.width + target.width, what, source.device)
        self = cls.__new__(cls)
        self._begin(what, head, source, target, drawn(k, sample_size(k, m), what.request.given.seed, first), m)
        return self

    def _begin(self, what: Asked, head: Any, source: Rows, target: Rows, numbers: Tensor, landmarks: int) -> None:
        if head is not None:
            head_labels(head)  # whatever it is, it is known before the sums
            if what.request.objective != "agreement":
                warn(unasked_head(what.request.objective), FitWarning)
        x, y = source.take(numbers), target.take(numbers)
        check_sampled(x, source, numbers)
        check_sampled(y, target, numbers)
        with progress_bar("Choosing landmarks and gamma", None, total=1) as bar:
            judges = num_judges(len(numbers) if landmarks else sample_size(len(numbers), 0))
            plan, judging = make_plan(x, y, what.request, judges, landmarks)
            bar.update()
        self.asked, self.head, self.judging = what, head, numbers[judging.cpu()]
        self.names, self.widths = (source.name, target.name), (source.width, target.width)
        self.source_anchors, self.target_anchors = x[judging].float(), y[judging].float()
        self.sums, self.look = Sums(plan), Look(x, y)
        self.against: tuple[Doubt, ...] = ()
        self.parts: tuple[str, ...] = ()  # digests of what was added
        self.tells = True  # of several processes that have the same sums, one
        self._adding = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_adding"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _adding=threading.Lock())

    def __len__(self) -> int:
        """How many pairs were added."""
        return int(self.sums.rest.count + self.sums.held.count)

    def __add__(self, other: PairSums) -> PairSums:
        """The sums over the pairs of both, which are of the same sample; raises `InputError` for others."""
        if not isinstance(other, PairSums) or self.sums.plan.digest() != other.sums.plan.digest():
            advice = "Make both with the same sample, options and seed, on machines of one kind."
            raise refusal("sums", "those of one plan", "sums of another sample, or with other options", advice)
        return self._with(self.sums + other.sums, self.against + other.against, self.parts + other.parts)

    def __radd__(self, other: Any) -> PairSums:
        """`sum` of a list begins with 0."""
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def _with(
        self, sums: Sums, against: tuple[Doubt, ...], parts: tuple[str, ...], tells: bool | None = None
    ) -> PairSums:
        tells = self.tells if tells is None else tells
        if tells:
            warn_of_same(parts)
        found = PairSums.__new__(PairSums)
        found.__setstate__(self.__getstate__() | {"sums": sums, "against": against, "parts": parts, "tells": tells})
        return found

    @own_arithmetic()
    def add(self, source: Any, target: Any, progress: bool | None = None) -> None:
        """Add pairs `(n, d_X)` and `(n, d_Y)`, of any kind that `IRPAdapter.translate` takes, read in chunks.

        `progress` shows a bar on standard error, or does not; by default on a terminal. Raises `InputError` for a wrong width,
        NaN or infinity, with the row; then, and where it is interrupted, nothing is added. Several threads may add at once. A
        part that was added before gives a `FitWarning`.
        """
        rows = both_sides(source, target, self.names, self.widths)
        self.add_rows(*rows, progress, f"In a part of {rows[0].num_rows:,} pairs, its rows counted from 0: ")

    def add_rows(self, source: Rows, target: Rows, progress: bool | None = None, where: str = "") -> None:
        """The same for rows that were opened; what speaks against them begins with `where` they are."""
        look = self.look.anew()
        fresh = self._summed(source, target, look, progress)
        against = tuple(replace(doubt, words=where + doubt.words) for doubt in look.doubts(source, target))
        with self._adding:  # threads lose nothing of each other's
            self.sums = self.sums + fresh if len(self) else fresh
            self.against += against
            self.parts += (digest_of(fresh),)
            warn_of_same(self.parts)

    def _summed(self, source: Rows, target: Rows, look: Look, progress: bool | None) -> Sums:
        fresh, device = Sums(self.sums.plan), self.sums.plan.judges.source.device
        forecast = Forecast(source.num_rows, len(self.sums.plan.landmarks))
        words = f"Summing over {source.num_rows:,} pairs"
        with (
            allocating("sums", "Give fewer num_landmarks."),
            progress_bar(words, progress, total=source.num_rows, delay=SECONDS, unit=" pairs") as bar,
        ):
            for (part, x), (_, y) in zip(source.chunks(CHUNK), target.chunks(CHUNK), strict=True):
                refuse_not_finite(x, source.name, part.start)
                refuse_not_finite(y, target.name, part.start)
                look.add(x, y, part.start)
                fresh.add(x.to(device), y.to(device))
                source.let_go()
                target.let_go()
                bar.update(len(x))
                forecast.after(part.stop)
        return fresh

    def over_processes(self) -> PairSums:
        """The sums over the pairs of all processes of `accelerate launch`, on each of them; of one process as they are.

        What speaks against a process's own pairs is kept on all, with its number, and warned of by the main process alone.

        Raises `InputError` where the processes began with other samples.
        """
        from accelerate import PartialState
        from accelerate.utils import gather_object, reduce

        state = PartialState()
        if state.num_processes == 1:
            return self
        plans = gather_object([self.sums.plan.digest()])
        if len(set(plans)) > 1:
            advice = "Make them with the same sample, options and seed on every process."
            raise refusal("sums", "those of one plan on all processes", f"{len(set(plans))} plans", advice)
        whole = [Moments(*(reduce(one, "sum") for one in part.tensors())) for part in self.sums.parts()]
        own = [replace(doubt, words=f"Process {state.process_index}: {doubt.words}") for doubt in self.against]
        against, parts = tuple(gather_object(own)), tuple(gather_object([*self.parts]))
        return self._with(Sums(self.sums.plan, *whole), against, parts, tells=state.is_main_process)

    def fit(self) -> tuple[IRPConfig, dict[str, Tensor], Fitted]:
        """Configuration and tensors of the adapter, whose anchors are the judges; as `irp_hf.models.fitting.fit` has it."""
        plan, labels = self.sums.plan, None if self.head is None else head_labels(self.head)
        request, judges = plan.request, plan.judges
        if not len(self) or int(self.sums.rest.count) < LEAST:
            advice = "Call add with all pairs, those of the sample too."
            raise refusal("sums", f"at least {LEAST} pairs besides those that judge", str(len(self)), advice)
        with (
            allocating("fit", "Give fewer num_landmarks."),
            progress_bar("Choosing the inverse", None, total=1) as bar,
        ):
            choices = select_from(self.sums, labels)
            bar.update()
        choice = choices[0]
        config, tensors, expected = of_choice(choice, judges)
        count = self.sums.rest.count + self.sums.held.count
        tensors["target_scale"] = choice.length * (self.sums.rest.lengths + self.sums.held.lengths) / count
        config.num_anchors, config.num_pairs = len(judges), len(self)
        config.objective, config.seed, config.given = request.objective, request.given.seed, list(self.asked.given)
        config.depth = request.given.depth if request.objective == "recall" else None
        config.method_given = True if self.asked.method_given else None
        order = self.judging.argsort().to(judges.source.device)
        rows = self.judging[order.cpu()]
        found = doubts_of_many(self.against, rows, judges, order, choice.directions, request.objective, labels)
        tensors = {"source_anchors": self.source_anchors, "target_anchors": self.target_anchors, **tensors}
        return finished(config, tensors, choices, expected, found, self.tells)


def digest_of(sums: Sums) -> str:
    """What tells the pairs of some sums from others, at no price."""
    digest = hashlib.sha256()
    for part in sums.parts():
        for tensor in (part.count, part.lengths, part.targets, part.similar, part.source.diagonal()):
            digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()


def warn_of_same(parts: tuple[str, ...]) -> None:
    """Warn where one part was added twice, by the digests of all."""
    twice = len(parts) - len(set(parts))
    if twice:
        which = "One part is" if twice == 1 else f"{twice} parts are"
        warn(f"{which} in the sums a second time, and counts twice. Add each pair once.", FitWarning)


class Forecast:
    """How long the sums take, told once: where it is long, with what to do."""

    def __init__(self, count: int, landmarks: int) -> None:
        self.count, self.landmarks, self.begun, self.first = count, landmarks, 0.0, 0

    def after(self, done: int) -> None:
        """So many pairs are added."""
        now = time.monotonic()
        if not self.begun:  # the first chunk warms up
            self.begun, self.first = now, done
            return
        if self.first and now - self.begun > SECONDS:
            left = (now - self.begun) / (done - self.first) * (self.count - done)
            self.first = 0
            if left > LONG:
                warn(self.words(left))

    def words(self, seconds: float) -> str:
        """What is said of a long one."""
        over = f" and {self.landmarks:,} landmarks" if self.landmarks else ""
        cure = (
            f"With num_landmarks={self.landmarks // 2} it takes about a quarter of that. " if self.landmarks > 1 else ""
        )
        return (
            f"Summing over {self.count:,} pairs{over} takes about {seconds / 60:.0f} minutes more here. {cure}"
            "To interrupt it leaves nothing behind."
        )


def drawn(count: int, size: int, seed: int, first: list[int]) -> Tensor:
    """Seeded numbers `(size,)` of so many rows, these `first`."""
    generator = torch.Generator("cpu").manual_seed(seed)
    order = torch.randperm(count, generator=generator, dtype=torch.int64, device="cpu")[: size + len(first)]
    wanted = torch.tensor(first, dtype=torch.int64, device="cpu")
    return torch.cat([wanted, order[~torch.isin(order, wanted)]])[:size]


def some_of(count: int, options: Any, first: list[int]) -> Tensor:
    """Row numbers, rising, of pairs on which an inverse is fitted that no sums make; a warning tells of it."""
    words = (
        f"Of {count:,} pairs, {JUDGES:,} are read: this method has no sums over more. Choose 'auto' to use all of them."
    )
    warn(words, FitWarning)
    return drawn(count, JUDGES, check_given("auto", seed=options.get("seed")).seed, first).sort().values


def check_sampled(sample: Tensor, rows: Rows, numbers: Tensor, what: str = "anchors") -> Tensor:
    """The sample itself, which are the rows of these `numbers`; raises `InputError` where it cannot be used.

    `what` they are is said there.
    """
    for row in (~(sample.double().abs() <= LARGEST)).any(1).nonzero()[:1, 0].tolist():
        refuse_not_finite(sample[row : row + 1], rows.name, int(numbers[row]))
    check_anchors(sample, rows.name, what)
    return sample


def canary_rows(recorded: dict[str, Any]) -> list[int]:
    """The rows of the canaries of both sides."""
    canaries = (Canary.from_dict(recorded.get(name), name) for name in CANARIES)
    return sorted({row for canary in canaries if canary is not None for row in canary.rows})


def moved_canaries(recorded: dict[str, Any], kept: Tensor) -> dict[str, Any]:
    """The canaries of both sides where of all anchors only these rows `(n,)` are kept; None of one whose rows are not."""
    places = {row: place for place, row in enumerate(kept.tolist())}
    found: dict[str, Any] = {}
    for name in CANARIES:
        canary = Canary.from_dict(recorded.get(name), name)
        if canary is not None:
            whole = all(row in places for row in canary.rows)
            found[name] = replace(canary, rows=[places[row] for row in canary.rows]).to_dict() if whole else None
    return found
