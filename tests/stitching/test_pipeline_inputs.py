"""What a pipeline is given: paths, URLs, files and arrays as transformers takes them, and whatever cannot be read."""

import base64
import http.server
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow as pa
import pytest
import soundfile
import stitched
import tiny_encoders as tiny
import torch
from datasets import Dataset
from says import says
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

from irp_hf.errors import InputError

TOP = 3


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with files that are read, and some that cannot be."""
    folder = tmp_path_factory.mktemp("files")
    picture, wave = tiny.pictures()[0], tiny.waves()[0]
    picture.save(folder / "good.png")
    soundfile.write(folder / "good.wav", wave, tiny.RATE, subtype="FLOAT")
    soundfile.write(folder / "slow.wav", wave, 8000)
    for broken in ("broken.png", "broken.wav"):
        (folder / broken).write_bytes(b"RIFF\x89PNG and no more")
    return folder


@pytest.fixture(scope="module")
def address(place) -> Any:
    """Where the folder is served."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=place))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def pipes(classifiers) -> dict[str, Any]:
    made = {}
    for modality, folder in classifiers.items():
        adapter = stitched.identity(stitched.record(modality, modality))
        made[modality] = pipeline("irp-stitch", model=adapter, encoder=folder, head=folder, device="cpu")
    return made


def test_pictures_of_every_kind_are_one(pipes, place, address):
    """PIL, path as text and as Path, URL, bytes, an array: and a list that mixes them."""
    picture, path = tiny.pictures()[0], place / "good.png"
    wanted = pipes["image"](picture, top_k=TOP)
    items = [path, str(path), f"{address}/good.png", path.read_bytes(), np.asarray(picture)]
    assert [pipes["image"](item, top_k=TOP) for item in items] == [wanted] * len(items)
    assert pipes["image"]([picture, *items], top_k=TOP, batch_size=1, timeout=5.0) == [wanted] * (1 + len(items))


def test_sounds_of_every_kind_are_one(pipes, place, address):
    """Arrays under both of the names that transformers has for them, tensors, path, URL, bytes."""
    wave, path = tiny.waves()[0], place / "good.wav"
    wanted = pipes["audio"](wave, top_k=TOP)
    named = [{name: wave, "sampling_rate": tiny.RATE} for name in ("array", "raw")]
    items = [*named, torch.from_numpy(wave), path, str(path), f"{address}/good.wav", path.read_bytes()]
    assert [pipes["audio"](item, top_k=TOP) for item in items] == [wanted] * len(items)
    assert pipes["audio"](items, top_k=TOP) == [wanted] * len(items)
    assert set(named[1]) == {"raw", "sampling_rate"}  # what the user gave is as it was


def test_a_link_in_a_text_is_a_text(pipes, address):
    """And nothing is fetched."""
    link = f"{address}/good.png"
    assert pipes["text"](link)[0]["label"] == pipes["text"]([link])[0]["label"]


def test_texts_longer_than_the_model_are_cut(pipes):
    assert pipes["text"]("w1 " * 500) == pipes["text"]("w1 " * 600)


def test_texts_that_cannot_be_classified(pipes, refusal):
    """Each in words, with its row, in every way of calling."""
    pipe = pipes["text"]
    refused = partial(refusal, error=InputError)
    for options in ({}, {"batch_size": 2}, {"batch_size": 4}):
        assert says(refused(pipe, ["w1", "w2", 3, "w4"], **options), "Item 2", "an int")
    stream = pipe((item for item in ["w1", "w2", 3, "w4"]), batch_size=2)
    assert says(refused(list, stream), "Item 2", "an int")
    kinds = {"None": None, "an int": 3, "a bytes": b"w1", "a list": ["w1", "w2"], "a tuple": ("w1",)}
    for kind, item in kinds.items():
        assert says(refused(pipe, [item]), "Item 0", kind)
    chat = {"role": "user", "content": "w1"}
    assert says(refused(pipe, [chat]), "Item 0", "a dict")
    for item in ({"text": 3}, {"text": "w1", "text_pair": 3}):
        assert says(refused(pipe, [item]), "Item 0", "an int")
    assert says(refused(pipe, "w1 \ud800"), "Item 0", r"'\ud800'")


def test_columns_are_classified_by_position(pipes):
    """A column of a table would be one item, and one that was shuffled be answered in the order of its labels."""
    texts = tiny.texts(6)
    wanted = pipes["text"](texts, batch_size=4)
    series = pandas.Series(texts, index=[3, 1, 5, 0, 2, 4])
    for column in (series, series[::-1][::-1], np.array(texts), np.array(texts, object), pa.array(texts)):
        assert pipes["text"](column, batch_size=4) == wanted
    stream = Dataset.from_dict({"text": texts}).to_iterable_dataset()
    assert list(pipes["text"](stream["text"], batch_size=4)) == list(pipes["text"](stream, batch_size=4)) == wanted
    model = pipes["text"].stitched
    assert torch.equal(model.predict(series, batch_size=4).logits, model.predict(texts, batch_size=4).logits)


def test_pairs_that_nobody_can_put_together(refusal):
    """A function, or a sentence-transformers model, has no tokenizer of ours: the second text would be lost."""
    pipe = pipeline(
        "irp-stitch", model=stitched.identity(), encoder=stitched.embed, head=torch.nn.Linear(16, 2), modality="text"
    )
    text = refusal(pipe, [{"text": "w1", "text_pair": "w2"}], error=InputError)
    assert says(text, "Item 0", "a pair of texts")
    assert says(refusal(pipe, "w1", text_pair="w2", error=InputError), "Item 0", "a pair of texts")


