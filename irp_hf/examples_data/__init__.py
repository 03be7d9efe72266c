"""A small real case that needs no download: 700 emoji, their names encoded by two encoders, and a head for one of the two.

`EMOJI` is a Parquet file of 0.9 MB. Each row is an emoji: `emoji`, its `name` and `group` (the class), and two vectors of that
name, `static` (256 numbers, the mean of WordLlama's token vectors) and `MiniLM` (384, all-MiniLM-L6-v2), in half precision.
Rows are shuffled, so the first few hundred are as good a sample of anchors as any.

`HEAD` is a safetensors file: `weight (8, 384)` and `bias (8,)` of a linear classifier of MiniLM's vectors, trained on 610 other
emoji. Its classes are the groups in the order of the alphabet.

    >>> import pandas as pd
    >>> sorted(pd.read_parquet(EMOJI)["group"].unique())[:3]
    ['Activities', 'Animals & Nature', 'Food & Drink']

Names and groups are Unicode's (Unicode License v3), by way of the package emoji-datasource-google (MIT); WordLlama is MIT,
all-MiniLM-L6-v2 Apache-2.0. `examples/shipped_data.py` made both files.
"""

from pathlib import Path

EMOJI = Path(__file__).with_name("emoji.parquet")
HEAD = Path(__file__).with_name("head.safetensors")

__all__ = ["EMOJI", "HEAD"]
