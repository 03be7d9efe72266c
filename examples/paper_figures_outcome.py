"""What a figure of the paper comes to: numbers, a table and a sentence, written beside the picture."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trec import versions

from irp_hf.evaluation.printed import Table, markdown


@dataclass(frozen=True)
class Outcome:
    """A figure of ours, against what the paper says of its own."""

    claim: str
    """Of the paper, in our words."""
    verdict: str
    """Whether ours agrees: one sentence with our numbers in it."""
    table: Table
    numbers: dict[str, Any]
    packages: tuple[str, ...]
    """That hold the encoders and the data."""
    seeds: tuple[int, ...] = ()

    def write(self, name: str, picture: Path) -> None:
        """Write the numbers as JSON, and the table as Markdown, next to the picture of figure `name`."""
        command = f"python examples/paper_figures.py --only {name}"
        record = {
            "figure": name,
            "command": command,
            "claim": self.claim,
            "verdict": self.verdict,
            "seeds": list(self.seeds),
            "versions": {"python": platform.python_version(), **versions(self.packages)},
            "numbers": rounded(self.numbers),
        }
        picture.with_suffix(".json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")
        parts = (
            f"# Figure {name}",
            f"![Figure {name}]({picture.name})",
            f"The paper: {self.claim}",
            self.verdict,
            markdown(self.table),
            f"`{command}`; seeds, versions and all numbers are in [{picture.stem}.json]({picture.stem}.json).",
        )
        picture.with_suffix(".md").write_text("\n\n".join(parts) + "\n", "utf-8")


def rounded(value: Any) -> Any:
    """Floats to four decimals, however deep they lie."""
    if isinstance(value, dict):
        return {str(name): rounded(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(entry) for entry in value]
    return round(value, 4) if isinstance(value, float) else value
