"""A space knows its encoder again, by a digest and by a few items that it has kept; a config that was changed is refused."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stitched
import tiny_encoders as tiny
import torch
from PIL import Image
from says import says
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tiny_encoders import LAYERS, PATCHES, VOCAB
from transformers import AutoModel, AutoModelForSequenceClassification, pipeline

from irp_hf import AnchoredSpace, AnchorSet, DamagedFolderError, InputError, IRPAdapter, StitchedModel
from irp_hf.data.canary import LARGEST_PICTURE, Canary
from irp_hf.encoding import encode
from irp_hf.models.cards import adapter_card, space_card

TEXTS, WIDTH = tiny.texts(60), LAYERS["hidden_size"]
HOW: dict[str, Any] = dict(pooling="mean", device="cpu")
FIXED: dict[str, Any] = dict(method="whitened", balance=1.0, ridge=1e-3)
HEAD = torch.nn.Linear(WIDTH, 3)


def save(folder: Path, seed: int = 0, step: float = 0.0) -> Path:
    """An encoder; of another seed another one, and with a step the first one trained a little further."""
    model = tiny.model("bert", **LAYERS, **VOCAB)
    if seed:
        torch.manual_seed(seed)
        tiny.perturbed(model)
        with torch.no_grad():
            model.embeddings.word_embeddings.weight.copy_(
                torch.randn_like(model.embeddings.word_embeddings.weight) * 0.1
            )
    if step:
        tiny.trained(model, TEXTS[:8], step)
    return tiny.save(folder, model.eval(), tiny.tokenizer())


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    return save(tmp_path_factory.mktemp("models") / "enc")


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    """Of the same width, and called the same."""
    return save(tmp_path_factory.mktemp("models") / "enc", seed=7)


@pytest.fixture(scope="module")
def space(encoder) -> AnchoredSpace:
    return AnchoredSpace.encode(encoder, AnchorSet(TEXTS), **HOW)


@pytest.fixture(scope="module")
def adapter(space) -> IRPAdapter:
    return IRPAdapter.connect(space, space, **FIXED)


def quietly(call: Any, *args: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return call(*args, **options)


def mean_of(folder: Path) -> Any:
    return lambda texts: encode(folder, texts, **HOW)[0]


def test_what_is_kept(space, adapter, tmp_path):
    """Four different items, far apart, and what the anchors are of them; handed on to the adapter, back, and reversed."""
    canary = Canary.from_dict(space.config.canary, "canary")
    assert canary.items == [space_texts(space)[row] for row in canary.rows]
    assert len(set(canary.rows)) == 4
    units = torch.nn.functional.normalize(space.anchors[canary.rows] - space.mean)
    assert (units @ units.T - torch.eye(4)).max() < 0.7
    space.save_pretrained(tmp_path / "space")
    adapter.save_pretrained(tmp_path / "adapter")
    again = IRPAdapter.from_pretrained(tmp_path / "adapter")
    for made in (AnchoredSpace.from_pretrained(tmp_path / "space"), again.source, again.target, adapter.source):
        assert made.config.canary == space.config.canary
    assert again.reverse(**FIXED).config.source_canary == space.config.canary


def space_texts(space: AnchoredSpace) -> list[str]:
    return AnchorSet(TEXTS).view()


def test_the_card_says_what_is_published(space, adapter, tmp_path):
    """Whoever pushes a space should see that some of its items go with it."""
    assert "holds 4 of the items" in str(space_card(space.config, "me/space"))
    assert "holds 8 of the anchors' items" in str(adapter_card(adapter.config, "me/adapter"))
    bare = AnchoredSpace.from_embeddings(space.anchors)
    assert "known again" not in str(space_card(bare.config, "me/space"))


def test_nothing_is_kept_where_nobody_wants_it(encoder, tmp_path):
    """Privacy: none of the items may stand in what is published."""
    bare = AnchoredSpace.encode(encoder, AnchorSet(TEXTS), canary=False, **HOW)
    bare.save_pretrained(tmp_path)
    assert bare.config.canary is None
    written = (tmp_path / "config.json").read_text()
    assert "canary" not in written
    assert not any(text in written for text in TEXTS if len(text) > 3)
    with pytest.raises(InputError, match="canary"):
        AnchoredSpace.encode(encoder, AnchorSet(TEXTS), canary="no", **HOW)


def test_the_encoder_of_the_anchors_passes(encoder, space, adapter, tmp_path):
    """By any name, as any object, without a word; as a function, which has no digest, by the canary."""
    moved = save(tmp_path / "another name")
    loaded = AutoModel.from_pretrained(encoder).eval()
    sentences = SentenceTransformer(modules=[Transformer(str(encoder)), Pooling(WIDTH, "mean")], device="cpu")
    for given, more in (
        (encoder, {"device": "cpu"}),
        (moved, {"device": "cpu"}),
        (sentences, {}),
        (mean_of(encoder), {}),
    ):
        quietly(space.check, given, **more)
        quietly(StitchedModel, given, adapter, HEAD, **more)
    quietly(space.check, loaded, processor=tiny.tokenizer())


def test_another_encoder_of_that_width_is_refused(other, space, adapter, refusal):
    """It has the same name, width and settings: `confidence` said .952 where the true cosine was .676."""
    for given in (other, mean_of(other)):
        more = {"device": "cpu"} if given is other else {}
        text = refusal(space.check, given, error=InputError, **more)
        assert says(text, "the encoder of the space's anchors", "cosine", "other weights", "on_mismatch='warn'")
        text = refusal(pipeline, "irp-stitch", model=adapter, encoder=given, head=HEAD, error=InputError, **more)
        assert says(text, "the encoder of the source's anchors", "cosines of")
        with pytest.warns(UserWarning, match="cosines of") as caught:
            space.check(given, on_mismatch="warn", **more)
        assert caught[0].filename == __file__
        quietly(StitchedModel, given, adapter, HEAD, on_mismatch="ignore", **more)


def test_without_a_canary_the_digest_tells(encoder, other, refusal):
    """Weights in memory or in a folder; of a function it is said that nothing can tell it then."""
    bare = AnchoredSpace.encode(encoder, AnchorSet(TEXTS), canary=False, **HOW)
    quietly(bare.check, encoder, device="cpu")
    assert says(refusal(bare.check, other, device="cpu", error=InputError), "weights", "digest")
    with pytest.warns(UserWarning, match="a function, which nothing that was kept can tell"):
        bare.check(mean_of(other))


def test_equal_weights_that_are_computed_with_in_another_way(encoder, space, tmp_path, refusal):
    """A digest of weights knows no activation and no hook: the items that were kept do."""
    folder = tmp_path / "enc"
    shutil.copytree(encoder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 0.5}))
    assert "cosines of" in refusal(space.check, folder, device="cpu", error=InputError)


@pytest.mark.parametrize(("step", "passes"), [(1e-5, True), (2.0, False)])
def test_an_encoder_that_was_trained_further(step, passes, space, tmp_path, refusal):
    """So little that its vectors are the same: a warning; so that they are others: a refusal."""
    trained = save(tmp_path / "enc", step=step)
    if passes:
        with pytest.warns(UserWarning, match="other ones, with which 4 of the anchors come out alike"):
            space.check(trained, device="cpu")
    else:
        assert "cosines of" in refusal(space.check, trained, device="cpu", error=InputError)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_no_other_encoder(dtype, encoder, other, space, refusal):
    """Rounding is warned of and never refused; another encoder is, in half precision too."""
    with pytest.warns(UserWarning, match=f"got dtype='{dtype}'"):
        space.check(encoder, dtype=dtype, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "cosines of" in refusal(space.check, other, dtype=dtype, device="cpu", error=InputError)


def test_what_no_record_tells_is_seen(encoder, space, refusal):
    """A prompt that a function puts in front, another length or another cut."""
    whole = mean_of(encoder)
    for function, words in (
        (lambda texts: whole(["w9 w8 w7 " + text for text in texts]), "cosines"),
        (lambda texts: whole([text[:9] for text in texts]), "cosines"),
        (lambda texts: whole(texts)[:, :7], "7 wide"),
        (lambda texts: space.mean + 3 * (whole(texts) - space.mean), "times as long"),
    ):
        assert words in refusal(space.check, function, error=InputError)


def test_a_tokenizer_that_was_changed(encoder, space, tmp_path, refusal):
    """The weights are the same, and the vectors are not."""
    folder = save(tmp_path / "enc")
    file = folder / "tokenizer.json"
    for word in range(0, 40, 2):
        swapped = file.read_text().replace(f'"w{word}"', '"swap"').replace(f'"w{word + 1}"', f'"w{word}"')
        file.write_text(swapped.replace('"swap"', f'"w{word + 1}"'))
    assert "cosines of" in refusal(space.check, folder, device="cpu", error=InputError)


def noise(size: int, count: int) -> list[Any]:
    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, 255, (size, size, 3), np.uint8)) for _ in range(count)]


@pytest.mark.parametrize("size", [40, 400])
def test_pictures(size, tmp_path, refusal):
    """Small ones as they are; large ones made smaller, so that no megabytes stand in a config."""
    made, again = (tiny.model("vit", **LAYERS, **PATCHES) for _ in range(2))
    folder = tiny.save(tmp_path / "vit", made, tiny.image_processor())
    with torch.no_grad():
        for weight in again.parameters():
            weight.add_(torch.randn_like(weight) * 0.3)
    another = tiny.save(tmp_path / "again", again, tiny.image_processor())
    space = AnchoredSpace.encode(folder, AnchorSet(noise(size, 12)), pooling="cls", device="cpu")
    canary = Canary.from_dict(space.config.canary, "canary")
    assert (len(canary.items), canary.vectors is None) == (4, size == 40)
    space.save_pretrained(tmp_path / "space")
    assert (tmp_path / "space" / "config.json").stat().st_size < 6 * LARGEST_PICTURE
    loaded = AnchoredSpace.from_pretrained(tmp_path / "space")
    quietly(loaded.check, folder, device="cpu")
    assert "cosines of" in refusal(loaded.check, another, device="cpu", error=InputError)


@pytest.mark.parametrize(
    ("canary", "words"),
    [
        ("x", "'x'"),
        ({"rows": [0]}, "rows and texts"),
        ({"rows": [0], "texts": ["a"], "more": 1}, "more"),
        ({"rows": [0], "texts": ["a"], "pictures": ["YQ=="]}, "pictures"),
        ({"rows": [0, 1], "texts": ["a"]}, "one for each"),
        ({"rows": list(range(9)), "texts": ["a"] * 9}, "at most 8"),
        ({"rows": [1, 1], "texts": ["a", "b"]}, "different rows"),
        ({"rows": [-1], "texts": ["a"]}, "-1"),
        ({"rows": [60], "texts": ["a"]}, "row 60"),
        ({"rows": [0], "texts": ["a" * 2001]}, "2,000 characters"),
        ({"rows": [0], "texts": [3]}, "3"),
        ({"rows": [0], "pictures": ["A" * 100_000]}, "65,536 bytes"),
        ({"rows": [0], "pictures": ["not base64!"]}, "base64"),
        ({"rows": [0], "texts": ["a"], "vectors": "AAA="}, "float32"),
    ],
)
def test_a_canary_that_no_save_writes(canary, words, space, tmp_path, refusal):
    """A stranger's config.json would have its own texts encoded without bound, or end in a bare TypeError."""
    space.save_pretrained(tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(content | {"canary": canary}))
    assert words in refusal(AnchoredSpace.from_pretrained, tmp_path, error=DamagedFolderError)


