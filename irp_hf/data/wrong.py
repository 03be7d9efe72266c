"""What is no matrix of floating-point numbers: its name, and the call that makes vectors of it."""

from __future__ import annotations

import os
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, Set, ValuesView
from typing import Any

from irp_hf.checks import quoted
from irp_hf.errors import InputError, kind_of, refusal, shown

ENCODE = "Encode texts first: irp_hf.encoding.encode(encoder, texts)."
TABLES = {
    ".csv": "pandas.read_csv({!r})",
    ".tsv": "pandas.read_csv({!r}, sep='\\t')",
    ".json": "pandas.read_json({!r})",
    ".jsonl": "pandas.read_json({!r}, lines=True)",
    ".ndjson": "pandas.read_json({!r}, lines=True)",
    ".parquet": "pandas.read_parquet({!r})",
    ".feather": "pandas.read_feather({!r})",
    ".arrow": "datasets.Dataset.from_file({!r})",
}
LINES = "pathlib.Path({!r}).read_text().splitlines()"
READERS = {
    ".npy": "np.load({!r})",
    ".npz": "np.load({!r})['the array']",
    ".csv": "pandas.read_csv({!r}).to_numpy('float32'), where each column is a number",
    ".tsv": "pandas.read_csv({!r}, sep='\\t').to_numpy('float32'), where each column is a number",
    ".txt": "np.loadtxt({!r})",
    ".safetensors": "safetensors.torch.load_file({!r})['the tensor']",
    ".pt": "torch.load({!r}, weights_only=True)",
    ".faiss": "faiss.read_index({!r}), then index.reconstruct_n(0, index.ntotal)",
}


def dtype_name(dtype: object) -> str:
    """The name of a dtype of torch or numpy, without the library's."""
    return str(dtype).removeprefix("torch.")


def wrong_dtype(name: str, dtype: object) -> InputError:
    """The error for numbers, or other values, of another dtype than those of vectors."""
    return refusal(name, "dtype float16, bfloat16, float32 or float64", dtype_name(dtype), _cure(dtype))


def _cure(dtype: object) -> str:
    text, kind = dtype_name(dtype), getattr(dtype, "kind", "")
    cast = "x.float()" if str(dtype).startswith("torch.") else "x.astype('float32')"
    if type(dtype).__module__.startswith("pyarrow"):
        cast = "column.cast(pyarrow.list_(pyarrow.float32()))"
    if kind == "V" and getattr(dtype, "names", None):
        return "Give one field, or numpy.lib.recfunctions.structured_to_unstructured(x)."
    if "complex" in text:
        return "Give real vectors: x.real, where that is what the encoder made."
    if text in ("int8", "uint8") or text.startswith(("qint", "quint")):
        raw = "x.dequantize()" if text.startswith("q") else cast
        return (
            "Quantised vectors have lost their scale: encode with precision='float32', or scale them back. "
            f"Where the numbers are the vectors themselves, give {raw}."
        )
    if kind in ("U", "T") or text in ("string", "large_string"):
        return ENCODE
    if kind == "S" or text in ("binary", "large_binary"):
        return "Where they are the memory of vectors, give np.stack([np.frombuffer(row, 'float32') for row in x])."
    if text in ("float128", "longdouble") or kind == "g":
        return "Give x.astype('float64')."
    if kind in ("M", "m"):
        return "Give the floating-point vectors that the encoder made."
    return f"Give the floating-point vectors that the encoder made; {cast} makes such of numbers."


def missing_values(name: str, which: str) -> InputError:
    """The error for rows with a hole, `which` says of what kind."""
    return refusal(name, "a value everywhere", f"missing values, {which}", "Drop those rows, or encode them again.")


def unequal(name: str, row: int, width: int, got: int) -> InputError:
    """The error for the first row that is not as wide as those before."""
    expected, advice = f"rows of one width, {width} as in row 0", "Give every item a vector of the same width."
    return refusal(name, expected, f"rows of unequal length, {got} in row {row}", advice)


def no_vectors(name: str, x: Any) -> InputError | None:
    """The error for what is known to be no vectors, although it may hold some; None for what is not known."""
    known = next(((more, advice) for is_it, more, advice in KNOWN if is_it(x)), None)
    if isinstance(x, str | os.PathLike):
        got, advice = shown(x), _reader(os.fspath(x))
    elif module_of(x) == "datasets" and (words := _of_datasets(x)) is not None:
        got, advice = words
    elif isinstance(x, Mapping):
        got = f"{kind_of(x)} of {quoted(list(x)[:8])}"
        advice = f"Give one of its values: x[{next(iter(x), 'embedding')!r}]."
    elif known is not None:
        got, advice = f"{kind_of(x)}, {known[0]}", known[1]
    else:
        return None
    return refusal(name, "vectors, a matrix (rows, width)", got, advice)


