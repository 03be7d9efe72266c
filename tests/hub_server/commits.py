"""How files get into a repository of the Hub of the tests: preupload, LFS, commits, pull requests."""

import base64
import json
from typing import Any

from hub_server.calls import GIT, REPO, Answer, Call, Hub, reads, writes
from hub_server.cards import card, metadata
from hub_server.store import Blob, Commit, Files, PullRequest, Refused, Repo, writer

# What the .gitattributes of a new repository sends by LFS, as far as we may meet it.
LFS_SUFFIXES = (
    ".arrow",
    ".bin",
    ".gz",
    ".npy",
    ".npz",
    ".onnx",
    ".parquet",
    ".pkl",
    ".pt",
    ".pth",
    ".safetensors",
    ".zip",
)


def by_lfs(path: str, size: int, sample: bytes, lfs_from: int) -> bool:
    return size > 0 and (size >= lfs_from or path.endswith(LFS_SUFFIXES) or b"\0" in sample)


@reads("POST", "/api/validate-yaml")
def validate_yaml(hub: Hub, call: Call) -> Answer:
    try:
        data = metadata(call.json()["content"])
    except Refused as refusal:
        return Answer({"errors": [{"message": refusal.message}], "warnings": []}, 400)
    warning = [] if data else [{"message": "empty or missing yaml metadata in repo card"}]
    return Answer({"errors": [], "warnings": warning})


