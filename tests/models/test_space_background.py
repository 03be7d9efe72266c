"""Unpaired rows that a space keeps beside its anchors: which, how exactly, and what is refused before anything is written."""

import copy
import io
import json
import pickle
import warnings
import zlib

import numpy as np
import pytest
import tiny_encoders as tiny
import torch
from forging import save_forged
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from says import says
from transformers import AutoModel

from irp_hf import AnchoredSpace, AnchorSet
from irp_hf.data.parquet import ParquetColumn
from irp_hf.errors import DamagedFolderError, FitWarning, InputError
from irp_hf.maths.unpaired.background import LEAST, MOST
from irp_hf.models.base import WEIGHTS
from irp_hf.models.cards import space_card

RANDOM = np.random.RandomState(0)
X = (RANDOM.randn(30, 6) + 2).astype(np.float32)
ROWS = (RANDOM.randn(150, 6) * 1.5 + 2).astype(np.float32)


def space(background=ROWS, x=X):
    return AnchoredSpace.from_embeddings(x, background=background)


def far(found, rows, x=X):
    """How far rows are off, in mean scales of the anchors."""
    return np.abs(found.background_rows.numpy() - rows).max() / np.linalg.norm(x - x.mean(0), axis=1).mean()


@pytest.fixture
def folder(tmp_path):
    space().save_pretrained(tmp_path)
    return tmp_path


def test_the_rows_are_kept_in_half_precision():
    """If it fails, unpaired rows take twice the room, or others come out than were given."""
    made = space()
    assert made.background.dtype == torch.float16
    assert made.background.shape == (150, 6)
    assert (made.config.num_background, made.config.num_anchors) == (150, 30)
    assert far(made, ROWS) < 2e-3
    assert made.background_rows.dtype == torch.float32
    assert torch.equal(made.background_numbers, torch.arange(150))
    assert repr(made) == "AnchoredSpace(an unknown encoder: 30 anchors before 150 unpaired rows, 6 wide)"
    assert not any(tensor.requires_grad for tensor in made.parameters())


@settings(deadline=None, max_examples=30)
@given(scale=st.floats(-10, 10), offset=st.floats(0, 3))
def test_no_unit_of_length_loses_them(scale, offset):
    """If it fails, rows of an encoder with large numbers become infinite, those of one with small ones zero."""
    x, rows = (((side - 2 + 10**offset) * 10**scale).astype(np.float32) for side in (X, ROWS))
    made = space(rows, x)
    rounding = np.finfo(np.float32).eps * 10 ** (offset + 1)
    assert far(made, rows, x) < 4e-3 + rounding
    assert torch.isfinite(made.background).all()


def test_without_any_a_space_is_as_before():
    """If it fails, every published space gets another file, another configuration or another checksum."""
    made = AnchoredSpace.from_embeddings(X)
    assert made.background_rows is None
    assert [name for name, _ in made.named_parameters()] == ["anchors", "mean", "mean_scale"]
    assert "num_background" not in made.config.to_dict()
    assert "background" not in repr(made)
    assert "background" not in str(space_card(made.config, "me/space"))


def test_anchors_and_copies_are_left_out():
    """If it fails, a fold knows what it holds out, one item crowds out others, or numbers name other rows."""
    mixed = np.concatenate([ROWS[:50], X, ROWS[:20], ROWS[50:]])
    made = space(mixed)
    assert far(made, ROWS) < 2e-3
    assert made.background_numbers.tolist() == [*range(50), *range(100, 200)]


def test_of_very_many_a_sample_is_kept(tmp_path):
    """If it fails, a corpus of millions is read whole, and published whole."""
    rows = RANDOM.randn(MOST + 500, 6).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    made = space(np.load(tmp_path / "rows.npy", mmap_mode="r"))
    assert made.config.num_background <= MOST
    numbers = made.background_numbers
    assert (numbers.diff() > 0).all()
    assert numbers[-1] > MOST
    assert far(made, rows[numbers]) < 4e-3
    assert torch.equal(space(rows).background, made.background)


