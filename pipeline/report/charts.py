"""Charts of the report as SVG: estimates with intervals, and curves. The page's style sets the colours."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.report.markup import Html, decimals, el, number

# Sizes in pixels.
_WIDTH, _ROW, _HEAD, _AXIS, _CHARACTER = 420, 22, 26, 30, 7.2
_LABEL = (90, 170)  # minimum and maximum width of the labels
_TICK = 45  # minimum distance between two ticks, so that their numbers do not overlap
_CURVE = (420, 220)


@dataclass(frozen=True)
class Dot:
    """An estimate.

    Args:
      label: the name of the estimate.
      mean, low, high: the estimate and its interval; None if it was not measured.
      strong: whether it is emphasised.
      note: the text to the right of the estimate; None for its value.
    """

    label: str
    mean: float | None
    low: float | None = None
    high: float | None = None
    strong: bool = False
    note: str | None = None


def intervals(title: str, groups: Sequence[tuple[str, Sequence[Dot]]], mark: float | None = None) -> Html:
    """Return a chart with a row per estimate, a dot and a bar for its interval, and one axis, which includes zero.

    Args:
      title: a description for screen readers.
      groups: the heading, which may be empty, and the estimates of each group.
      mark: the value of a vertical line, such as the overall mean.
    """
    dots = [dot for _, group in groups for dot in group]
    ends = [end for dot in dots for end in (dot.mean, dot.low, dot.high, mark, 0.0) if end is not None]
    places = decimals(dot.mean for dot in dots)
    notes = [number(dot.mean, places) if dot.note is None else dot.note for dot in dots]
    left = min(max(_width([dot.label for dot in dots]), _LABEL[0]), _LABEL[1]) + 12
    right = _WIDTH - _width(notes) - 16
    ticks = _ticks(min(ends), max(ends), min(5, max(2, int((right - left) / _TICK))))
    height = sum(_HEAD * bool(heading) + _ROW * len(group) for heading, group in groups) + _AXIS

    def x(value: float) -> float:
        return left + (right - left) * (value - ticks[0]) / (ticks[-1] - ticks[0])

    parts = _x_axis([(x(tick), number(tick, _places(ticks))) for tick in ticks], height - _AXIS)
    if ticks[0] < 0:
        parts.append(_line(x(0), 0, x(0), height - _AXIS, "zero"))
    if mark is not None:
        parts.append(_line(x(mark), 0, x(mark), height - _AXIS, "mark"))
    y, rest = 0.0, iter(notes)
    for heading, group in groups:
        if heading:
            parts.append(el("text", heading, x=0, y=y + 18, class_="heading"))
            y += _HEAD
        for dot in group:
            y += _ROW
            parts.append(_dot(dot, next(rest), y - _ROW / 2, left, x, places))
    return _drawing(title, _WIDTH, height, parts, "" if all(dot.strong for dot in dots) else "mixed")


def _dot(dot: Dot, note: str, y: float, left: float, x, places: int) -> Html:
    """Return the row of an estimate."""
    text = f"{dot.label}: {number(dot.mean, places)}"
    drawn: list[Html] = []
    if dot.low is not None and dot.high is not None:
        text += f" ({number(dot.low, places)} to {number(dot.high, places)})"
        drawn.append(_line(x(dot.low), y, x(dot.high), y, "interval"))
    if dot.mean is not None:
        drawn.append(el("circle", cx=x(dot.mean), cy=y, r=4.5))
    return el(
        "g",
        el("title", text if dot.mean is not None else f"{dot.label}: not measured"),
        el("text", _shortened(dot.label, left - 12), x=left - 10, y=y + 4, text_anchor="end"),
        *drawn,
        el("text", note, x=_WIDTH, y=y + 4, text_anchor="end", class_="value"),
        class_="strong" if dot.strong else None,
    )


def curve(title: str, points: Sequence[tuple[float, float]], chosen: float | None = None) -> Html:
    """Return a chart of a line through points, whose x is an integer such as an epoch, with the chosen point marked.

    Args:
      title: a description for screen readers.
      points: at least one, with increasing x.
      chosen: the x of the chosen point.
    """
    width, height = _CURVE
    values = [value for _, value in points]
    ticks = _ticks(min(values), max(values))
    left, right, top, bottom = (
        _width([number(tick, _places(ticks)) for tick in ticks]) + 10,
        width - 14,
        22,
        height - _AXIS,
    )
    first, last = points[0][0], points[-1][0]

    def at(point: tuple[float, float]) -> tuple[float, float]:
        across = (point[0] - first) / (last - first) if last > first else 0.5
        return left + (right - left) * across, bottom - (bottom - top) * (point[1] - ticks[0]) / (ticks[-1] - ticks[0])

    parts: list[Html] = []
    for tick in ticks:
        _, y = at((first, tick))
        parts += [
            _line(left, y, right, y, "grid"),
            el("text", number(tick, _places(ticks)), x=left - 8, y=y + 4, text_anchor="end", class_="tick"),
        ]
    step = max(1, math.ceil(len(points) / 10))
    for point in points[::step]:
        parts.append(el("text", f"{point[0]:g}", x=at(point)[0], y=bottom + 18, text_anchor="middle", class_="tick"))
    parts.append(el("polyline", points=" ".join(f"{px:.1f},{py:.1f}" for px, py in map(at, points)), class_="curve"))
    for point in points:
        px, py = at(point)
        kept = point[0] == chosen
        text = f"{point[0]:g}: {number(point[1], decimals(values))}{', chosen' if kept else ''}"
        parts.append(
            el("circle", el("title", text), cx=px, cy=py, r=6 if kept else 3, class_="kept" if kept else "step")
        )
        if kept:
            anchor = "start" if px < left + 30 else "end" if px > right - 30 else "middle"
            parts.append(el("text", "chosen", x=px, y=py - 11, text_anchor=anchor, class_="value"))
    return _drawing(title, width, height, parts, "")


def trade_off(title: str, axes: tuple[str, str], points: Sequence[tuple[float, float, str]], chosen: int) -> Html:
    """Return a chart of a line through labelled points, each with the values of two metrics; one point is marked.

    Args:
      title: a description for screen readers.
      axes: the titles of the x and the y axis.
      points: at least one: x, y and label.
      chosen: the index of the chosen point.
    """
    width, height = _CURVE
    across, up = (_ticks(min(values), max(values)) for values in ([x for x, _, _ in points], [y for _, y, _ in points]))
    up_texts = [number(tick, _places(up)) for tick in up]
    left, right, top, bottom = _width(up_texts) + 10, width - 22, 30, height - _AXIS - 18

    def x(value: float) -> float:
        return left + (right - left) * (value - across[0]) / (across[-1] - across[0])

    def y(value: float) -> float:
        return bottom - (bottom - top) * (value - up[0]) / (up[-1] - up[0])

    parts: list[Html] = []
    for tick, text in zip(up, up_texts, strict=True):
        parts += [
            _line(left, y(tick), right, y(tick), "grid"),
            el("text", text, x=left - 8, y=y(tick) + 4, text_anchor="end", class_="tick"),
        ]
    for tick in across:
        text = number(tick, _places(across))
        parts.append(el("text", text, x=x(tick), y=bottom + 18, text_anchor="middle", class_="tick"))
    parts += [
        el("text", axes[1], x=0, y=12, class_="heading"),
        el("text", axes[0], x=right, y=height - 4, text_anchor="end", class_="heading"),
        el("polyline", points=" ".join(f"{x(one[0]):.1f},{y(one[1]):.1f}" for one in points), class_="curve"),
    ]
    for index, (x_value, y_value, label) in enumerate(points):
        kept = index == chosen
        dot = {"cx": x(x_value), "cy": y(y_value), "r": 6 if kept else 4, "class_": "kept" if kept else "step"}
        mark = ", configured" if kept else ""
        text = f"{label}: {axes[0]} {number(x_value, 4)}, {axes[1]} {number(y_value, 4)}{mark}"
        parts.append(el("circle", el("title", text), **dot))
        offset = 22 if kept else -10  # below the line, apart from the other labels
        parts.append(
            el("text", f"{label}{mark}", x=x(x_value), y=y(y_value) + offset, text_anchor="middle", class_="value")
        )
    return _drawing(title, width, height, parts, "")


def _drawing(title: str, width: float, height: float, parts: Sequence[Html], class_: str) -> Html:
    """Return an SVG element."""
    return el(
        "svg", *parts, xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width:.0f} {height:.0f}", width=width,
        height=height, role="img", aria_label=title, class_=class_ or None,
    )  # fmt: skip


def _x_axis(ticks: Sequence[tuple[float, str]], foot: float) -> list[Html]:
    """Return vertical lines at the ticks, with their numbers at the bottom."""
    lines = [_line(x, 0, x, foot, "grid") for x, _ in ticks]
    return lines + [el("text", text, x=x, y=foot + 18, text_anchor="middle", class_="tick") for x, text in ticks]


def _line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Html:
    """Return a line."""
    return el("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def _ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return evenly spaced round values that span `low` to `high`."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / about))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= about)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * index for index in range(first, max(last, first + 1) + 1)]


def _places(ticks: Sequence[float]) -> int:
    """Return the number of decimals that distinguishes ticks."""
    return max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))


def _width(texts: Sequence[str]) -> float:
    """Return the width of the longest text in pixels."""
    return max(map(len, texts), default=0) * _CHARACTER


def _shortened(text: str, width: float) -> str:
    """Return a text, cut if it is wider than `width` pixels."""
    length = int(width / _CHARACTER)
    return text if len(text) <= length else text[: length - 1] + "…"
