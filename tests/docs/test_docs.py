"""The documentation says what is so: its code runs, the names that it links are there, and the site builds."""

import os
import pkgutil
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import tiny_encoders as tiny
from conftest import NUM_ANCHORS
from sklearn.datasets import load_digits
from transformers import AutoModelForSequenceClassification

import irp_hf

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
SOURCES = [*sorted(DOCS.glob("*.md")), *sorted((DOCS / "reference").glob("*.md"))]
TEXT = {page.relative_to(DOCS).as_posix(): page.read_text(encoding="utf-8") for page in SOURCES}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ENGINES = re.compile(r"^(?:import|from) (ray|pyspark|daft|haystack)\b", re.MULTILINE)
"""What a block of code imports that not everybody has: tests/integrations/test_engines.py runs the same of engines."""
LANGUAGES = {"python", "bash", "math", "text"}
WITH_CODE = [name for name, text in TEXT.items() if "```python" in text]
OF_THE_HUB = ("move.md", "neighbours.md", "retired.md", "share.md", "search.md", "stitch.md", "views.md")
SMALLER = {"num_anchors=1500": "num_anchors=60"}
SENTENCE_ENCODERS = {
    "sentence-transformers/all-MiniLM-L6-v2": 16,
    "sentence-transformers/all-mpnet-base-v2": 24,
    "me/spanish-encoder": 20,
}
HOLDS = {  # of the names that a page leaves behind
    "anchors.md": ["budget.points[-1].num_anchors == 96", "len(least) == 100", "len(fair) == 100"],
    "few-pairs.md": [
        "adapter.config.num_anchors == connected.config.num_anchors == 30",
        "len(source.background) >= 100",
    ],
    "index.md": ["y.shape == (400, 24)", "c.shape == (400,)"],
    "inverses.md": ["translated.shape == (400, 24)", "small.config.num_landmarks == 100"],
    "many.md": ["adapter.config.num_pairs == len(sums) == len(x)"],
    "measure.md": ["invariance.num_rows == 400", "paper.config.method == 'pruned'", "len(matrix.connections) == 2"],
    "move.md": ["told.num_items == 100", "part.true_rows == part.num_encoded == 100"],
    "neighbours.md": [
        "stitched_score > 0.5 and back.shape == (350, 256)",
        "scores.shape == (1, 200) and small_queries.dtype == small_passages.dtype == np.int8",
        "len(found) == len(retrieved) == 5",
        "all(0 <= task.get_score() <= 1 for task in results.task_results)",
        "moved.column_names[-1] == 'moved'",
    ],
    "retired.md": ["vectors.shape == (1, 12)", "sure.shape == (1,)", "to_retired.config.num_anchors == 60"],
    "scale.md": [
        "moved.column_names == ['id', 'text', 'embedding', 'moved', 'moved_confidence']",
        "len(moved) == 200",
    ],
    "search.md": [
        "mixed.shape == (3, 12)",
        "rows.shape == (1, 10)",
        "moved.shape == (200, 16)",
        "abs(moved).sum(1).min() > 0",
        "first.config.depth == 50 and len({*best.tolist()}) == 10",
    ],
    "serve.md": [
        "abs(translated - adapter.translate(x)).max() < 1e-3 * abs(translated).max()",
        "abs(confidence - adapter.confidence(x)).max() < 1e-3",
    ],
    "share.md": ["found.id.startswith('me/')", "len(classify('w1 w2')) == 1", "'minilm-to-topic' in card.content"],
    "stitch.md": ["len(answers) == 100", "classify('w1')[0]['label'] in ('even', 'odd')"],
    "views.md": ["seen.config.target_size == 16", "classify('w1')[0]['label'].startswith('LABEL_')"],
}


