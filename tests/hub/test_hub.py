"""A revision is pinned, files of one commit are fetched, a folder is pushed as one commit; on the Hub on loopback."""

import os
import threading
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from says import says

from irp_hf.encoding.base import Options
from irp_hf.encoding.open import open_encoder
from irp_hf.errors import HubError, InputError, IRPError, shown
from irp_hf.hub.download import Pinned, fetch, pin
from irp_hf.hub.upload import push as push_folder

FILES = ("config.json", "model.safetensors")


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "made"
    made.mkdir()
    (made / "config.json").write_text("{}")
    (made / "model.safetensors").write_bytes(b"1" * 5000)
    return made


def card(theirs):
    return f"# Ours\nafter: {theirs}"


def push(folder, hub, repo_id="me/x", user="me", **options):
    return push_folder(folder, repo_id, card, token=hub.token(user), **options)


def test_a_push_is_one_commit(hub, folder):
    """A fetch between two commits would mix old and new files."""
    push(folder, hub, commit_message="Mine", commit_description="In more words")
    first, initial = hub.commits("me/x")
    assert {*hub.files("me/x")} >= {*FILES, "README.md"}
    (made,) = [commit for commit in HfApi(token=hub.token("me")).list_repo_commits("me/x") if commit.commit_id == first]
    assert made.title == "Mine"
    (folder / "model.safetensors").write_bytes(b"2" * 5000)
    push(folder, hub)
    assert hub.commits("me/x")[1:] == [first, initial]
    assert hub.files("me/x")["model.safetensors"] == b"2" * 5000
    assert hub.files("me/x", first)["model.safetensors"] == b"1" * 5000


def test_the_card_that_is_there_is_shown_to_ours(hub, folder):
    """A card that somebody wrote could not be kept."""
    hub.upload("me/x", {"README.md": "By hand, é\r\n".encode()})
    push(folder, hub)
    assert hub.files("me/x")["README.md"].decode() == "# Ours\nafter: By hand, é\r\n"


def test_a_branch_is_made(hub, folder):
    """Users try a new version on a branch before they publish it."""
    push(folder, hub)
    (folder / "config.json").write_text('{"new": 1}')
    push(folder, hub, revision="next")
    assert hub.files("me/x", "next")["config.json"] == b'{"new": 1}'
    assert hub.files("me/x")["config.json"] == b"{}"


def test_a_pull_request_changes_nothing(hub, folder):
    """Whoever may not write could not propose."""
    hub.upload("you/x", {"config.json": b"theirs"})
    made = push(folder, hub, "you/x", create_pr=True)
    assert made.pr_num == 1
    assert hub.files("you/x")["config.json"] == b"theirs"
    assert hub.files("you/x", "refs/pr/1")["config.json"] == b"{}"


def test_private_repositories(hub, folder, refusal):
    """What is private would be seen, or its owner could not read it."""
    push(folder, hub, "you/x", "you", private=True)
    for token in (False, hub.token("me")):
        text = refusal(fetch, "you/x", FILES, token=token, error=HubError)
        assert says(text, "'you/x'", "token")
        assert str(token) not in text
    found, commit = fetch("you/x", FILES, token=hub.token("you", "read"))
    assert (found / "model.safetensors").read_bytes() == b"1" * 5000
    assert commit == hub.commits("you/x")[0]


@pytest.mark.parametrize(
    ("user", "options", "words"),
    [("me", {}, "token"), ("reader", {}, "token"), ("you", {"exist_ok": False}, "exist_ok=False")],
)
def test_a_push_that_is_refused(hub, folder, refusal, user, options, words):
    """The Hub's own words name addresses and request numbers; and nothing may have changed."""
    before = hub.upload("you/x", {"config.json": b"theirs"})
    text = refusal(push, folder, hub, "you/x", user, **options, error=HubError)
    assert says(text, "'you/x'", words, "Nothing was published")
    assert hub.commits("you/x")[0] == before


