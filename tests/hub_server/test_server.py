"""The Hub of the tests answers the real client as the Hub does. A failure here explains failures elsewhere."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    constants,
    get_session,
    get_token,
    hf_hub_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hub_server import Hub
from hub_server.start import HOME

CARD = b"---\ntags: [irp, red]\nlibrary_name: irp_hf\nlicense: mit\nbase_model: you/base\n---\n# Text\n"
WEIGHTS = bytes(range(256)) * 1200
Client = Callable[..., HfApi]


@pytest.fixture
def client(hub: Hub) -> Client:
    """The client of an account."""
    return lambda name="me", role=None: HfApi(token=hub.token(name, role))


def add(path: str, data: bytes = b"text") -> CommitOperationAdd:
    return CommitOperationAdd(path, data)


def status(call: Callable[..., object], *args: object, **options: object) -> int:
    """The status of the refusal that must follow."""
    with pytest.raises(HfHubHTTPError) as refused:
        call(*args, **options)
    return refused.value.response.status_code


def test_the_environment_leads_here(hub: Hub) -> None:
    """Else tests would talk to the real Hub, and fill the cache of whoever runs them."""
    assert hub.url == constants.ENDPOINT
    assert Path(constants.HF_HUB_CACHE).is_relative_to(HOME)
    assert constants.HF_HUB_DISABLE_XET
    assert get_token() is None
    words = "from huggingface_hub import constants as c; print(c.ENDPOINT, c.HF_HOME)"
    child = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert child.stdout.split() == [hub.url, str(HOME)]


def test_creating_and_deleting(hub: Hub, client: Client) -> None:
    api = client()
    api.create_repo("me/x", private=True)
    api.create_repo("sentence-transformers/data", repo_type="dataset")
    assert status(api.create_repo, "me/x") == 409
    assert api.create_repo("me/x", exist_ok=True).repo_id == "me/x"
    assert status(api.create_repo, "you/x") == 403
    assert status(client("reader").create_repo, "reader/x") == 403
    assert api.model_info("me/x").private
    api.update_repo_settings("me/x", private=False)
    assert not HfApi().model_info("me/x").private
    assert set(hub.store.repos) == {("model", "me/x"), ("dataset", "sentence-transformers/data")}
    assert status(client("you").delete_repo, "me/x") == 403
    api.delete_repo("me/x")
    assert status(api.model_info, "me/x") == 404


@pytest.mark.parametrize("repo_type", ["model", "dataset"])
def test_a_private_repository(hub: Hub, client: Client, repo_type: str) -> None:
    """Closed to those without a token, with an unknown one, and with the wrong one; each is told as by the Hub."""
    hub.upload("me/x", {"a.txt": b"secret"}, repo_type=repo_type, private=True)
    where = {"repo_id": "me/x", "filename": "a.txt", "repo_type": repo_type}
    path = hf_hub_download(**where, token=hub.token("me", "read"))
    assert Path(path).read_bytes() == b"secret"
    for token, code in {False: 401, "hf_unknown": 401, hub.token("you"): 404}.items():
        assert status(hf_hub_download, **where, token=token, cache_dir=HOME / "empty") == code
        assert status(HfApi(token=token).repo_info, "me/x", repo_type=repo_type) == code
    with pytest.raises(RepositoryNotFoundError):
        HfApi(token=False).model_info("me/none")


def test_who_may_write(hub: Hub, client: Client) -> None:
    hub.upload("me/x", {"a.txt": b"a"})
    for api, code in {client("reader"): 403, client("me", "read"): 403, client("you"): 403, HfApi(): 401}.items():
        assert status(api.create_commit, "me/x", [add("b.txt")], commit_message="b") == code
        assert status(api.create_branch, "me/x", branch="b") == code
    assert list(hub.files("me/x")) == ["a.txt"]


def test_a_commit(hub: Hub, client: Client) -> None:
    """Small files in the commit, large and binary ones by LFS to the storage, which is sent no token."""
    api = client()
    api.create_repo("me/x")
    content = {"README.md": CARD, "model.safetensors": WEIGHTS, "deep/er/notes.txt": b"n", "deep/binary": b"\0\1"}
    done = api.create_commit(
        "me/x", [add(*file) for file in content.items()], commit_message="All", commit_description="of it"
    )
    assert hub.files("me/x") == content
    assert hub.commits("me/x")[0] == done.oid == api.model_info("me/x").sha
    assert len(hub.commits("me/x")) == 2
    newest = api.list_repo_commits("me/x")[0]
    assert (newest.title, newest.message, newest.authors) == ("All", "of it", ["me"])
    stored = [request for request in hub.requests if request.storage]
    assert sorted(request.received for request in stored) == [2, len(WEIGHTS)]
    assert not any(request.token for request in stored)
    assert all(
        request.user == "me" for request in hub.requests if not request.storage and "validate" not in request.path
    )
    api.create_commit(
        "me/x", [CommitOperationDelete("deep/"), CommitOperationDelete("README.md")], commit_message="Less"
    )
    assert list(hub.files("me/x")) == ["model.safetensors"]
    assert status(api.delete_file, "README.md", "me/x") == 404


def test_a_commit_on_a_parent_that_is_no_longer_the_newest(hub: Hub, client: Client) -> None:
    old = hub.upload("me/x", {"a.txt": b"a"})
    new = hub.upload("me/x", {"a.txt": b"b"})
    commit = client().create_commit
    assert status(commit, "me/x", [add("c.txt")], commit_message="c", parent_commit=old) == 412
    commit("me/x", [add("c.txt")], commit_message="c", parent_commit=new)
    assert set(hub.files("me/x")) == {"a.txt", "c.txt"}


def test_a_card_that_is_no_yaml(hub: Hub, client: Client) -> None:
    hub.upload("me/x", {"a.txt": b"a"})
    bad = [add("b.txt"), add("README.md", b"---\ntags: [\n---\n")]
    with pytest.raises(ValueError, match="Invalid metadata"):
        client().create_commit("me/x", bad, commit_message="bad")
    assert list(hub.files("me/x")) == ["a.txt"]


def test_refs(hub: Hub, client: Client) -> None:
    """Branches and tags with slashes, short hashes; what is not there is told apart from a missing repository."""
    first = hub.upload("me/x", {"a.txt": b"1"})
    api = client()
    api.create_branch("me/x", branch="try/out", revision=first)
    api.create_tag("me/x", tag="v1")
    api.upload_file(path_or_fileobj=b"2", path_in_repo="a.txt", repo_id="me/x", revision="try/out")
    refs = api.list_repo_refs("me/x")
    assert {branch.name: branch.target_commit for branch in refs.branches} == {
        "main": first,
        "try/out": hub.commits("me/x", "try/out")[0],
    }
    assert [(tag.ref, tag.target_commit) for tag in refs.tags] == [("refs/tags/v1", first)]
    read = {
        name: Path(hf_hub_download("me/x", "a.txt", revision=name)).read_bytes() for name in ("v1", "try/out", first)
    }
    assert read == {"v1": b"1", "try/out": b"2", first: b"1"}
    assert api.model_info("me/x", revision=first[:7]).sha == first
    assert status(api.create_branch, "me/x", branch="try/out") == 409
    assert status(api.create_tag, "me/x", tag="v1") == 409
    api.delete_tag("me/x", tag="v1")
    api.delete_branch("me/x", branch="try/out")
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download("me/x", "a.txt", revision="v1")
    with pytest.raises(EntryNotFoundError):
        hf_hub_download("me/x", "b.txt")
    with pytest.raises(RevisionNotFoundError):
        api.create_commit("me/x", [add("b.txt")], commit_message="b", revision="nowhere")


def test_trees(hub: Hub, client: Client) -> None:
    hub.upload("me/x", {"a.txt": b"1", "one/b.npy": WEIGHTS, "one/two/c.txt": b"3"})
    api = client()
    assert {entry.path for entry in api.list_repo_tree("me/x")} == {"a.txt", "one"}
    assert {entry.path for entry in api.list_repo_tree("me/x", "one")} == {"one/b.npy", "one/two"}
    assert api.list_repo_files("me/x") == ["a.txt", "one/b.npy", "one/two/c.txt"]
    (known,) = api.get_paths_info("me/x", ["one/b.npy", "none"])
    assert known.size == known.lfs.size == len(WEIGHTS)
    (folder,) = api.get_paths_info("me/x", "one/two")
    assert not hasattr(folder, "size")
    assert {one.rfilename: one.size for one in api.model_info("me/x", files_metadata=True).siblings}["a.txt"] == 1


@pytest.mark.parametrize("name", ["a.txt", "a.safetensors"])
def test_a_range(hub: Hub, name: str) -> None:
    """Readers of a safetensors header ask for its bytes only; of LFS files, the storage must give them."""
    hub.upload("me/x", {name: WEIGHTS[1:1001]})

    def read(span: str) -> Any:
        url = f"{hub.url}/me/x/resolve/main/{name}"
        return get_session().get(url, headers={"Range": span}, follow_redirects=True)

    assert read("bytes=10-19").content == WEIGHTS[11:21]
    assert (read("bytes=990-5000").content, read("bytes=-10").content) == (WEIGHTS[991:1001],) * 2
    assert read("bytes=0-0").headers["Content-Range"] == "bytes 0-0/1000"
    assert [read(span).status_code for span in ("bytes=10-19", "bytes=1000-")] == [206, 416]
    assert hub.downloaded("me/x", name) == 10 + 10 + 10 + 1 + 10
    assert all(request.ranged for request in hub.requests)
