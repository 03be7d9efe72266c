"""Write the small real case that the package ships, `irp_hf/examples_data/`: emoji, their vectors by two encoders, and a head.

    python examples/shipped_data.py [--folder FOLDER]    # reads npm's emoji-datasource-google and the demo's encoders

Of each thing one emoji is kept, as in `cross_modal_data.py`, no flags; 700 are shipped, the head is trained on the others.
What the page of `examples/space/` needs of their pictures it writes there; `requirements-examples.txt` names their encoder.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cross_modal_data import base_name, data_folder
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression
from trec import ROOT, SEED, embed

NUM_SHIPPED = 700  # at 1,280 bytes a row: below a megabyte
LEFT_OUT = ("Component", "Flags")  # skin tones, which are no things, and names of countries, which any head tells
SPACE = ROOT / "examples" / "space"
PICTURES = (  # offered on the page; of the last two the head, fed by pictures, is wrong, as it is of 38 % of all
    "deciduous tree", "saxophone", "thinking face", "birthday cake", "airplane", "giraffe face",
)  # fmt: skip


def main(folder: Path) -> None:
    """Encode the names, train the head on those that are not shipped, and write both files, and the page's."""
    entries = distinct_entries()
    names = [entry["name"].lower() for entry in entries]
    groups = np.array([entry["category"] for entry in entries])
    static, minilm = (embed(encoder, names)[0].float().numpy() for encoder in ("static-256", "MiniLM-384"))
    head = LogisticRegression(max_iter=3000).fit(minilm[NUM_SHIPPED:], groups[NUM_SHIPPED:])
    print(f"The head was trained on {len(names) - NUM_SHIPPED} emoji of {len(head.classes_)} groups.")
    parts = {"weight": head.coef_, "bias": head.intercept_}
    parts = {name: np.ascontiguousarray(part, dtype=np.float32) for name, part in parts.items()}  # stored as they lie
    save_file(parts, folder / "head.safetensors")
    table = pa.table(
        {
            "emoji": [character(entry["unified"]) for entry in entries[:NUM_SHIPPED]],
            "name": names[:NUM_SHIPPED],
            "group": groups[:NUM_SHIPPED].tolist(),
            "static": vectors(static[:NUM_SHIPPED]),
            "MiniLM": vectors(minilm[:NUM_SHIPPED]),
        }
    )
    pq.write_table(table, folder / "emoji.parquet", compression="zstd", compression_level=19, use_dictionary=["group"])
    for name in ("emoji.parquet", "head.safetensors"):
        print(f"{name}: {(folder / name).stat().st_size:,} bytes")
    write_pictures(entries[:NUM_SHIPPED])


def write_pictures(entries: list[dict[str, str]]) -> None:
    """The vectors of their pictures, by the page's own encoder, fingerprints of these, and some that it offers."""
    sys.path.insert(0, str(SPACE))
    import lite0
    import pictures

    files = [data_folder() / "img" / "google" / "64" / entry["image"] for entry in entries]
    opened = [pictures.opened(str(file)) for file in files]
    encoded = vectors(np.stack([lite0.encode(picture) for picture in opened]))
    table = pa.table({"pixels": [pictures.fingerprint(picture) for picture in opened], "lite0": encoded})
    pq.write_table(table, SPACE / "pictures.parquet", compression="zstd", compression_level=19, use_dictionary=False)
    print(f"pictures.parquet: {(SPACE / 'pictures.parquet').stat().st_size:,} bytes")
    for file, name in zip(files, (entry["name"].lower() for entry in entries), strict=True):
        if name in PICTURES:
            shutil.copy(file, SPACE / "emoji" / f"{name.replace(' ', '-')}.png")


def distinct_entries() -> list[dict[str, str]]:
    """One entry of each thing, the plainest, shuffled."""
    entries = json.loads((data_folder() / "emoji.json").read_text("utf-8"))
    entries = [entry for entry in entries if entry["has_img_google"] and entry["category"] not in LEFT_OUT]
    entries.sort(key=lambda entry: (len(entry["name"]), entry["unified"]), reverse=True)
    plainest = list(
        {base_name(entry["name"]): entry for entry in entries}.values()
    )  # the shortest name comes last, and stays
    return [plainest[row] for row in np.random.RandomState(SEED).permutation(len(plainest))]


def character(unified: str) -> str:
    """The emoji itself, of its code points in hexadecimal."""
    return "".join(chr(int(point, 16)) for point in unified.split("-"))


def vectors(rows: np.ndarray) -> pa.FixedSizeListArray:
    """A column of these vectors `(n, d)` in half precision."""
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.astype(np.float16).ravel()), rows.shape[1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "irp_hf" / "examples_data", help="where to write both files"
    )
    main(parser.parse_args().folder)
