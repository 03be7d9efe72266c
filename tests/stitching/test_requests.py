"""How often the Hub is asked when a pipeline opens by an id."""

from collections import Counter

import tiny_encoders as tiny
from published import ENCODER, TOPICS
from transformers import pipeline


def test_each_part_is_found_once(published):
    """Whoever opens a pipeline would wait for one more answer of the Hub, a second time for what is known already."""
    for opened in (1, 2):  # with an empty cache and with a full one
        pipeline("irp-stitch", model="me/adapter", device="cpu")
        asked = Counter(request.path.rpartition("/revision/")[0] for request in published.requests)
        assert {name: asked[f"/api/models/{name}"] for name in (ENCODER, TOPICS)} == {ENCODER: opened, TOPICS: opened}


def test_a_plain_encoder_is_found_once(published, folders):
    """It has no modules.json, and to learn that twice would take one more answer."""
    published.upload("me/plain", folders / "bert")
    model = pipeline(
        "irp-stitch", model="me/adapter", encoder="me/plain", pooling="mean", on_mismatch="warn", device="cpu"
    )
    assert len(model(tiny.texts(3))) == 3
    assert sum(request.path == "/api/models/me/plain" for request in published.requests) == 1