@reads("POST", REPO + "/preupload/(?P<revision>[^/]+)")
def preupload(hub: Hub, call: Call, kind: str, name: str, revision: str) -> Answer:
    """Which files go by LFS, and what is there already under their names."""
    repo = opened(hub, call, kind, name, revision)
    known, told = repo.commit(revision).files, []
    for asked in call.json()["files"]:
        sample = base64.b64decode(asked.get("sample", ""))
        mode = "lfs" if by_lfs(asked["path"], asked["size"], sample, hub.lfs_from) else "regular"
        blob = known.get(asked["path"])
        oid = None if blob is None else blob.sha256 if blob.lfs else blob.oid
        told.append({"path": asked["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
    return Answer({"files": told})


@reads("POST", GIT + r"\.git/info/lfs/objects/batch")
def lfs_batch(hub: Hub, call: Call, name: str, kind: str = "model") -> Answer:
    hub.store.open(kind, name, call.account, "pull")
    objects = [{"oid": asked["oid"], "size": asked["size"]} for asked in call.json()["objects"]]
    for told in objects:
        if told["oid"] not in hub.store.objects:
            upload = {"href": f"{hub.storage_url}/storage/{told['oid']}", "header": {}}
            told["actions"] = {"upload": upload, "verify": {"href": f"{hub.url}/api/lfs-verify", "header": {}}}
    return Answer({"transfer": "basic", "objects": objects})


@reads("POST", "/api/lfs-verify")
def lfs_verify(hub: Hub, call: Call) -> Answer:
    writer(call.account)
    if call.json()["oid"] not in hub.store.objects:
        raise Refused(404, "No such object")
    return Answer()


@writes("POST", REPO + "/commit/(?P<revision>[^/]+)")
def commit(hub: Hub, call: Call, kind: str, name: str, revision: str) -> Answer:
    repo, author = opened(hub, call, kind, name, revision), writer(call.account).name
    lines = [json.loads(line) for line in call.body.splitlines() if line.strip()]
    head: dict[str, Any] = next((line["value"] for line in lines if line["key"] == "header"), {})
    title, parent = head.get("summary", ""), head.get("parentCommit")
    ref, pulled = repo.branch(revision), "create_pr" in call.query
    onto = repo.commit(parent if pulled and parent else ref)
    if parent and not onto.oid.startswith(parent):
        raise Refused(412, "A commit has happened since. Please refresh and try again.")
    files = changed(onto, lines, hub.store.objects)
    told = {}
    if pulled:
        pull = repo.open_pull(title, author, onto)
        ref, told["pullRequestUrl"] = pull.ref, f"{web(hub, repo)}/discussions/{pull.num}"
    oid = repo.add(ref, files, title, author, head.get("description", "")).oid
    return Answer({"success": True, "commitOid": oid, "commitUrl": f"{web(hub, repo)}/commit/{oid}", **told})


def changed(onto: Commit, lines: list[dict[str, Any]], objects: dict[str, bytes]) -> Files:
    """The files of a commit after the operations of an upload; all of them or none."""
    files = dict(onto.files)
    for line in lines:
        key, value = line["key"], line["value"]
        if key == "file":
            files[value["path"]] = Blob(base64.b64decode(value["content"]), lfs=False)
        elif key == "lfsFile":
            if value["oid"] not in objects:
                raise Refused(400, f"LFS pointer pointed to a file that does not exist: {value['path']}")
            files[value["path"]] = Blob(objects[value["oid"]], lfs=True)
        elif key == "deletedFile":
            if files.pop(value["path"], None) is None:
                raise Refused(404, f"{value['path']} does not exist", "EntryNotFound", onto.oid)
        elif key == "deletedFolder":
            files = {path: blob for path, blob in files.items() if not path.startswith(value["path"].rstrip("/") + "/")}
    card(files)
    return files


def opened(hub: Hub, call: Call, kind: str, name: str, revision: str) -> Repo:
    """A repository that takes commits of the caller: it is theirs, or the branch is their pull request."""
    repo = hub.store.open(kind, name, call.account, "pull")
    ours = any(pull.ref == revision and pull.author == writer(call.account).name for pull in repo.pulls)
    return repo if ours or "create_pr" in call.query else hub.store.open(kind, name, call.account, "write")


def web(hub: Hub, repo: Repo) -> str:
    return f"{hub.url}/{'' if repo.kind == 'model' else repo.kind + 's/'}{repo.name}"


# Pull requests.


@reads("GET", REPO + "/discussions")
def discussions(hub: Hub, call: Call, kind: str, name: str) -> Answer:
    repo = hub.store.open(kind, name, call.account)
    told = [discussion(repo, pull) for pull in reversed(repo.pulls)]
    return Answer({"discussions": told, "count": len(told), "start": 0})


@writes("POST", REPO + "/discussions")
def open_pull_request(hub: Hub, call: Call, kind: str, name: str) -> Answer:
    repo, asked = hub.store.open(kind, name, call.account, "pull"), call.json()
    if not asked.get("pullRequest"):
        raise Refused(400, "Discussions that are no pull requests are not kept here")
    pull = repo.open_pull(asked["title"], writer(call.account).name, repo.commit("main"), "draft")
    return Answer({"num": pull.num, "pullRequest": True})


@reads("GET", REPO + r"/discussions/(?P<num>\d+)")
def pull_request(hub: Hub, call: Call, kind: str, name: str, num: str) -> Answer:
    repo = hub.store.open(kind, name, call.account)
    pull = repo.pull(int(num))
    changes = {"base": "refs/heads/main", "mergeCommitId": pull.merged}
    return Answer(discussion(repo, pull) | {"events": [], "filesWithConflicts": [], "diff": "", "changes": changes})


@writes("POST", REPO + r"/discussions/(?P<num>\d+)/merge")
def merge(hub: Hub, call: Call, kind: str, name: str, num: str) -> Answer:
    repo = hub.store.open(kind, name, call.account, "write")
    pull = repo.pull(int(num))
    if pull.status not in ("open", "draft"):
        raise Refused(409, f"This pull request is {pull.status}")
    repo.merge(pull, writer(call.account).name)
    return Answer()


def discussion(repo: Repo, pull: PullRequest) -> dict[str, Any]:
    told = {"num": pull.num, "title": pull.title, "status": pull.status, "createdAt": pull.date, "isPullRequest": True}
    return told | {"author": {"name": pull.author}, "repo": {"name": repo.name, "type": repo.kind}}
