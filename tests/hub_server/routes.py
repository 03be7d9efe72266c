"""What the Hub of the tests answers: one function for each address."""

import hashlib
from typing import Any
from urllib.parse import parse_qs, urlencode

from hub_server.calls import GIT, KIND, REPO, Answer, Call, File, Hub, ranged, reads, writes
from hub_server.cards import entry, folders, info, listing, tree
from hub_server.store import Account, Refused, Repo, writer

# Accounts and repositories.


@reads("GET", "/api/whoami-v2")
def whoami(hub: Hub, call: Call) -> Answer:
    account = call.account
    if account is None:
        raise Refused(401, "Invalid username or password.")
    access = {"type": "access_token", "accessToken": {"displayName": "test", "role": account.role}}
    organisations = [{"name": name} for name in account.organisations]
    return Answer(
        {"type": "user", "name": account.name, "fullname": account.name, "orgs": organisations, "auth": access}
    )


@writes("POST", "/api/repos/create")
def create(hub: Hub, call: Call) -> Answer:
    asked, account = call.json(), writer(call.account)
    kind, name = asked.get("type") or "model", f"{asked.get('organization') or account.name}/{asked['name']}"
    if not account.owns(name):
        raise Refused(403, f"You don't have the rights to create a {kind} under the namespace {name.split('/')[0]!r}")
    url = f"{hub.url}/{'' if kind == 'model' else kind + 's/'}{name}"
    if (kind, name) in hub.store.repos:
        words = f"You already created this {kind} repo: {name}"
        return Answer({"error": words, "url": url}, 409, {"X-Error-Message": words})
    hub.store.create(kind, name, private(asked), account.name)
    return Answer({"url": url, "name": name})


@writes("DELETE", "/api/repos/delete")
def delete(hub: Hub, call: Call) -> Answer:
    asked, account = call.json(), writer(call.account)
    kind, name = asked.get("type") or "model", f"{asked.get('organization') or account.name}/{asked['name']}"
    hub.store.open(kind, name, account, "write")
    del hub.store.repos[kind, name]
    return Answer()


@writes("PUT", REPO + "/settings")
def settings(hub: Hub, call: Call, kind: str, name: str) -> Answer:
    repo = hub.store.open(kind, name, call.account, "write")
    repo.private = private(call.json())
    return Answer({"private": repo.private})


def private(asked: dict[str, Any]) -> bool:
    return asked.get("visibility") == "private" or bool(asked.get("private"))


@reads("GET", KIND)
def search(hub: Hub, call: Call, kind: str) -> Answer:
    account = call.account
    mine = [repo for repo in list(hub.store.repos.values()) if repo.kind == kind and visible(repo, account)]
    found = listing(mine, call.query)
    start, size = int(call.option("cursor", "0")), int(call.option("limit", str(hub.page)))
    size = min(size, hub.page)
    following = urlencode(call.query | {"cursor": [str(start + size)]}, doseq=True)
    link = {"Link": f'<{hub.url}{call.path}?{following}>; rel="next"'} if start + size < len(found) else {}
    return Answer(found[start : start + size], headers=link)


def visible(repo: Repo, account: Account | None) -> bool:
    return not repo.private or (account is not None and account.owns(repo.name))


@reads("GET HEAD", REPO + "(?:/revision/(?P<revision>[^/]+))?")
def about(hub: Hub, call: Call, kind: str, name: str, revision: str = "main") -> Answer:
    repo = hub.store.open(kind, name, call.account)
    commit = repo.commit(revision)
    told = info(repo, commit, blobs="blobs" in call.query)
    return Answer(told, headers={"X-Repo-Commit": commit.oid})


@reads("GET", REPO + "/auth-check(?P<writing>/write)?")
def auth_check(hub: Hub, call: Call, kind: str, name: str, writing: str = "") -> Answer:
    hub.store.open(kind, name, call.account, "write" if writing else "read")
    return Answer()


# Refs and trees.


@reads("GET", REPO + "/refs")
def refs(hub: Hub, call: Call, kind: str, name: str) -> Answer:
    repo = hub.store.open(kind, name, call.account)
    told: dict[str, list[dict[str, str]]] = {}
    for key, prefix in {"branches": "refs/heads/", "tags": "refs/tags/", "pullRequests": "refs/pr/"}.items():
        named = [(ref, oid) for ref, oid in dict(repo.refs).items() if ref.startswith(prefix)]
        told[key] = [{"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": oid} for ref, oid in named]
    return Answer({**told, "converts": []})