@pytest.mark.slow
def test_what_a_worker_process_cannot_read(pipes, refusal):
    """Is told as if there were none, without the traceback that torch would wrap it in; to end the process takes 5 s."""
    assert says(refusal(pipes["text"], ["w1", 3, "w2"], num_workers=1, error=InputError), "Item 1", "an int")


def test_nothing_at_all(pipes):
    """A list, a tuple, a data set and a generator of none have no answers."""
    for nothing in ([], (), KeyDataset([], "text"), (item for item in [])):
        assert list(pipes["text"](nothing)) == []


def test_answers_come_before_the_item_that_cannot_be_read(pipes):
    """A stream is classified batch by batch, and goes on to the error."""
    answers = iter(pipes["text"](item for item in ["w1", "w2", "w3", None]))
    assert [next(answers)["label"] for _ in range(3)]
    with pytest.raises(InputError, match="Item 3"):
        next(answers)


def test_what_a_generator_raises_is_the_users(pipes):
    def items() -> Any:
        yield "w1"
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        list(pipes["text"](items()))


def test_pictures_that_cannot_be_read(pipes, place, address, refusal):
    pipe, good = pipes["image"], tiny.pictures()[0]
    broken, missing = place / "broken.png", place / "missing.png"
    refused = partial(refusal, pipe, error=InputError)
    for options in ({}, {"batch_size": 2}):
        assert says(refused([good, str(broken)], **options), "Item 1", broken, "Pillow")
    assert says(refused(str(missing)), "Item 0", missing, "No such file or directory")
    assert says(refused([good, f"{address}/broken.png"]), "Item 1", "Pillow")
    assert says(refused(f"{address}/missing.png"), f"{address}/missing.png", "404")
    assert says(refused("http://127.0.0.1:9/good.png", timeout=5.0), "http://127.0.0.1:9/good.png")
    for item in (3, "", torch.zeros(3, 8, 8), np.zeros((3, 8, 8), np.float32), b""):
        assert refused(item).startswith("Item 0")


def test_pictures_as_base64(pipes, classifiers, place, refusal):
    """What web pages send, with the words before it or without, as image-classification reads it."""
    pipe = pipes["image"]
    native = pipeline("image-classification", model=str(classifiers["image"]), device="cpu")
    text = base64.b64encode((place / "good.png").read_bytes()).decode()
    wanted = pipe(str(place / "good.png"))
    for item in (text, f"data:image/png;base64,{text}"):
        assert pipe(item) == wanted
        found = [(answer["label"], pytest.approx(answer["score"], abs=1e-4)) for answer in native(item)]
        assert [(answer["label"], answer["score"]) for answer in wanted] == found
    assert pipe([text, str(place / "good.png")]) == [wanted, wanted]
    broken = base64.b64encode(b"no picture").decode()
    assert says(refusal(pipe, f"data:image/png;base64,{broken}", error=InputError), "Item 0", "Pillow")
    assert says(refusal(pipe, "abcd", error=InputError), "abcd", "No such file or directory")  # base64 as well
    assert says(refusal(pipe, text[:-40], error=InputError), "Item 0")


def test_sounds_that_cannot_be_read(pipes, place, refusal):
    pipe, good = pipes["audio"], tiny.waves()[0]
    broken, missing = place / "broken.wav", place / "missing.wav"
    refused = partial(refusal, pipe, error=InputError)
    assert says(refused([good, str(broken)], batch_size=2), "Item 1", broken, "soundfile")
    assert says(refused(missing), "Item 0", missing, "No such file or directory")
    for slow in (place / "slow.wav", {"raw": good, "sampling_rate": 8000}):
        assert says(refused(slow), "Item 0", 8000, 16000, "Resample it")
    for item in (3, {}, np.zeros((2, 4000), np.float32), np.full(4000, np.nan), [0.1, 0.2], {"raw": None}):
        assert refused(item).startswith("Item 0")
    assert says(refused(np.zeros(3, np.float32)), "reads these sounds", "an error (")  # shorter than one frame


def test_keywords_that_do_not_fit(pipes, refusal):
    """Before anything is classified."""
    call = partial(refusal, pipes["text"], ["w1"], error=InputError)
    known = "top_k, function_to_apply, return_confidence, timeout, text_pair, truncation, padding, max_length"
    assert says(call(stride=3), "'stride'", "irp-stitch", known)
    for name, values in {
        "top_k": (0, -1, True, 1.5, "2"),
        "function_to_apply": ("argmax", [], 3),
        "return_confidence": ("no", 1, None),
        "timeout": (0, -1.0, "soon", True),
        "batch_size": (0, -1, "2", 2.5, True, 2**31, 10**30),
        "num_workers": (-1, "2", 0.5, 1025, 10**12),
    }.items():
        for wrong in values:
            assert says(call(**{name: wrong}), name, repr(wrong))
    assert says(call(function_to_apply="argmax"), "'softmax', 'sigmoid', 'none'")


def test_a_stream_is_read_as_it_is_needed(pipes):
    """Not before the first answer is asked for, and not to its end."""
    read: list[int] = []

    def items() -> Any:
        for row in range(100):
            read.append(row)
            yield f"w{row}"

    answers = iter(pipes["text"](items(), batch_size=4))
    next(answers)
    assert len(read) < 20


def test_a_column_is_read_piece_by_piece(pipes, refusal):
    """A column of `datasets` decodes its pictures as they are looked at, and all of them may be more than memory holds."""

    class Column(Sequence):
        seen: list[int] = []

        def __len__(self) -> int:
            return 50

        def __getitem__(self, row: Any) -> Any:
            self.seen.append(row)
            return tiny.pictures()[0] if row < 3 else "missing.png"

    assert says(refusal(pipes["image"], Column(), error=InputError), "Item 3", "missing.png")
    assert Column.seen == [0, 1, 2, 3]