@pytest.fixture(scope="session")
def repositories(tmp_path_factory):
    """The encoders and classifiers that the pages name, small and random, in folders by their ids."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    root = tmp_path_factory.mktemp("repositories")
    for name, width in SENTENCE_ENCODERS.items():
        layers = tiny.LAYERS | dict(hidden_size=width)
        tiny.save(root / "bert" / name, tiny.model("bert", **layers, **tiny.VOCAB), tiny.tokenizer())
        modules = [Transformer(str(root / "bert" / name)), Pooling(width)]
        SentenceTransformer(modules=modules, device="cpu").save(str(root / name))
    topics = tiny.model("roberta", AutoModelForSequenceClassification, **tiny.LAYERS, **tiny.VOCAB, num_labels=4)
    tiny.save(root / "me/roberta-topic-classifier", topics, tiny.tokenizer())
    tiny.save(root / "me/picture-encoder", tiny.model("vit", **tiny.LAYERS, **tiny.PATCHES), tiny.image_processor())
    return {name: root / name for name in (*SENTENCE_ENCODERS, "me/roberta-topic-classifier", "me/picture-encoder")}


@pytest.fixture
def on_the_hub(hub, repositories, monkeypatch):
    """The Hub with what the pages fetch; I am logged in."""
    monkeypatch.setenv("HF_TOKEN", hub.token("me"))
    for name, folder in repositories.items():
        hub.upload(name, folder)


@pytest.fixture
def desk(tmp_path, monkeypatch, digits):
    """A folder with the files that the pages read."""
    monkeypatch.chdir(tmp_path)
    texts = tiny.texts(200)
    labels = ["even" if len(text) % 2 else "odd" for text in texts]
    pd.DataFrame({"text": texts, "label": labels}).to_csv("labelled.csv", index=False)
    pd.DataFrame({"text": texts}).to_csv("texts.csv", index=False)
    pd.DataFrame({"text": texts}).to_csv("documents.csv", index=False)
    pd.DataFrame({"english": texts, "spanish": texts[::-1]}).to_csv("sentences.csv", index=False)
    documents = np.random.default_rng(0).normal(size=(200, 12)).astype(np.float32)
    np.save("documents.npy", documents)
    pd.DataFrame({"id": range(200), "text": texts, "embedding": list(documents)}).to_parquet("documents.parquet")
    table = pd.read_parquet("documents.parquet")
    Path("documents").mkdir()
    for part in range(2):
        table.iloc[part * 100 : part * 100 + 100].to_parquet(f"documents/{part}.parquet", index=False)
    irp_hf.IRPAdapter.from_anchors(documents, documents[:, ::-1] ** 2, method="whitened").save_pretrained("old-to-new")
    np.save("source_anchors.npy", digits.source)
    np.save("target_anchors.npy", digits.target)
    np.save("source.npy", digits.held_source)
    np.save("target.npy", digits.held_target)
    np.save("labels.npy", load_digits().target[NUM_ANCHORS:][:400])
    Path("pictures").mkdir()
    names = [f"{row}.png" for row in range(80)]
    random = np.random.default_rng(0)
    for name in names:
        tiny.Image.fromarray(random.integers(0, 255, (32, 32, 3), np.uint8)).save(Path("pictures", name))
    pd.DataFrame({"file_name": names, "caption": texts[:80]}).to_csv("pictures/metadata.csv", index=False)


def check(page):
    """Run the blocks of a page in one namespace, at the lines where they stand, and look at what they leave behind."""
    text, names = TEXT[page], {}
    for block in FENCE.finditer(text):
        if block[1] == "python" and all(map(find_spec, ENGINES.findall(block[2]))):
            code = "\n" * text[: block.start(2)].count("\n") + block[2]
            for large, small in SMALLER.items():
                code = code.replace(large, small)
            exec(compile(code, DOCS / page, "exec"), names)
    for expected in HOLDS[page]:
        assert eval(expected, names), expected
    if "ray" in names:  # what a block began goes on in the background, and would be in the way of a test that begins it
        names["ray"].shutdown()


@pytest.mark.parametrize("page", [page for page in WITH_CODE if page not in OF_THE_HUB])
def test_the_code_of_a_page_runs(page, desk):
    """If it fails, a reader who copies what the page shows gets an error, or something else than it says."""
    check(page)


@pytest.mark.slow
@pytest.mark.parametrize("page", OF_THE_HUB)
def test_the_code_of_a_page_runs_on_the_hub(page, desk, on_the_hub):
    """If it fails, a reader who copies what the page shows gets an error, or something else than it says."""
    check(page)


def test_no_code_is_left_out():
    """If it fails, a page has code that no test runs: in another language, in a fence that is not closed, or indented."""
    for page, text in TEXT.items():
        blocks = FENCE.findall(text)
        assert text.count("```") == 2 * len(blocks), page
        assert {language for language, _ in blocks} <= LANGUAGES, page
    assert set(HOLDS) == set(WITH_CODE)


NUMBER = re.compile(r"(?<![a-z])[-+±]?[\d.,]*\d")


@pytest.mark.slow
def test_the_sample_report_comes_out_again(monkeypatch):
    """If it fails, the report that the page shows is one that an older version printed."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import trec

    anchors = trec.sample_anchors(trec.load_trec(), 1000)
    source = irp_hf.AnchoredSpace.encode(trec.StaticEncoder(), anchors)
    target = irp_hf.AnchoredSpace.encode(str(trec.minilm_folder()), anchors)
    printed = str(irp_hf.IRPAdapter.connect(source, target).report(progress=False).untimed())
    (shown,) = (text for _, text in FENCE.findall(TEXT["measure.md"]) if "1,000 parallel anchors" in text)
    words, figures = ([pattern(text) for text in (shown, printed)] for pattern in (_words, _figures))
    assert words[0] == words[1]
    assert figures[1] == pytest.approx(figures[0], abs=0.004, rel=0.01)


def _words(text):
    return NUMBER.sub("#", " ".join(text.split()))


def _figures(text):
    return [float(number.strip("±+,").replace(",", "")) for number in NUMBER.findall(text)]


NAMES = sorted(
    {name for text in TEXT.values() for name in re.findall(r"(?:\]\[|^::: )(irp_hf[\w.]*)", text, re.MULTILINE)}
)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_page_links_is_there(name):
    """If it fails, the place where the code of an equation is, or an entry of the reference, has moved."""
    assert pkgutil.resolve_name(name).__doc__


