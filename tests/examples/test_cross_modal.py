"""examples/cross_modal.py: which emoji are kept, which are tested, and what is scored."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def data():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "examples"))
        import cross_modal_data

        yield cross_modal_data


@pytest.fixture(scope="module")
def example(data):
    import cross_modal

    return cross_modal


@pytest.fixture
def emoji(data):
    """60 things of three categories, the pictures of one colour each. Every split tests some of each category."""
    colors = [(4 * row, 255 - 4 * row, (37 * row) % 256) for row in range(60)]
    return data.Emoji(
        [Image.new("RGB", (8, 8), color) for color in colors],
        [f"thing {row}" for row in range(60)],
        np.arange(60) // 20,
        ("Animals", "Flags", "Objects"),
    )


@pytest.fixture
def vectors(emoji):
    """A target in which the categories lie apart, and a source that is a rotation of it."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(60, 12, generator=generator)
    target += 6 * torch.nn.functional.one_hot(torch.from_numpy(emoji.labels), 12)
    rotation = torch.linalg.qr(torch.randn(12, 12, generator=generator)).Q
    return {"source": target @ rotation, "target": target}


def archive(path, rows):
    """A package as npm packs it: a table, and pictures of 64 pixels and of others."""
    files = {"package/emoji.json": json.dumps(rows).encode(), "package/img/google/sheets/64.png": b"not read"}
    for row in rows:
        png = io.BytesIO()
        Image.new("RGBA", (64, 64), row["color"]).save(png, "png")
        files[f"package/img/google/64/{row['image']}"] = png.getvalue()
    with tarfile.open(path, "w:gz") as packed:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))


def entry(name, category, color):
    image = f"{name.lower().replace(' ', '-')}.png"
    return {
        "name": name, "category": category, "unified": image, "image": image, "has_img_google": True, "color": color,
    }  # fmt: skip


@pytest.mark.parametrize(
    "names",
    [
        ("COOK", "MAN COOK", "WOMAN COOK"),
        ("PERSON RUNNING FACING RIGHT", "WOMAN RUNNING"),
        ("LEFTWARDS ARROW WITH HOOK", "RIGHTWARDS ARROW WITH HOOK"),
        ("CLOCK FACE ONE OCLOCK", "CLOCK FACE TWELVE-THIRTY"),
        ("LARGE RED SQUARE", "WHITE SMALL SQUARE"),
        ("KEYCAP 3", "KEYCAP: *"),
        ("SQUARED CJK UNIFIED IDEOGRAPH-7121", "SQUARED CJK UNIFIED IDEOGRAPH-6307"),
    ],
)
def test_variants_share_a_base_name(data, names):
    """If it fails, a cook is tested whose twin is an anchor."""
    assert len({data.base_name(name) for name in names}) == 1


def test_things_have_base_names_of_their_own(data):
    """If it fails, different things are dropped as one, names of nothing but such words among them."""
    names = ["COOK", "FIREFIGHTER", "UP ARROW", "UP ARROW WITH HOOK", "MAN", "WOMAN", "NORWAY FLAG", "CHILE FLAG"]
    assert len({data.base_name(name) for name in names}) == len(names)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 255)), min_size=1, max_size=12))
def test_one_of_each_thing_is_kept(data, things):
    """If it fails, two of the kept share a name or a look, or a thing is lost. Compared with the slow definition."""
    names, pictures = [name for name, _ in things], [Image.new("RGB", (4, 4), (grey,) * 3) for _, grey in things]
    kept = data.distinct(names, pictures)
    for row, (name, grey) in enumerate(things):
        named_before = name in names[:row]
        looks_like = any(abs(things[other][1] - grey) / 255 < data.ALIKE for other in kept if other < row)
        assert (row in kept) == (not named_before and not looks_like)


def test_transparent_is_white(data):
    """If it fails, encoders see black, or what lies under a transparent pixel."""
    clear = Image.new("RGBA", (2, 2), (200, 0, 0, 0))
    assert data.flat(clear).getpixel((0, 0)) == (255, 255, 255)
    assert data.flat(Image.new("RGBA", (2, 2), (200, 0, 0, 255))).getpixel((0, 0)) == (200, 0, 0)


def test_each_is_tested_once(data, emoji):
    """If it fails, an anchor is tested, or the samples do not have as many rows each."""
    splits = [emoji.split(seed) for seed in range(data.NUM_SPLITS)]
    assert sorted(np.concatenate([test for _, test in splits])) == list(range(60))
    for train, test in splits:
        assert not set(train) & set(test)
        assert (len(train), len(test)) == (40, 20)


def test_an_anchor_has_two_views(data, emoji):
    """If it fails, the two encoders do not see the same things in the same order."""
    anchors = emoji.anchors(np.array([5, 2, 9]))
    assert anchors.view("name") == ["thing 5", "thing 2", "thing 9"]
    assert [picture.getpixel((0, 0))[0] for picture in anchors.view("picture")] == [20, 8, 36]


