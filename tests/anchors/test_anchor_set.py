"""The anchor set: its items and its fingerprint."""

import io
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from says import says

import irp_hf.anchors.anchor_set
from irp_hf.anchors.anchor_set import AnchorSet
from irp_hf.errors import InputError

PACKAGE = str(Path(irp_hf.anchors.anchor_set.__file__).parents[1])
TEXTS = ["one", "two", "three", "four"]
LETTERS = st.text(st.characters(exclude_categories=["Cs", "Z", "C"]), min_size=1, max_size=8)
DISTINCT = st.lists(LETTERS, min_size=2, max_size=6, unique=True)


def picture(seed: int, mode: str = "RGB") -> Image.Image:
    pixels = np.random.RandomState(seed).randint(0, 256, (5, 7, 3)).astype(np.uint8)
    return Image.fromarray(pixels).convert("RGBA" if mode == "RGBa" else "RGB").convert(mode)


def file_of(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


def test_a_list_is_one_view_and_a_dict_several():
    """The two ways to make a set, and the order of its items."""
    plain = AnchorSet(TEXTS)
    assert (len(plain), plain.views, plain.view(), plain.indices) == (4, ("text",), TEXTS, (0, 1, 2, 3))
    pair = AnchorSet({"en": ["dog", "cat"], "es": ["perro", "gato"]})
    assert (pair.views, pair.view("es")) == (("en", "es"), ["perro", "gato"])
    mixed = AnchorSet({"photo": [picture(0), picture(1)], "caption": ["a", "b"]})
    assert mixed.view("photo")[1].tobytes() == picture(1).tobytes()
    assert AnchorSet([picture(0), picture(1)]).views == ("image",)


def test_a_view_is_a_copy():
    """A caller who sorts the list would change the anchors under an unchanged fingerprint."""
    anchors = AnchorSet(TEXTS)
    anchors.view().clear()
    assert anchors.view() == TEXTS


def test_repr():
    """The line that users see in a notebook."""
    assert repr(AnchorSet(["a", "b", "a", "b"])) == (
        "AnchorSet(2 items, views: text, fingerprint 6d3ce8…, 2 duplicates dropped)"
    )
    assert repr(AnchorSet({"en": ["a", "b", "a"], "es": ["x", "y", "z"]})) == (
        "AnchorSet(2 items, views: en, es, fingerprint 606404…, 1 duplicate dropped)"
    )
    assert "dropped" not in repr(AnchorSet(["a", "b"]))


def test_fingerprint_is_the_same_in_every_release():
    """Published spaces would no longer match the sets that they were encoded from."""
    texts = "6d3ce81b81af65d67575ca60f09a945b476c6840b34f02615e729a5b51c4d8f9"
    assert AnchorSet(["a", "b"]).fingerprint == texts
    pictures = "0c58c2fa5d61d48f24eff020353b5b1a2506140d82bf63ba064d643c7cbf7124"
    assert AnchorSet([picture(0), picture(1)]).fingerprint == pictures


def test_a_duplicate_in_any_view_is_dropped():
    """A repeated item would stand on both sides of a held-out split."""
    anchors = AnchorSet({"en": ["a", "b", "a", "c", "d"], "es": ["1", "2", "3", "2", "3"]})
    assert (anchors.indices, anchors.num_duplicates) == ((0, 1, 4), 2)
    assert anchors.view("en") == ["a", "b", "d"]
    png, jpeg = file_of(picture(0)), file_of(picture(0), "TIFF")
    assert AnchorSet([png, picture(1), jpeg]).num_duplicates == 1


@given(DISTINCT, st.data())
def test_fingerprint_depends_on_every_item_and_on_the_order(texts, data):
    """Two different anchor sets would pass for the same one."""
    original = AnchorSet(texts)
    assert AnchorSet(list(texts)) == original
    place = data.draw(st.integers(0, len(texts) - 1))
    other = data.draw(LETTERS.filter(lambda text: text not in texts))
    assert AnchorSet([*texts[:place], other, *texts[place + 1 :]]) != original
    shuffled = data.draw(st.permutations(texts))
    assert (AnchorSet(shuffled) == original) == (shuffled == texts)
    assert AnchorSet([*texts, other]) != original
    assert AnchorSet({"other": texts}) != original


@given(st.lists(LETTERS, min_size=2, max_size=5), st.lists(LETTERS, min_size=2, max_size=5))
def test_fingerprint_knows_where_items_begin(first, second):
    """Items that run together to the same text would look alike."""
    assert AnchorSet(["ab", "c"]) != AnchorSet(["a", "bc"])
    one, two = AnchorSet([*first, "\0", "\1"]), AnchorSet([*second, "\0", "\1"])
    assert (one == two) == (one.view() == two.view())


def test_fingerprint_ignores_the_order_of_views_and_nothing_else_of_them():
    """Two owners who name the views in another order would be told that their anchors differ."""
    en, es = ["dog", "cat"], ["perro", "gato"]
    assert AnchorSet({"en": en, "es": es}) == AnchorSet({"es": es, "en": en})
    assert AnchorSet({"en": en, "es": es}) != AnchorSet({"en": es, "es": en})
    assert hash(AnchorSet(en)) == hash(AnchorSet(en))
    assert AnchorSet(en) != "dog"


@pytest.mark.parametrize(
    "mode",
    ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "F"],
)
def test_pictures_of_every_mode_survive_a_save(tmp_path, mode):
    """A picture that changes on its way to disk makes the saved folder look damaged."""
    anchors = AnchorSet([picture(0, mode), picture(1, mode)])
    anchors.save_pretrained(tmp_path / "set")
    loaded = AnchorSet.from_pretrained(tmp_path / "set")
    assert loaded == anchors
    assert loaded.view()[0].tobytes() == anchors.view()[0].tobytes()