def no_rows(name: str, first: Any) -> InputError | None:
    """The error for a list whose `first` is known to be no vector; None for what is not known."""
    expected = "a list of vectors"
    if isinstance(first, str):
        cure = "Where they are lists of numbers as text, give [json.loads(row) for row in x]."
        return refusal(name, expected, f"texts, {shown(first)}", cure if first.lstrip().startswith("[") else ENCODE)
    if isinstance(first, Mapping):
        keys = list(first)
        advice = f"Give one value of each: [row[{(keys or ['embedding'])[0]!r}] for row in x]."
        return refusal(name, expected, f"one of dictionaries with {quoted(keys[:8])}", advice)
    if hasattr(first, "nnz") and hasattr(first, "toarray"):
        return refusal(name, expected, "one of sparse rows", "Give scipy.sparse.vstack(x).toarray().")
    if hasattr(first, "embedding"):
        return refusal(name, expected, f"one of objects, {kind_of(first)}", "Give [row.embedding for row in x].")
    return None


def _is_answer(x: Any) -> bool:
    """Whether it is what a service's client gives: objects with an embedding in a list."""
    data = getattr(x, "__dict__", {}).get("data")
    return isinstance(data, list) and bool(data) and hasattr(data[0], "embedding")


KNOWN: tuple[tuple[Callable[[Any], bool], str, str], ...] = (
    (lambda x: isinstance(x, ValuesView), "which has no [ ]", "Give np.stack(list(x))."),
    (
        lambda x: isinstance(x, KeysView),
        "the names and not the vectors",
        "Give np.stack(list(x.values())) of the dictionary x.",
    ),
    (lambda x: isinstance(x, ItemsView), "which is pairs", "Give np.stack([vector for name, vector in x])."),
    (
        lambda x: isinstance(x, zip | enumerate),
        "which gives several values at a time",
        "Give those that are vectors: np.stack([row[1] for row in x]), say.",
    ),
    (lambda x: isinstance(x, Set), "which has no order", "Give a list, in the order of the items."),
    (
        lambda x: hasattr(x, "collect") and hasattr(x, "collect_schema"),
        "which holds a query",
        "Give a column: x.collect()['embedding'].",
    ),
    (lambda x: hasattr(x, "nnz") and hasattr(x, "toarray"), "which is sparse", "Give x.toarray()."),
    (
        lambda x: hasattr(x, "reconstruct_n") and hasattr(x, "ntotal"),
        "an index of faiss",
        "Give x.reconstruct_n(0, x.ntotal); an inverted file wants x.make_direct_map() before.",
    ),
    (lambda x: isinstance(x, Iterator), "which can be read once", "Give np.stack(list(x))."),
    (
        lambda x: hasattr(x, "anchors") and hasattr(x, "mean_scale"),
        "which holds some",
        "Give x.anchors; IRPAdapter.connect takes two spaces.",
    ),
    (_is_answer, "an answer of a service", "Give [row.embedding for row in x.data]."),
)


def _reader(path: str) -> str:
    ending = os.path.splitext(path)[1].lower()
    call = READERS.get(ending)
    if call is None and ending in TABLES:
        call = f"{TABLES[ending]}['the column']"
    return f"Read a file first: {call.format(path)}." if call else f"Read a file first: np.load, say. {ENCODE}"


def reader_of_items(path: Any) -> str | None:
    """What to do with the path of a file that holds texts, say, as its name ends; None where it does not tell."""
    if not isinstance(path, str | os.PathLike):
        return None
    ending = os.path.splitext(os.fspath(path))[1].lower()
    call = LINES if ending == ".txt" else f"{TABLES[ending]}['the column']" if ending in TABLES else None
    return None if call is None else f"Read the file first: {call.format(os.fspath(path))}."


def is_missing(value: Any) -> bool:
    """Whether it stands for nothing: None, a float NaN, what pandas and masked arrays of numpy have for it."""
    return (
        value is None
        or type(value).__name__ in ("NAType", "NaTType", "MaskedConstant")
        or (isinstance(value, float) and value != value)
    )


def module_of(x: Any) -> str:
    """The library that its class is of."""
    return type(x).__module__.partition(".")[0]


def _of_datasets(x: Any) -> tuple[str, str] | None:
    """A whole data set, several of them, or a stream."""
    if isinstance(x, Mapping):
        return f"{kind_of(x)} of {quoted(x)}", f"Give a column of one: x[{next(iter(x), 'train')!r}]['embedding']."
    if hasattr(x, "column_names"):
        columns = [name for name, kind in (x.features or {}).items() if hasattr(kind, "feature")]
        column = (columns or ["embedding"])[0]
        held = f", of which {quoted(columns)} {'holds' if len(columns) == 1 else 'hold'} lists" if columns else ""
        if hasattr(x, "__len__"):
            return f"a whole data set{held}", f"Give one column: dataset[{column!r}]."
        return f"a stream{held}", f"Give rows of it: [row[{column!r}] for row in dataset.take(1000)]."
    if not hasattr(x, "__len__"):
        return "a column of a stream", "Give rows of it: list(itertools.islice(column, 1000)), or list(column)."
    return None
