"""Spaces, adapters and anchor sets go to the Hub and come from it: the same bits, by any revision, in any process."""

import json
import pickle

import numpy as np
import pytest
import torch
from datasets import load_dataset
from huggingface_hub import HfApi, ModelCard
from PIL import Image
from transformers import AutoConfig, AutoModel

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter
from irp_hf.errors import AnchorMismatchError, DamagedFolderError, HubError, InputError

HAND_WRITTEN = "---\nlicense: mit\ntags:\n- mine\n---\n# By hand\n\nRead this first.\n"


@pytest.fixture
def mine(hub, monkeypatch):
    """The Hub, with me logged in."""
    monkeypatch.setenv("HF_TOKEN", hub.token("me"))
    return hub


@pytest.fixture
def space(spaces):
    return spaces[0]


@pytest.fixture
def kernel(adapters):
    return adapters["kernel"]


def test_an_adapter_goes_and_comes(mine, adapter, digits):
    """What was measured before a push would not hold after it."""
    adapter.push_to_hub("me/x", report=False)
    assert {*mine.files("me/x")} == {"README.md", "config.json", "hub_code.py", "model.safetensors"}
    assert len(mine.commits("me/x")) == 2  # the Hub's own first one, and ours
    loaded = IRPAdapter.from_pretrained("me/x")
    np.testing.assert_array_equal(loaded.translate(digits.held_source), adapter.translate(digits.held_source))
    assert loaded.config._commit_hash == mine.commits("me/x")[0]
    assert loaded.config._name_or_path == "me/x"
    auto = AutoModel.from_pretrained("me/x")
    assert type(auto) is IRPAdapter
    assert auto.checksum() == adapter.checksum()
    assert AutoConfig.from_pretrained("me/x").target_size == adapter.config.target_size


def test_a_space_goes_and_comes(mine, space):
    """The owner of the other encoder could not connect."""
    space.push_to_hub("me/space")
    assert AnchoredSpace.from_pretrained("me/space").checksum() == space.checksum()
    assert f"irp-anchors:{space.config.anchor_fingerprint}" in ModelCard.load("me/space").data.tags


def test_revisions(mine, adapters):
    """A user who pins a version would get another one."""
    first = adapters["kernel"].push_to_hub("me/x", report=False).oid
    HfApi().create_tag("me/x", tag="v1")
    adapters["pruned"].push_to_hub("me/x", report=False, revision="next")
    adapters["whitened"].push_to_hub("me/x", report=False)
    for revision, method in ((first, "kernel"), ("v1", "kernel"), ("next", "pruned"), (None, "whitened")):
        for loader in (IRPAdapter, AutoModel):
            assert loader.from_pretrained("me/x", revision=revision).config.method == method


def test_private_ones(hub, kernel, space, refusal):
    """Private work would be read by others, or not by its owner."""
    token = hub.token("you")
    kernel.push_to_hub("you/x", report=False, private=True, token=token)
    space.push_to_hub("you/space", private=True, token=token)
    AnchorSet(["a", "b"]).push_to_hub("you/anchors", private=True, token=token)
    for name, loader in (("you/x", IRPAdapter), ("you/space", AnchoredSpace), ("you/anchors", AnchorSet)):
        for wrong in (None, hub.token("me")):
            words = refusal(loader.from_pretrained, name, token=wrong, error=HubError)
            assert repr(name) in words
            assert "may see" in words
            assert hub.token("me") not in words
        assert isinstance(loader.from_pretrained(name, token=hub.token("you", "read")), loader)


def test_the_token_is_kept_nowhere(hub, kernel, tmp_path, caplog):
    """Whoever gets a saved, pickled or printed adapter could act for whoever fetched it."""
    token = hub.token("you")
    kernel.push_to_hub("you/x", report=False, private=True, token=token)
    loaded = AutoModel.from_pretrained("you/x", token=token)
    assert loaded.hub_token == token
    loaded.save_pretrained(tmp_path)
    loaded.push_to_hub("you/again", report=False, token=token)
    written = [file.read_bytes() for file in tmp_path.iterdir()] + list(hub.files("you/again").values())
    shown = [repr(loaded), str(loaded.config), caplog.text, str(vars(loaded.config))]
    assert token.encode() not in b"".join([*written, pickle.dumps(loaded), *(text.encode() for text in shown)])