@pytest.mark.parametrize(
    "kind", ["float64", "half", "bfloat16", "list", "tensor that is trained", "reversed", "Parquet"]
)
def test_rows_of_any_kind(kind, tmp_path):
    """If it fails, the background must be of one library, or the caller's memory is kept and changes with it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = {
        "float64": lambda: ROWS.astype(np.float64),
        "half": lambda: ROWS.astype(np.float16),
        "bfloat16": lambda: torch.from_numpy(ROWS).bfloat16(),
        "list": ROWS.tolist,
        "tensor that is trained": lambda: torch.from_numpy(ROWS).clone().requires_grad_(),
        "reversed": lambda: ROWS[::-1].copy()[::-1],
    }
    if kind == "Parquet":
        table = pa.table({"v": pa.array(ROWS.tolist(), pa.list_(pa.float32(), 6))})
        pq.write_table(table, tmp_path / "rows.parquet")
        given_rows = ParquetColumn(tmp_path / "rows.parquet", "v")
    else:
        given_rows = rows[kind]()
    assert far(space(given_rows), ROWS) < (0.02 if kind == "bfloat16" else 3e-3)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (ROWS[:, :4], ["expected width 6", "got width 4"]),
        (ROWS[:0], ["at least one row"]),
        (ROWS[:1], [f"at least {LEAST}", "got 1 of 1 rows"]),
        (ROWS[: LEAST - 1], [f"at least {LEAST}", f"got {LEAST - 1}"]),
        (ROWS[0], ["a matrix"]),
        (np.where(ROWS[7, 1] == ROWS, np.nan, ROWS), ["Row 7", "NaN"]),
        (np.where(ROWS[7, 1] == ROWS, np.inf, ROWS), ["Row 7", "infinity"]),
        (np.where(ROWS[7, 1] == ROWS, 1e20, ROWS.astype(float)), ["Row 7", "1e+20"]),
        (ROWS * 1e6, ["spread about as far as the anchors", "exactly as the anchors"]),
        (ROWS * 1e-6, ["spread about as far as the anchors", "exactly as the anchors"]),
        (np.repeat(ROWS[:9], 40, 0), ["got 9 of 360 rows", "copies"]),
        (np.repeat(X, 10, 0), ["got 0 of 300 rows", "copies"]),
        (np.ones((200, 6), np.float32), ["rows that differ", "same vector 200 times"]),
        (ROWS.astype(int), ["float"]),
        ("rows.npy", ["background: expected"]),
        (b"rows", ["background: expected"]),
        (True, ["background: expected"]),
        ({"a": ROWS}, ["background: expected"]),
        ((row for row in ROWS), ["background: expected"]),
        (AnchorSet(["a", "b"]), ["background: expected"]),
    ],
    ids=lambda value: "" if isinstance(value, list) else type(value).__name__,
)
def test_what_is_no_background_is_refused(rows, said, refusal):
    """If it fails, what cannot be used is published, or ends in an error of another library."""
    words = refusal(space, rows, error=InputError)
    assert "background" in words
    assert all(part in words for part in said), words


def test_a_row_that_half_precision_cannot_hold(refusal):
    """If it fails, one row that is far out is published as infinity, or all others beside it look like copies."""
    rows = RANDOM.randn(3000, 6).astype(np.float32)
    rows[1234, 2] = 1e6
    assert says(refusal(space, rows, error=InputError), "Row 1234 of background", "1e+06")


def test_anchors_of_which_most_are_copies():
    """If it fails, beside anchors that are mostly one vector, as of texts without tokens, no background is taken."""
    made = space(x=np.concatenate([X, np.repeat(X[:1] * 0, 40, 0)]))
    assert made.config.num_background == 150
    assert far(made, ROWS) < 3e-3


def test_a_folder_of_it_is_whole(folder):
    """If it fails, what was published is not what is loaded, in its bits or in what it says of itself."""
    made = space()
    for load in (AnchoredSpace.from_pretrained, AutoModel.from_pretrained):
        for options in ({}, {"device_map": {"": "cpu"}}, {"dtype": torch.float16}):
            loaded = load(folder, **options)
            assert {name: tensor.dtype for name, tensor in loaded.named_parameters()} == {
                name: tensor.dtype for name, tensor in made.named_parameters()
            }
            assert loaded.checksum() == made.checksum()
            assert torch.equal(loaded.background_rows, made.background_rows)
    assert json.loads((folder / "config.json").read_text())["num_background"] == 150
    assert load_file(folder / WEIGHTS)["background"].dtype == torch.float16


def test_casts_and_copies_keep_it(folder):
    """If it fails, `half()` or `.to(float64)` loses numbers, or a copy has another background."""
    made = space()
    for other in (
        copy.deepcopy(made).half(),
        copy.deepcopy(made).double(),
        copy.deepcopy(made).to(torch.bfloat16),
        pickle.loads(pickle.dumps(made)),
    ):
        assert other.checksum() == made.checksum()
        assert torch.equal(other.background_rows, made.background_rows)


def test_it_works_from_the_disk(folder, tmp_path):
    """If it fails, a space that Accelerate keeps on a disk has another checksum, or no background."""
    made = space()
    loaded = AnchoredSpace.from_pretrained(folder, device_map={"": "disk"}, offload_folder=tmp_path / "offload")
    assert loaded.checksum() == made.checksum()
    assert torch.equal(loaded.background_rows, made.background_rows)
    assert torch.equal(loaded.background_rows, made.background_rows)
    loaded.save_pretrained(tmp_path / "again")
    assert AnchoredSpace.from_pretrained(tmp_path / "again").checksum() == made.checksum()


def forged(change):
    def save(folder):
        made = AnchoredSpace.from_pretrained(folder)
        with torch.no_grad():
            change(made)
        save_forged(made, folder)

    return save


def rewritten(change):
    def save(folder):
        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})

    return save


def configured(**values):
    def save(folder):
        content = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**content, **values}))

    return save


DAMAGE = {
    "NaN": (forged(lambda made: made.background[3].fill_(float("nan"))), ["NaN", "background"]),
    "infinity": (forged(lambda made: made.background[3].fill_(float("inf"))), ["infinity", "background"]),
    "numbers that fall": (forged(lambda made: made.background_numbers[3].fill_(0)), ["numbers"]),
    "numbers below 0": (forged(lambda made: made.background_numbers[0].fill_(-4)), ["numbers"]),
    "single precision": (rewritten(lambda made: made.update(background=made["background"].float())), ["float16"]),
    "whole numbers": (
        rewritten(lambda made: made.update(background=made["background"].view(torch.int16))),
        ["float16"],
    ),
    "short numbers": (
        rewritten(lambda made: made.update(background_numbers=made["background_numbers"].int())),
        ["int64"],
    ),
    "fewer rows": (rewritten(lambda made: made.update(background=made["background"][:9].clone())), ["background"]),
    "none": (rewritten(lambda made: made.pop("background")), ["background"]),
    "other rows": (rewritten(lambda made: made["background"].mul_(1.5)), ["checksum"]),
    "another count": (configured(num_background=149), ["background"]),
    "a huge count": (configured(num_background=2**31), ["background"]),
    "a count of 0": (configured(num_background=0), ["num_background"]),
    "a text": (configured(num_background="150"), ["num_background"]),
    "no count": (configured(num_background=None), ["unexpected", "background"]),
}


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("options", [{}, {"device_map": {"": "cpu"}}], ids=["plain", "device_map"])
def test_a_damaged_background_is_refused(folder, name, options, refusal):
    """If it fails, a stranger's folder takes memory, or leads a fit to NaN or to rows that nobody encoded."""
    change, words = DAMAGE[name]
    change(folder)
    assert says(refusal(AnchoredSpace.from_pretrained, folder, error=DamagedFolderError, **options), folder, *words)