PATH = re.compile(r"(?<![\w./])(?:tests|irp_hf|benchmarks|examples|docs|model_cards)/[\w./*-]*[\w*]")
PAGES = [*DOCS.rglob("*.md"), *ROOT.glob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_as_a_file_is_there(page):
    """If it fails, the test or the script that a page names as its evidence has moved, and a reader finds nothing."""
    named = set(PATH.findall(page.read_text(encoding="utf-8")))
    assert not sorted(path for path in named if not any(ROOT.glob(path)))


def test_every_public_name_has_its_entry():
    """If it fails, something that `import irp_hf` gives is missing in the reference."""
    modules = [name for name in NAMES if isinstance(pkgutil.resolve_name(name), ModuleType)]
    for name in irp_hf.__all__:
        assert f"irp_hf.{name}" in NAMES or getattr(irp_hf, name).__module__ in modules, name


def test_the_overview_leads_to_every_entry():
    """If it fails, an entry stands on a page to which the overview does not lead, and an old link to it leads nowhere."""
    entries = {name for page, text in TEXT.items() for name in re.findall(r"^::: (\S+)", text, re.MULTILINE)}
    linked = re.findall(r"\]\[(irp_hf[\w.]*)\]", TEXT["reference.md"])
    assert sorted(entries) == sorted(linked)


def test_every_page_has_a_name_in_the_navigation():
    """If it fails, a page is found by search alone, or under its file's name."""
    nav = re.search(r"^nav:.*?^(?=\S)", (ROOT / "mkdocs.yml").read_text("utf-8"), re.DOTALL | re.MULTILINE)[0]
    listed = re.findall(r"([\w/-]+\.md)$", nav, re.MULTILINE)
    assert sorted(listed) == sorted(TEXT)


WORDS = {
    "absolute-space",
    "anchors",
    "background-rows",
    "balance-b",
    "confidence",
    "encoder",
    "gamma-γ",
    "head",
    "inverse-relative-projection",
    "landmarks",
    "lift-h",
    "mean-scale",
    "number-of-subspaces-ω",
    "parallel-anchors",
    "pruning-threshold-δ",
    "relative-projection",
    "relative-space",
    "restoration-q",
    "ridge-λ",
    "stitching",
    "translate",
}


def test_the_glossary_has_the_words():
    """If it fails, a reader who meets a word or a symbol of the pages cannot look it up, or finds more than a sentence."""
    entries = re.findall(
        r"^### ([^\n{]+?)(?: {#[\w-]+})?\n\n(.+?)(?=\n\n|\Z)", TEXT["glossary.md"], re.MULTILINE | re.DOTALL
    )
    names = {re.sub(r"[^\w]+", "-", name).strip("-") for name, _ in entries}
    assert names >= WORDS
    for name, said in entries:
        assert said.rstrip().endswith("."), name
        assert not re.search(r"[.!?] [A-Z]", said), name


def test_pages_link_the_glossary():
    """If it fails, nobody is led to it."""
    linking = [page for page, text in TEXT.items() if "(glossary.md" in text]
    assert len(linking) >= 10, linking


def test_every_equation_has_its_code():
    """If it fails, the page on the method has a section of formulas and no link to what computes them."""
    sections = re.split(r"^## ", TEXT["method.md"], flags=re.MULTILINE)[1:]
    for section in sections:
        assert "```math" not in section or re.search(r"\]\[irp_hf\.", section), section.splitlines()[0]


def build(root, site):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})


@pytest.mark.slow
def test_the_site_builds_and_asks_no_other_host(tmp_path):
    """If it fails, a link or an anchor leads nowhere, or a page would tell another host that it is being read."""
    done = build(ROOT, tmp_path)
    assert done.returncode == 0, done.stderr
    for page in TEXT:
        html = (tmp_path / page).with_suffix(".html").read_text(encoding="utf-8")
        assert not re.search(r"<(?:script|img|iframe)[^>]*\ssrc=\"?https?:|<link[^>]*\shref=\"?https?:", html), page
    assert "<math" in (tmp_path / "method.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    "link", ["[a](nowhere.md)", "[a](index.md#nowhere)", "[a][irp_hf.nowhere]", "![a](nowhere.png)"]
)
def test_a_link_to_nowhere_is_an_error(tmp_path, link):
    """If it fails, the test above passes whatever the links are."""
    (tmp_path / "docs").mkdir()
    for name in ("maths.py", "style.css", "iframe-worker.js"):
        shutil.copy(DOCS / name, tmp_path / "docs")
    shutil.copytree(DOCS / "theme", tmp_path / "docs" / "theme")
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    config = re.sub(r"^nav:.*?^(?=\S)", "", config, flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "mkdocs.yml").write_text(config, encoding="utf-8")
    (tmp_path / "docs" / "index.md").write_text(f"# Start\n\n{link}\n", encoding="utf-8")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode == 1
    assert "nowhere" in done.stderr
