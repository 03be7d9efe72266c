"""What stitching costs: `python benchmarks/stitching.py [time parts memory] [--rounds 5]`.

Questions of TREC go through MiniLM, an adapter of 1,000 anchors and the head of a classifier of BERT's size with random
weights: what it costs does not depend on what it says. The same texts go to every contestant in turn, in random order, and the
seconds are compared pair by pair, so that a busy machine slows all alike; CPU seconds feel a busy machine least.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor
from tqdm.auto import tqdm
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, pipeline
from transformers.utils import logging

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.speed import adapter
from examples.trec import load_trec, minilm_folder
from irp_hf import StitchedModel

BASE: dict[str, Any] = {}
LARGE: dict[str, Any] = dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096)
GIGABYTES_OF_LARGE = 1.4
BATCH_SIZES = (1, 8, 32)
SLICE = 32  # texts that a contestant takes in one turn
NUM_TEXTS = 256
METHODS = ("kernel", "whitened")
ALONE = "SentenceTransformer.encode"

Contest = dict[str, Callable[[list[str], int], object]]


def texts() -> list[str]:
    """Questions that everybody classifies."""
    return load_trec().texts[:NUM_TEXTS]


@contextmanager
def classifier(**size: Any) -> Iterator[str]:
    """A folder with a BERT classifier of six labels and random weights, which reads what MiniLM's tokenizer makes."""
    with tempfile.TemporaryDirectory() as folder:
        BertForSequenceClassification(BertConfig(num_labels=6, **size)).save_pretrained(folder)
        AutoTokenizer.from_pretrained(minilm_folder()).save_pretrained(folder)
        yield folder


def encoder() -> SentenceTransformer:
    """MiniLM, 384 wide."""
    return SentenceTransformer(str(minilm_folder()), device="cpu")


def batches(items: list[str], size: int) -> Iterator[list[str]]:
    """The items, `size` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def contestants(head: str) -> Contest:
    """Each takes a list of texts and a batch size."""
    alone = encoder()

    def encode(items: list[str], size: int) -> None:
        for batch in batches(items, size):
            alone.encode(batch, batch_size=size, show_progress_bar=False, convert_to_tensor=True)

    contest: Contest = {ALONE: encode}
    for method in METHODS:
        model = StitchedModel(alone, adapter(method, 1000, 384, 768), head)
        stitched = pipeline("irp-stitch", model=model)
        contest[f"StitchedModel, {method}"] = lambda items, size, m=model: [m(batch) for batch in batches(items, size)]
        contest[f"irp-stitch, {method}"] = lambda items, size, p=stitched: p(items, batch_size=size)
    before = pipeline("text-classification", model=str(minilm_folder()), device="cpu")
    return contest | {"text-classification, MiniLM with its own head": lambda x, size: before(x, batch_size=size)}


def times(rounds: int) -> None:
    """Time per text of the whole way against the encoder alone."""
    with classifier(**BASE) as folder:
        contest = contestants(folder)
    slices = list(batches(texts(), SLICE))
    order = random.Random(0)
    for size in BATCH_SIZES:
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in contest}
        for work in contest.values():
            work(slices[0], size)  # warm-up
        for items in tqdm(slices * rounds, desc=f"Batches of {size}", leave=False):
            for name in order.sample(list(contest), len(contest)):
                start = time.perf_counter(), time.process_time()
                contest[name](items, size)
                seconds[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
        show(f"Batches of {size}", {name: np.array(pairs) / SLICE for name, pairs in seconds.items()})


def show(title: str, seconds: dict[str, np.ndarray]) -> None:
    """Print medians per text, and the medians of the ratios to the encoder on the same texts, with their quartiles.

    `seconds` of each contestant are `(turns, 2)`: on the clock, and of the processor.
    """
    print(f"\n{title:<50}{'ms a text':>10}   {'× encoder':<23}{'CPU ms':>8}   × encoder")
    for name, own in seconds.items():
        line = f"  {name:<48}"
        for kind, width in ((0, 10), (1, 8)):
            low, middle, high = np.quantile(own[:, kind] / seconds[ALONE][:, kind], (0.25, 0.5, 0.75))
            line += f"{1e3 * np.median(own[:, kind]):>{width}.3f}   ×{middle:.3f} ({low:.3f} to {high:.3f})"
        print(line)


def parts(rounds: int) -> None:
    """Where the time goes: each part of a stitched model in its place, after the encoder has used the caches."""
    with classifier(**BASE) as folder:
        models = {method: StitchedModel(encoder(), adapter(method, 1000, 384, 768), folder) for method in METHODS}
    print("\nParts of a stitched model, ms a batch (share of its encoder)")
    for method, model in models.items():
        steps: dict[str, Callable[[Any], Any]] = {
            "encoder": model.encoder.embed,
            "adapter": lambda x, m=model: m.adapter(embeddings=x).translated,
            "head": model.head,
        }
        for size in BATCH_SIZES:
            seconds: dict[str, list[float]] = defaultdict(list)
            for batch in list(batches(texts(), size)) * rounds:
                value: Any = batch
                for name, step in steps.items():
                    start = time.perf_counter()
                    value = no_grad(step, value)
                    seconds[name].append(time.perf_counter() - start)
            medians = {name: 1e3 * float(np.median(values)) for name, values in seconds.items()}
            shares = (f"{name} {ms:.3f} ({ms / medians['encoder']:.1%})" for name, ms in medians.items())
            print(f"  {method:<10}batches of {size:<4}" + "   ".join(shares))


@torch.no_grad()
def no_grad(step: Callable[[Any], Tensor], value: Any) -> Tensor:
    """`step` as a stitched model runs it."""
    return step(value)


# Resident pages, for weights are mapped from their file and count once they are used. VmHWM is the kernel's own peak.
PROCESS = """
import sys
sys.path[:0] = sys.argv[3:]
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForSequenceClassification, pipeline
from irp_hf.heads import open_head
folder, minilm = sys.argv[1:3]
texts = ["How many moons does Jupiter have?"] * 8
{step}
status = dict(line.split(":") for line in open("/proc/self/status"))
print(*(int(status[name].split()[0]) / 2**10 for name in ("VmHWM", "VmRSS")))
"""
IMPORTS = "the imports alone"
STEPS = {
    IMPORTS: "",
    "from_pretrained, no weight used yet": "kept = AutoModelForSequenceClassification.from_pretrained(folder)",
    "open_head": "kept = open_head(folder)",
    "the classifier itself classifies": """