def test_a_pull_request(hub, kernel, adapters):
    """Nobody could propose a better adapter to its owner."""
    kernel.push_to_hub("you/x", report=False, token=hub.token("you"))
    made = adapters["pruned"].push_to_hub("you/x", report=False, token=hub.token("me"), create_pr=True)
    assert IRPAdapter.from_pretrained("you/x").config.method == "kernel"
    assert IRPAdapter.from_pretrained("you/x", revision=made.pr_revision).config.method == "pruned"


@pytest.mark.slow
def test_the_card_has_the_report(mine, kernel):
    """A user would see what to expect only after installing and measuring."""
    kernel.push_to_hub("me/x")
    files = mine.files("me/x")
    report = json.loads(files["report.json"])
    assert report["num_anchors"] == kernel.config.num_anchors
    assert files["report.png"].startswith(b"\x89PNG")
    card = ModelCard.load("me/x")
    (cosine, *_) = [result for result in card.data.eval_results if "cosine" in result.metric_name]
    (row,) = [row for row in report["rows"] if row["method"] == report["chosen"]]
    assert cosine.metric_value == pytest.approx(row["evaluation"]["cosine"]["mean"], abs=0.001)
    assert "report.png" in card.text
    kernel.push_to_hub("me/x", report=False)  # another adapter, say: the old figures are not its own
    assert not {"report.json", "report.png"} & {*mine.files("me/x")}
    assert not ModelCard.load("me/x").data.eval_results


@pytest.mark.slow
def test_a_report_made_before_is_taken(mine, kernel, monkeypatch, refusal):
    """A report of minutes would be made twice."""
    report = kernel.report(progress=False)
    monkeypatch.setattr("irp_hf.models.adapter.make_report", lambda *args: pytest.fail("it is made again"))
    kernel.push_to_hub("me/x", report=report)
    assert json.loads(mine.files("me/x")["report.json"])["chosen"] == report.chosen
    assert refusal(kernel.push_to_hub, "me/y", report="yes", error=InputError).startswith("report")
    assert ("model", "me/y") not in mine.store.repos


def test_a_card_written_by_hand_stays(mine, kernel):
    """Somebody's words would be lost with the next push."""
    mine.upload("me/x", {"README.md": HAND_WRITTEN.encode()})
    kernel.push_to_hub("me/x", report=False)
    card = ModelCard(mine.files("me/x")["README.md"].decode())
    assert card.text.strip() == "# By hand\n\nRead this first."
    assert card.data.license == "mit"
    assert {"mine", "irp_hf"} <= {*card.data.tags}
    kernel.push_to_hub("me/y", report=False)
    first = mine.files("me/y")["README.md"]
    kernel.push_to_hub("me/y", report=False)
    assert mine.files("me/y")["README.md"] == first


THEIRS = {
    "a model": ({"config.json": b'{"model_type": "bert"}', "model.safetensors": b"weights"}, "type 'bert'"),
    "sentence-transformers": ({"modules.json": b"[]"}, "modules.json"),
    "diffusers": ({"model_index.json": b"{}", "unet/config.json": b"{}"}, "'model_index.json'"),
    "weights alone": ({"pytorch_model.bin": b"weights"}, "'pytorch_model.bin'"),
    "no model": ({"config.json": b'{"rate": 3}'}, "no model of that type"),
}


@pytest.mark.parametrize("kind", THEIRS)
def test_a_repository_of_another_model_is_not_replaced(mine, space, kind, refusal):
    """Whoever loads the encoder by its id would get a translation, or nothing; only a pull request may propose that."""
    files, words = THEIRS[kind]
    mine.upload("me/bert", files)
    before, commits = mine.files("me/bert"), mine.commits("me/bert")
    for revision in (None, "next", "next/one"):
        text = refusal(space.push_to_hub, "me/bert", revision=revision, error=InputError)
        assert text.startswith("'me/bert': expected a repository without another model, since a save of type")
        assert words in text
        assert text.endswith("Give another repository.")
    assert (mine.files("me/bert"), mine.commits("me/bert")) == (before, commits)
    assert [branch.name for branch in HfApi().list_repo_refs("me/bert").branches] == ["main"]
    made = space.push_to_hub("me/bert", create_pr=True)
    assert AnchoredSpace.from_pretrained("me/bert", revision=made.pr_revision).checksum() == space.checksum()
    assert mine.files("me/bert") == before


