"""`IRPAdapter`: translates vectors of a source encoder into the space of a target encoder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, cast

import torch
from huggingface_hub import CommitInfo, ModelCard
from torch import Tensor
from typing_extensions import Self, Unpack

from irp_hf.arithmetic import own_arithmetic
from irp_hf.baselines.registry import DEFAULT
from irp_hf.checks import check_alias
from irp_hf.configuration_irp import CHECKSUM_VERSION, PAIRS, IRPConfig
from irp_hf.data.arrays import Rows
from irp_hf.data.memory import allocating
from irp_hf.data.progress import check_progress
from irp_hf.errors import FitWarning, kind_of, refusal, warn
from irp_hf.evaluation.comparison import Baselines
from irp_hf.evaluation.held_out import Evaluation
from irp_hf.evaluation.report import Report
from irp_hf.heads.labels import head_labels
from irp_hf.hub.upload import PushOptions
from irp_hf.maths.confidence import Confidence
from irp_hf.maths.inverses import INVERSES
from irp_hf.maths.many.plan import EXACT, METHODS
from irp_hf.maths.request import FitOptions, MethodOrAuto, Objective, check_given, check_keywords
from irp_hf.models.background import NAMES as BACKGROUNDS
from irp_hf.models.background import read_background
from irp_hf.models.checks import AnchorsOf, both_sides, check_anchors, refuse_other_anchors
from irp_hf.models.connecting import (
    Held,
    backgrounds_of,
    check_both,
    check_pairs,
    check_wanted,
    discovered_by,
    matched,
    recorded_apart,
    recorded_of,
    warn_of_known,
)
from irp_hf.models.discovering import MORE, DiscoveredPairs, fit_unpaired, read_unpaired
from irp_hf.models.evaluating import evaluate_on
from irp_hf.models.fitting import Fitted, fit
from irp_hf.models.kept import kept_record
from irp_hf.models.many import PairSums, asked, canary_rows, check_sampled, moved_canaries, some_of
from irp_hf.models.reports import card_with_report, make_report
from irp_hf.models.space import AnchoredSpace, open_space
from irp_hf.models.stored import wrong_adapter
from irp_hf.models.translating import TranslatingModel


class IRPAdapter(TranslatingModel):
    """Translates vectors of a source space into a target space, by inverse relative projection (arXiv 2406.15057).

    Make one with `connect`, from two spaces, or with `from_anchors`, from two arrays; load one with `from_pretrained`. Then
    `translate` and `confidence` take vectors, `report` says what to expect of them, and `push_to_hub` shares it.

    Tensors, all float32: `source_anchors (k, d_X)`, `target_anchors (k, d_Y)`, `source_mean`, `target_mean`, `target_scale`;
    the folded map, `weight (d_X, d_Y)`, or `landmarks (m, d_X)`, `coefficients (m, d_Y)` and `intercept (d_Y,)`, with a rigid
    part also its `rotation (d_X, d_Y)`; and the confidence, `confidence_coefficients (m,)`, `confidence_bias ()`,
    `confidence_norm_slope ()`. Where the configuration has a lift, d_X of landmarks and weight is one more, and
    `source_lift ()` is what that coordinate of every row is. Unless it was saved before there were any, also
    `confidence_ceiling ()`, `confidence_errors (e,)`, and of the typicality
    `typical_directions (d_X, r)`, `typical_lengths (2, 2)`, `typical_planes (3, 4)` and `typical_sides (d_X,)`; without the
    latter, planes of shape (2, 3). One without pairs has `discovered_rows (k, 2)`, int64, and `discovered_sureness (k,)`,
    which `discovered_pairs` reads.
    """

    config_class = IRPConfig
    config: IRPConfig
    card_options = ("report",)
    source_anchors: Tensor
    target_anchors: Tensor
    source_mean: Tensor
    target_mean: Tensor
    target_scale: Tensor
    discovered_rows: Tensor
    discovered_sureness: Tensor
    checksum_fields = (  # in the order in which the first adapters were saved
        *("method", "objective", "given", "seed", "anchor_fingerprint", "gamma", "ridge", "balance"),
        *("num_subspaces", "pruning_threshold", "restoration", "num_landmarks"),
    )
    checksum_fields_if_set = ("lift", "rigid", "double", "unlifted", "num_pairs", "kept", "background", "discovered")
    checksum_records = ("anchor_set", "source_encoder", "target_encoder", "source_canary", "target_canary")
    dtypes = MappingProxyType({"discovered_rows": torch.int64})
    fitted: Fitted | None = None
    """What the fit found that a report would find again; None for an adapter that was loaded or copied."""

    @classmethod
    def shapes(cls, config: IRPConfig) -> dict[str, tuple[int, ...]]:
        """The names and shapes of all tensors of an adapter of this configuration."""
        k, m, source, target = config.num_anchors, config.num_landmarks, config.source_size, config.target_size
        lifted = source + bool(config.lift)
        return {
            "source_anchors": (k, source),
            "target_anchors": (k, target),
            "source_mean": (source,),
            "target_mean": (target,),
            "target_scale": (),
            **({"source_lift": ()} if config.lift else {}),
            **INVERSES[config.method].folds_to.shapes(m, lifted, target, source if config.rigid else 0),
            **Confidence.shapes(m, source, lifted, *config.judged),
            **DiscoveredPairs.shapes((config.discovered or {}).get("pairs")),
        }

    @classmethod
    @own_arithmetic()
    def connect(
        cls,
        source: AnchoredSpace | str | os.PathLike[str],
        target: AnchoredSpace | str | os.PathLike[str],
        method: MethodOrAuto = "auto",
        objective: Objective = "cosine",
        head: Any = None,
        *,
        background: bool | None = None,
        pairs: Literal["discover"] | None = None,
        **options: Unpack[FitOptions],
    ) -> Self:
        """Connect two spaces that hold the same anchors; no encoder is loaded.

        Where both have a background, unpaired rows of their own, these take part as `from_anchors` has it, if the anchors,
        held out, gain by it: few shared anchors are then enough (docs/few-pairs.md).

        Args:
            source: the space to translate from, or where one lies: a folder or an id on the Hub.
            target: the space to translate to, likewise.
            method: "kernel", "whitened", "rigid", "pruned" (the paper), or "auto": the best of all by the objective.
            objective: "cosine" (right for heads), "neighbors" (right for an index), "recall" (right for `depth` candidates
                that a second stage re-ranks by their true vectors), "retrieval" (right for known items) or "agreement" with a
                head.
            head: for "agreement": whatever `irp_hf.heads.open_head` opens, a classifier or a function to logits.
            background: False leaves the backgrounds out, and True refuses spaces or options that they cannot be used with,
                where otherwise a `FitWarning` says so.
            pairs: "discover" is for spaces that share no anchors: the rows of either, its anchors and its background, are
                matched as `from_unpaired` does it, and refused where nothing says that this is right. In `discovered_pairs`,
                the numbers count the anchors first, and then the rows of the background.
            **options: hyper-parameters, as `irp_hf.maths.request.FitOptions` lists them, and `seed`. What is given is kept,
                what is not is chosen from the anchors. `folds="clusters"` chooses for inputs unlike the anchors: on clusters of
                these, each left out whole.

        Raises `AnchorMismatchError` where the anchors differ, and where they are pairs that two fits on many kept, other ones
        or if nothing says that these are the same; `DiscoveryError` where no pairs can be discovered; `InputError` for options
        that do not exist or fit.
        """
        check_keywords(options, ("background", "pairs"))
        wanted, discovers = check_wanted(background), check_pairs(pairs)
        spaces = open_space(source, "source"), open_space(target, "target")
        if not discovers:
            refuse_other_anchors(*map(AnchorsOf.space, ("source", "target"), (space.config for space in spaces)))
        given = check_given(method, **options)
        sides = Held.of("source", spaces[0], wanted), Held.of("target", spaces[1], wanted)
        if discovers:
            warn_of_known(sides)
            if wanted:
                check_both(sides)
            rows, names = [side.rows for side in sides], [side.name for side in sides]
            more = [side.more for side in sides]
            return cls._discover(rows, names, method, objective, head, options, recorded_apart(sides), more)
        recorded, anchors = recorded_of(sides), (sides[0].anchors, sides[1].anchors)
        unpaired = backgrounds_of(sides, wanted, method, given)
        if len(anchors[0]) > EXACT:
            found = cls._fit_many(*both_sides(*anchors), method, objective, head, options, recorded)
        else:
            found = cls._fit(*anchors, method, objective, head, options, recorded, background=unpaired)
        record = discovered_by(sides)
        return found if record is None else found._discovered_as(record)

    @classmethod
    @own_arithmetic()
    def from_anchors(
        cls,
        source_embeddings: Any,
        target_embeddings: Any,
        method: MethodOrAuto = "auto",
        objective: Objective = "cosine",
        head: Any = None,
        *,
        source_background: Any = None,
        target_background: Any = None,
        **options: Unpack[FitOptions],
    ) -> Self:
        """The same as `connect` for raw parallel anchors `(k, d_X)` and `(k, d_Y)`: row i of both is the same item.

        The embeddings are matrices of any kind that `translate` takes; the rest is as `connect` has it. More than 6,000 pairs,
        which may be more than memory holds, are read once, in chunks, and carried by landmarks; the adapter then keeps up to
        3,000 of them as its anchors (docs/many.md).

        `source_background (n, d_X)` and `target_background (m, d_Y)` are rows of other items, in no correspondence with each
        other: a thousand or more a side, of the same domain as the pairs, often do for ten pairs what a hundred more would
        (docs/few-pairs.md). They are matched, and take part in the fit, where the pairs, held out, gain by it; else a
        `FitWarning` tells. Of more than 20,000 a sample is taken. Score, confidence and report are of the pairs alone.

        Raises `AnchorMismatchError` for sides of unequal length, `InputError` for anchors, backgrounds or options that cannot
        be used.
        """
        check_keywords(options, BACKGROUNDS)
        sides = both_sides(source_embeddings, target_embeddings)
        if sides[0].num_rows > EXACT:
            if source_background is not None or target_background is not None:
                advice = f"Leave both backgrounds out, or fit on at most {EXACT:,} of the pairs."
                got = f"some beside {sides[0].num_rows:,} pairs"
                raise refusal("source_background and target_background", "none beside many pairs", got, advice)
            return cls._fit_many(*sides, method, objective, head, options, recorded={})
        source, target = (rows.whole() for rows in sides)
        check_anchors(source, "source embeddings")
        check_anchors(target, "target embeddings")
        given = check_given(method, **options)
        anchors = source.float(), target.float()
        background = read_background(source_background, target_background, anchors, given.seed)
        return cls._fit(*anchors, method, objective, head, options, recorded={}, background=background)

    @classmethod
    @own_arithmetic()
    def from_unpaired(
        cls,
        source_rows: Any,
        target_rows: Any,
        method: MethodOrAuto = "auto",
        objective: Objective = "cosine",
        head: Any = None,
        **options: Unpack[FitOptions],
    ) -> Self:
        """An adapter without any pair, from rows `(n, d_X)` and `(m, d_Y)` of the same domain, in no correspondence.

        It can be found where both spaces are shaped alike, and each side has some thousand rows (docs/few-pairs.md). Clusters
        of both sides are matched by how alike they are among themselves, and rows from there on. Nobody knows whether that is
        right: what speaks for it is that starts of other clusters come to the same, which a mean cosine says,
        `config.discovered["agreement"]`. The rows that are each other's best match stand as anchors, and `discovered_pairs`
        names them. The confidence tells the cosine with such matches, and there is no report: `evaluate` tells more, on as few
        true pairs as you have.

        Args:
            source_rows: of any kind that `translate` takes; of more than 20,000 a sample is taken.
            target_rows: likewise, with the target's encoder.
            method: "kernel", "whitened" or "rigid"; "auto" is the kernel.
            objective: as for `connect`; it decides how much of the rigid part there is.
            head: as for `connect`.
            **options: hyper-parameters and the `seed`, as for `connect`.

        Raises `DiscoveryError` where starts do not agree, and `InputError` for rows or options that cannot be used.
        """
        rows, names = (source_rows, target_rows), ("source_rows", "target_rows")
        check_keywords(options, names)
        return cls._discover(rows, names, method, objective, head, options, recorded={})

    @classmethod
    def _discover(
        cls,
        rows: Sequence[Any],
        names: Sequence[str],
        method: str,
        objective: str,
        head: Any,
        options: FitOptions,
        recorded: dict[str, Any],
        more: Sequence[str] = (MORE, MORE),
    ) -> Self:
        """The adapter between `rows` of both sides, which errors call by these names, and what is `recorded` of encoders.

        Where rows of a side are too few, an error tells how to get `more`.
        """
        given, labels = check_given(method, **options), None if head is None else head_labels(head)
        sides = read_unpaired(rows, names, given.seed, more)
        with allocating("fit", "Give fewer rows, or free some memory."):
            return cls._of(*fit_unpaired(sides, names, method, objective, labels, options), recorded)

    @classmethod
    @own_arithmetic()
    def from_sums(cls, sums: PairSums) -> Self:
        """The adapter from sums over any number of pairs, which may come from several processes: see `PairSums`.

        Raises `InputError` where nothing was added to them, and for what are no sums.
        """
        if not isinstance(sums, PairSums):
            advice = "Make them with PairSums(sample_x, sample_y), and add all pairs."
            raise refusal("sums", "a PairSums", kind_of(sums), advice)
        return cls._of(*sums.fit())

    @classmethod
    def _fit_many(
        cls,
        source: Rows,
        target: Rows,
        method: str,
        objective: str,
        head: Any,
        options: FitOptions,
        recorded: dict[str, Any],
    ) -> Self:
        """The adapter from more pairs than an exact solve can take; of a method that no sums make, from a sample of them."""
        first = canary_rows(recorded)
        if method in INVERSES and method not in METHODS:
            check_given(method, **options)
            rows = some_of(source.num_rows, options, first)
            x, y = (check_sampled(side.take(rows), side, rows).float() for side in (source, target))
            moved = recorded | moved_canaries(recorded, rows)
            return cls._fit(x, y, method, objective, head, options, moved, source.num_rows, rows)
        sums = PairSums.of_sample(asked(method, objective, head is not None, options), head, source, target, first)
        sums.add_rows(source, target)
        return cls._of(*sums.fit(), recorded | moved_canaries(recorded, sums.judging), sums.judging)

    @classmethod
    def _fit(
        cls,
        source: Tensor,
        target: Tensor,
        method: str,
        objective: str,
        head: Any,
        options: FitOptions,
        recorded: dict[str, Any],
        num_pairs: int | None = None,
        rows: Tensor | None = None,
        background: tuple[Tensor, Tensor] | None = None,
    ) -> Self:
        """The adapter of these anchors, whose configuration also holds what is `recorded` of them.

        Of `num_pairs`, where they are some of these, they are the `rows (k,)`. `background` are unpaired rows of both sides.
        """
        labels, target = None if head is None else head_labels(head), target.to(source.device)
        with allocating("fit", "Give fewer anchors, or free some memory."):
            return cls._of(
                *fit(source, target, method, objective, labels, options, num_pairs, background), recorded, rows
            )

    @classmethod
    def _of(
        cls,
        config: IRPConfig,
        tensors: dict[str, Tensor],
        fitted: Fitted,
        recorded: dict[str, Any] | None = None,
        rows: Tensor | None = None,
    ) -> Self:
        """The adapter of what a fit gives, and of what is `recorded` of the anchors, of which it kept these `rows (k,)`."""
        adapter = cls(config)
        for name, tensor in tensors.items():
            adapter._set_tensor(name, tensor)
        for name, value in {**(recorded or {}), "checksum_version": CHECKSUM_VERSION}.items():
            setattr(adapter.config, name, value)
        if config.num_pairs is not None:
            adapter.config.kept = adapter._kept_record(rows)
        adapter.fitted = replace(fitted, checksum=adapter.checksum())
        return adapter

    def what_is_wrong(self) -> str | None:
        """What no fit gives: besides what `AnchoredModel` says, anchors of one place, or a map that leads to no numbers."""
        return super().what_is_wrong() or wrong_adapter(
            self.config, dict(self.named_parameters()), partial(self.translate, return_confidence=True)
        )

    def __getstate__(self) -> dict[str, Any]:
        """All but what only this process needs."""
        return {**super().__getstate__(), "fitted": None}

    @property
    def discovered_pairs(self) -> DiscoveredPairs | None:
        """The rows that were matched, by their numbers among those that were given, and how surely; None where there are pairs.

        Of two spaces, the numbers of the anchors come first, and then those of the rows of the background, as
        `background_rows` has them. Also None of what was saved before they were kept.
        """
        if not (self.config.discovered or {}).get("pairs"):
            return None
        with self.computing():
            return DiscoveredPairs.of(self.discovered_rows, self.discovered_sureness)

    @property
    def source(self) -> AnchoredSpace:
        """The source's anchors as a space of their own."""
        with self.computing():
            found = matched(self.config.discovered, "source", "target")
            return self._space(self.source_anchors, self.config.source_encoder, self.config.source_canary, found)

    @property
    def target(self) -> AnchoredSpace:
        """The target's anchors as a space of their own."""
        with self.computing():
            found = matched(self.config.discovered, "target", "source")
            return self._space(self.target_anchors, self.config.target_encoder, self.config.target_canary, found)

    def _kept_record(self, rows: Tensor | None = None) -> dict[str, str]:
        """Which pairs are kept of those that it was fitted on: these `rows (k,)`, where they are known."""
        config = self.config
        return kept_record(self.source_anchors, self.target_anchors, config.anchor_fingerprint, config.num_pairs, rows)

    def _space(
        self,
        anchors: Tensor,
        encoder: dict[str, Any] | None,
        canary: dict[str, Any] | None,
        discovered: dict[str, Any] | None,
    ) -> AnchoredSpace:
        space = AnchoredSpace.from_embeddings(anchors, encoder=encoder)
        space.config.canary = canary
        space.config.kept = self.config.kept
        space.config.discovered = discovered
        if self.config.num_pairs is not None:  # these are some of the set's
            space.config.kept = self.config.kept or self._kept_record()  # what was saved before had no such record
            return space
        space.config.anchor_fingerprint = self.config.anchor_fingerprint
        space.config.anchor_set = self.config.anchor_set
        return space

    def reverse(
        self,
        method: MethodOrAuto = "auto",
        objective: Objective | None = None,
        head: Any = None,
        **options: Unpack[FitOptions],
    ) -> Self:
        """The adapter from the target to the source, from the same anchors; the options are those of `connect`.

        The objective and the depth are by default those of this adapter, or the cosine where a head of the target decided. Of
        an adapter that was fitted on more pairs than it keeps, or with a background, a warning says what it lacks. The reverse
        of one that was found without any pair is one, too.
        """
        if self.config.discovered is not None:
            words = "The reverse is fitted on the matched rows that are kept, as if somebody had paired them."
            how = "connect(target, source, pairs='discover'), or from_unpaired(target_rows, source_rows)"
            warn(f"{words} Make it by {how}.", FitWarning)
        if self.config.background is not None:
            words = "The reverse is fitted on the pairs alone: unpaired rows are not stored."
            how = "connect(target, source), or from_anchors(y, x, source_background=, target_background=)"
            warn(f"{words} Fit it with them, by {how}.", FitWarning)
        if self.config.num_pairs is not None:
            kept, pairs = self.config.num_anchors, self.config.num_pairs
            words = f"The reverse is fitted on the {kept:,} pairs that are kept of {pairs:,}."
            warn(f"{words} Fit it on all of them, by from_anchors(y, x).", FitWarning)
        own = "cosine" if self.config.objective == "agreement" else self.config.objective
        if (objective or own) == "recall" and options.get("depth") is None and self.config.depth is not None:
            options["depth"] = self.config.depth
        found = self.connect(self.target, self.source, method, objective or own, head, **options)
        return found if self.discovered_pairs is None else found._with_pairs_of(self)

    def _discovered_as(self, record: dict[str, Any]) -> Self:
        """This adapter, which stands on anchors that nobody paired, as it says: no figure of it is of pairs."""
        self.config.discovered, self.config.score = record, None
        self.fitted = replace(cast(Fitted, self.fitted), checksum=self.checksum())
        return self

    def _with_pairs_of(self, other: IRPAdapter) -> Self:
        """This adapter, which stands on the rows that the `other` matched, with their numbers, other way about."""
        self._set_tensor("discovered_rows", other.discovered_rows.flip(1))
        self._set_tensor("discovered_sureness", other.discovered_sureness.detach().clone())
        counted = {**cast(dict[str, Any], self.config.discovered), PAIRS: self.config.num_anchors}
        return self._discovered_as(dict(sorted(counted.items())))

    @own_arithmetic()
    def evaluate(self, x: Any, y: Any, head: Any = None, depth: int | None = None) -> Evaluation:
        """How near the translations of `x (n, d_X)` come to the true vectors `y (n, d_Y)`, on pairs that are no anchors.

        With a head of the target also how often it says the same of both. With a `depth`, by default that of this adapter, if
        recall chose it, also which share of the ten nearest is among the first so many found. Where the adapter knows its
        errors, also how often the lower bound of the confidence at 90 % held. Gives a `FitWarning` where rows share a source
        or a target with an anchor, to within rounding; where translations are no nearer to their own true vectors than chance
        brings them; and where far fewer bounds held. Of a fit on many pairs only those that are kept, and the landmarks, can
        be recognised.

        Raises `AnchorMismatchError` for sides of unequal length, `InputError` for what no encoder of these anchors gives, and
        for a depth below ten.
        """
        return evaluate_on(self, x, y, None if head is None else head_labels(head), depth)

    def report(
        self,
        head: Any = None,
        progress: bool | None = None,
        *,
        baselines: Baselines | None = None,
        against: Baselines | None = None,
        index_size: int | Sequence[int] | None = None,
        gallery: Any = None,
    ) -> Report:
        """What to expect, from held-out anchors: this inverse, the others and baselines; the learning curve.

        With a head of the target also how often it agrees. Prints as a table, shows in notebooks, and `.plot()` draws it.

        Neighbours are kept the less, the more rows are searched. What the tables say of them holds for as many rows as stand
        beside the figure; `index_size` and `gallery` say what an index keeps, with translated queries and translated itself.

        Args:
            head: as for `connect`.
            progress: show bars on standard error, or do not; by default on a terminal.
            baselines: "all", names of `irp_hf.baselines.BASELINES`, or functions `fit(source (k, d_X), target (k, d_Y))` that
                give an object with `translate`, as a list or by name; by default "Procrustes" and "ridge".
            against: another name for `baselines`.
            index_size: numbers of rows of an index, one or several, from 12 on, a query's own not counted. What it keeps of the
                ten nearest neighbours by cosine is measured on held-out anchors, and extrapolated over the size beyond ten
                times as many as are searched. A `FitWarning` says where the target's vectors differ in length by so much that
                an index by inner product or L2 finds others.
            gallery: rows of that index which exist already, vectors of the target `(n, d_Y)` of any kind that `translate`
                takes, of memory maps a block at a time. Translated queries then search these, but for each one's own row, if
                it is there. A `FitWarning` says where they lie unlike the target's anchors.

        Raises `InputError` for what is none of these, for a gallery with rows that no encoder gives, and with `index_size` or
        `gallery` for fewer than 48 anchors.
        """
        check_progress(progress)
        if self.config.discovered is not None:
            advice = "Give some to evaluate(x, y); config.discovered says how far starts agree."
            raise refusal("report", "pairs that somebody knows", "an adapter that was made without any", advice)
        named = check_alias("baselines", baselines, "against", against)
        labels = None if head is None else head_labels(head)
        with self.computing(), allocating("report", "Free some memory, or fit on fewer anchors."):
            anchors = (self.source_anchors, self.target_anchors)
            fitted = self.fitted if self.fitted is not None and self.fitted.checksum == self.checksum() else None
            return make_report(
                self.config,
                *anchors,
                fitted,
                labels,
                progress,
                DEFAULT if named is None else named,
                index_size,
                gallery,
            )

    def push_to_hub(  # type: ignore[override]
        self, repo_id: str, *, report: Report | bool = True, **options: Unpack[PushOptions]
    ) -> CommitInfo:
        """Push the adapter and a card that says what to expect of it, as one commit.

        `report`: True measures, with the anchors held out, which takes about as long as fitting; a `Report` that was made
        before is taken as it is; False leaves the figures out. The options are `private`, `token`, `revision`, `create_pr`,
        `commit_message`, `commit_description` and `exist_ok`, as `AnchoredSpace.push_to_hub` has them.

        Raises `HubError` where the Hub refuses or the connection breaks: then nothing was published.
        """
        return super().push_to_hub(repo_id, report=report, **options)

    def _card(self, repo_id: str, folder: Path, **about: Any) -> ModelCard:
        report = about["report"]
        if not isinstance(report, Report | bool):
            raise refusal("report", "a Report, True or False", kind_of(report), "Pass adapter.report(), say.")
        measures = report is True and self.config.discovered is None  # without a pair, nothing can be measured
        return card_with_report(
            self.config, repo_id, folder, self.report() if measures else report if isinstance(report, Report) else None
        )

    def extra_repr(self) -> str:
        """What `print` shows."""
        c = self.config
        names = [record.name for record in (c.source_record, c.target_record)]
        fitted = f"{c.num_anchors} anchors" if c.num_pairs is None else f"{c.num_pairs} pairs"
        some = c.num_pairs is not None or "num_landmarks" in (c.given or [])
        landmarks = f" over {c.num_landmarks} landmarks" if some and c.method == "kernel" else ""
        behind = f" before {c.background['source']} and {c.background['target']} unpaired rows" if c.background else ""
        fitted = f"{c.num_anchors} discovered pairs" if c.discovered else fitted
        return f"{names[0]} ({c.source_size}) to {names[1]} ({c.target_size}), {c.method}, {fitted}{landmarks}{behind}"
