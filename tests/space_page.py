"""The page of `examples/space/` as tests meet it: its modules, and a visitor's window in Chromium."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SPACE = Path(__file__).resolve().parents[1] / "examples" / "space"
CHROMIUM = next((path for path in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if os.path.exists(path)), None)
QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
PATIENCE = 90_000  # milliseconds, on a busy machine
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1200, "height": 900}


@pytest.fixture(scope="module")
def space() -> Iterator[Any]:
    """The modules of the page, by name."""
    pytest.importorskip("gradio")
    names = ("app", "encoders", "kept", "lite0", "pages", "pictures", "seen", "shipped", "uploads")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SPACE))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        yield {name: __import__(name) for name in names}
        for name in names:
            sys.modules.pop(name)


ALONE = """
import os, socket

connect, look_up = socket.socket.connect, socket.getaddrinfo
NEAR = ("127.0.0.1", "::1", "localhost", "0.0.0.0", None)


def noted(host):
    if host not in NEAR:
        with open(os.environ["ASKED"], "a") as file:
            print(host, file=file)


def connecting(self, address):
    if isinstance(address, tuple):
        noted(address[0])
    return connect(self, address)


def looking_up(host, *rest, **named):
    noted(host.decode() if isinstance(host, bytes) else host)
    return look_up(host, *rest, **named)


socket.socket.connect, socket.getaddrinfo = connecting, looking_up
"""
"""What Python runs first, in the page's own process: it notes each other host that is asked."""


@pytest.fixture(scope="module")
def served(space, tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """The page as `python examples/space/app.py` serves it, asking no other host, and the folder of its temporary files."""
    del space  # which skips where there is no gradio
    temporary = tmp_path_factory.mktemp("temporary")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {"TMPDIR": str(temporary)}
    alone, asked = tmp_path_factory.mktemp("alone"), temporary / "asked"
    (alone / "sitecustomize.py").write_text(ALONE)
    env |= {
        "ASKED": str(asked),
        "PYTHONPATH": os.pathsep.join([str(alone), str(SPACE.parents[1]), env.get("PYTHONPATH", "")]),
    }
    log = temporary / "log"
    with log.open("w") as told:
        page = subprocess.Popen(
            [sys.executable, str(SPACE / "app.py"), "--port", str(port)], env=env, stdout=told, stderr=subprocess.STDOUT
        )
    try:
        address = f"http://127.0.0.1:{port}/"
        for _ in range(600):
            assert page.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.3)
        yield address, temporary
    finally:
        page.terminate()
        page.wait(60)
    assert [path.name for path in temporary.iterdir() if path.name.startswith("irp_hf-")] == []
    assert not asked.exists(), asked.read_text()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("Debian's chromium is not installed")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET.split())
        yield opened
        opened.close()


class Visit:
    """A visitor's window, which notes every host that is asked and every error of the page's own scripts."""

    def __init__(self, browser: Any, address: str, size: dict[str, int], scheme: str = "light") -> None:
        self.context = browser.new_context(viewport=size, color_scheme=scheme)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.hosts: set[str] = set()
        self.errors: list[str] = []
        self.page.on(
            "request", lambda asked: self.hosts.add(asked.url.split("/")[2] if asked.url.startswith("http") else "")
        )
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(address)
        self.page.wait_for_selector("#answer .answer")

    def type(self, text: str) -> str:
        self.page.locator("#text textarea, #text input").first.fill(text)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector(f"#answer :text('{text}')")
        return str(self.page.locator("#answer").inner_text())

    def to_vectors(self) -> None:
        self.page.get_by_role("tab", name="Your vectors").click()
        self.page.wait_for_selector("#go")

    def upload(self, side: str, path: str) -> None:
        self.page.locator(f"#{side} input[type=file]").set_input_files(path)
        self.page.wait_for_selector(f"#{side} :text('{Path(path).stem}')")

    def choose(self, box: str, option: str) -> None:
        self.page.locator(f"#{box} input").click()
        self.page.get_by_role("option", name=option, exact=True).click()

    def scrolls_sideways(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth > innerWidth"))


@pytest.fixture
def visit(served, browser) -> Iterator[Any]:
    """Open the page; at the end nothing but it was asked, and nothing in it broke."""
    opened: list[Visit] = []

    def come(size: dict[str, int] = DESKTOP, scheme: str = "light") -> Visit:
        opened.append(Visit(browser, served[0], size, scheme))
        return opened[-1]

    yield come
    for one in opened:
        one.context.close()
        assert one.hosts <= {served[0].split("/")[2], ""}
        assert one.errors == []
