"""Elements of HTML and SVG with escaped text, and numbers as text."""

import html
from collections.abc import Iterable, Sequence
from typing import Any

_VOID = {"meta", "br", "img"}


class Html(str):
    """Markup, which is inserted as it is; any other string is escaped."""


def el(tag: str, *children: object, **attributes: Any) -> Html:
    """Return an element.

    Args:
      tag: the name of the element.
      children: markup or text; None is ignored.
      attributes: attribute → value; None is ignored, a float has at most one decimal. `class_` stands for `class`,
        `stroke_width` for `stroke-width`.
    """
    text = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(_text(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{tag}{text}>" if tag in _VOID else f"<{tag}{text}>{join(children)}</{tag}>")


def join(children: Iterable[object]) -> Html:
    """Return markup and text, concatenated."""
    kept = (child for child in children if child is not None)
    return Html("".join(child if isinstance(child, Html) else html.escape(_text(child)) for child in kept))


def _text(value: object) -> str:
    """Format the value of an attribute or a child as text."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def table(head: Sequence[object], rows: Iterable[Iterable[Html]], caption: str, class_: str = "") -> Html:
    """Return a table in a frame that scrolls if it is too wide.

    Args:
      head: the headings of the columns.
      rows: the cells of each row, as `th` or `td` elements.
      caption: a description for screen readers.
      class_: the CSS class of the table.
    """
    heads = [each if isinstance(each, Html) else el("th", each, scope="col") for each in head]
    inside = el(
        "table",
        el("caption", caption, class_="unseen"),
        el("thead", el("tr", *heads)),
        el("tbody", *(el("tr", *row) for row in rows)),
        class_=class_ or None,
    )
    # Focusable, so that it can be scrolled by keyboard.
    return el("div", inside, class_="scroll", tabindex="0", role="region", aria_label=caption)


def figure(drawing: Html, caption: str, note: str | None = None) -> Html:
    """Return a drawing with a caption above and a note below."""
    return el(
        "figure",
        el("figcaption", el("strong", caption)),
        el("div", drawing, class_="scroll"),
        el("p", note, class_="note") if note else None,
    )


def decimals(values: Iterable[float | None]) -> int:
    """Return the number of decimals for about four digits of the largest value."""
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    return next((places for bound, places in ((1.5, 4), (10, 3), (100, 2), (10_000, 1)) if largest < bound), 0)


def number(value: float | None, places: int, signed: bool = False) -> str:
    """Format a number with a minus sign (U+2212); `–` for None."""
    if value is None:
        return "–"
    text = f"{value:{'+' if signed else ''},.{places}f}"
    if not float(text.replace(",", "")):  # no sign if the number is rounded to zero
        text = text.lstrip("+-")
    return text.replace("-", "−")


def interval(estimate: dict[str, Any], places: int, signed: bool = False) -> str:
    """Format the interval of an estimate as `low to high`; empty without one."""
    if estimate["low"] is None or estimate["high"] is None:
        return ""
    return f"{number(estimate['low'], places, signed)} to {number(estimate['high'], places, signed)}"


def percent(part: float, whole: float = 1.0) -> str:
    """Format a share as a percentage with one decimal."""
    return f"{100 * part / whole:.1f}%" if whole else "–"
