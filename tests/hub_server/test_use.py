"""Searching, pull requests, trouble on the way, and the libraries above huggingface_hub, on the Hub of the tests."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from datasets import Dataset, load_dataset
from huggingface_hub import (
    CommitOperationAdd,
    HfApi,
    ModelCard,
    constants,
    get_session,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from hub_server import Hub

CARD = b"---\ntags: [irp, red]\nlibrary_name: irp_hf\nlicense: mit\nbase_model: you/base\n---\n# Text\n"
WEIGHTS = bytes(range(256)) * 1200
Client = Callable[[str], HfApi]
http = sys.modules[type(get_session()).__module__.split(".")[0]]  # httpx or httpx2, by the release of huggingface_hub


@pytest.fixture
def client(hub: Hub) -> Client:
    """The client of an account."""
    return lambda name: HfApi(token=hub.token(name))


def add(path: str, data: bytes = b"text") -> CommitOperationAdd:
    return CommitOperationAdd(path, data)


# Searching.


def test_listings(hub: Hub, client: Client) -> None:
    """Every tag asked for must be there; private ones are listed to their owners only; the latest comes first."""
    hub.upload("me/one", {"README.md": CARD, "a.safetensors": b"1"})
    hub.upload("you/two", {"README.md": CARD.replace(b"red", b"blue")})
    hub.upload("me/three", {"README.md": CARD}, private=True)
    hub.upload(
        "me/data", {"README.md": b"---\ntags: [irp]\ntask_categories: [text-retrieval]\n---\n"}, repo_type="dataset"
    )

    def found(api: HfApi, **query: object) -> list[str]:
        return [model.id for model in api.list_models(**query)]

    nobody = HfApi()
    assert found(nobody) == found(nobody, filter="irp") == ["you/two", "me/one"]
    assert found(nobody, filter=["red", "irp", "license:mit", "base_model:you/base"]) == ["me/one"]
    assert found(nobody, filter=["red", "blue"]) == []
    assert found(nobody, author="you") == found(nobody, search="TWO") == found(nobody, limit=1) == ["you/two"]
    assert found(client("me"), filter="red") == ["me/three", "me/one"]
    assert found(client("you"), filter="red") == ["me/one"]
    (about,) = nobody.list_models(filter="red")
    assert (about.card_data, about.sha, about.siblings) == (None, None, None)  # only to who asks
    (about,) = nobody.list_models(filter="red", cardData=True, full=True)
    assert (about.card_data["license"], about.sha, len(about.siblings)) == ("mit", hub.commits("me/one")[0], 2)
    (data,) = nobody.list_datasets(filter=["irp", "task_categories:text-retrieval"])
    assert data.id == "me/data"
    hub.page = 1
    assert found(client("me")) == ["me/three", "you/two", "me/one"]


# Pull requests.


def test_a_pull_request(hub: Hub, client: Client) -> None:
    """Anybody may open one on a public repository, and push to it again; its owner merges it."""
    main = hub.upload("me/x", {"a.txt": b"a", "old.txt": b"old"})
    done = client("you").create_commit("me/x", [add("b.txt")], commit_message="Better", create_pr=True)
    assert (done.pr_revision, done.pr_num, done.pr_url) == ("refs/pr/1", 1, f"{hub.url}/me/x/discussions/1")
    client("you").create_commit("me/x", [add("c.txt")], commit_message="More", revision="refs/pr/1")
    assert hub.commits("me/x") == [main, hub.commits("me/x")[-1]]
    assert set(hub.files("me/x", "refs/pr/1")) == {"a.txt", "old.txt", "b.txt", "c.txt"}
    assert Path(hf_hub_download("me/x", "b.txt", revision="refs/pr/1")).read_bytes() == b"text"
    with pytest.raises(HfHubHTTPError, match="403"):
        client("you").merge_pull_request("me/x", 1)
    client("me").delete_file("old.txt", "me/x")
    client("me").merge_pull_request("me/x", 1)
    assert set(hub.files("me/x")) == {"a.txt", "b.txt", "c.txt"}
    (about,) = client("me").get_repo_discussions("me/x")
    assert (about.title, about.author, about.status, about.is_pull_request) == ("Better", "you", "merged", True)
    assert client("me").get_discussion_details("me/x", 1).merge_commit_oid == hub.commits("me/x")[0]
    refs = client("me").list_repo_refs("me/x", include_pull_requests=True)
    assert [pull.ref for pull in refs.pull_requests] == ["refs/pr/1"]
    assert client("you").create_pull_request("me/x", title="Draft").status == "draft"


def test_who_may_not_open_a_pull_request(hub: Hub, client: Client) -> None:
    hub.upload("me/open", {"a.txt": b"a"})
    hub.upload("me/closed", {"a.txt": b"a"}, private=True)
    with pytest.raises(RepositoryNotFoundError):
        client("you").create_commit("me/closed", [add("b.txt")], commit_message="b", create_pr=True)
    with pytest.raises(HfHubHTTPError, match="403"):
        client("reader").create_commit("me/open", [add("b.txt")], commit_message="b", create_pr=True)
    client("me").create_commit("me/open", [add("b.txt")], commit_message="b", create_pr=True)
    with pytest.raises(HfHubHTTPError, match="403"):
        client("you").create_commit("me/open", [add("b.txt")], commit_message="b", revision="refs/pr/1")


# Trouble on the way.


@pytest.mark.parametrize("reset", [False, True])
def test_a_commit_that_is_cut(hub: Hub, client: Client, reset: bool) -> None:
    """Nothing of it is there; a second try succeeds."""
    hub.upload("me/x", {"a.txt": b"a"})
    hub.cut("POST .*/commit/", after=200, reset=reset)
    files = [add("b.txt", b"b" * 1000), add("c.txt")]
    with pytest.raises(http.TransportError):
        client("me").create_commit("me/x", files, commit_message="b")
    assert hub.requests[-1].received == 200
    assert list(hub.files("me/x")) == ["a.txt"]
    client("me").create_commit("me/x", files, commit_message="b")
    assert set(hub.files("me/x")) == {"a.txt", "b.txt", "c.txt"}


def test_a_commit_whose_answer_is_lost(hub: Hub, client: Client) -> None:
    """It is there, though the client did not hear."""
    hub.upload("me/x", {"a.txt": b"a"})
    hub.cut("POST .*/commit/", after=10**6)
    with pytest.raises(http.TransportError):
        client("me").create_commit("me/x", [add("b.txt")], commit_message="b")
    assert set(hub.files("me/x")) == {"a.txt", "b.txt"}


def test_an_upload_to_the_storage_that_is_cut(hub: Hub, client: Client) -> None:
    """The client sends it again by itself."""
    hub.upload("me/x", {})
    hub.cut("PUT /storage/", after=1000)
    client("me").create_commit("me/x", [add("a.npy", WEIGHTS)], commit_message="a")
    assert [request.received for request in hub.requests if request.method == "PUT"] == [1000, len(WEIGHTS)]
    assert hub.files("me/x") == {"a.npy": WEIGHTS}


def test_a_download_that_is_cut(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed in order, the client goes on where it stopped; otherwise it stops, and leaves nothing that looks whole."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)  # what it has of a chunk is lost
    hub.upload("me/x", {"a.npy": WEIGHTS})
    hub.cut("GET /storage/", after=100_000)
    assert Path(hf_hub_download("me/x", "a.npy")).read_bytes() == WEIGHTS
    assert hub.downloaded("me/x", "a.npy") == len(WEIGHTS)
    other = hub.upload("me/x", {"a.npy": WEIGHTS[::-1]})
    hub.cut("GET /storage/", after=100_000, reset=True)
    with pytest.raises(http.ReadError):
        hf_hub_download("me/x", "a.npy", revision=other)
    assert not (Path(constants.HF_HUB_CACHE) / "models--me--x" / "snapshots" / other / "a.npy").exists()
    assert Path(hf_hub_download("me/x", "a.npy", revision=other)).read_bytes() == WEIGHTS[::-1]


def test_a_hub_that_is_down(hub: Hub, client: Client) -> None:
    """Also for a client with an open connection; what is in the cache is found, and later all is as before."""
    hub.upload("me/x", {"a.txt": b"a", "b.txt": b"b"})
    path, url = hf_hub_download("me/x", "a.txt"), hub.url
    with hub.down():
        with pytest.raises(http.ConnectError):
            client("me").model_info("me/x")
        assert hf_hub_download("me/x", "a.txt") == path
    assert hub.url == url
    assert Path(hf_hub_download("me/x", "b.txt")).read_bytes() == b"b"


def test_commits_at_the_same_time(hub: Hub, client: Client) -> None:
    """Each is on top of another; none is lost."""
    hub.upload("me/x", {})
    commit = client("me").create_commit
    with ThreadPoolExecutor(8) as threads:
        made = list(
            threads.map(lambda n: commit("me/x", [add(f"{n}.npy", b"\0%d" % n)], commit_message="n").oid, range(16))
        )
    assert hub.files("me/x") == {f"{n}.npy": b"\0%d" % n for n in range(16)}
    assert set(hub.commits("me/x")[:16]) == set(made)


def test_reading_while_somebody_writes(hub: Hub) -> None:
    hub.upload("me/x", {"a.txt": b"a"})
    with hub.store.lock:
        assert Path(hf_hub_download("me/x", "a.txt")).read_bytes() == b"a"
        assert [model.id for model in HfApi().list_models()] == ["me/x"]


# The libraries above.


def test_folders_and_snapshots(hub: Hub, tmp_path: Path) -> None:
    """A folder that is put straight in comes back whole, file for file, and is counted."""
    content = {"config.json": b"{}", "1_Pooling/config.json": b"{ }", "model.safetensors": WEIGHTS}
    for path, data in content.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(data)
    commit = hub.upload("sentence-transformers/tiny", tmp_path)
    folder = Path(snapshot_download("sentence-transformers/tiny"))
    assert folder.name == commit
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == set(content)
    assert hub.downloaded() == hub.downloaded("sentence-transformers/*", commit=commit) == len(WEIGHTS) + 5
    assert hub.downloaded("*", "*.safetensors") == len(WEIGHTS)
    assert hub.downloaded(commit="0" * 40) == 0


def test_names_that_leave_the_folder(hub: Hub) -> None:
    """A hostile repository can be made; the client refuses it before anything is written."""
    hub.upload("you/bad", {"../../../out.txt": b"x"})
    with pytest.raises((ValueError, OSError)):
        snapshot_download("you/bad")


def test_cards(hub: Hub, client: Client) -> None:
    hub.upload("me/x", {"README.md": CARD})
    card = ModelCard.load("me/x")
    card.data.tags.append("green")
    card.push_to_hub("me/x", token=hub.token("me"))
    assert client("me").model_info("me/x").tags[:3] == ["irp", "red", "green"]


def test_data_sets(hub: Hub, tmp_path: Path) -> None:
    """Parquet, public and private, at a revision."""
    rows = Dataset.from_dict({"text": ["one", "two"], "label": [0, 1]})
    rows.to_parquet(tmp_path / "train-00000-of-00001.parquet")
    data = (tmp_path / "train-00000-of-00001.parquet").read_bytes()
    first = hub.upload("me/data", {"data/train-00000-of-00001.parquet": data}, repo_type="dataset", private=True)
    hub.upload("me/data", {"data/train-00000-of-00001.parquet": b"broken"}, repo_type="dataset")
    read = load_dataset("me/data", split="train", revision=first, token=hub.token("me"))
    assert read.to_dict() == rows.to_dict()
    rows.push_to_hub("me/pushed", token=hub.token("me"))
    assert load_dataset("me/pushed", split="train").to_dict() == rows.to_dict()
