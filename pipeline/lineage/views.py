"""Views of a lineage: an indented tree, JSON, or an SVG drawing."""

import html
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from core.names import RELEASE_TYPE
from core.printable import printable
from pipeline.lineage.graph import VERSION, Artifact, Lineage, Source, to_json

# Sizes of the drawing in pixels.
_LINE, _CHARACTER, _PADDING, _GAP_X, _GAP_Y = 16, 7.0, 10, 18, 36
_SWEEPS = 6
_MAX_FILES = 4  # the number of source files that the box of a table names


def as_json(lineage: Lineage) -> str:
    """Return the lineage as a JSON object with `direction`, `roots`, `artifacts` and `executions`."""
    return json.dumps(to_json(lineage), indent=2, ensure_ascii=False) + "\n"


def as_text(lineage: Lineage) -> str:
    """Return the lineage as an indented tree, one artifact per line; a repeated subtree is replaced by `(above)`."""
    shown: set[int] = set()

    def lines(artifact_id: int, first: str, rest: str) -> Iterator[str]:
        maker = lineage.maker(artifact_id)
        # All outputs of an execution have the same lineage back to the source files, so it is printed once.
        key = maker.id if maker and lineage.direction == "back" else -artifact_id
        again = key in shown and bool(lineage.next(artifact_id) or lineage.artifacts[artifact_id].sources)
        yield first + _line(lineage, artifact_id) + ("  (above)" if again else "")
        if again:
            return
        shown.add(key)
        below: list[int | str] = [*lineage.next(artifact_id)]
        if lineage.direction == "back":
            below += [_source_line(source) for source in lineage.artifacts[artifact_id].sources]
            below += [f"compared with {_line(lineage, each)}" for each in (maker.compared_with if maker else ())]
        for index, each in enumerate(below):
            last = index == len(below) - 1
            branch, stem = rest + ("└ " if last else "├ "), rest + ("  " if last else "│ ")
            if isinstance(each, str):
                yield branch + each
            else:
                yield from lines(each, branch, stem)

    result: list[str] = []
    for root in lineage.roots:
        if lineage.direction == "forward":
            result += map(_source_line, lineage.artifacts[root].sources)
        result += lines(root, "", "")
    return "\n".join(result) + "\n"


def _kind(artifact: Artifact) -> str:
    """Return the type of an artifact without its package."""
    return artifact.type.rpartition(".")[2]


def _line(lineage: Lineage, artifact_id: int) -> str:
    """Return the line of an artifact."""
    artifact, maker = lineage.artifacts[artifact_id], lineage.maker(artifact_id)
    version = artifact.properties.get(VERSION) if artifact.type == RELEASE_TYPE else None
    name = f"{_kind(artifact)} {version}" if version is not None else _kind(artifact)
    made = f"  by {maker.node}, {maker.started[:16].replace('T', ' ')}" if maker else ""
    return printable(f"{name} (artifact:{artifact_id}){made}")


def _source_line(source: Source) -> str:
    """Return the line of a source file."""
    details = [
        f"{source.rows:,} rows" if source.rows is not None else "",
        f"sha256 {source.sha256[:12]}" if source.sha256 else "",
    ]
    text = ", ".join(filter(None, details))
    return printable(f"file {source.file}" + (f"  {text}" if text else ""))


@dataclass
class _Box:
    """A box of the drawing: an execution, an artifact without execution, source files, or a waypoint of an arrow."""

    title: str
    lines: list[str]
    kind: str
    before: set[str] = field(default_factory=set)
    layer: int = 0
    x: float = 0.0
    y: float = 0.0
    height: float = 0.0

    @property
    def width(self) -> float:
        """Return the width in pixels."""
        longest = max(len(self.title) * 1.08, *map(len, self.lines), 8)
        return 0 if self.kind == "waypoint" else longest * _CHARACTER + 2 * _PADDING

    @property
    def middle(self) -> float:
        """Return the x coordinate of the centre."""
        return self.x + self.width / 2