kept = pipeline("text-classification", model=folder, device="cpu")
kept(texts, batch_size=8)""",
    "MiniLM alone encodes": """
kept = SentenceTransformer(minilm, device="cpu")
kept.encode(texts)""",
    "MiniLM, adapter and the classifier's head": """
kept = pipeline("irp-stitch", model=folder + "/adapter", encoder=minilm, head=folder, device="cpu")
kept(texts, batch_size=8)""",
}


def memory(rounds: int) -> None:
    """Peak memory of fresh processes (Linux), and what they hold at the end; medians."""
    fits = shutil.disk_usage(tempfile.gettempdir()).free / 1e9 > 3 * GIGABYTES_OF_LARGE
    with classifier(**(LARGE if fits else BASE)) as folder:
        width = BertConfig.from_pretrained(folder).hidden_size
        gigabytes = Path(folder, "model.safetensors").stat().st_size / 1e9
        adapter("kernel", 1000, 384, width).save_pretrained(f"{folder}/adapter")
        held: dict[str, list[list[float]]] = defaultdict(list)
        for _ in tqdm(range(rounds), desc="Processes", leave=False):
            for name, step in STEPS.items():
                code = PROCESS.replace("{step}", step)
                command = [sys.executable, "-c", code, folder, str(minilm_folder()), *sys.path]
                printed = subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True)
                held[name].append([float(number) for number in printed.split()[-2:]])
    print(
        f"\nMemory, MiB over that of the imports, with a classifier of {gigabytes:.2f} GB: {'peak':>21}{'at the end':>16}"
    )
    imports = np.array(held[IMPORTS])
    for name, values in held.items():
        more = np.array(values) - (0 if name == IMPORTS else imports)
        cells = (f"{np.median(more[:, i]):>7,.0f} ({more[:, i].min():,.0f} to {more[:, i].max():,.0f})" for i in (0, 1))
        print(f"  {name:<48}" + "".join(f"{cell:>25}" for cell in cells))


SECTIONS = {"time": times, "parts": parts, "memory": memory}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], help="all of them by default")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    for section in arguments.sections or SECTIONS:
        SECTIONS[section](arguments.rounds)
