"""A result in a notebook or on a page: what stands out, what is safe, what is legible on light and on dark."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest
from absent import without
from evaluation.test_report import report

from irp_hf.evaluation.doubts import Doubt
from irp_hf.evaluation.html import page
from irp_hf.evaluation.printed import LEFT, MARK
from irp_hf.evaluation.report import Report

SVG = "{http://www.w3.org/2000/svg}"
SLY = '"><script>alert(1)</script><!-- $\\alpha$ &lt;'


def tree_of(found: Report) -> Element:
    return ElementTree.fromstring(found._repr_html_())


def words(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())


def test_the_page_has_every_figure_of_the_printed_tables_and_no_other():
    """If it fails, a notebook and a terminal say different things of the same adapter."""
    tables = list(tree_of(report()).iter("table"))
    for table, printed in zip(tables, report().tables(), strict=True):
        lines = [[words(cell) for cell in line] for line in table.iter("tr")]
        below = printed[0].index("settings") if "settings" in printed[0] else None
        for line, cells in zip(lines, printed, strict=True):
            small = cells[below] if below is not None and cells is not printed[0] else ""
            assert line == [cells[0] + small, *(cell for at, cell in enumerate(cells) if at not in (0, below))]


def test_a_prompt_of_ipython_shows_the_printed_report():
    """If it fails, it shows one line of thousands of characters."""
    shown, _ = pytest.importorskip("IPython.core.formatters").DisplayFormatter().format(report())
    assert shown == {"text/plain": str(report()), "text/html": report()._repr_html_()}


def test_the_chosen_row_alone_is_marked_and_every_cell_has_a_header():
    """If it fails, nobody sees at a glance what was chosen, or a reader of the screen hears numbers without names."""
    first, curve = tree_of(report()).iter("table")
    marked = [words(row) for row in first.iter("tr") if row.get("class") == "irp-chosen"]
    assert [line.split()[:2] for line in marked] == [["▸", "kernelgamma=2,"]]
    assert [row.get("class") for row in curve.iter("tr")] == [None] * 4
    for table in (first, curve):
        assert {head.get("scope") for head in table.find("thead").iter("th")} == {"col"}
        assert [head.get("scope") for head in table.find("tbody").iter("th")] == ["row"] * 3


def test_columns_of_text_are_to_the_left():
    """If it fails, what is done stands to the right, far from where lines begin."""
    html = page([[["size", "what is done", "share"], ["▸ 3", "nothing", ".5"]]], MARK, LEFT)
    cells = {words(cell): cell.get("class") for cell in ElementTree.fromstring(html).iter() if cell.tag in ("th", "td")}
    assert cells == {
        "size": "irp-left", "what is done": "irp-left", "share": None, "▸ 3": None, "nothing": "irp-left", ".5": None,
    }  # fmt: skip


def test_a_doubt_stands_out():
    """If it fails, the one sentence that says that the pairs are wrong looks like all the others."""
    doubt = "Row 3 & row 4 are swapped."
    found = tree_of(replace(report(), doubts=(Doubt("misaligned", doubt),)))
    paragraphs = [(words(part), part.get("class"), part.get("role")) for part in found.iter("p")]
    assert (doubt, "irp-warning", "note") in paragraphs
    assert [kind for _, kind, _ in paragraphs].count("irp-warning") == 1
    assert [kind for _, kind, _ in paragraphs].index("irp-warning") == 1  # right below the caption


def test_the_picture_is_inside_a_panel_each():
    """If it fails, there is no picture, or panels side by side are too small to read on a phone."""
    found = tree_of(report())
    panels = list(found.iter(f"{SVG}svg"))
    assert [panel.get("aria-label") for panel in panels] == [
        "What each method keeps",
        "What is kept, by the number of anchors",
        "Expected and true cosine",
    ]
    assert all(len(list(panel.iter(f"{SVG}path"))) > 20 for panel in panels)
    order = [element.tag for element in found.iter() if element.tag in ("table", f"{SVG}svg")]
    assert order == ["table", *[f"{SVG}svg"] * 3, "table"]


def test_a_long_name_of_a_method_leaves_room_for_its_figures(recwarn: pytest.WarningsRecorder):
    """If it fails, a baseline of the user's own squeezes the panel to nothing."""
    wide = replace(report(), rows=(*report().rows[:2], replace(report().rows[2], method="W" * 30)))
    assert len(list(tree_of(wide).iter(f"{SVG}svg"))) == 3
    assert not recwarn.list


