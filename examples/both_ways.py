"""What the examples share that stitch two encoders both ways: the translators, their fits, and the table of accuracies."""

from __future__ import annotations

from collections.abc import Mapping

from tqdm import tqdm
from trec import adapter_folder

from irp_hf import AnchoredSpace, IRPAdapter
from irp_hf.baselines import procrustes, ridge
from irp_hf.evaluation import Measure

DIRECT = {"Procrustes (direct)": procrustes, "ridge (direct)": ridge}  # fitted with both encoders at hand
METHODS = {"the paper's inverse": "pruned", "irp_hf": "auto"}
OWN, NEW = "its own encoder", "a new head, trained on the other"
FIRST = 33  # characters of the table's first column


def connect_all(spaces: Mapping[str, AnchoredSpace], sources: Mapping[str, str]) -> dict[tuple[str, str], IRPAdapter]:
    """Adapters to each head, all their hyper-parameters chosen from the anchors alone; fitted once, then read.

    `sources` says which encoder each head reads instead of its own.
    """
    adapters = {}
    with tqdm([(name, title) for name in sources for title in METHODS], leave=False) as steps:
        for name, title in steps:
            steps.set_description(f"Fitting {title} to {name}")
            folder = adapter_folder(spaces[sources[name]], spaces[name], method=METHODS[title])
            adapters[name, title] = IRPAdapter.from_pretrained(folder)
    return adapters


def print_table(
    results: Mapping[str, Mapping[str, Measure]],
    sources: Mapping[str, str],
    adapters: Mapping[tuple[str, str], IRPAdapter],
    width: int = 14,
) -> None:
    """Accuracies with half their 95 % intervals, and which inverse was chosen; `width` is of a head's column."""

    def line(title: str, *cells: object) -> None:
        print(f"{title:<{FIRST}}" + "".join(f"{cell!s:>{width}}" for cell in cells))

    print()
    line("test accuracy of the head of", *results)
    print("─" * (FIRST + width * len(results)))
    line(OWN, *(rows[OWN] for rows in results.values()))
    print()
    line("head fed by", *sources.values())
    line("  without translation", *["widths differ"] * len(results))
    for title in (*DIRECT, *METHODS):
        line(f"  {title}", *(rows[title] for rows in results.values()))
    print()
    line(NEW, *(rows[NEW] for rows in results.values()))
    line("inverse that irp_hf chose", *(adapters[name, "irp_hf"].config.method for name in results))
