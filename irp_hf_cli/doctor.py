"""`doctor`: what is installed, what a folder or a store is, whether two parts fit."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from typing import Annotated, Any

import typer

from irp_hf_cli.frame import Done, command
from irp_hf_cli.kinds import open_saved

CORE = ("irp_hf", "torch", "transformers", "huggingface_hub", "datasets", "numpy", "pyarrow", "safetensors")
FOR_DEVELOPERS = ("bench", "demo", "dev", "docs")


def add(app: typer.Typer) -> None:
    """Add the command of this file."""
    command(app, example="irp-hf doctor old-to-new old.parquet#embedding")(doctor)


def doctor(
    place: Annotated[
        str | None, typer.Argument(help="A folder, an id of the Hub or vectors: what is it?", show_default=False)
    ] = None,
    other: Annotated[str | None, typer.Argument(help="Another: do both fit?", show_default=False)] = None,
) -> Done:
    """Say what is installed, and what fits.

    Without a place, what is installed; of a place, what lies there; of two, whether they belong together, and the exit code
    is 1 where they do not.
    """
    if place is None:
        return _installed()
    one = _looked_at(place)
    if other is None:
        return Done(_lines(one), one)
    two = _looked_at(other)
    words, fits = _fit(one, two)
    plain = {"kind": "fit", "fits": fits, "why": words, "parts": [one, two]}
    return Done(f"{_lines(one)}\n\n{_lines(two)}\n\n{'They fit' if fits else 'They do not fit'}: {words}", plain, fits)


def _lines(facts: dict[str, Any]) -> str:
    """Facts as lines; what is not known is left out."""
    from irp_hf.errors import printable

    known = {name: value for name, value in facts.items() if value is not None}
    return "\n".join(f"{name.replace('_', ' ')}: {printable(str(value), 1_000)}" for name, value in known.items())


def _installed() -> Done:
    import torch

    found = {name: _version(name) for name in CORE}
    devices = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    extras = _extras()
    lines = [f"Python {platform.python_version()} at {sys.prefix}, {platform.platform()}"]
    lines += [f"{name} {version or 'not installed as a package'}" for name, version in found.items()]
    lines.append(f"devices: {', '.join(devices)}")
    for extra, packages in extras.items():
        lacks = [name for name, version in packages.items() if version is None]
        has = ", ".join(f"{name} {version}" for name, version in packages.items() if version)
        said = has if not lacks else f"lacks {', '.join(lacks)}: pip install 'irp_hf[{extra}]'"
        lines.append(f"extra {extra}: {said}")
    plain = {"kind": "installation", "python": platform.python_version(), "packages": found, "extras": extras}
    return Done("\n".join(lines), {**plain, "devices": devices})


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        if package == "irp_hf":
            from irp_hf import __version__

            return __version__
        return None


def _extras() -> dict[str, dict[str, str | None]]:
    """The packages of each extra for users, with the versions that are installed."""
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(line) for line in metadata.requires("irp_hf") or []]
        names = metadata.metadata("irp_hf").get_all("Provides-Extra") or []
    except metadata.PackageNotFoundError:
        return {}
    return {
        extra: {one.name: _version(one.name) for one in wanted if one.marker and one.marker.evaluate({"extra": extra})}
        for extra in names
        if extra not in FOR_DEVELOPERS
    }


def _looked_at(place: str) -> dict[str, Any]:
    """What lies there, as facts; raises `InputError` and its like for what is nothing of ours and no vectors."""
    if _is_vectors(place):
        return _vectors(place)
    kind, saved = open_saved(place)
    if kind == "anchor set":
        views = ", ".join(saved.views)
        return {
            "kind": kind,
            "place": place,
            "items": len(saved),
            "views": views,
            "fingerprint": saved.fingerprint,
            "dataset": saved.dataset_id,
            "license": saved.license,
        }
    config = saved.config
    shared = {"kind": kind, "place": place, "anchors": config.num_anchors, "fingerprint": config.anchor_fingerprint}
    if kind == "space":
        record = {"encoder": config.encoder_record.name, "revision": config.encoder_record.revision}
        return {**shared, "width": config.hidden_size, **record, "background": config.num_background}
    sides = {"source": config.source_record.name, "target": config.target_record.name}
    widths = {"source_width": config.source_size, "target_width": config.target_size}
    how = {"method": config.method, "objective": config.objective, "pairs": config.num_pairs}
    return {**shared, **sides, **widths, **how, "checksum": saved.checksum()}


def _is_vectors(place: str) -> bool:
    """Whether it is to be read as stored vectors: a file, or the address of some."""
    from irp_hf.stores.address import Address

    found = Address.of("The place", place)
    return os.path.isfile(found.place) or found.scheme is not None or found.inside is not None


def _vectors(place: str) -> dict[str, Any]:
    from irp_hf.stores import open_store

    with open_store(place, "The vectors") as store:
        record = store.record()
        facts = {
            "kind": "vectors",
            "place": place,
            "rows": store.num_rows,
            "width": store.width,
            "dtype": str(store.dtype),
        }
        facts["columns"] = ", ".join(f"{field.name} ({field.type})" for field in store.schema)
        if record is not None:
            encoder = (record.target_encoder or {}).get("id", "an encoder that nobody named")
            facts |= {"translated_by": record.adapter, "translated_on": record.date, "space_of": encoder}
            facts |= {"true_rows": record.true_rows, "unit_length": record.unit_length}
        return facts


def _fit(one: dict[str, Any], other: dict[str, Any]) -> tuple[str, bool]:
    """Whether two parts belong together, and why."""
    from irp_hf.errors import refusal

    kinds = (one["kind"], other["kind"])
    if kinds in (("vectors", "adapter"), ("vectors", "space")) or kinds == ("anchor set", "space"):
        one, other, kinds = other, one, (kinds[1], kinds[0])
    if kinds == ("adapter", "vectors"):
        return _vectors_fit(one, other)
    if kinds == ("space", "vectors"):
        same = one["width"] == other["width"]
        return f"the space is {one['width']} wide, the vectors {other['width']}", same
    if "vectors" in kinds:
        advice = "Give an adapter or a space beside vectors."
        raise refusal("doctor", "two parts that are used together", f"{kinds[0]} and {kinds[1]}", advice)
    if kinds == ("adapter", "adapter"):
        chained = one["target_width"] == other["source_width"] and one["target"] == other["source"]
        return f"the first leads to {one['target']}, the second begins at {other['source']}", chained
    known = one["fingerprint"], other["fingerprint"]
    if None in known:
        return "nothing says which anchors one of them holds", False
    return f"anchors {known[0][:8]}… and {known[1][:8]}…", known[0] == known[1]


def _vectors_fit(adapter: dict[str, Any], vectors: dict[str, Any]) -> tuple[str, bool]:
    """Whether an adapter takes these vectors, by what `translate` looks at before it begins."""
    from irp_hf import IRPAdapter
    from irp_hf.errors import InputError
    from irp_hf.stores import open_store
    from irp_hf.stores.base import vectors_of
    from irp_hf.stores.identity import check_source, sample_of

    with open_store(vectors["place"]) as store:
        try:
            sample = vectors_of(sample_of(store), store.column)
            check_source(store, sample, IRPAdapter.from_pretrained(adapter["place"]), looks=True)
        except InputError as error:
            return str(error), False
    return f"the vectors look like those of the adapter's source, {adapter['source']}", True
