"""How seconds and memory of each group of nodes grow with the number of events: a table and a picture.

    python benchmarks/growth.py benchmarks/results/*.json --picture benchmarks/results/growth.svg

The exponent of a group is the slope of log seconds over log events between the two largest runs.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

GROUPS = (
    "ExampleGen",
    "StatisticsGen",
    "EventJoiner",
    "Transform",
    "RetrievalTrainer",
    "CandidateGenerator",
    "RankingTrainer",
    "Evaluators",
)
WHOLE = "the whole command"
COLOURS = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#b07aa1", "#9c755f", "#edc948", "#222222")
WIDTH, HEIGHT, LEFT, TOP, RIGHT, FOOT = 900, 430, 60, 40, 190, 50


def growth(
    figures: list[dict[str, Any]], members: dict[str, tuple[str, ...]]
) -> dict[str, list[tuple[int, float, float]]]:
    """Return group → (events, seconds, gigabytes) of each run of our pipeline."""
    result: dict[str, list[tuple[int, float, float]]] = {}
    for run in sorted(figures, key=lambda run: run["events"]):
        events, ours = run["events"], run["ours"]
        for group in GROUPS:
            nodes = [node for node in ours["nodes"] if node["name"] in members[group]]
            seconds = sum(node["end"] - node["start"] for node in nodes)
            result.setdefault(group, []).append((events, seconds, max(node["memory"] for node in nodes) / 1e9))
        result.setdefault(WHOLE, []).append((events, ours["seconds"], ours["memory"] / 1e9))
    return result


def exponent(points: list[tuple[int, float, float]]) -> float:
    """Return the slope of log seconds over log events between the last two points."""
    (first, before, _), (last, after, _) = points[-2:]
    return math.log(after / before) / math.log(last / first)


def table(groups: dict[str, list[tuple[int, float, float]]]) -> str:
    """Return a Markdown table of seconds and gigabytes."""
    counts = [events for events, _, _ in next(iter(groups.values()))]
    heads = ["nodes", *(f"{events:,} events" for events in counts), "exponent"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for group, points in groups.items():
        cells = [f"{seconds:,.1f} s, {memory:.1f} GB" for _, seconds, memory in points]
        lines.append(f"| {' | '.join([group, *cells, f'{exponent(points):.2f}'])} |")
    return "\n".join(lines)


def picture(groups: dict[str, list[tuple[int, float, float]]]) -> str:
    """Return an SVG of seconds over events, both axes logarithmic."""
    events = [point[0] for points in groups.values() for point in points]
    seconds = [max(point[1], 0.1) for points in groups.values() for point in points]
    low_x, high_x = math.log10(min(events)), math.log10(max(events))
    low_y, high_y = math.floor(math.log10(min(seconds))), math.ceil(math.log10(max(seconds)))

    def x(count: float) -> float:
        return LEFT + (math.log10(count) - low_x) / (high_x - low_x) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - FOOT - (math.log10(max(value, 0.1)) - low_y) / (high_y - low_y) * (HEIGHT - TOP - FOOT)

    parts = [f'<text x="{LEFT}" y="22" font-size="15">Seconds by number of events</text>']
    for power in range(low_y, high_y + 1):
        parts.append(f'<path d="M{LEFT} {y(10**power):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(10**power) + 4:.1f}" text-anchor="end">{10**power:g}</text>')
    for count in sorted(set(events)):
        parts.append(f'<text x="{x(count):.1f}" y="{HEIGHT - FOOT + 22}" text-anchor="middle">{count:,}</text>')
    labels = sorted(((y(points[-1][1]), group) for group, points in groups.items()), reverse=True)
    place = dict[str, float]()
    for wanted, group in labels:  # no label is drawn over another
        place[group] = min([wanted, *(other - 16 for other in place.values())])
    for (group, points), colour in zip(groups.items(), COLOURS, strict=True):
        line = " ".join(f"{x(count):.1f},{y(value):.1f}" for count, value, _ in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x(n):.1f}" cy="{y(value):.1f}" r="3" fill="{colour}"/>' for n, value, _ in points]
        parts.append(f'<text x="{WIDTH - RIGHT + 10}" y="{place[group] + 4:.1f}" fill="{colour}">{group}</text>')
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box}>'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>\n"])


def main() -> None:
    """Print the table, and write the picture."""
    import dag

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("figures", type=Path, nargs="+", help="JSON files of dag.py, with at least two runs together")
    parser.add_argument("--picture", type=Path, required=True, help="the SVG file to write")
    given = parser.parse_args()
    figures = [run for file in given.figures for run in json.loads(file.read_text())["figures"]]
    groups = growth(figures, dag.GROUPS)
    print(table(groups))
    given.picture.write_text(picture(groups))


if __name__ == "__main__":
    main()