def test_pictures_are_equal_however_they_come(tmp_path):
    """The same pictures from a file, from `datasets` or from memory would get different fingerprints."""
    images = [picture(0), picture(1)]
    files = [file_of(image) for image in images]
    for number, file in enumerate(files):
        (tmp_path / f"{number}.png").write_bytes(file)
    listed = datasets.load_dataset("imagefolder", data_dir=str(tmp_path), cache_dir=str(tmp_path / "c"), split="train")
    expected = AnchorSet(images)
    assert AnchorSet(files) == AnchorSet(listed["image"]) == expected
    assert AnchorSet([{"bytes": file, "path": "gone.png"} for file in files]) == expected
    assert AnchorSet([file_of(image, "TIFF") for image in images]) == expected
    table = datasets.Dataset.from_dict({"image": images}, features=datasets.Features(image=datasets.Image()))
    assert AnchorSet(table["image"]) == expected
    assert AnchorSet(expected.to_dataset()["image"]) == expected


def test_pictures_are_upright():
    """An encoder would see a photo on its side, unlike the one that `datasets` gives it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    sideways = [file_of(picture(seed), "TIFF", exif=exif) for seed in range(2)]
    anchors = AnchorSet(sideways)
    assert anchors.view()[0].size == (5, 7)
    assert anchors == AnchorSet([ImageOps.exif_transpose(Image.open(io.BytesIO(file))) for file in sideways])
    assert anchors.to_dataset()[0]["image"].tobytes() == anchors.view()[0].tobytes()


BROKEN = [
    (["a", None], ["Row 1 of view 'text'", "None"]),
    (["a", float("nan")], ["Row 1 of view 'text'", "nan"]),
    (["a", " \n"], ["Row 1 of view 'text'", "an empty text"]),
    (["a", "\ud800"], ["Row 1 of view 'text'", "Unicode", "surrogates not allowed at 0"]),
    ([b"", b""], ["Row 0 of view 'image'", "Pillow cannot read"]),
    ([{"bytes": None, "path": None}], ["Row 0 of view 'image'", "Pillow cannot read"]),
    ([{}], ["Pillow cannot read"]),
    ([file_of(picture(0)), file_of(picture(0))[:60]], ["Row 1 of view 'image'", "Pillow cannot read"]),
    ([Image.new("RGB", (0, 3))], ["Pillow cannot read", "no pixels"]),
    (["a", picture(0)], ["Row 1 of view 'text'", "a picture", "two views"]),
    ([picture(0), "a"], ["Row 1 of view 'image'", "a text", "two views"]),
    ([], ["at least 2", "0 in 'text'"]),
    ({}, ["at least 2", "no view"]),
    ({"en": ["a", "b"], "es": ["c"]}, ["2 in 'en', 1 in 'es'"]),
    ({" ": ["a", "b"]}, ["name of a view", "' '"]),
    ({3: ["a", "b"]}, ["name of a view", "3"]),
    (["a", "a"], ["at least 2", "got 1"]),
    ("text", ["items", "'text'"]),
    (5, ["items", "an int"]),
    (pandas.DataFrame({"text": TEXTS}), ["items", "a DataFrame", "['text']"]),
]


@pytest.mark.parametrize(("items", "words"), BROKEN)
def test_items_that_are_no_anchors_are_refused_in_words(items, words, refusal):
    """A bad row would surface hours later, inside an encoder, without its number."""
    text = refusal(AnchorSet, items, error=InputError)
    assert says(text, *words)


@pytest.mark.parametrize("name", ["dataset_id", "license"])
def test_where_items_come_from_is_a_text(name, refusal):
    """If it fails, an object stands on a card, or a saved set cannot be read again."""
    for place in (lambda **options: AnchorSet(TEXTS, **options), lambda **options: AnchorSet.sample(TEXTS, **options)):
        text = refusal(place, error=InputError, **{name: 5})
        assert text.startswith(f"{name}: ")
        assert "5" in text


def test_a_wrong_view_is_refused_in_words(refusal):
    """A typing error would give a bare KeyError."""
    pair = AnchorSet({"en": ["dog", "cat"], "es": ["perro", "gato"]})
    for name in (None, "fr", 0, ["en"]):
        text = refusal(pair.view, name, error=InputError)
        assert says(text, "view", "'en', 'es'", repr(name))


def test_its_record():
    """If it fails, a space does not say which anchors it has, or says it in another way than published ones."""
    assert AnchorSet(TEXTS).record is None
    assert AnchorSet(TEXTS, dataset_id="me/texts", license="cc0-1.0").record == {
        "dataset": "me/texts",
        "license": "cc0-1.0",
    }


@pytest.mark.slow
def test_import_is_light():
    """Who reads a set of texts would wait for libraries that only pictures, tables or some strategies need."""
    code = (
        f"import sys, types; package = types.ModuleType('irp_hf'); package.__path__ = [{PACKAGE!r}];"
        "sys.modules['irp_hf'] = package; import irp_hf.anchors.anchor_set;"
        "print({'datasets', 'pandas', 'sklearn', 'PIL', 'pyarrow', 'transformers'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
