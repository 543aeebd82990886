"""The parts of the report that tell how the release was made: data, training, nodes, lineage."""

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

from core import names
from pipeline.report import charts
from pipeline.report.facts import ReportFacts
from pipeline.report.glossary import METRICS, metric_title
from pipeline.report.markup import Html, decimals, el, figure, join, number, percent, table
from pipeline.runners.progress import duration

_STATES = {"done": "", "cached": "from cache", "skipped": "skipped", "failed": "failed"}
_SHADES = 3  # colours of the parts of a bar, in the page's style

Json = dict[str, Any]


def data_section(facts: ReportFacts) -> Html:
    """Rows read, dropped and divided."""
    parts: list[Html | None] = []
    if facts.tables:
        rows = [_table_row(name, report) for name, report in facts.tables.items()]
        head = ["table", "rows read", "rows kept", *map(_words_head, ("dropped", "columns left aside", "files"))]
        parts.append(table(head, rows, "Rows of the tables"))
    if facts.join is not None:
        parts.append(_splits(facts.join))
    if facts.exposures is not None:
        shown = facts.exposures["rows"] + sum(facts.exposures["dropped"].values())
        dropped, left = _dropped(facts.exposures["dropped"], shown), f"{facts.exposures['not_chosen']:,}"
        told = f"Dropped of the exposures: {dropped}. Shown and not chosen, for the ranker to learn from: {left} items"
        parts.append(el("p", f"{told}, counted once a query.", class_="note"))
    problems = [str(problem) for report in facts.tables.values() for problem in report.get("problems", ())]
    parts.append(el("ul", *(el("li", problem) for problem in problems)) if problems else None)
    return join(parts) if parts[0] is not None else _nothing("The run did not come to its data.")


def _table_row(name: str, report: Json) -> list[Html]:
    files = [
        el(
            "div",
            el("code", each["file"].rpartition("/")[2]),
            el("small", f"{each['rows']:,} rows, sha256 {each['sha256'][:12]}"),
        )
        for each in report["files"]
    ]
    if report.get("spans"):
        files.insert(0, el("div", f"spans {', '.join(report['spans'])}"))
    return [
        el("th", name, scope="row"),
        el("td", f"{report['rows_read']:,}"),
        el("td", f"{report['rows_written']:,}"),
        el("td", _dropped(report["dropped"], report["rows_read"]), class_="words"),
        el("td", ", ".join(report["ignored_columns"]) or "none", class_="words"),
        el("td", *files, class_="words"),
    ]


def _words_head(title: str) -> Html:
    return el("th", title, scope="col", class_="words")


def _dropped(reasons: Mapping[str, int], rows: int) -> str:
    """How many of `rows` were dropped, by reason, and their share."""
    if not sum(reasons.values()):
        return "none"
    counts = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in reasons.items())
    return f"{counts} ({percent(sum(reasons.values()), rows)})"


def _splits(report: Json) -> Html:
    order = [split for split in (names.TRAIN, names.EVAL, names.TEST) if split in report["rows"]]
    counts = {split: report["rows"][split] for split in [*order, *sorted(report["rows"].keys() - set(order))]}
    total, left_out = sum(counts.values()), sum(report["dropped"].values())
    told = [f"{split} {count:,} ({percent(count, total)})" for split, count in counts.items()]
    bars = [
        el("span", class_=f"part shade{place % _SHADES}", style=f"width:{100 * count / total:.2f}%")
        for place, count in enumerate(counts.values())
        if total
    ]
    keys = [
        el("li", el("span", class_=f"key shade{place % _SHADES}", aria_hidden="true"), text)
        for place, text in enumerate(told)
    ]
    return el(
        "div",
        el("h3", "Events by split"),
        el("div", *bars, class_="bar", role="img", aria_label=", ".join(told)),
        el("ul", *keys, class_="keys"),
        el("p", f"Dropped in the join: {_dropped(report['dropped'], total + left_out)}.", class_="note"),
    )


def training_section(facts: ReportFacts) -> Html:
    """What each trainer was told, what it chose and how it got there; and what the index is worth."""
    logs = (("Retrieval", facts.retrieval), ("Ranking", facts.ranking))
    parts = [el("div", *(_training(title, log) for title, log in logs if log is not None), class_="pair")]
    if facts.index is not None:
        recall = facts.index["recall"]
        found = (
            f"finds {percent(recall)} of what exact search finds"
            if recall is not None
            else "its model has no embeddings to search"
        )
        parts.append(el("p", f"Index: {facts.index['kind']}, {facts.index['items']:,} items; {found}.", class_="note"))
    if facts.retrieval is None and facts.ranking is None:
        return _nothing("The run did not come to its training.")
    return join(parts)


