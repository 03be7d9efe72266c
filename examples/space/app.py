"""A page for irp_hf, in the layout of a Space of the Hub: try a stitched head, and measure your own vectors.

python examples/space/app.py [--port 7860]
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported: the page calls no other host

import encoders
import gradio as gr
import lite0
import pages
import pictures
from kept import AGE, keep_swept, own_folder
from seen import Pictures
from shipped import Shipped
from uploads import MAX_MEGABYTES, MAX_ROWS, SUFFIXES, columns_of, kind_of_file, read

from irp_hf import IRPAdapter
from irp_hf.checks import quoted
from irp_hf.errors import IRPError
from irp_hf.examples_data import EMOJI

LONGEST = 300  # characters of a text
WAITING = 20  # visitors in the queue
INTRO = """
# Feed a head from another encoder

A classifier, or an index, reads the vectors of one encoder. `irp_hf` translates those of another encoder for it, from a few
hundred items that both have seen. Nothing is trained.
"""
VECTORS = f"""
Two files of vectors, `.npy` or Parquet. Row *i* of both is the same item, by two encoders; some hundred rows do. You get what
to expect of a translation from the first to the second, measured on your own rows, and the adapter. At most {MAX_ROWS:,} rows
and {MAX_MEGABYTES} MB a file; a few hundred rows take seconds, thousands minutes. Everything is removed after {AGE // 60}
minutes.
"""
OBJECTIVES = [("a classifier's head", "cosine"), ("an index that is searched", "neighbors")]
TYPED = ["a slice of birthday cake", "I am so tired today", "night train to the mountains"]
PICKED = ["expressionless face", "deciduous tree", "saxophone"]
FONT = ("system-ui", "sans-serif")
ZIP = "adapter.zip"
STYLE = Path(__file__).with_name("style.css")
OFFERED = Path(__file__).with_name("emoji")


def build(case: Shipped | None = None) -> gr.Blocks:
    """The page; it fits the adapter of the shipped case."""
    case, folder = case or Shipped(), own_folder()
    with gr.Blocks(title="irp_hf: feed a head from another encoder", analytics_enabled=False) as page:
        gr.Markdown(INTRO, elem_classes="intro")
        with gr.Tab("Try", id="try"):
            _try(case)
        with gr.Tab("Your vectors", id="vectors"):
            _vectors()
    keep_swept(folder)
    return page.queue(max_size=WAITING)


def _try(case: Shipped) -> None:
    lacking = encoders.missing()
    if lacking:
        gr.HTML(pages.notice(without_encoders(lacking)))
    with gr.Row(equal_height=True):
        text = gr.Textbox(
            PICKED[0], label="Type a name or a sentence", max_length=LONGEST, scale=3, min_width=260, elem_id="text"
        )
        labels = [(f"{case.emoji['emoji'][row]} {name}", name) for name, row in case.rows.items()]
        pick = gr.Dropdown(labels, value=None, label="or pick an emoji", scale=2, min_width=260, elem_id="pick")
    examples = gr.Examples([[one] for one in (PICKED if lacking else [*TYPED, *PICKED])], text, label="for example")
    answer = gr.HTML(show(case, PICKED[0]), elem_id="answer", render=False)
    quietly: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}
    seen = _picture(answer, case, quietly)
    answer.render()
    gr.Markdown(pages.shape_of(case))
    if seen is not None:
        gr.Markdown(pages.shares_of(seen))
    text.submit(lambda typed: show(case, typed), text, answer, **quietly)
    pick.input(lambda name: (name, show(case, name)), pick, [text, answer], **quietly)
    examples.load_input_event.then(lambda typed: show(case, typed), text, answer, **quietly)


def _picture(answer: gr.HTML, case: Shipped, quietly: dict[str, Any]) -> Pictures | None:
    """Where pictures are dropped, if they can be encoded."""
    if lacking := encoders.missing(lite0.PACKAGES):
        gr.HTML(
            pages.notice(f"A picture needs {quoted(lacking)}, which is not installed here: requirements.txt names it.")
        )
        return
    seen = Pictures(case)
    offered = [str(file) for file in sorted(OFFERED.glob("*.png"))]
    gr.set_static_paths([OFFERED])  # else they are copied to where uploads lie, and swept away with them
    with gr.Row():
        with gr.Column(min_width=260):  # a gr.Image would decode whatever comes before it is looked at
            box = gr.File(label="or drop a picture", file_types=[*pictures.SUFFIXES], height=130, elem_id="picture")
        with gr.Column(min_width=260):
            shown = gr.Dataset(
                components=["image"],
                samples=[[file] for file in offered],
                type="index",
                label="for example, emoji that the adapter has not seen",
                elem_id="offered",
            )
    box.upload(lambda path: (look(seen, path), None), box, [answer, box], **quietly)
    shown.click(lambda place: look(seen, offered[place]), shown, answer, **quietly)
    return seen


def look(seen: Pictures, path: str | None) -> str:
    """What the head says of a picture's file, as HTML."""
    if not path:
        return pages.notice("Drop a picture.")
    try:
        return pages.of_picture(seen, pictures.opened(path))
    except IRPError as error:
        return pages.wrong(str(error))


def show(case: Shipped, text: str | None) -> str:
    """What the head says of a text, by either way, as HTML."""
    text = " ".join((text or "").split())[:LONGEST]
    if not text:
        return pages.notice("Type something, or pick an emoji.")
    row = case.rows.get(text.lower())
    if row is not None:
        return pages.answered(case, text.lower(), case.answer(case.source[row], case.target[row]))
    if lacking := encoders.missing():
        return pages.notice(f"“{text}” is none of the shipped emoji. {without_encoders(lacking)}")
    vectors = encoders.encode(text)
    if vectors is None:
        return pages.notice(f"“{text}” has no token that the static encoder knows: type a word.")
    return pages.answered(case, text, case.answer(*vectors))


def without_encoders(lacking: list[str]) -> str:
    """Why text cannot be typed, and what can be done."""
    return (
        f"Text that is typed needs both encoders, and {quoted(lacking)} {'is' if len(lacking) == 1 else 'are'} not installed "
        "here: pick one of the emoji, whose vectors ship with irp_hf, or install what requirements.txt names."
    )


def _vectors() -> None:
    gr.Markdown(VECTORS)
    files, columns = [], []
    with gr.Row():
        for side, under in (("Source", "vectors to translate from"), ("Target", "vectors to translate to")):
            with gr.Column(min_width=280):
                files.append(
                    gr.File(label=f"{side}: {under}", file_types=[*SUFFIXES], height=140, elem_id=side.lower())
                )
                columns.append(
                    gr.Dropdown(
                        [], label=f"Column of the {side.lower()}", visible=False, elem_id=f"{side.lower()}-column"
                    )
                )
    objective = gr.Radio(OBJECTIVES, value="cosine", label="What will read the translations?")
    with gr.Row():
        go = gr.Button("Fit and measure", variant="primary", elem_id="go")
        sample = gr.Button("Try it with the shipped emoji", elem_id="sample")
    download = gr.DownloadButton("Download the adapter (zip)", visible=False, elem_id="download")
    report = gr.HTML(elem_id="report", min_height=90)
    made = gr.State()
    hidden: dict[str, Any] = {"api_visibility": "private"}
    one_by_one: dict[str, Any] = {"concurrency_id": "fit", "concurrency_limit": 1}
    for file, column, place in zip(files, columns, (0, -1), strict=True):
        file.change(partial(choices, place=place), file, [column, report], show_progress="hidden", **hidden)
    inputs = [files[0], columns[0], files[1], columns[1], objective]
    outputs = [report, download, made]
    for button, function, given in ((go, fit, inputs), (sample, fit_sample, [objective])):
        cleared = button.click(clear, None, [report, download], show_progress="hidden", **hidden)
        fitted = cleared.then(function, given, outputs, show_progress_on=report, **one_by_one, **hidden)
        fitted.then(remove, made, made, show_progress="hidden", **hidden)  # gradio has its own copy


def clear() -> tuple[str, Any]:
    """Nothing of a fit before stands below one that runs."""
    return "", gr.update(visible=False)


def choices(path: str | None, place: int = 0) -> tuple[Any, Any]:
    """The columns to choose from, once a file is there, that at `place` chosen; and what is wrong with it."""
    try:
        names = columns_of(path) if path else []
        if path and not names and kind_of_file(path) == ".parquet":
            return gr.update(choices=[], visible=False), pages.wrong(
                f"{Path(path).name} has no column of vectors (lists of numbers)."
            )
    except IRPError as error:
        return gr.update(choices=[], visible=False), pages.wrong(str(error))
    return gr.update(choices=names, value=names[place] if names else None, visible=bool(names)), ""


def fit(
    source: str | None, source_column: str | None, target: str | None, target_column: str | None, objective: str,
    progress: gr.Progress = gr.Progress(track_tqdm=True),  # noqa: B008  (gradio looks for it there)
) -> tuple[str, Any, str | None]:  # fmt: skip
    """The report of an adapter between two uploaded files, its zip, and the folder of that."""
    nothing = gr.update(visible=False)
    if not source or not target:
        lacking = "both files" if not source and not target else f"the {'source' if not source else 'target'}'s file"
        return pages.wrong(f"Upload {lacking} first."), nothing, None
    try:
        rows = [
            read("The source's vectors", source, source_column),
            read("The target's vectors", target, target_column),
        ]
        return measured(*rows, objective)
    except IRPError as error:
        return pages.wrong(str(error)), nothing, None


def fit_sample(objective: str, progress: gr.Progress = gr.Progress(track_tqdm=True)) -> tuple[str, Any, str | None]:  # noqa: B008
    """The same of the shipped emoji."""
    return measured(*(read(name, str(EMOJI), name) for name in ("static", "MiniLM")), objective)


def measured(source: Any, target: Any, objective: str) -> tuple[str, Any, str]:
    """Fit, measure, and write the adapter into a folder of its own."""
    adapter = IRPAdapter.from_anchors(source, target, objective=objective)
    report = adapter.report(progress=True)
    folder = tempfile.mkdtemp(prefix="irp_hf-")
    try:
        adapter.save_pretrained(Path(folder, "adapter"))
        packed = shutil.make_archive(str(Path(folder, Path(ZIP).stem)), "zip", folder, "adapter")
    except BaseException:
        remove(folder)
        raise
    return report._repr_html_(), gr.update(value=packed, visible=True), folder


def remove(folder: str | None) -> None:
    """Nothing of a visitor's is left where it was written."""
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


def launch(page: gr.Blocks, **options: Any) -> Any:
    """Serve it: uploads are limited while they come in, and nothing is asked of another host."""
    theme = gr.themes.Default(
        primary_hue="blue", neutral_hue="slate", font=FONT, font_mono=("ui-monospace", "monospace")
    )
    fixed: dict[str, Any] = {
        "share": False,
        "ssr_mode": False,
        "footer_links": [],
        "run_history": False,
        "enable_monitoring": False,
    }
    print("Ctrl-C ends it, and removes what was uploaded.", flush=True)
    return page.launch(theme=theme, css_paths=STYLE, max_file_size=f"{MAX_MEGABYTES}mb", **fixed, **options)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, help="7860 and the next ones are tried without it")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that files are removed then, too
    launch(build(), server_port=options.port)
