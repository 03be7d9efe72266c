"""What the Hub of the tests says of a repository: its card, its tags, and the listings that search them."""

import re
from typing import Any

import yaml  # type: ignore[import-untyped]

from hub_server.store import Commit, Files, Refused, Repo

TASKS = ("task_categories", "task_ids", "size_categories", "language_creators", "multilinguality")
BASIC = ("_id", "id", "modelId", "private", "tags", "pipeline_tag", "library_name", "downloads", "likes", "createdAt")


def card(files: Files) -> dict[str, Any]:
    """The metadata of README.md; empty where there is none."""
    readme = files.get("README.md")
    return metadata(readme.data.decode()) if readme else {}


def metadata(readme: str) -> dict[str, Any]:
    front = re.match(r"---[ \t]*\r?\n(.*?)\r?\n---", readme, re.DOTALL)
    if front is None:
        return {}
    try:
        data = yaml.safe_load(front[1])
    except yaml.YAMLError as error:
        raise Refused(400, f"Invalid metadata in README.md: {' '.join(str(error).split())}") from error
    if data is not None and not isinstance(data, dict):
        raise Refused(400, "Invalid metadata in README.md: expected a mapping")
    return data or {}


def tags(data: dict[str, Any], files: Files) -> list[str]:
    """The tags of the card, and those that the Hub makes of its other entries."""
    found = [*listed(data, "tags"), *listed(data, "library_name"), *listed(data, "pipeline_tag")]
    found += ["safetensors"] if any(path.endswith(".safetensors") for path in files) else []
    found += [f"dataset:{name}" for name in listed(data, "datasets")]
    found += [f"{key}:{value}" for key in TASKS for value in listed(data, key)]
    relation = data.get("base_model_relation")
    for name in listed(data, "base_model"):
        found += [f"base_model:{name}"] + ([f"base_model:{relation}:{name}"] if relation else [])
    found += [f"license:{name}" for name in listed(data, "license")] + listed(data, "language")
    return list(dict.fromkeys([*found, "region:us"]))


def listed(data: dict[str, Any], key: str) -> list[str]:
    value = data.get(key) or []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def info(repo: Repo, commit: Commit, blobs: bool = False) -> dict[str, Any]:
    """All that the Hub says of a repository at a commit."""
    data = card(commit.files)
    about = {
        "_id": repo.name,
        "id": repo.name,
        "author": repo.name.split("/")[0],
        "sha": commit.oid,
        "private": repo.private,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": tags(data, commit.files),
        "cardData": data,
        "createdAt": repo.history("main")[-1].date,
        "lastModified": commit.date,
        "siblings": [sibling(commit, path, blobs) for path in sorted(commit.files)],
    }
    if repo.kind == "model":
        about |= {
            "modelId": repo.name,
            "pipeline_tag": data.get("pipeline_tag"),
            "library_name": data.get("library_name"),
        }
    return about


def sibling(commit: Commit, path: str, blobs: bool) -> dict[str, Any]:
    known = entry(commit, path) if blobs else {}
    return {"rfilename": path} | {"blobId" if key == "oid" else key: known[key] for key in known if key != "path"}


def entry(commit: Commit, path: str) -> dict[str, Any]:
    """A file or a folder, as trees and paths-info give it."""
    blob = commit.files.get(path)
    if blob is None:
        return {"type": "directory", "path": path, "oid": commit.oid, "size": 0}
    about: dict[str, Any] = {"type": "file", "path": path, "oid": blob.oid, "size": len(blob.data)}
    if blob.lfs:
        about["lfs"] = {
            "oid": blob.sha256,
            "sha256": blob.sha256,
            "size": len(blob.data),
            "pointerSize": len(blob.in_git),
        }
    return about


def folders(files: Files) -> set[str]:
    """Every folder that holds a file, at any depth."""
    return {path[: slash.start()] for path in files for slash in re.finditer("/", path)}


def tree(commit: Commit, folder: str, recursive: bool) -> list[dict[str, Any]]:
    """What a folder ("" is the root) holds."""
    inside = f"{folder}/" if folder else ""
    if folder and folder not in folders(commit.files):
        raise Refused(404, f"{folder} does not exist on {commit.oid}", "EntryNotFound", commit.oid)
    paths = [path for path in sorted({*commit.files, *folders(commit.files)}) if path.startswith(inside)]
    return [entry(commit, path) for path in paths if recursive or "/" not in path[len(inside) :]]


def listing(repos: list[Repo], query: dict[str, list[str]]) -> list[dict[str, Any]]:
    """The repositories that have every tag asked for, the latest changed first (as `sort` says, for other orders)."""
    about = [info(repo, repo.commit("main")) for repo in repos]
    for name, asked in query.items():
        if name == "filter":
            about = [one for one in about if set(asked) <= set(one["tags"])]
        elif name == "search":
            about = [one for one in about if all(word.lower() in one["id"].lower() for word in asked)]
        elif name in ("author", "pipeline_tag"):
            about = [one for one in about if one.get(name) == asked[0]]
    order = query.get("sort", ["lastModified"])[0]
    about.sort(key=lambda one: one.get(order) or 0, reverse=True)
    return [shown(one, query) for one in about]


def shown(about: dict[str, Any], query: dict[str, list[str]]) -> dict[str, Any]:
    """The keys of a listing: some are given only to who asks."""
    expanded = query.get("expand", []) + query.get("expand[]", [])
    if expanded:
        return {key: about[key] for key in ("_id", "id", *expanded) if key in about}
    hidden = set(about) - set(BASIC)
    hidden -= {"author", "sha", "lastModified", "siblings", "gated", "disabled"} if "full" in query else set()
    hidden -= {"cardData"} if "cardData" in query or ("full" in query and "modelId" not in about) else set()
    return {key: value for key, value in about.items() if key not in hidden}
