"""What visitors see of an answer, as HTML; text of theirs is escaped. Its colours are those of the page, light or dark."""

from __future__ import annotations

from html import escape

import numpy as np
from shipped import NUM_ANCHORS, Answer, Shipped

SHOWN = 3  # groups of a head's answer
HINT = '<div class="notice">{}</div>'
WRONG = '<div class="notice wrong" role="alert">{}</div>'
FED = {
    "one": ("Fed by static token vectors", "a table of 256 numbers a token, translated to MiniLM's 384"),
    "two": ("Fed by MiniLM", "the transformer whose vectors the head was trained on"),
}
NEAR = {
    "before": ("Before", "by static vectors, among static vectors"),
    "after": ("After", "by the translated vector, among MiniLM's vectors"),
    "native": ("MiniLM itself", "by MiniLM's vector, among MiniLM's vectors"),
}


def notice(text: str) -> str:
    """A remark."""
    return HINT.format(escape(text))


def wrong(text: str) -> str:
    """What cannot be done, and why."""
    return WRONG.format(escape(text))


def answered(case: Shipped, name: str, answer: Answer) -> str:
    """Both answers of the head side by side, what they mean, and the neighbours."""
    row = case.rows.get(name)
    title = escape(name) if row is None else f"<b>{case.emoji['emoji'][row]}</b> {escape(name)}"
    said = [case.groups[int(scores.argmax())] for scores in (answer.translated, answer.native)]
    sure = (
        f'<p class="sure">Confidence <strong>{answer.confidence:.2f}</strong>: the cosine with MiniLM\'s own vector that is to '
        f"be expected. That is more than for {answer.surer_than:.0%} of the emoji that the adapter never saw.</p>"
    )
    cards = _card("one", case, answer.translated, sure) + _card("two", case, answer.native)
    truth = None if row is None else case.emoji["group"][row]
    near = "".join(_near(case, kind, rows, row) for kind, rows in answer.neighbors.items())
    return (
        f'<div class="answer"><h2>{title}</h2><div class="cards">{cards}</div>'
        f'<p class="verdict">{escape(_verdict(said, truth))}</p>{near}</div>'
    )


def _verdict(said: list[str], truth: str | None) -> str:
    text = (
        f"Both say {said[0]}."
        if said[0] == said[1]
        else f"They differ: translated, {said[0]}; MiniLM itself, {said[1]}."
    )
    return text if truth is None else f"{text} Unicode puts it under {truth}."


def _card(kind: str, case: Shipped, scores: np.ndarray, below: str = "") -> str:
    title, under = FED[kind]
    best = (-scores).argsort()[:SHOWN]
    bars = "".join(
        f'<div class="bar"><span>{escape(case.groups[group])}</span><span class="track"><i style="width:{scores[group]:.1%};'
        f'--hue:var(--{kind})"></i></span><span>{scores[group]:.0%}</span></div>'
        for group in best
    )
    return f'<section class="card {kind}"><h3>{title}</h3><p class="muted">{escape(under)}</p>{bars}{below}</section>'


def _near(case: Shipped, kind: str, rows: list[int], own: int | None) -> str:
    title, under = NEAR[kind]
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
