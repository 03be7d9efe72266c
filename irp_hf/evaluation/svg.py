"""A figure of matplotlib as SVG that stands inside a page and takes the colours of that page's text."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

from irp_hf.errors import missing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOTHING = {"Date": None, "Creator": None, "Format": None, "Type": None}  # of what a file would say of itself
FIXED: dict[Any, Any] = {  # the same figure, the same text; and no LaTeX, which a user may have asked for and not have
    "svg.fonttype": "path",
    "svg.hashsalt": "irp_hf",
    "text.usetex": False,
}
ASIDE = re.compile(r"<!--.*?-->", re.DOTALL)
BETWEEN = re.compile(r">\s+<")
SIZED = re.compile(r'<svg\b[^>]*?\bviewBox="([^"]*)"[^>]*>')
OUTLINE = re.compile(r'(?<= d=")[^"]+')
FINE = re.compile(r"(\.\d\d)\d+")  # a hundredth of a point is less than anybody sees
NAME = re.compile(r' id="([^"]+)"')
USED = re.compile(r'(?<=href="#)[^"]+|(?<=url\(#)[^)]+')


def inline(draw: Callable[[], Figure], colors: dict[str, str], label: str) -> str:
    """The figure that `draw` draws as one `<svg>` with a transparent background, in which each of `colors` is another value of
    CSS; `label` is read aloud.

    Letters are outlines: they need no font, and leave no loose words where a page takes out all pictures of that kind.
    """
    try:
        from matplotlib import rc_context
    except ImportError as error:
        raise missing(label, "matplotlib", "irp_hf[plots]") from error
    written = io.StringIO()
    with rc_context(FIXED):
        draw().savefig(written, format="svg", transparent=True, metadata=NOTHING)
    text = BETWEEN.sub("><", ASIDE.sub("", written.getvalue()))
    text = text[text.index("<svg") :].strip()
    for color, value in colors.items():
        text = text.replace(f": {color}", f": {value}")
    text = OUTLINE.sub(lambda found: " ".join(FINE.sub(r"\1", found[0]).split()), text)
    begin = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{}" role="img" '
        f"aria-label={quoteattr(label)}>"
    )
    return SIZED.sub(lambda found: begin.format(found[1]), _own_names(text), count=1)


def _own_names(text: str) -> str:
    """The drawing with names that are its own, so that two on one page do not meet; what nothing uses has none."""
    own = hashlib.sha256(text.encode()).hexdigest()[:8]
    names = {name: f"i{own}-{count}" for count, name in enumerate(dict.fromkeys(USED.findall(text)))}
    text = NAME.sub(lambda found: f' id="{names[found[1]]}"' if found[1] in names else "", text)
    return USED.sub(lambda found: names[found[0]], text)