def test_a_token_that_is_none(hub, folder, refusal):
    """A token that ran out must not read as a repository that is missing, and never stand in the error."""
    hub.upload("me/x", {"config.json": b"{}"})
    token = "hf_" + "secret" * 6
    text = refusal(push_folder, folder, "me/x", card, token=token, error=HubError)
    assert says(text, "token", "Nothing was published")
    assert "secret" not in text


def test_concurrent_pushes_all_land_whole(hub, tmp_path):
    """Of two pushes at once one would be lost, or files of both mixed."""
    hub.upload("me/x", {"README.md": b"start"})
    errors = []

    def work(number):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in FILES:
            (folder / name).write_text(str(number))
        try:
            push_folder(folder, "me/x", lambda theirs: f"{theirs} {number}", token=hub.token("me"))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sorted(hub.files("me/x")["README.md"].decode().split()) == ["0", "1", "2", "3", "start"]
    for commit in hub.commits("me/x")[:4]:
        files = hub.files("me/x", commit)
        assert files["config.json"] == files["model.safetensors"]


def test_an_upload_that_is_cut(hub, folder, refusal, monkeypatch):
    """Half of a push would be published, or a second try be refused."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client waits longer and longer between its attempts
    hub.lfs_from = 1000
    push(folder, hub)
    before = hub.commits("me/x")
    (folder / "model.safetensors").write_bytes(os.urandom(200_000))
    hub.cut("PUT /", after=1000, times=6)
    text = refusal(push, folder, hub, error=HubError)
    assert says(text, "'me/x'", "connection", "Nothing was published")
    assert hub.commits("me/x") == before
    push(folder, hub)
    assert hub.files("me/x")["model.safetensors"] == (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize("reset", [False, True])
def test_a_download_that_is_cut(hub, refusal, reset):
    """A file that broke off would be taken for the whole one."""
    content = os.urandom(300_000)
    hub.upload("me/x", {"config.json": b"{}", "model.safetensors": content})
    hub.cut("GET /.*safetensors", after=100_000, reset=reset)
    if reset:  # which the client does not repeat by itself
        text = refusal(fetch, "me/x", FILES, error=HubError)
        assert text.startswith("'me/x': ")
        assert "the Hub cannot be reached" in text
    found, _ = fetch("me/x", FILES)
    assert (found / "model.safetensors").read_bytes() == content


def test_what_was_fetched_is_there_without_a_connection(hub, folder, monkeypatch):
    """On a train, a model that was used yesterday would not load; or only after a minute of new attempts."""
    commit = push(folder, hub).oid
    HfApi(token=hub.token("me")).create_tag("me/x", tag="v1")
    for revision in (None, "v1", commit):
        fetch("me/x", FILES, revision)
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("it waits"))
    with hub.down():
        for revision in (None, "v1", commit):
            found, known = fetch("me/x", FILES, revision)
            assert (found / "config.json").read_text() == "{}"
            assert known == commit
            assert pin("me/x", revision) == Pinned(commit, online=False)


@pytest.mark.parametrize("local", [True, False])
def test_what_was_never_fetched(hub, folder, refusal, monkeypatch, local):
    """It would wait for half a minute before it says so."""
    push(folder, hub)
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("it waits"))
    with hub.down():
        text = refusal(fetch, "me/x", FILES, local_files_only=local, error=HubError)
    assert text.startswith("'me/x': ")
    assert ("local_files_only" if local else "the Hub cannot be reached") in text


def test_a_look_after_a_change_does_not_spoil_the_cache(hub, folder):
    """Somebody pushed a README, a program looked at the config, and offline the model would be gone."""
    commit = push(folder, hub).oid
    fetch("me/x", FILES)
    newer = hub.upload("me/x", {"README.md": b"new"})
    fetch("me/x", FILES[:1])
    with hub.down():
        assert fetch("me/x", FILES)[1] == commit
        assert fetch("me/x", FILES[:1])[1] == newer


def test_a_commit_that_the_hub_lost(hub, folder):
    """Weights that are pinned and cached would go with a repository that its owner deleted."""
    commit = push(folder, hub).oid
    fetch("me/x", FILES, commit)
    HfApi(token=hub.token("me")).delete_repo("me/x")
    assert fetch("me/x", FILES, commit)[1] == commit


def test_what_is_not_there(hub, folder, refusal):
    """Words of the client speak of request ids and addresses."""
    commit = push(folder, hub).oid
    for wrong, names in (
        ({"revision": "v9"}, ("'me/x'", "'v9'")),
        ({"files": ("other.json",)}, ("'me/x'", "other.json", commit[:8])),
    ):
        text = refusal(fetch, "me/x", **{"files": FILES, **wrong}, error=HubError)
        assert all(name in text for name in names)
    for wrong in ("me/x/y", "", "a b", 3, None):
        assert f"got {wrong!r}. " in refusal(fetch, wrong, FILES, error=InputError)
    assert "cache_dir" in refusal(fetch, "me/x", FILES, cache_dir=3, error=InputError)


@pytest.mark.parametrize(
    "wrong",
    [{"private": "no"}, {"create_pr": 1}, {"exist_ok": None}, {"commit_message": 3}, {"commit_description": ["a"]}],
)
def test_options_of_other_types(hub, folder, refusal, wrong):
    """Whoever writes private="false" would get what Python takes it for, or an error that names no option."""
    ((name, value),) = wrong.items()
    assert says(refusal(push, folder, hub, **wrong, error=InputError), name, repr(value))
    assert not hub.store.repos


def test_files_of_an_earlier_push_that_would_lie_are_removed(hub, folder):
    """A report of other weights would stand beside new ones."""
    (folder / "report.png").write_bytes(b"old")
    push(folder, hub, replaced=("report.png",))
    hub.upload("me/x", {"notes.txt": b"by hand"})
    (folder / "report.png").unlink()
    push(folder, hub, replaced=("report.png",))
    assert {*hub.files("me/x")} & {"report.png", "notes.txt"} == {"notes.txt"}


def test_a_cache_that_cannot_be_written_learns_nothing(hub, folder, tmp_path):
    """A cache on a read-only disk, filled before, would not be read."""
    push(folder, hub)
    place = tmp_path / "cache"
    found, commit = fetch("me/x", FILES, cache_dir=place)
    reference = Path(found).parents[1] / "refs" / "main"
    reference.unlink()
    reference.mkdir()
    assert pin("me/x", cache_dir=place) == Pinned(commit, online=True)


@pytest.mark.parametrize("revision", ["../..", "/etc", "a b", "main\n", "", "x" * 300, 3, b"main"])
def test_revisions_that_are_none(hub, folder, refusal, revision):
    """They would become paths in the cache, or wait for an answer that never comes."""
    hub.upload("me/x", {"config.json": b"{}"})
    before = hub.commits("me/x")
    for call in (fetch, pin):
        options = {} if call is pin else {"files": FILES}
        words = refusal(call, "me/x", revision=revision, **options, error=InputError)
        assert says(words, "revision", shown(revision))
    refusal(push, folder, hub, revision=revision, error=InputError)
    assert hub.commits("me/x") == before


def test_a_name_that_is_no_folder_and_no_id_is_told_once(hub, refusal, monkeypatch):
    """One refusal stood in brackets inside of another."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    text = refusal(open_encoder, "all-MinLM", Options(), error=IRPError)
    assert text.count("expected") == 1
    with hub.down():
        text = refusal(open_encoder, "all-MinLM", Options(), error=IRPError)
    assert text.count("expected") == 1
    assert "a folder here, or an id on the Hub, got no such folder, and the Hub cannot be reached (" in text
