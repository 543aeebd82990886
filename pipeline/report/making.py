"""The sections of the report on data, training, nodes and lineage."""

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
_SHADES = 3  # the number of colours of the parts of a bar in the page's style

Json = dict[str, Any]


def data_section(facts: ReportFacts) -> Html:
    """Return the section on the rows of the tables and the splits."""
    parts: list[Html | None] = []
    if facts.tables:
        rows = [_table_row(name, report) for name, report in facts.tables.items()]
        head = ["table", "rows read", "rows kept", *map(_words_head, ("dropped", "ignored columns", "files"))]
        parts.append(table(head, rows, "Rows of the tables"))
    if facts.join is not None:
        parts.append(_splits(facts.join))
    if facts.impressions is not None:
        shown = facts.impressions["rows"] + sum(facts.impressions["dropped"].values())
        dropped, not_chosen = _dropped(facts.impressions["dropped"], shown), facts.impressions["not_chosen"]
        note = f"Dropped impressions: {dropped}. Items shown and not chosen, once per query: {not_chosen:,}."
        parts.append(el("p", note, class_="note"))
    problems = [str(problem) for report in facts.tables.values() for problem in report.get("problems", ())]
    parts.append(el("ul", *(el("li", problem) for problem in problems)) if problems else None)
    return join(parts) if parts[0] is not None else _nothing("The run did not read its tables.")


def _table_row(name: str, report: Json) -> list[Html]:
    """Return the cells of the row that describes a table."""
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
    """Return the heading of a column of text."""
    return el("th", title, scope="col", class_="words")


def _dropped(reasons: Mapping[str, int], rows: int) -> str:
    """Format the dropped rows by reason, and their share of `rows`."""
    if not sum(reasons.values()):
        return "none"
    counts = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in reasons.items())
    return f"{counts} ({percent(sum(reasons.values()), rows)})"


def _splits(report: Json) -> Html:
    """Return the numbers of events by split, as a bar with a legend."""
    order = [split for split in (names.TRAIN, names.EVAL, names.TEST) if split in report["rows"]]
    counts = {split: report["rows"][split] for split in [*order, *sorted(report["rows"].keys() - set(order))]}
    total, left_out = sum(counts.values()), sum(report["dropped"].values())
    texts = [f"{split} {count:,} ({percent(count, total)})" for split, count in counts.items()]
    bars = [
        el("span", class_=f"part shade{index % _SHADES}", style=f"width:{100 * count / total:.2f}%")
        for index, count in enumerate(counts.values())
        if total
    ]
    keys = [
        el("li", el("span", class_=f"key shade{index % _SHADES}", aria_hidden="true"), text)
        for index, text in enumerate(texts)
    ]
    return el(
        "div",
        el("h3", "Events by split"),
        el("div", *bars, class_="bar", role="img", aria_label=", ".join(texts)),
        el("ul", *keys, class_="keys"),
        el("p", f"Dropped in the join: {_dropped(report['dropped'], total + left_out)}.", class_="note"),
    )


def training_section(facts: ReportFacts) -> Html:
    """Return the settings and learning curves of the trainers, and the recall of the index."""
    logs = (("Retrieval", facts.retrieval), ("Ranking", facts.ranking))
    parts = [el("div", *(_training(title, log) for title, log in logs if log is not None), class_="pair")]
    if facts.index is not None:
        recall = facts.index["recall"]
        text = f"recall {percent(recall)} against exact search" if recall is not None else "the model has no embeddings"
        parts.append(el("p", f"Index: {facts.index['kind']}, {facts.index['items']:,} items; {text}.", class_="note"))
    if facts.retrieval is None and facts.ranking is None:
        return _nothing("The run did not train a model.")
    return join(parts)


def _training(title: str, log: Json) -> Html:
    """Return the learning curves and settings of a trainer."""
    curve = log.get("curve") or []
    along, *measured = curve[0] if curve else [""]  # `along` is the x axis, such as the epoch
    drawn = []
    for key in measured:
        points = [(each[along], each[key]) for each in curve if each.get(key) is not None]
        caption = f"{metric_title(key) if '@' in key else key.capitalize()} by {along}"
        if points:
            values = ", ".join(number(value, decimals([value])) for _, value in points)
            drawn.append(figure(charts.curve(f"{title}: {caption}. {values}.", points, log.get(along)), caption))
    chosen = log.get("chosen", {})
    rows = [
        [el("th", key, scope="row"), el("td", _setting(value)), el("td", _chosen(chosen.get(key), value))]
        for key, value in log.get("settings", {}).items()
    ]
    head = ["setting", "configured", "chosen"] if chosen else ["setting", "configured"]
    return el(
        "div",
        el("h3", f"{title}: ", el("code", log["model"])),
        *drawn,
        None if curve else el("p", "This model has no learning curve.", class_="note"),
        el("p", _KEPT, class_="note") if log.get("kept_retrievers_order") else None,
        table(head, [row[: len(head)] for row in rows], f"Settings of the {title.lower()} model") if rows else None,
        _inputs(log),
    )


_KEPT = "On held-out users no fitted ranker was better than the retriever's order, so the ranker keeps that order."


def _inputs(log: Json) -> Html | None:
    """Return the inputs of a ranker, with their importance if the log has it; None for a retriever."""
    inputs, importance = log.get("inputs", ()), log.get("importance")
    if not importance:
        return el("p", f"Inputs: {', '.join(inputs)}.", class_="note") if inputs else None
    largest = max(importance.values()) or 1.0
    rows = [
        [
            el("th", name, scope="row"),
            el("td", percent(share)),
            el("td", el("span", class_="length", style=f"width:{100 * share / largest:.2f}%"), class_="wide"),
        ]
        for name, share in importance.items()
        if share
    ]
    unused = [name for name, share in importance.items() if not share]
    unseen = el("th", el("span", "share of the largest", class_="unseen"), scope="col")
    caption = "Importance of inputs: share of the gain of all splits of the trees"
    return join(
        [
            el("h3", caption),
            table(["input", "share", unseen], rows, caption, "nodes"),
            el("p", f"Unused inputs: {', '.join(unused)}.", class_="note") if unused else None,
        ]
    )


def _chosen(value: object, configured: object) -> Html | str:
    """Return a chosen setting, emphasised if it differs from the configured one."""
    return _setting(value) if value == configured else el("strong", _setting(value))


def _setting(value: object) -> str:
    """Format the value of a setting."""
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def nodes_section(nodes: Sequence[tuple[str, str, float]]) -> Html:
    """Return the duration and state of each node."""
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
    """Return the drawing as an image, so that its markup cannot affect the page."""
    if svg is None:
        return _nothing("There is no lineage, since nothing was released.")
    size = re.search(r'<svg[^>]*? width="([\d.]+)"', svg)
    image = el(
        "img",
        src=f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}",
        width=size[1] if size else None,
        alt="Nodes and artifacts, from the source files at the top to the release; `twostep lineage` prints it as text",
    )
    about = "From the source files at the top to the release. A box is a node with its outputs; an arrow is an input."
    return join(
        [el("p", about), el("div", image, class_="scroll drawing", tabindex="0", role="region", aria_label="Lineage")]
    )


def reading_section() -> Html:
    """Return the meaning of each metric."""
    terms = [join([el("dt", f"{each.title}@k"), el("dd", each.meaning)]) for each in METRICS.values()]
    about = "Metrics of the first k positions of lists. Relevant items are those of the query's events in test."
    return join([el("p", about), el("dl", *terms)])


def _nothing(reason: str) -> Html:
    """Return a note on an empty section."""
    return el("p", reason, class_="note")
