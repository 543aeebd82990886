"""Elements of HTML and SVG that escape all text they are given, and numbers as people read them."""

import html
from collections.abc import Iterable, Sequence
from typing import Any

_VOID = {"meta", "br", "img"}


class Html(str):
    """Markup that stands as it is; any other string is text, and is escaped."""


def el(tag: str, *children: object, **attributes: Any) -> Html:
    """One element.

    Args:
      tag: its name.
      children: markup, or text; None is left out.
      attributes: None is left out, a number gets at most one decimal; `class_` is `class`, `stroke_width` is
        `stroke-width`.
    """
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(_text(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{tag}{told}>" if tag in _VOID else f"<{tag}{told}>{join(children)}</{tag}>")


def join(children: Iterable[object]) -> Html:
    """Markup and text one after the other."""
    kept = (child for child in children if child is not None)
    return Html("".join(child if isinstance(child, Html) else html.escape(_text(child)) for child in kept))


def _text(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def table(head: Sequence[object], rows: Iterable[Iterable[Html]], caption: str, class_: str = "") -> Html:
    """A table in a frame that scrolls where it is too wide.

    Args:
      head: what stands over the columns.
      rows: the cells of each row, as `th` or `td` elements.
      caption: what it holds, for those who hear it read.
      class_: of the table.
    """
    heads = [each if isinstance(each, Html) else el("th", each, scope="col") for each in head]
    inside = el(
        "table",
        el("caption", caption, class_="unseen"),
        el("thead", el("tr", *heads)),
        el("tbody", *(el("tr", *row) for row in rows)),
        class_=class_ or None,
    )
    # Can be reached by keyboard, so that it can be scrolled by it.
    return el("div", inside, class_="scroll", tabindex="0", role="region", aria_label=caption)


def figure(drawing: Html, caption: str, note: str | None = None) -> Html:
    """A drawing under its title, with what one must know to read it below."""
    return el(
        "figure",
        el("figcaption", el("strong", caption)),
        el("div", drawing, class_="scroll"),
        el("p", note, class_="note") if note else None,
    )


def decimals(values: Iterable[float | None]) -> int:
    """How many decimals keep about four digits of the largest of the values."""
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    return next((places for bound, places in ((1.5, 4), (10, 3), (100, 2), (10_000, 1)) if largest < bound), 0)


def number(value: float | None, places: int, signed: bool = False) -> str:
    """A number with a real minus sign; `–` where nothing was measured."""
    if value is None:
        return "–"
    text = f"{value:{'+' if signed else ''},.{places}f}"
    if not float(text.replace(",", "")):  # no sign on a zero
        text = text.lstrip("+-")
    return text.replace("-", "−")


def interval(estimate: dict[str, Any], places: int, signed: bool = False) -> str:
    """`low to high`, or nothing where an estimate has no interval."""
    if estimate["low"] is None or estimate["high"] is None:
        return ""
    return f"{number(estimate['low'], places, signed)} to {number(estimate['high'], places, signed)}"


def percent(part: float, whole: float = 1.0) -> str:
    """A share with one decimal."""
    return f"{100 * part / whole:.1f}%" if whole else "–"