def test_a_branch_of_another_model_is_not_replaced(mine, space, kernel, refusal):
    """What stands on the branch counts, not what stands on main; the own kind is pushed over, also where it is damaged."""
    space.push_to_hub("me/space")
    HfApi().create_branch("me/space", branch="other")
    mine.upload("me/space", {"config.json": b'{"model_type": "bert"}'}, revision="other")
    assert "type 'bert'" in refusal(space.push_to_hub, "me/space", revision="other", error=InputError)
    assert "type 'irp_anchored_space'" in refusal(kernel.push_to_hub, "me/space", report=False, error=InputError)
    mine.upload("me/space", {"config.json": b'{"model_type": "irp_anch', "vectors.pt": b"mine"})
    space.push_to_hub("me/space")
    space.push_to_hub("me/space", revision="next")
    assert AnchoredSpace.from_pretrained("me/space", revision="next").checksum() == space.checksum()
    assert mine.files("me/space")["vectors.pt"] == b"mine"


def test_saving_can_push(mine, space, tmp_path):
    """`push_to_hub=True` is a habit from transformers; its own push would replace the card."""
    space.save_pretrained(tmp_path / "named", push_to_hub=True, private=True, commit_message="Mine")
    assert AnchoredSpace.from_pretrained("me/named").checksum() == space.checksum()
    assert mine.store.repos["model", "me/named"].private
    space.save_pretrained(tmp_path / "other", push_to_hub=True, repo_id="me/else")
    assert AnchoredSpace.from_pretrained(tmp_path / "other").checksum() == space.checksum()
    assert "README.md" in mine.files("me/else")


def test_ids_connect(mine, spaces, digits):
    """Two published spaces would have to be fetched by hand."""
    for name, space in zip(("me/a", "me/b"), spaces, strict=True):
        space.push_to_hub(name)
    adapter = IRPAdapter.connect("me/a", "me/b", method="kernel", gamma=1.0, ridge=1e-3)
    wanted = IRPAdapter.connect(*spaces, method="kernel", gamma=1.0, ridge=1e-3)
    np.testing.assert_array_equal(adapter.translate(digits.source), wanted.translate(digits.source))
    other = AnchoredSpace.from_embeddings(digits.source, AnchorSet([f"other {row}" for row in range(120)]))
    other.push_to_hub("me/other")
    with pytest.raises(AnchorMismatchError, match=spaces[1].config.anchor_fingerprint[:8]):
        IRPAdapter.connect("me/other", "me/b")


def test_an_anchor_set_goes_and_comes(mine, digits):
    """The other side could not encode the same items."""
    random = np.random.default_rng(0)
    pictures = [Image.fromarray(random.integers(0, 255, (8, 8, 3), np.uint8)) for _ in range(4)]
    anchors = AnchorSet(
        {"image": pictures, "name": ["one", "two", "three", "four"]}, dataset_id="you/toys", license="mit"
    )
    commit = anchors.push_to_hub("me/anchors").oid
    fetched = AnchorSet.from_pretrained("me/anchors")
    assert fetched == anchors
    assert (fetched.dataset_id, fetched.license) == ("you/toys", "mit")
    table = load_dataset("me/anchors", split="train")
    assert table["name"][2] == "three"
    np.testing.assert_array_equal(np.asarray(table["image"][1]), np.asarray(pictures[1]))
    record = {"id": "me/anchors", "revision": commit, "dataset": "you/toys", "license": "mit"}
    for held in (anchors, fetched):
        space = AnchoredSpace.from_embeddings(digits.source[:4], held)
        assert space.config.anchor_set == record
    other = AnchoredSpace.from_embeddings(digits.target[:4], fingerprint_only(anchors))
    adapter = IRPAdapter.connect(other, space, method="kernel", gamma=1.0, ridge=0.1)
    assert adapter.config.anchor_set == record
    assert adapter.source.config.anchor_set == record
    again = AnchorSet(["a", "b"])
    again.push_to_hub("me/anchors", revision="other", license="cc0-1.0")
    assert AnchorSet.from_pretrained("me/anchors", revision="other").license == "cc0-1.0"


