"""A run is known by the content of encoder and items: other weights under an old name are refused, a moved folder goes on."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_encoders as tiny
import torch
from datasets import Dataset, Image
from says import says
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from sklearn.linear_model import LogisticRegression
from stitched import rough
from tiny_encoders import LAYERS, VOCAB
from transformers import AutoModel

from irp_hf import InputError, StitchedModel
from irp_hf.checkpoints.digests import processors_digest, weights_digest
from irp_hf.data.digests import digest
from irp_hf.disk import blocks
from irp_hf.encoding import encode
from irp_hf.parallel import encode_dataset, run_sharded

TEXTS, WIDTH = tiny.texts(24), LAYERS["hidden_size"]
HOW: dict[str, Any] = dict(pooling="mean", device="cpu", batch_size=4)


@pytest.fixture
def encoder(tmp_path) -> Path:
    return tiny.save(tmp_path / "enc", tiny.model("bert", **LAYERS, **VOCAB), tiny.tokenizer())


def train(folder: Path, rate: float = 0.05) -> None:
    """A step of training, saved where it was."""
    tiny.trained(AutoModel.from_pretrained(folder), TEXTS[:4], rate).save_pretrained(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lock"}


def test_an_encoder_trained_further_in_its_folder(encoder, tmp_path, refusal):
    """If it fails, the vectors of the encoder before its training are returned, without a word."""
    out = tmp_path / "runs" / "v.npy"
    out.parent.mkdir()
    encode(encoder, TEXTS, out=out, **HOW)
    before = contents(out.parent)
    train(encoder, 1e-4)
    assert says(
        refusal(encode, encoder, TEXTS, out=out, error=InputError, **HOW), "the encoder's weights", f"{out}.json"
    )
    assert contents(out.parent) == before
    assert encode(encoder, TEXTS, out=tmp_path / "other.npy", **HOW)[0].shape == (24, WIDTH)


def test_an_interrupted_run_of_two_encoders(encoder, tmp_path, refusal, monkeypatch):
    """If it fails, a file holds rows of both. What the first had made stays, and goes on with the first."""
    monkeypatch.setattr(blocks, "GATHER_BYTES", 0)
    out, whole = tmp_path / "v.npy", blocks.Blocks.write
    wanted = encode(encoder, TEXTS, **HOW)[0]

    def dies(self: Any, block: int, *args: Any) -> None:
        if block == 3:
            raise KeyboardInterrupt
        whole(self, block, *args)

    monkeypatch.setattr(blocks.Blocks, "write", dies)
    with pytest.raises(KeyboardInterrupt):
        encode(encoder, TEXTS, out=out, **HOW)
    monkeypatch.setattr(blocks.Blocks, "write", whole)
    kept = shutil.copytree(encoder, tmp_path / "kept")
    train(encoder)
    parts = contents(tmp_path / "v.npy.parts")
    assert len(parts) >= 3
    assert "the encoder's weights" in refusal(encode, encoder, TEXTS, out=out, error=InputError, **HOW)
    assert contents(tmp_path / "v.npy.parts") == parts
    torch.testing.assert_close(encode(kept, TEXTS, out=out, **HOW)[0], wanted)  # under another name


def test_a_folder_that_was_moved(encoder, tmp_path):
    """The same encoder by another name, or loaded: hours of work must not be refused, nor done again."""
    out = tmp_path / "v.npy"
    wanted = encode(encoder, TEXTS, out=out, **HOW)[0]
    moved = encoder.rename(tmp_path / "moved")
    assert torch.equal(encode(moved, TEXTS, out=out, **HOW)[0], wanted)
    loaded = AutoModel.from_pretrained(moved).eval()
    options = {name: value for name, value in HOW.items() if name != "device"}
    assert torch.equal(encode(loaded, TEXTS, processor=tiny.tokenizer(), out=out, **options)[0], wanted)


def test_another_vocabulary(encoder, tmp_path, refusal):
    """The weights are the same, and the vectors are others."""
    out = tmp_path / "v.npy"
    encode(encoder, TEXTS, out=out, **HOW)
    file = encoder / "tokenizer.json"
    file.write_text(file.read_text().replace('"w1"', '"swap"').replace('"w2"', '"w1"').replace('"swap"', '"w2"'))
    assert "the tokenizer or processor" in refusal(encode, encoder, TEXTS, out=out, error=InputError, **HOW)


def scaled(factor: float) -> Any:
    return lambda texts: np.array([[len(text) * factor, 1.0] for text in texts])


@pytest.mark.parametrize("runs", ["encode", "encode_dataset", "run_sharded"])
def test_two_functions_of_one_name(runs, tmp_path, refusal):
    """All lambdas are called alike; of a function only what it gives can tell who it is."""
    dataset = Dataset.from_dict({"text": TEXTS})
    out = tmp_path / "runs" / ("folder" if runs == "run_sharded" else "v.npy")
    out.parent.mkdir()

    def run(function: Any) -> np.ndarray:
        if runs == "encode":
            return encode(function, TEXTS, batch_size=4, out=out)[0].numpy()
        if runs == "encode_dataset":
            return encode_dataset(function, dataset, "text", out, block_size=8)[0].numpy()
        return run_sharded(function, TEXTS, out, block_size=8)["values"]

    wanted, before = run(scaled(1)), contents(out.parent)
    assert np.array_equal(run(scaled(1)), wanted)
    assert np.allclose(run(scaled(1 + 1e-6)), wanted)  # rounding
    assert says(refusal(run, scaled(1.1), error=InputError), "row ", "another place", "off by")
    assert "float" in refusal(run, lambda texts: np.ones((len(texts), 3)), error=InputError)
    assert contents(out.parent) == before


def test_another_head_in_memory(encoder, tmp_path, refusal):
    """If it fails, the answers of the first head are given as those of the second."""
    dataset, head = Dataset.from_dict({"text": TEXTS}), torch.nn.Linear(WIDTH, 3)
    labels = [row % 3 for row in range(len(TEXTS))]
    vectors = rough().translate(encode(encoder, TEXTS, **HOW)[0])
    heads = [
        (head, torch.nn.Linear(WIDTH, 3), "the head's weights"),
        (lambda x: x[:, :3], lambda x: x[:, 1:4], "row"),
        (LogisticRegression().fit(vectors, labels), LogisticRegression(C=1e-3).fit(vectors, labels), "row"),
    ]
    for place, (one, other, word) in enumerate(heads):

        def run(head: Any, folder: Path = tmp_path / str(place)) -> np.ndarray:
            model = StitchedModel(encoder, rough(), head, pooling="mean", device="cpu")
            return model.predict_dataset(dataset, "text", folder, block_size=8)["logits"].copy()

        wanted, before = run(one), contents(tmp_path / str(place))
        assert np.array_equal(run(one), wanted)
        assert word in refusal(run, other, error=InputError)
        assert contents(tmp_path / str(place)) == before
    with torch.no_grad():
        head.weight.data.mul_(1.5)  # trained on in memory
    assert "the head's weights" in refusal(
        lambda: StitchedModel(encoder, rough(), head, pooling="mean", device="cpu").predict_dataset(
            dataset, "text", tmp_path / "0", block_size=8
        ),
        error=InputError,
    )


def test_the_digest_of_weights(encoder):
    """It is the content's: the same for a folder, an object and a SentenceTransformer of it; another for any change."""
    loaded = AutoModel.from_pretrained(encoder)
    wanted = encode(encoder, TEXTS, **HOW)[1]["weights_sha256"]
    assert weights_digest(loaded) == wanted
    sentences = SentenceTransformer(modules=[Transformer(str(encoder)), Pooling(WIDTH, "mean")], device="cpu")
    record = encode(sentences, TEXTS)[1]
    assert record["weights_sha256"] == wanted
    assert record["processor_sha256"] == encode(encoder, TEXTS, **HOW)[1]["processor_sha256"]
    with torch.no_grad():
        loaded.embeddings.word_embeddings.weight[5, 3] += 1e-7
    changed = weights_digest(loaded)
    loaded.embeddings.word_embeddings.weight.data.mul_(1.01)  # which no version counter tells
    assert len({wanted, changed, weights_digest(loaded), weights_digest(loaded.bfloat16())}) == 4
    for module in loaded.modules():
        module.to("meta")
    assert weights_digest(loaded) is None