@writes("POST DELETE", REPO + "/(?P<what>branch|tag)/(?P<label>[^/]+)")
def label(hub: Hub, call: Call, kind: str, name: str, what: str, label: str) -> Answer:
    """A branch is named in the address, and so is the revision that gets a tag."""
    repo, asked = hub.store.open(kind, name, call.account, "write"), call.json()
    title = label if what == "branch" or call.method == "DELETE" else asked["tag"]
    ref = f"refs/heads/{title}" if what == "branch" else f"refs/tags/{title}"
    if call.method == "POST":
        if ref in repo.refs:
            raise Refused(409, f"Reference already exists: {ref}")
        repo.refs[ref] = repo.commit(asked.get("startingPoint") or "main" if what == "branch" else label).oid
    elif ref == "refs/heads/main":
        raise Refused(403, "Forbidden: cannot delete the main branch")
    elif repo.refs.pop(ref, None) is None:
        raise Refused(404, f"Reference does not exist: {ref}", "RevisionNotFound")
    return Answer()


@reads("GET", REPO + "/tree/(?P<revision>[^/]+)(?:/(?P<folder>.+))?")
def contents(hub: Hub, call: Call, kind: str, name: str, revision: str, folder: str = "") -> Answer:
    commit = hub.store.open(kind, name, call.account).commit(revision)
    recursive = call.option("recursive").lower() in ("true", "1")
    return Answer(tree(commit, folder, recursive), headers={"X-Repo-Commit": commit.oid})


@reads("POST", REPO + "/paths-info/(?P<revision>[^/]+)")
def paths_info(hub: Hub, call: Call, kind: str, name: str, revision: str) -> Answer:
    commit = hub.store.open(kind, name, call.account).commit(revision)
    is_json = "json" in call.headers.get("Content-Type", "")
    asked = call.json()["paths"] if is_json else parse_qs(call.body.decode()).get("paths", [])
    known = {*commit.files, *folders(commit.files)}
    return Answer([entry(commit, path) for path in asked if path in known])


@reads("GET", REPO + "/commits/(?P<revision>[^/]+)")
def history(hub: Hub, call: Call, kind: str, name: str, revision: str) -> Answer:
    commits = hub.store.open(kind, name, call.account).history(revision)
    return Answer(
        [
            {"id": c.oid, "title": c.title, "message": c.message, "authors": [{"user": c.author}], "date": c.date}
            for c in commits
        ]
    )


# Files.


@reads("GET HEAD", GIT + "/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
def resolve(hub: Hub, call: Call, name: str, revision: str, path: str, kind: str = "model") -> Answer:
    """Small files at once; for those of LFS, the address in the storage."""
    commit = hub.store.open(kind, name, call.account).commit(revision)
    blob = commit.files.get(path)
    if blob is None:
        raise Refused(404, "Entry not found", "EntryNotFound", commit.oid)
    if not blob.lfs:
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{blob.oid}"'}
        return ranged(call, blob.data, headers, File(name, path, commit.oid))
    headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{blob.oid}"', "X-Linked-Etag": f'"{blob.sha256}"'}
    headers |= {"X-Linked-Size": str(len(blob.data))}
    signed = urlencode({"repo": name, "path": path, "commit": commit.oid})
    return Answer(b"", 302, headers | {"Location": f"{hub.storage_url}/storage/{blob.sha256}?{signed}"})


@reads("GET HEAD", "/storage/(?P<oid>[0-9a-f]{64})")
def stored(hub: Hub, call: Call, oid: str) -> Answer:
    file = File(call.option("repo"), call.option("path"), call.option("commit"))
    return ranged(call, hub.store.objects[oid], {"ETag": f'"{oid}"'}, file)


@writes("PUT", "/storage/(?P<oid>[0-9a-f]{64})")
def store(hub: Hub, call: Call, oid: str) -> Answer:
    if hashlib.sha256(call.body).hexdigest() != oid:
        raise Refused(400, "The content does not match its sha256")
    hub.store.objects[oid] = call.body
    return Answer()
