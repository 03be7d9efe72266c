"""What stands in a card runs as it stands, once the repository is on the Hub."""

import re

import numpy as np
import pytest
from published import ENCODER

from irp_hf import AnchoredSpace, IRPAdapter


def snippets(hub, repo_id, repo_type="model"):
    return re.findall(r"```python\n(.*?)```", hub.files(repo_id, repo_type=repo_type)["README.md"].decode(), re.DOTALL)


@pytest.mark.parametrize(
    ("repo_id", "repo_type"),
    [
        ("me/adapter", "model"),
        ("me/encoder-anchored", "model"),
        ("me/topics-anchored", "model"),
        ("me/anchors", "dataset"),
    ],
)
def test_the_snippets_of_a_card(published, monkeypatch, repo_id, repo_type):
    """The first thing that a visitor copies would not work."""
    code = snippets(published, repo_id, repo_type)
    assert len(code) >= (3 if repo_id == "me/adapter" else 2)
    other = "me/encoder-anchored" if repo_id == "me/topics-anchored" else "me/topics-anchored"
    names: dict = {}
    for block in code:
        for stand_in, name in {
            "your/encoder-anchored": "me/own-anchored",
            "your/encoder": ENCODER,
            "you/another-space": other,
        }.items():
            block = block.replace(stand_in, name)
        exec(block, names)


@pytest.mark.parametrize("at_head", [True, False])
def test_the_snippets_of_an_adapter_of_vectors(published, at_head):
    """An adapter of embeddings that were made elsewhere has a card, too."""
    random = np.random.default_rng(0)
    source = AnchoredSpace.from_pretrained("me/encoder-anchored")
    record = {"id": "mine", "at": "head"} if at_head else None
    target = AnchoredSpace.from_embeddings(random.normal(size=(len(source.anchors), 8)), encoder=record)
    for number, sides in enumerate([(source, target), (target, source)]):
        IRPAdapter.connect(*sides, method="kernel", gamma=1.0, ridge=0.1).push_to_hub(f"me/{number}", report=False)
        code = snippets(published, f"me/{number}")
        assert len(code) == 3
        for block in code:
            exec(block, {})