def _training(title: str, log: Json) -> Html:
    curve = log.get("curve") or []
    along, *measured = curve[0] if curve else [""]  # such as the epoch, and what was measured at each
    drawn = []
    for key in measured:
        points = [(each[along], each[key]) for each in curve if each.get(key) is not None]
        caption = f"{metric_title(key) if '@' in key else key.capitalize()} by {along}"
        if points:
            told = ", ".join(number(value, decimals([value])) for _, value in points)
            drawn.append(figure(charts.curve(f"{title}: {caption}. {told}.", points, log.get(along)), caption))
    chosen = log.get("chosen", {})
    rows = [
        [el("th", key, scope="row"), el("td", _setting(value)), el("td", _chosen(chosen.get(key), value))]
        for key, value in log.get("settings", {}).items()
    ]
    head = ["setting", "given", "chosen"] if chosen else ["setting", "given"]
    return el(
        "div",
        el("h3", f"{title}: ", el("code", log["model"])),
        *drawn,
        None if curve else el("p", "This model keeps no curve.", class_="note"),
        el("p", _KEPT, class_="note") if log.get("kept_retrievers_order") else None,
        table(head, [row[: len(head)] for row in rows], f"Settings of the {title.lower()} model") if rows else None,
        _told(log),
    )


_KEPT = "Nothing it learned was better on held-out users than the retriever's order, which it kept: it changes no list."


def _told(log: Json) -> Html | None:
    """The columns that a ranker looks at, and where it can say how much it made of each."""
    told, importance = log.get("told", ()), log.get("importance")
    if not importance:
        return el("p", f"It is told: {', '.join(told)}.", class_="note") if told else None
    most = max(importance.values()) or 1.0
    rows = [
        [
            el("th", name, scope="row"),
            el("td", percent(share)),
            el("td", el("span", class_="length", style=f"width:{100 * share / most:.2f}%"), class_="wide"),
        ]
        for name, share in importance.items()
        if share
    ]
    unused = [name for name, share in importance.items() if not share]
    unseen = el("th", el("span", "share of the largest", class_="unseen"), scope="col")
    caption = "Share of what its trees gained by asking about each column that they are told"
    return join(
        [
            el("h3", caption),
            table(["column", "share", unseen], rows, caption, "nodes"),
            el("p", f"Never asked about: {', '.join(unused)}.", class_="note") if unused else None,
        ]
    )


def _chosen(value: object, given: object) -> Html | str:
    return _setting(value) if value == given else el("strong", _setting(value))


def _setting(value: object) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def nodes_section(nodes: Sequence[tuple[str, str, float]]) -> Html:
    """How long each node took, and which were taken from cache."""
    if not nodes:
        return _nothing("No node is recorded.")
    longest = max(seconds for _, _, seconds in nodes) or 1.0
    cached = sum(state == "cached" for _, state, _ in nodes)
    total = f"{len(nodes)} nodes in {duration(sum(seconds for _, _, seconds in nodes))}, {cached} from cache."
    rows = [
        [
            el("th", node, scope="row"),
            el("td", duration(seconds)),
            el(
                "td", el("span", class_=f"length {state}", style=f"width:{100 * seconds / longest:.2f}%"), class_="wide"
            ),
            el("td", _STATES.get(state, state), class_="words"),
        ]
        for node, state, seconds in nodes
    ]
    unseen = el("th", el("span", "share of the longest", class_="unseen"), scope="col")
    return join(
        [el("p", total), table(["node", "time", unseen, _words_head("state")], rows, "Duration of each node", "nodes")]
    )


def lineage_section(svg: str | None) -> Html:
    """The drawing, as an image of its own: nothing in it can touch the page."""
    if svg is None:
        return _nothing("There is no lineage to draw: nothing was released.")
    size = re.search(r'<svg[^>]*? width="([\d.]+)"', svg)
    image = el(
        "img",
        src=f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}",
        width=size[1] if size else None,
        alt="Nodes and artifacts, from the source files at the top to the release; `twostep lineage` tells it as text",
    )
    about = "From the source files down to the release: a box is a node with what it put out, an arrow what it read."
    return join(
        [el("p", about), el("div", image, class_="scroll drawing", tabindex="0", role="region", aria_label="Lineage")]
    )


def reading_section() -> Html:
    """How to read each metric."""
    terms = [join([el("dt", f"{each.title}@k"), el("dd", each.meaning)]) for each in METRICS.values()]
    about = "Each looks at the first k places of a list. Relevant is what the user took in the test split."
    return join([el("p", about), el("dl", *terms)])


def _nothing(why: str) -> Html:
    return el("p", why, class_="note")
