"""What is said of what holds vectors, but not as a matrix: the advice, followed, gives the vectors."""

from typing import Any

import numpy as np
import pandas
import pytest

from irp_hf import AnchoredSpace, InputError

ROWS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
NAMED = {f"row {place}": row for place, row in enumerate(ROWS)}


def advised(refusal: Any, given: Any, **names: Any) -> Any:
    """What the advice gives, of the same thing made anew."""
    words = refusal(AnchoredSpace.from_embeddings, given, error=InputError)
    call = words.rpartition("np.stack(")[2]
    for end in (").", ") of", "), say."):
        call = call.partition(end)[0]
    return eval(f"np.stack({call})", {"np": np, **names})


def test_views_of_a_dictionary_and_pairs(refusal):
    """np.stack of keys is an array of texts, of pairs an error."""
    assert np.array_equal(advised(refusal, NAMED.values(), x=NAMED.values()), ROWS)
    assert np.array_equal(advised(refusal, NAMED.keys(), x=NAMED), ROWS)
    assert np.array_equal(advised(refusal, NAMED.items(), x=NAMED.items()), ROWS)
    assert np.array_equal(advised(refusal, zip("abcde", ROWS, strict=True), x=zip("abcde", ROWS, strict=True)), ROWS)
    assert np.array_equal(advised(refusal, enumerate(ROWS), x=enumerate(ROWS)), ROWS)
    assert np.array_equal(advised(refusal, map(np.asarray, ROWS), x=map(np.asarray, ROWS)), ROWS)


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "json", "txt"])
def test_files_of_vectors(ending, tmp_path, refusal):
    """np.load reads none of these."""
    path = tmp_path / f"vectors.{ending}"
    frame = pandas.DataFrame(ROWS)
    if ending in ("csv", "tsv"):
        frame.to_csv(path, index=False, sep="," if ending == "csv" else "\t")
    elif ending == "txt":
        np.savetxt(path, ROWS)
    else:
        pandas.DataFrame({"the column": ROWS.tolist()}).to_json(path, orient="records", lines=ending == "jsonl")
    words = refusal(AnchoredSpace.from_embeddings, str(path), error=InputError)
    call = words.rpartition("Read a file first: ")[2].removesuffix(".").partition(", where")[0]
    found = eval(call, {"np": np, "pandas": pandas})
    np.testing.assert_allclose(np.stack(list(found)), ROWS, atol=1e-5)