def test_forged_rows_that_lie_too_far_out(tmp_path, refusal):
    """If it fails, squares overflow in the middle of a stranger's fit."""
    made = AnchoredSpace.from_embeddings(X * 1e14, background=ROWS * 1e14)
    with torch.no_grad():
        made.background[5] = 60_000.0
    save_forged(made, tmp_path)
    assert says(refusal(AnchoredSpace.from_pretrained, tmp_path, error=DamagedFolderError), "background", "away")


SPOILT = {
    "NaN": (lambda made: made.background[3].fill_(float("nan")), "background"),
    "numbers below 0": (lambda made: made.background_numbers[0].fill_(-4), "background"),
    "a number twice": (lambda made: made.background_numbers[3].fill_(2), "background"),
    "another count": (lambda made: setattr(made.config, "num_background", 149), "background"),
    "no count": (lambda made: setattr(made.config, "num_background", None), "background"),
    "a count of 0": (lambda made: setattr(made.config, "num_background", 0), "num_background"),
    "single precision": (
        lambda made: setattr(made, "background", torch.nn.Parameter(made.background.float(), requires_grad=False)),
        "background",
    ),
    "anchors": (lambda made: made.anchors[2].fill_(float("inf")), "anchors"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_was_spoilt_in_memory_is_not_saved(folder, tmp_path_factory, name):
    """If it fails, a save replaces a whole folder by one that nobody can load, and says nothing."""
    change, words = SPOILT[name]
    made, before = space(), {file.name: file.read_bytes() for file in folder.iterdir()}
    new = tmp_path_factory.mktemp("new") / "space"
    with torch.no_grad():
        change(made)
    with pytest.raises(InputError, match=words):
        made.save_pretrained(new)
    assert not new.exists()
    with pytest.raises(InputError, match=words):
        made.save_pretrained(folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


@settings(deadline=None, max_examples=30)
@given(powers=st.lists(st.floats(-6, 1), min_size=6, max_size=6))
def test_each_number_is_as_near_as_the_docs_say(powers):
    """If it fails, docs/few-pairs.md promises more than half precision holds."""
    made = space(ROWS * 10 ** np.array(powers, np.float32), X * 10 ** np.array(powers, np.float32))
    given_rows = torch.from_numpy(ROWS * 10 ** np.array(powers, np.float32)).double()
    kept = given_rows[made.background_numbers]  # where few columns are left, two rows may be one
    assert len(kept) > 140
    exact = (kept - made.mean.double()) / made.mean_scale.double()
    off = (made.background.double() - exact).abs()
    assert bool((off <= torch.maximum(exact.abs() * 2.0**-11, torch.tensor(2.0**-25))).all())


def test_columns_that_half_precision_blurs_are_counted():
    """If it fails, beside one massive dimension the others are lost without a word."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        space()
        space(ROWS * [1e3, 1, 1, 1, 1, 1], X * [1e3, 1, 1, 1, 1, 1])
        space(np.c_[ROWS, np.full((150, 1), 9)], np.c_[X, np.full((30, 1), 3)])
    wide = [1e7, 1, 1, 1, 1, 10]
    with pytest.warns(FitWarning, match="background: in 5 of 6 columns, half precision"):
        made = space((ROWS * wide).astype(np.float32), (X * wide).astype(np.float32))
    assert made.config.num_background == 150


def test_it_goes_to_the_hub_and_back(hub, monkeypatch):
    """If it fails, strangers cannot meet there, or the card hides what is published."""
    monkeypatch.setenv("HF_TOKEN", hub.token("me"))
    made = space()
    made.push_to_hub("me/space")
    assert AnchoredSpace.from_pretrained("me/space").checksum() == made.checksum()
    card = str(space_card(made.config, "me/space"))
    assert says(
        card, "150 rows of other items", "0.1 MB", "where that has a background as well", "and of 150 other items"
    )
    wide = AnchoredSpace.from_embeddings(RANDOM.randn(30, 500), background=RANDOM.randn(1500, 500))
    assert says(str(space_card(wide.config, "me/space")), "1,500 rows of other items", "1.5 MB")


# Encoding.


def embed(texts):
    """An encoder that is a function; no two texts have the same vector."""
    draws = [np.random.RandomState(zlib.crc32(text.encode())).randn(5) for text in texts]
    return np.array([[len(text) / 20, *draw] for text, draw in zip(texts, draws, strict=True)])


ANCHORS = AnchorSet([f"anchor {row}" * (1 + row % 4) for row in range(40)])
TEXTS = [f"a text {row * row}" * (1 + row % 5) for row in range(160)]


def test_the_items_are_encoded_as_the_anchors_are():
    """If it fails, background and anchors lie in two spaces, and every match is wrong."""
    made = AnchoredSpace.encode(embed, ANCHORS, background=TEXTS)
    texts = [TEXTS[number] for number in made.background_numbers]
    assert len(texts) > LEAST
    assert far(made, embed(texts), made.anchors.numpy()) < 3e-3
    alone = AnchoredSpace.encode(embed, ANCHORS)
    assert torch.equal(made.anchors, alone.anchors)
    assert made.config.encoder == alone.config.encoder
    assert made.config.canary == alone.config.canary


def test_an_encoder_of_tokens_encodes_both_alike(tmp_path):
    """If it fails, prompt, pooling or length of the background's texts are others than those of the anchors."""
    encoder = tiny.save(tmp_path / "bert", tiny.model("bert", **tiny.LAYERS, **tiny.VOCAB), tiny.tokenizer())
    words, draw = tiny.WORDS, np.random.RandomState(3)
    texts = [" ".join(draw.choice(words, 6)) for _ in range(160)]
    how = dict(pooling="mean", prompt="w1 w2 ", normalize=True, max_length=5, device="cpu")
    anchors = AnchorSet(tiny.texts(40))
    made = AnchoredSpace.encode(encoder, anchors, background=texts, batch_size=8, **how)
    as_anchors = AnchoredSpace.encode(encoder, AnchorSet(texts), **how)
    rows = dict(zip(AnchorSet(texts).view(), as_anchors.anchors.numpy(), strict=True))
    wanted = np.stack([rows[texts[number]] for number in made.background_numbers])
    assert far(made, wanted, made.anchors.numpy()) < 4e-3
    assert len(wanted) >= LEAST


def test_anchors_among_the_items_are_left_out():
    """If it fails, an item that is held out is known to the fit since it is in the corpus as well."""
    made = AnchoredSpace.encode(embed, ANCHORS, background=[*TEXTS[:90], *ANCHORS.view(), *TEXTS[90:]])
    assert not set(range(90, 90 + len(ANCHORS))) & set(made.background_numbers.tolist())


def test_of_very_many_items_a_sample_is_encoded(monkeypatch):
    """If it fails, a corpus of millions is encoded for the sake of 20,000 rows, or numbers name other items."""
    monkeypatch.setattr("irp_hf.models.background.MOST", 150)
    monkeypatch.setattr("irp_hf.models.background_items.MOST", 150)
    asked = []

    def counting(texts):
        asked.extend(texts)
        return embed(texts)

    texts = [f"text {row * row}" * (1 + row % 7) for row in range(900)]
    made = AnchoredSpace.encode(counting, ANCHORS, background=texts)
    assert len(set(asked) & set(texts)) == 150
    assert made.background_numbers[-1] > 150
    wanted = embed([texts[number] for number in made.background_numbers])
    assert far(made, wanted, made.anchors.numpy()) < 3e-3


def test_columns_of_data_sets_are_read(tmp_path):
    """If it fails, a corpus must be a list in memory."""
    import datasets
    import pandas

    wanted = AnchoredSpace.encode(embed, ANCHORS, background=TEXTS)
    for column in (datasets.Dataset.from_dict({"t": TEXTS})["t"], pandas.Series(TEXTS), tuple(TEXTS), np.array(TEXTS)):
        assert torch.equal(AnchoredSpace.encode(embed, ANCHORS, background=column).background, wanted.background)


def test_pictures_have_a_background_of_pictures(tmp_path):
    """If it fails, backgrounds are for texts alone."""
    from PIL import Image

    draw = np.random.RandomState(0)
    pictures = [Image.fromarray(draw.randint(0, 255, (8, 8, 3), np.uint8)) for _ in range(150)]

    def means(items):
        return np.stack([np.asarray(item, np.float32).reshape(8, 8, 3)[:2, :2].ravel() for item in items])

    made = AnchoredSpace.encode(means, AnchorSet(pictures[:30]), background=pictures[30:])
    assert made.config.num_background == 120
    assert far(made, means(pictures[30:]), made.anchors.numpy()) < 3e-3


def test_an_interrupted_run_goes_on(tmp_path):
    """If it fails, hours of encoding a background are lost, or its file replaces that of the anchors."""
    out = tmp_path / "vectors.npy"
    made = AnchoredSpace.encode(embed, ANCHORS, background=TEXTS, out=out)
    assert np.load(out).shape == (40, 6)
    assert np.load(tmp_path / "vectors.background.npy").shape == (160, 6)
    calls = []

    def again(texts):
        calls.append(len(texts))
        return embed(texts)

    again.__name__ = "embed"
    assert torch.equal(AnchoredSpace.encode(again, ANCHORS, background=TEXTS, out=out).background, made.background)
    assert len(calls) <= 4  # a batch here and there, to see that it is the same encoder


@pytest.mark.parametrize(
    ("background", "said"),
    [
        ("corpus.txt", ["background", "'corpus.txt'"]),
        ([], ["background", "empty"]),
        (TEXTS[:1], ["background", f"at least {LEAST}", "got 1"]),
        (TEXTS[: LEAST - 1], ["background", f"at least {LEAST}"]),
        (set(TEXTS), ["background", "in an order"]),
        ({"text": TEXTS}, ["background", "one list"]),
        ((text for text in TEXTS), ["background", "no end"]),
        (7, ["background"]),
        (True, ["background"]),
    ],
    ids=lambda value: "" if isinstance(value, list) and value and value[0] == "background" else type(value).__name__,
)
def test_what_is_no_list_of_items_is_refused_before_anything_runs(background, said, refusal, tmp_path):
    """If it fails, hours of encoding anchors end in an error about the background, or letters are encoded one by one."""

    def never(texts):
        raise AssertionError("it was called")

    words = refusal(
        AnchoredSpace.encode, never, ANCHORS, background=background, out=tmp_path / "out.npy", error=InputError
    )
    assert all(part in words for part in said), words
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [None, 3.5, "", "  ", ["a"], b"text", float("nan"), {"text": "a"}], ids=repr)
def test_items_that_could_be_no_anchors_are_refused(wrong, refusal, tmp_path):
    """If it fails, a function encodes missing values and numbers, and their vectors are published as an encoder's."""

    def never(texts):
        raise AssertionError("it was called")

    items = [*TEXTS[:130], wrong, *TEXTS[130:]]
    out = tmp_path / "out.npy"
    words = refusal(AnchoredSpace.encode, never, ANCHORS, background=items, out=out, error=InputError)
    assert says(words, "Row 130 of background")
    assert list(tmp_path.iterdir()) == []


def test_pictures_and_texts_do_not_stand_beside_each_other(refusal):
    """If it fails, one space holds vectors of two encoders."""
    from PIL import Image

    draw = np.random.RandomState(0)
    pictures = [Image.fromarray(draw.randint(0, 255, (8, 8, 3), np.uint8)) for _ in range(150)]
    words = refusal(AnchoredSpace.encode, embed, ANCHORS, background=[*TEXTS, pictures[0]], error=InputError)
    assert says(words, "Row 160 of background", "a text, as the anchors are")
    words = refusal(AnchoredSpace.encode, embed, AnchorSet(pictures[:30]), background=TEXTS, error=InputError)
    assert says(words, "Row 0 of background", "a picture, as the anchors are")


def test_files_of_pictures_are_opened_as_those_of_anchors_are():
    """If it fails, a function gets pictures of its anchors, and bytes of its background."""
    from PIL import Image

    draw = np.random.RandomState(0)
    files = []
    for _ in range(150):
        file = io.BytesIO()
        Image.fromarray(draw.randint(0, 255, (8, 8, 3), np.uint8)).save(file, "PNG")
        files.append(file.getvalue())

    def means(items):
        return np.stack([np.asarray(item, np.float32).reshape(8, 8, 3)[:2, :2].ravel() for item in items])

    made = AnchoredSpace.encode(means, AnchorSet(files[:30]), background=files[30:])
    assert made.config.num_background == 120
    with pytest.raises(InputError, match=r"background: Row 70: expected a picture.* cannot read"):
        AnchoredSpace.encode(means, AnchorSet(files[:30]), background=[*files[30:100], b"none", *files[100:]])


def test_an_anchor_set_is_no_list_of_items(refusal):
    """If it fails, the advice is a call that fails."""
    words = refusal(AnchoredSpace.encode, embed, ANCHORS, background=AnchorSet(TEXTS), error=InputError)
    assert says(words, "an AnchorSet", "anchors.view()")


def test_items_of_another_kind_are_named_as_the_background(tmp_path):
    """If it fails, an error about item 3 sends its reader to the anchors, where nothing is wrong."""
    encoder = tiny.save(tmp_path / "bert", tiny.model("bert", **tiny.LAYERS, **tiny.VOCAB), tiny.tokenizer())
    wrong = [*tiny.WORDS * 3, 7]
    with pytest.raises(InputError, match=r"Row 120 of background: expected a picture, or a text .* got 7"):
        AnchoredSpace.encode(encoder, AnchorSet(tiny.texts(40)), background=wrong, pooling="mean", device="cpu")


@pytest.mark.parametrize("wrong", ["width", "NaN", "count"])
def test_a_function_that_encodes_the_background_otherwise(wrong):
    """If it fails, rows that are none of the space are published beside its anchors."""
    anchors = set(ANCHORS.view())

    def odd(texts):
        vectors = embed(texts)
        if set(texts) & anchors:
            return vectors
        if wrong == "NaN":
            vectors[0, 0] = np.nan
        return {"width": vectors[:, :4], "NaN": vectors, "count": vectors[1:]}[wrong]

    with pytest.raises(InputError, match="background"):
        AnchoredSpace.encode(odd, ANCHORS, background=TEXTS)


def test_a_space_without_one_says_none():
    """If it fails, whoever asks for the numbers of no background reads an error of torch."""
    space = AnchoredSpace.from_embeddings(np.eye(6, 4))
    assert (space.background_rows, space.background_numbers, space.background) == (None, None, None)
    with pytest.raises(AttributeError, match="backgrounds"):
        _ = space.backgrounds


def test_a_misspelt_keyword_of_vectors(refusal):
    """If it fails, one has to guess which keyword was meant."""
    words = refusal(AnchoredSpace.from_embeddings, np.eye(6, 4), backgound=np.eye(200, 4), error=InputError)
    assert says(words, "Write background=.")


def test_a_misspelt_keyword(refusal):
    """If it fails, a background that was given under another name is left out without a word."""
    words = refusal(AnchoredSpace.encode, embed, ANCHORS, backgrounds=TEXTS, error=InputError)
    assert says(words, "Write background=.")
