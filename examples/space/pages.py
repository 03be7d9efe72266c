"""What visitors see of an answer, as HTML; text of theirs is escaped. Its colours are those of the page, light or dark."""

from __future__ import annotations

import base64
from html import escape

import numpy as np
from pictures import as_png
from PIL import Image
from seen import UNLIKE, Pictures
from shipped import NUM_ANCHORS, Answer, Shipped

SHOWN = 3  # groups of a head's answer
HINT = '<div class="notice">{}</div>'
WRONG = '<div class="notice wrong" role="alert">{}</div>'
FED = {
    "one": ("Fed by static token vectors", "a table of 256 numbers a token, translated to MiniLM's 384"),
    "two": ("Fed by MiniLM", "the transformer whose vectors the head was trained on"),
}
SEEN = {
    "one": (
        "Fed by a picture",
        "EfficientNet-lite0, which never saw a word: 1,280 numbers, translated to MiniLM's 384",
    ),
    "two": ("Fed by MiniLM", "the vector of this emoji's name, as the head was trained"),
    "none": ("Fed by MiniLM", "It reads words, and no pictures: of a picture without a name nothing can stand here."),
}
NEAR = {
    "before": ("Before", "by static vectors, among static vectors"),
    "after": ("After", "by the translated vector, among MiniLM's vectors"),
    "native": ("MiniLM itself", "by MiniLM's vector, among MiniLM's vectors"),
}
NEAR_PICTURE = NEAR | {
    "before": ("Before", "by the picture, among pictures"),
    "after": ("After", "by the translated vector, among MiniLM's vectors of names"),
    "native": ("MiniLM itself", "by its vector of the name, among its vectors of names"),
}
Said = dict[str, tuple[str, str]]


def notice(text: str) -> str:
    """A remark."""
    return HINT.format(escape(text))


def wrong(text: str) -> str:
    """What cannot be done, and why."""
    return WRONG.format(escape(text))


def answered(case: Shipped, name: str, answer: Answer) -> str:
    """Of a text: both answers of the head side by side, what they mean, and the neighbours."""
    row = case.rows.get(name)
    title = escape(name) if row is None else f"<b>{case.emoji['emoji'][row]}</b> {escape(name)}"
    return _page(case, title, answer, row, FED, NEAR, "the emoji that the adapter never saw")


def of_picture(pictures: Pictures, picture: Image.Image) -> str:
    """Of a picture: the same, beside MiniLM's answer where the picture is a known emoji, which has a name."""
    answer, row = pictures.answer(picture)
    case = pictures.case
    named = "Your picture" if row is None else f"The picture of “{escape(case.emoji['name'][row])}”"
    known = "" if row is None or row >= NUM_ANCHORS else ", one that the adapter knows"
    shown = base64.b64encode(as_png(picture)).decode()
    title = f'<img class="seen" alt="" src="data:image/png;base64,{shown}"> {named}{known}'
    return _page(case, title, answer, row, SEEN, NEAR_PICTURE, "the pictures that the adapter never saw")


def _page(case: Shipped, title: str, answer: Answer, row: int | None, fed: Said, near: Said, others: str) -> str:
    more = f"more than for {answer.surer_than:.0%}"
    if answer.surer_than < UNLIKE:
        more = f"less than for {1 - answer.surer_than:.1%}"
    sure = (
        f'<p class="sure">Confidence <strong>{answer.confidence:.2f}</strong>: the cosine with MiniLM\'s own vector that is to '
        f"be expected. That is {more} of {others}.</p>"
    )
    cards = _card("one", case, answer.translated, fed["one"], sure)
    cards += _lack(fed["none"]) if answer.native is None else _card("two", case, answer.native, fed["two"])
    truth = None if row is None else case.emoji["group"][row]
    lists = "".join(_near(case, near[kind], rows, row) for kind, rows in answer.neighbors.items())
    return (
        f'<div class="answer"><h2>{title}</h2><div class="cards">{cards}</div>'
        f'<p class="verdict">{escape(_verdict(case, answer, truth))}</p>{lists}</div>'
    )


def _verdict(case: Shipped, answer: Answer, truth: str | None) -> str:
    translated = case.groups[int(answer.translated.argmax())]
    if answer.native is None:
        text = f"It says {translated}."
    else:
        native = case.groups[int(answer.native.argmax())]
        same = f"Both say {translated}."
        text = same if native == translated else f"They differ: translated, {translated}; MiniLM itself, {native}."
    if truth is not None:
        return f"{text} Unicode puts it under {truth}."
    if answer.native is None and answer.surer_than < UNLIKE:
        return f"{text} The confidence says not to believe it: this is nothing like the emoji that the adapter knows."
    return text


def _card(kind: str, case: Shipped, scores: np.ndarray, said: tuple[str, str], below: str = "") -> str:
    title, under = said
    best = (-scores).argsort()[:SHOWN]
    bars = "".join(
        f'<div class="bar"><span>{escape(case.groups[group])}</span><span class="track"><i style="width:{scores[group]:.1%};'
        f'--hue:var(--{kind})"></i></span><span>{scores[group]:.0%}</span></div>'
        for group in best
    )
    return f'<section class="card {kind}"><h3>{title}</h3><p class="muted">{escape(under)}</p>{bars}{below}</section>'


def _lack(said: tuple[str, str]) -> str:
    title, under = said
    return f'<section class="card two"><h3>{title}</h3><p class="muted">{escape(under)}</p></section>'


def _near(case: Shipped, said: tuple[str, str], rows: list[int], own: int | None) -> str:
    title, under = said
    tiles = "".join(
        f"<li{' class=same' if row == own else ''}><b>{case.emoji['emoji'][row]}</b>{escape(case.emoji['name'][row])}</li>"
        for row in rows
    )
    return f'<div class="near"><h3>{title}</h3><p class="muted">{escape(under)}</p><ul class="tiles">{tiles}</ul></div>'


def shape_of(case: Shipped) -> str:
    """What the first tab works with, in a sentence."""
    count = len(case.emoji)
    return (
        f"The adapter knows {NUM_ANCHORS} of {count} emoji. Neither it nor the head, which was trained on others, has seen "
        f"the {count - NUM_ANCHORS} that you can pick."
    )


def shares_of(pictures: Pictures) -> str:
    """How often the head is right by pictures, in a sentence."""
    shares = pictures.shares()
    return (
        f"Fed by pictures, the head is right on {shares.pictures:.0%} of {shares.count} emoji pictures that the adapter has "
        f"not seen (95% interval {shares.low:.0%} to {shares.high:.0%}); fed by MiniLM's vectors of their names, on "
        f"{shares.names:.0%}. Who always says the commonest group is right on {shares.commonest:.0%}. Photographs are nothing "
        "that this adapter knows: look at the confidence."
    )