def test_it_is_legible_on_dark_and_on_light():
    """If it fails, a part keeps a colour of its own, and is dark on dark or a white box in somebody's theme."""
    html = report()._repr_html_()
    drawn = "".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL))
    assert drawn
    assert not re.search(r"#[0-9a-fA-F]{6}\b|white|black", re.sub(r"(?<=#)i[0-9a-f]{8}-\d+", "", drawn))
    used = set(re.findall(r"(?:fill|stroke): ([^;\"]+)", drawn))
    assert "currentColor" in used
    assert used <= {"none", "currentColor", *(f"var(--irp-{name})" for name in re.findall(r"--irp-(\w+):", html))}
    style = html[html.index("<style>") : html.index("</style>")]
    assert not re.search(r"[^-]background(-color)?: (?!transparent|var\()", style)
    assert not re.search(r"[^-]color: (?!inherit|var\(|color-mix)", style)


def test_its_styles_touch_nothing_else_on_the_page():
    """If it fails, a report in a notebook restyles the tables of pandas beside it."""
    html = report()._repr_html_()
    style = html[html.index("<style>") + 7 : html.index("</style>")]
    rules = [rule.split("{")[0].strip() for rule in re.sub(r"@supports \([^{]*\{", "", style).split("}")]
    assert all(rule.startswith(".irp-hf") for rule in rules if rule)


def test_two_pictures_on_one_page_do_not_meet():
    """If it fails, one is drawn with letters or frames of the other, which another theme or a closed cell may hide."""
    other = replace(report(), num_anchors=900, rows=report().rows[:2])
    names = [re.findall(r' id="([^"]+)"', found._repr_html_()) for found in (report(), other)]
    for one in names:
        assert len(one) == len({*one}) > 0
    shown = report()._repr_html_()
    assert {*re.findall(r'href="#([^"]+)"', shown), *re.findall(r"url\(#([^)]+)", shown)} == {*names[0]}
    first, second = (
        "".join(re.findall(r"<svg.*?</svg>", found._repr_html_(), re.DOTALL)[0]) for found in (report(), other)
    )
    assert not {*re.findall(r' id="([^"]+)"', first)} & {*re.findall(r' id="([^"]+)"', second)}


def test_without_matplotlib_there_is_no_picture_and_no_error(monkeypatch: pytest.MonkeyPatch):
    """If it fails, a notebook shows a traceback in place of the table."""
    whole = report()._repr_html_()
    without("matplotlib", monkeypatch)
    bare = report()._repr_html_()
    assert "<svg" not in bare
    assert bare == re.sub(r'<div class="irp-pictures">.*?</div>\n', "", whole, flags=re.DOTALL)


def test_what_a_stranger_wrote_does_nothing():
    """If it fails, whoever edits report.json has a script run in the notebook of whoever shows it."""
    sly = replace(
        report(),
        chosen=SLY,
        rows=(replace(report().rows[0], method=SLY, settings=SLY), *report().rows[1:]),
        doubts=(Doubt("misaligned", SLY),),
    )
    html = sly._repr_html_()
    found = ElementTree.fromstring(html)
    assert not {element.tag for element in found.iter()} & {"script", f"{SVG}script", f"{SVG}image", "img", "a"}
    assert SLY in [words(part) for part in found.iter("p")]
    assert not [name for element in found.iter() for name in element.attrib if name.startswith("on")]
    assert "<!--" not in html


def test_it_is_small_enough_to_keep():
    """If it fails, a notebook with ten reports takes megabytes."""
    assert len(report()._repr_html_()) < 120_000


@pytest.mark.parametrize("part", ["a paragraph", [["a", "b"], ["1", "2"]]])
def test_parts_without_a_picture_or_a_choice(part):
    """If it fails, a result that has neither breaks the notebook."""
    assert len(ElementTree.fromstring(page([part], MARK, LEFT))) == 2


def test_settings_of_the_user_and_other_threads_change_no_picture():
    """If it fails, a notebook shows the traceback of a LaTeX that is not installed, or two pictures of a page meet."""
    matplotlib = pytest.importorskip("matplotlib")
    expected = report()._repr_html_()
    with matplotlib.rc_context({"text.usetex": True, "svg.fonttype": "none"}):
        assert report()._repr_html_() == expected
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: report()._repr_html_(), range(8))) == {expected}