def tampered(folder: Path, change: Any) -> Path:
    content = json.loads((folder / "config.json").read_text())
    change(content)
    (folder / "config.json").write_text(json.dumps(content))
    return folder


CHANGES: dict[str, Any] = {
    "another source": lambda c: c["source_encoder"].update(id="you/other"),
    "another prompt": lambda c: c["source_encoder"].update(prompt="w1 "),
    "another target": lambda c: c.update(target_encoder={"id": "you/other"}),
    "no record": lambda c: c.pop("source_encoder"),
    "another text": lambda c: c["source_canary"]["texts"].__setitem__(0, "w1 w2"),
    "no canary": lambda c: c.pop("source_canary"),
    "another anchor set": lambda c: c.update(anchor_set={"id": "you/anchors"}),
    "an older version": lambda c: c.pop("checksum_version"),
    "a newer version": lambda c: c.update(checksum_version=3),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_record_that_was_changed(change, adapter, tmp_path, refusal):
    """Records of another adapter beside these tensors: another encoder would be fetched and run."""
    adapter.save_pretrained(tmp_path)
    IRPAdapter.from_pretrained(tmp_path)
    words = refusal(IRPAdapter.from_pretrained, tampered(tmp_path, CHANGES[change]), error=DamagedFolderError)
    assert ("checksum_version" if "newer" in change else "checksum") in words


def test_what_was_saved_before_may_be_saved_again(tmp_path):
    """An old adapter has no version, and gets none: its checksum stays what its owners know."""
    golden = Path(__file__).parents[1] / "golden" / "kernel"
    old = IRPAdapter.from_pretrained(golden)
    old.save_pretrained(tmp_path)
    before, after = (json.loads((folder / "config.json").read_text()) for folder in (golden, tmp_path))
    assert after["weights_sha256"] == before["weights_sha256"]
    assert "checksum_version" not in after


def classifier(folder: Path, step: float = 0.0) -> Path:
    model = tiny.model("roberta", AutoModelForSequenceClassification, num_labels=3, **LAYERS, **VOCAB)
    with torch.no_grad():
        model.classifier.out_proj.weight.add_(step)
    return tiny.save(folder, model, tiny.tokenizer())


def test_another_head_is_refused(encoder, tmp_path, refusal):
    """Of equal width and name, trained further: it reads other vectors than the target's anchors are."""
    topics, trained = classifier(tmp_path / "a" / "topics"), classifier(tmp_path / "b" / "topics", 0.5)
    source = AnchoredSpace.encode(encoder, AnchorSet(TEXTS), **HOW)
    target = AnchoredSpace.encode(topics, AnchorSet(TEXTS), at="head", device="cpu")
    adapter = IRPAdapter.connect(source, target, **FIXED)
    loaded = AutoModelForSequenceClassification.from_pretrained(topics).eval()
    for head in (topics, loaded):
        quietly(StitchedModel, encoder, adapter, head, device="cpu")
    quietly(target.check, topics, device="cpu")
    quietly(target.check, trained, device="cpu")  # whose backbone is the same: what its head reads is, too
    text = refusal(StitchedModel, encoder, adapter, trained, device="cpu", error=InputError)
    assert says(text, "head of topics", "other weights", "on_mismatch='warn'")
    with pytest.warns(UserWarning, match="one of other weights"):
        StitchedModel(encoder, adapter, trained, device="cpu", on_mismatch="warn")


def test_a_space_without_an_encoder_can_be_checked_by_nothing(encoder):
    """Embeddings made elsewhere: nothing is known, and nothing may be refused."""
    vectors = encode(encoder, TEXTS, **HOW)[0]
    quietly(AnchoredSpace.from_embeddings(vectors, AnchorSet(TEXTS), "an encoder").check, stitched.embed)
