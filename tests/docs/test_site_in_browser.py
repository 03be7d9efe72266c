"""The built site in a browser, over HTTP and as files: search finds pages, nobody else is asked, and nothing goes wrong."""

import os
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")]

ROOT = Path(__file__).resolve().parent.parent.parent
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
FOUND = {  # what somebody types, and the page that they want
    "switch embedding model": "move.html",
    "retired API": "retired.html",
    "lift": "glossary.html#lift",
    "ONNX": "serve.html",
    "OpenAI": "retired.html",
    "what is a landmark": "glossary.html#landmarks",
    "IRPAdapter": "reference/IRPAdapter.html#irp_hf.IRPAdapter",
}
PAGES = ("index.html", "glossary.html", "reference.html", "reference/IRPAdapter.html", "method.html", "move.html")


def build(site, **environment):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    build(folder, IRP_HF_REPOSITORY="")
    return folder


class Silent(SimpleHTTPRequestHandler):
    """Gives files, and prints nothing."""

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module", params=["http", "file"])
def address(request, site):
    """Where the site is read: by a server on this machine, or as the files that were built."""
    if request.param == "file":
        yield site.as_uri()
        return
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


def left(request):
    """Whether the page was left before the answer came, as when an old address leads on."""
    return "ERR_ABORTED" in (request.failure or "")


@pytest.fixture
def page(chromium, address):
    """A fresh browser; when the test ends, nothing was asked of anybody else, and nothing went wrong."""
    context = chromium.new_context(viewport=dict(zip(("width", "height"), SIZES["desktop"], strict=True)))
    asked, wrong = [], []
    context.on("request", lambda request: asked.append(request.url))
    context.on("requestfailed", lambda request: None if left(request) else wrong.append(request.url))
    context.on("response", lambda response: wrong.append(response.url) if response.status >= 400 else None)
    context.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    yield context.new_page()
    context.close()
    assert asked
    assert not [url for url in asked if not url.startswith((address, "data:", "blob:", "about:"))]
    assert not wrong


def search(page, words):
    page.locator("input.md-search__input").click()
    page.keyboard.type(words)
    links, before, found = page.locator(".md-search-result__link"), None, []
    for _ in range(100):  # results follow the typing: they are there when they stay
        page.wait_for_timeout(200)
        read = "all => all.map(link => link.href.split('?')[0].split('#')[0] + new URL(link.href).hash)"
        before, found = found, links.evaluate_all(read)
        if found and found == before:
            break
    return found


@pytest.mark.parametrize("words", FOUND)
def test_search_finds(page, address, words):
    """If it fails, whoever types a word of theirs is told that there is nothing; of files, browsers forbid what search does."""
    page.goto(f"{address}/index.html")
    assert f"{address}/{FOUND[words]}" in search(page, words)[:8]


def test_a_result_leads_to_its_page(page, address):
    """If it fails, what search finds from a page in a folder leads nowhere."""
    page.goto(f"{address}/reference/IRPAdapter.html")
    search(page, "landmarks")
    page.locator(".md-search-result__link[href*='glossary']").first.click()
    page.wait_for_url("**/glossary.html*")
    assert page.locator("#landmarks").is_visible()


def test_search_finds_nothing_for_nonsense(page, address):
    """If it fails, the tests above pass whatever is typed."""
    page.goto(f"{address}/index.html")
    page.locator("input.md-search__input").click()
    page.keyboard.type("qwzxqwzx")
    page.get_by_text("No matching documents").wait_for(timeout=20_000)
    assert page.locator(".md-search-result__item").count() == 0


@pytest.mark.parametrize("name", ["irp_hf.IRPAdapter", "irp_hf.IRPAdapter.translate", "irp_hf.maths.chance.chance_of"])
def test_an_old_address_of_the_reference_leads_on(page, address, name):
    """If it fails, a link that somebody kept, from when the reference was one page, ends at the overview."""
    page.goto(f"{address}/reference.html#{name}")
    page.wait_for_url(f"**/reference/*.html#{name}", timeout=20_000)
    page.locator(f"[id='{name}']").wait_for(timeout=20_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_pages_fit_the_screen(page, address, size, scheme, tmp_path):
    """If it fails, a phone shows a page that is wider than it, or text that cannot be told from what is behind it."""
    page.set_viewport_size(dict(zip(("width", "height"), SIZES[size], strict=True)))
    page.emulate_media(color_scheme=scheme)
    shots = Path(os.environ.get("IRP_HF_SCREENSHOTS", tmp_path))
    for name in PAGES:
        page.goto(f"{address}/{name}")
        width, seen = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert width <= seen, name
        read = "(one) => getComputedStyle(document.body).getPropertyValue(one).trim()"
        assert page.evaluate(read, "--md-default-bg-color") != page.evaluate(read, "--md-typeset-color")
        assert (
            page.locator("body").get_attribute("data-md-color-scheme") == {"light": "default", "dark": "slate"}[scheme]
        )
        page.screenshot(path=shots / f"{name.replace('/', '-')}-{size}-{scheme}.png")


def test_signatures_are_formatted(page, address):
    """If it fails, nothing on this machine formats signatures, and a long one runs out of the page on one line."""
    page.goto(f"{address}/reference/IRPAdapter.html")
    lines = page.locator(".doc-signature").all_inner_texts()
    longest = max((line for text in lines for line in text.splitlines()), key=len)
    assert any(len(text.splitlines()) > 5 for text in lines)
    assert len(longest) <= 100, longest


def test_a_repository_is_linked_where_one_is_configured(chromium, tmp_path, site):
    """If it fails, a reader finds no way to the code, or each page asks the repository's host for its stars."""
    build(tmp_path / "site", IRP_HF_REPOSITORY="https://github.com/me/irp_hf")
    page, asked = chromium.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "site" / "index.html").as_uri())
    page.wait_for_load_state("networkidle")
    assert page.locator("header a[href='https://github.com/me/irp_hf']").is_visible()
    assert not [url for url in asked if not url.startswith(("file:", "data:", "about:"))]
    page.goto((site / "index.html").as_uri())
    assert page.locator("header .md-source").count() == 0
    page.close()