def test_the_package_is_read(data, tmp_path, monkeypatch):
    """If it fails, the archive that npm made, or that was put there by hand, is not understood."""
    monkeypatch.setattr(data, "CACHE", tmp_path)
    rows = [
        entry("MAN COOK", "People & Body", (200, 0, 0, 255)),
        entry("COOK", "People & Body", (0, 200, 0, 255)),
        entry("BELL", "Objects", (0, 0, 200, 255)),
        entry("ALARM", "Objects", (0, 0, 201, 255)),
        entry("SKIN TONE", "Component", (9, 9, 9, 255)),
    ]
    archive(tmp_path / data.ARCHIVE, rows)
    emoji = data.load_emoji()
    named = dict(zip(emoji.names, emoji.labels, strict=True))
    assert named == {"cook": 1, "bell": 0}
    assert emoji.classes == ("Objects", "People & Body")
    assert emoji.pictures[emoji.names.index("cook")].getpixel((0, 0)) == (0, 200, 0)
    assert not (data.data_folder() / "img" / "google" / "sheets").exists()


def test_without_npm_it_says_what_to_put_where(data, tmp_path, monkeypatch):
    """If it fails, a reader without npm gets a stack trace, or a half folder that a later run trusts."""
    monkeypatch.setattr(data, "CACHE", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        SystemExit, match=r"Install npm, or put the package's file emoji-datasource-google-16\.0\.0\.tgz"
    ):
        data.data_folder()
    assert not list(tmp_path.iterdir())


def test_the_head_and_the_search_are_scored(example, emoji, vectors):
    """If it fails, accuracy, rank or recall are not those of a loop over the rows."""
    task = example.task_of(("source", "target"), vectors, emoji, 1)
    train, test = emoji.split(1)
    noisy = vectors["target"][test] + torch.randn(20, 12, generator=torch.Generator().manual_seed(1))
    right, found, recalled = task.score(noisy)
    head, mean = example.fit_head(vectors["target"][train], emoji, 1), vectors["target"][train].double().mean(0)
    for row in range(20):
        wanted = emoji.classes[emoji.labels[test[row]]]
        assert right[row] == (head.predict(noisy[row : row + 1].double().numpy())[0] == wanted)
        cosine = torch.cosine_similarity(noisy[row].double() - mean, vectors["target"][test].double() - mean)
        rank = int((cosine >= cosine[row] - 1e-9).sum())
        assert found[row] == pytest.approx(1 / rank)
        assert recalled[row] == (rank <= 10)


def test_the_right_vector_finds_itself(example, emoji, vectors):
    """If it fails, native is not what the docstring says."""
    task = example.task_of(("source", "target"), vectors, emoji, 0)
    _, found, recalled = task.score(task.target_test)
    assert found.eq(1).all()
    assert recalled.eq(1).all()


def test_chance_is_computed(example, emoji):
    """If it fails, what we compare with is not what a guess gets."""
    accuracy, mrr, recall = example.chance(emoji, 0)
    assert accuracy == pytest.approx(1 / 3, abs=0.1)
    orders = torch.rand(4000, 20, generator=torch.Generator().manual_seed(0)).argsort(1)
    ranks = 1.0 + orders[:, 0]
    assert mrr == pytest.approx(float((1 / ranks).mean()), abs=0.02)
    assert recall == pytest.approx(float((ranks <= 10).double().mean()), abs=0.03)


@pytest.mark.slow
def test_everybody_takes_part(example, emoji, vectors, tmp_path, monkeypatch):
    """If it fails, a contestant is missing, or a rotation is not undone by those who should."""
    import grid_results
    from cross_modal_plot import draw

    monkeypatch.setattr(example, "STITCHED", (("source", "target"), ("target", "source")))
    monkeypatch.setattr(example, "PACKAGES", ())
    monkeypatch.setattr(example, "embed", lambda name, _: (vectors[name], {}))
    monkeypatch.setattr(grid_results, "RESULTS", tmp_path)
    results = example.compare(emoji)
    means = {(cell.contestant, cell.measure): cell.mean for cell in results.cells if cell.task == "source → target"}
    for name in ("native", "Procrustes", "ridge", "irp_hf: auto"):
        assert means[name, "accuracy"] > 0.9
        assert means[name, "MRR"] > 0.9
    assert means[example.NEW, "accuracy"] > 0.9
    assert (example.NEW, "MRR") not in means
    assert means["no translation", "MRR"] < 0.6
    assert {difference.baseline for difference in results.differences} == set(example.BASELINES)
    said = [line for line in example.verdict(results).splitlines() if line.startswith("- ")]
    assert len(said) == 2 * len(example.MEASURES)
    assert all(line.endswith((": better", ": worse", ": no clear difference")) for line in said)
    results.save(example.NAME)
    assert grid_results.Results.read(example.NAME) == results
    draw(results, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_pictures_reach_a_head_on_names(example, data):
    """If it fails, nothing crosses from pictures to names. It needs the packages of requirements-examples.txt."""
    from irp_hf import IRPAdapter

    try:
        emoji = data.load_emoji()
        vectors = {name: data.embed(name, emoji)[0] for name in example.COUPLES[0]}
    except SystemExit as missing:
        pytest.skip(str(missing))
    task = example.task_of(example.COUPLES[0], vectors, emoji, 0)
    adapter = IRPAdapter.from_anchors(task.source_pool, task.target_pool, method="kernel")
    accuracy, mrr, _ = task.score(adapter.translate(task.source_test)).mean(1).tolist()
    assert accuracy > 2 * task.chance[0]
    assert mrr > 5 * task.chance[1]