def test_the_digest_of_a_tokenizer_is_what_it_does():
    """And not how it last padded, or what it is called."""
    one, other = tiny.tokenizer(), tiny.tokenizer()
    before = processors_digest([one])
    one(TEXTS, padding=True, truncation=True, max_length=4)
    assert processors_digest([one]) == before == processors_digest([other])
    other.add_tokens(["new"])
    assert processors_digest([other]) != before
    one.truncation_side = "left"  # of long texts another part is read
    assert processors_digest([one]) != before
    small, large = tiny.image_processor(), tiny.image_processor()
    large.size = {"height": 48, "width": 48}
    assert processors_digest([small]) != processors_digest([large])
    assert processors_digest([None]) is None


def test_items_are_what_stands_in_them(tmp_path):
    """A file that was changed in place and has its old time is another; one that was moved is the same."""
    import os

    path = tmp_path / "a.png"
    first, second = tiny.pictures(2)
    first.resize((8, 8)).save(path, "BMP")
    stat, before = path.stat(), digest([path])
    assert digest([str(path)], files=True) == before
    second.resize((8, 8)).save(path, "BMP")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size
    assert digest([path]) != before
    changed = digest([path])
    assert digest([path.rename(tmp_path / "b.png")]) == changed
    pictures = Dataset.from_dict({"image": [str(tmp_path / "b.png")]}).cast_column("image", Image())
    assert digest(pictures["image"]) == changed
    texts = Dataset.from_dict({"text": TEXTS})
    other = Dataset.from_dict({"text": TEXTS[::-1]})
    other._fingerprint = texts._fingerprint
    assert digest(texts["text"]) == digest(TEXTS) != digest(other["text"])


def test_an_older_run_over_a_column(encoder, tmp_path):
    """Whose items were noted by a fingerprint, and whose encoder had no digest: it is not made again."""
    import json

    column, out = Dataset.from_dict({"text": TEXTS})["text"], tmp_path / "v.npy"
    wanted = encode(encoder, column, out=out, **HOW)[0]
    journal = json.loads(Path(f"{out}.json").read_text())
    journal["run"]["items"] = f"datasets:{column.source._fingerprint}:text"
    later = ("truncate_dim", "task", "max_length", "weights_sha256", "processor_sha256")
    journal["run"]["encoder"] = {name: value for name, value in journal["run"]["encoder"].items() if name not in later}
    Path(f"{out}.json").write_text(json.dumps(journal))
    assert torch.equal(encode(encoder, column, out=out, **HOW)[0], wanted)
    train(encoder, 1.0)
    with pytest.raises(InputError, match="off by"):
        encode(encoder, column, out=out, **HOW)