def as_svg(lineage: Lineage) -> str:
    """Return the lineage as an SVG drawing, from the source files at the top downwards.

    A box is a node with its output artifacts; an arrow leads to a node that read one of them.
    """
    boxes = _boxes(lineage)
    _layer(boxes)
    _route(boxes)
    width, height = _place(boxes)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="ui-monospace, Menlo, monospace" font-size="11.5">',
        "<title>Lineage</title>",
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#7a8699"/></marker></defs>',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        *(_arrow(boxes[before], box) for box in boxes.values() for before in sorted(box.before)),
        *(_drawn(box) for box in boxes.values() if box.kind != "waypoint"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _boxes(lineage: Lineage) -> dict[str, _Box]:
    """Return key → box; each box holds the keys of the boxes that it depends on."""
    boxes: dict[str, _Box] = {}
    box_of: dict[int, str] = {}  # artifact → its box
    for execution in lineage.executions.values():
        key = f"execution {execution.id}"
        made = [each for each in execution.outputs if each in lineage.artifacts]
        if made:
            kind = "root" if set(made) & set(lineage.roots) else "node"
            boxes[key] = _Box(execution.node, [_label(lineage, each) for each in made], kind)
            box_of |= dict.fromkeys(made, key)
    compared = {each for execution in lineage.executions.values() for each in execution.compared_with}
    for artifact_id in lineage.artifacts:
        if artifact_id not in box_of:
            box_of[artifact_id] = key = f"artifact {artifact_id}"
            kind = "root" if artifact_id in lineage.roots else "node"
            title = "compared with" if artifact_id in compared else "no recorded node"
            boxes[key] = _Box(title, [_label(lineage, artifact_id)], kind)
    for execution in lineage.executions.values():
        if (key := f"execution {execution.id}") in boxes:
            boxes[key].before |= {
                box_of[each] for each in (*execution.inputs, *execution.compared_with) if each in box_of
            }
    for artifact in lineage.artifacts.values():
        if artifact.sources:
            key = f"files {artifact.id}"
            names = [source.file.rpartition("/")[2] for source in artifact.sources]
            more = [f"and {len(names) - _MAX_FILES} more"] if len(names) > _MAX_FILES else []
            boxes[key] = _Box("source", names[:_MAX_FILES] + more, "file")
            boxes[box_of[artifact.id]].before.add(key)
    return boxes


def _label(lineage: Lineage, artifact_id: int) -> str:
    """Return the text of an artifact's line in a box."""
    artifact = lineage.artifacts[artifact_id]
    version = artifact.properties.get(VERSION) if artifact.type == RELEASE_TYPE else None
    return f"{_kind(artifact)} {version if version is not None else artifact_id}"


def _layer(boxes: dict[str, _Box]) -> None:
    """Assign each box to the layer below all boxes that it depends on."""
    pending = dict(boxes)
    while pending:
        ready = [key for key, box in pending.items() if not box.before & pending.keys()]
        for key in ready:
            box = pending.pop(key)
            box.layer = 1 + max((boxes[before].layer for before in box.before), default=-1)


def _route(boxes: dict[str, _Box]) -> None:
    """Add waypoints for arrows that skip layers, one per layer and source box."""
    for box in list(boxes.values()):
        for start in sorted(box.before):
            last = start
            for layer in range(boxes[start].layer + 1, box.layer):
                key = f"waypoint {layer} {start}"
                boxes.setdefault(key, _Box("", [], "waypoint", {last}, layer))
                last = key
            box.before = box.before - {start} | {last}


def _place(boxes: dict[str, _Box]) -> tuple[float, float]:
    """Set the position of each box; return the width and height of the drawing."""
    layers: list[list[_Box]] = [[] for _ in range(1 + max((box.layer for box in boxes.values()), default=0))]
    above: dict[int, list[_Box]] = {id(box): [boxes[key] for key in sorted(box.before)] for box in boxes.values()}
    below: dict[int, list[_Box]] = {id(box): [] for box in boxes.values()}
    for box in boxes.values():
        layers[box.layer].append(box)
        for each in above[id(box)]:
            below[id(each)].append(box)
    y = float(_PADDING)
    for layer in layers:
        for box in layer:
            box.y, box.height = y, (1 + len(box.lines)) * _LINE + 2 * _PADDING - 4
        tallest = max(box.height for box in layer)
        for box in layer:
            box.height = tallest if box.kind == "waypoint" else box.height
        y += tallest + _GAP_Y
    for layer in layers:
        _spread(layer, {})
    for _ in range(_SWEEPS):  # align boxes with those after and before them in turn, to reduce crossings
        for layer in reversed(layers):
            _spread(layer, below)
        for layer in layers:
            _spread(layer, above)
    left = min(box.x for box in boxes.values()) - _PADDING
    for box in boxes.values():
        box.x -= left
    return max(box.x + box.width for box in boxes.values()) + _PADDING, y - _GAP_Y + _PADDING


def _spread(layer: list[_Box], neighbours: dict[int, list[_Box]]) -> None:
    """Place the boxes of a layer side by side, each as close to the centre of its neighbours as possible."""
    targets = {id(box): _mean([each.middle for each in neighbours.get(id(box), ())], box.middle) for box in layer}
    layer.sort(key=lambda box: targets[id(box)])
    edge = float("-inf")
    for box in layer:
        box.x = max(edge, targets[id(box)] - box.width / 2)
        edge = box.x + box.width + _GAP_X
    shift = _mean([targets[id(box)] - box.middle for box in layer], 0.0)
    for box in layer:
        box.x += shift


def _mean(values: list[float], otherwise: float) -> float:
    """Return the mean of values, or `otherwise` if there are none."""
    return sum(values) / len(values) if values else otherwise


def _arrow(start: _Box, end: _Box) -> str:
    """Return a curve from the bottom of a box to the top of another; a waypoint is crossed vertically."""
    x1, y1, x2, y2 = start.middle, start.y + start.height, end.middle, end.y
    bend = (y2 - y1) / 2
    rest = f"V{y2 + end.height:.0f}" if end.kind == "waypoint" else ""
    head = "" if end.kind == "waypoint" else ' marker-end="url(#arrow)"'
    return (
        f'<path d="M{x1:.0f} {y1:.0f}C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} {x2:.0f} {y2:.0f}{rest}" '
        f'fill="none" stroke="#7a8699" stroke-opacity="0.7"{head}/>'
    )


def _drawn(box: _Box) -> str:
    """Return the SVG of a box."""
    fill, stroke = {"root": ("#fff4d6", "#b7791f"), "file": ("#eef7ee", "#4d8b57"), "node": ("#eef3fb", "#4a6fa5")}[
        box.kind
    ]
    bold = ' font-weight="bold"'
    lines = [
        f'<text x="{box.x + _PADDING:.0f}" y="{box.y + _PADDING + 8 + index * _LINE:.0f}" fill="#1f2937"'
        f"{bold if index == 0 else ''}>{html.escape(text)}</text>"
        for index, text in enumerate([box.title, *box.lines])
    ]
    frame = (
        f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{box.width:.0f}" height="{box.height:.0f}" rx="5" '
        f'fill="{fill}" stroke="{stroke}"/>'
    )
    return "\n".join([frame, *lines])