def fingerprint_only(anchors):
    return AnchorSet({view: anchors.view(view) for view in anchors.views})


def test_what_was_fetched_loads_without_a_connection(mine, kernel, space, monkeypatch):
    """Production would stop with the Hub."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # transformers' own loader tries again and again
    kernel.push_to_hub("me/x", report=False)
    space.push_to_hub("me/space")
    AnchorSet(["a", "b"]).push_to_hub("me/anchors")
    loaders = {"me/x": IRPAdapter, "me/space": AnchoredSpace, "me/anchors": AnchorSet}
    for name, loader in loaders.items():
        loader.from_pretrained(name)
    AutoModel.from_pretrained("me/x")
    mine.upload("me/x", {"README.md": b"newer"})
    AutoConfig.from_pretrained("me/x")  # and the cache knows of a commit whose weights it lacks
    with mine.down():
        for name, loader in loaders.items():
            assert isinstance(loader.from_pretrained(name), loader)
        assert AutoModel.from_pretrained("me/x").checksum() == kernel.checksum()
        assert IRPAdapter.from_pretrained("me/x", local_files_only=True).checksum() == kernel.checksum()


def test_half_a_download_is_not_loaded(mine, kernel):
    """A connection that broke would leave an adapter that translates into noise."""
    kernel.push_to_hub("me/x", report=False)
    mine.cut("GET /.*safetensors", after=20_000, reset=True)
    with pytest.raises(HubError, match="cannot be reached"):
        IRPAdapter.from_pretrained("me/x")
    assert IRPAdapter.from_pretrained("me/x").checksum() == kernel.checksum()


def test_repositories_of_something_else(mine, kernel, space, refusal):
    """Errors of transformers would speak of missing keys, or pickles be read."""
    space.push_to_hub("me/space")
    words = refusal(IRPAdapter.from_pretrained, "me/space", error=DamagedFolderError)
    assert "'irp_anchored_space'" in words
    assert "'irp_adapter'" in words
    kernel.push_to_hub("me/x", report=False)
    content = mine.files("me/x")
    mine.upload("me/pickled", {"config.json": content["config.json"], "pytorch_model.bin": pickle.dumps(torch.ones(2))})
    words = refusal(IRPAdapter.from_pretrained, "me/pickled", use_safetensors=False, error=HubError)
    assert words.startswith("'me/pickled' at commit ")
    assert "model.safetensors" in words
    assert mine.downloaded("me/pickled", "pytorch_model.bin") == 0
    mine.upload("me/cut", {**content, "model.safetensors": content["model.safetensors"][:-9]})
    refusal(IRPAdapter.from_pretrained, "me/cut", error=DamagedFolderError)


@pytest.mark.parametrize("subfolder", ["..", "../../x", "/etc", "a/../../b"])
def test_a_subfolder_does_not_lead_out(mine, kernel, refusal, subfolder):
    """Files of this machine would be read as if they came from the repository."""
    kernel.push_to_hub("me/x", report=False)
    words = refusal(IRPAdapter.from_pretrained, "me/x", subfolder=subfolder, error=InputError)
    assert words.startswith("subfolder")
    assert repr(subfolder) in words


def test_a_subfolder(mine, kernel):
    """One repository could not hold several adapters."""
    kernel.push_to_hub("me/x", report=False)
    mine.upload("me/many", {f"first/{name}": content for name, content in mine.files("me/x").items()})
    assert IRPAdapter.from_pretrained("me/many", subfolder="first").checksum() == kernel.checksum()


def test_mistyped_keywords(mine, kernel, space, refusal):
    """`privat=True` would publish what was to be private."""
    anchors = AnchorSet(["a", "b"])
    for thing, wrong in ((kernel, "privat"), (space, "report"), (anchors, "privat")):
        words = refusal(thing.push_to_hub, "me/x", **{wrong: True}, error=InputError)
        assert f"got {wrong!r}. " in words
        assert ("Write private=." in words) == (wrong == "privat")
    assert refusal(anchors.push_to_hub, "me/x", license=3, error=InputError).startswith("license")
    assert not mine.store.repos
    for place in (None, 3, b"me/x"):
        refusal(AnchorSet.from_pretrained, place)
