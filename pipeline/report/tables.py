"""The section of the report on the tables: drift, dropped rows, density of the events, and columns."""

from collections.abc import Sequence
from typing import Any

from core import names
from pipeline.report.facts import ReportFacts
from pipeline.report.markup import Html, el, join, number, percent, table

Json = dict[str, Any]
_MAX_FINDINGS = 200


def section(facts: ReportFacts) -> Html:
    """Return the section, with the parts for which the run recorded facts."""
    parts = [
        _drift(facts.drift) if facts.drift is not None else None,
        _dropped(facts),
        _density(facts.samples["density"]) if facts.samples is not None else None,
        *(_columns(name, columns) for name, columns in facts.columns.items() if columns),
    ]
    return join(part for part in parts if part is not None)


def _drift(report: Json) -> Html:
    """Return the measures of drift, with measures beyond their bound first."""
    heading, findings = el("h3", "Drift from the release in force"), report["findings"]
    reason = report["not_compared"]
    note = None if reason is None else el("p", f"Not compared: {reason.rstrip('.')}.", class_="note")
    if not findings:
        return join([heading, note])
    beyond = sum(each["beyond"] for each in findings)
    about = f"{beyond} of {len(findings)} measures are beyond their bound, compared with release {report['release']}."
    ordered = sorted(findings, key=lambda each: not each["beyond"])[:_MAX_FINDINGS]
    head = ["", "table", "column", "measure", "before", "now", "change", "bound"]
    return join([heading, el("p", about), note, table(head, map(_finding, ordered), "Drift by table and column")])


def _finding(finding: Json) -> list[Html]:
    """Return the cells of a measure of drift."""
    symbol, word, class_ = ("▲", "beyond its bound", "bad") if finding["beyond"] else ("○", "within its bound", "quiet")
    of_value = el("small", f"share of {finding['value']}") if finding["value"] is not None else None
    is_share = finding["value"] is not None or finding["measure"] == "missing share"
    return [
        el("td", el("span", symbol, class_=class_, aria_hidden="true"), el("span", word, class_="unseen")),
        el("td", finding["table"], class_="words"),
        el("td", finding["column"] or "all rows", class_="words"),
        el("td", finding["measure"], of_value, class_="words"),
        *(el("td", percent(finding[key]) if is_share else _figure(finding[key])) for key in ("before", "now")),
        el("td", _figure(finding["change"])),
        el("td", _figure(finding["bound"])),
    ]


def _dropped(facts: ReportFacts) -> Html | None:
    """Return the dropped rows of each table by reason, with their share."""
    later = {names.INTERACTIONS: facts.join, names.IMPRESSIONS: facts.impressions}
    rows = []
    for name, report in facts.tables.items():
        reasons = {**report["dropped"], **((later.get(name) or {}).get("dropped") or {})}
        for reason, count in sorted(reasons.items(), key=lambda each: -each[1]):
            if count:
                share = percent(count, report["rows_read"])
                words = el("td", reason.replace("_", " "), class_="words")
                rows.append([el("th", name, scope="row"), words, el("td", f"{count:,}"), el("td", share)])
    if not rows:
        return None
    return join([el("h3", "Dropped rows"), table(["table", "reason", "rows", "share"], rows, "Dropped rows by reason")])


def _density(density: Json) -> Html:
    """Return the density of events over users × items, and the number of events per user and item."""
    about = (
        f"{density['events']:,} events before test, of {density['users']:,} users with {density['items']:,} items: "
        f"{density['pairs']:,} different pairs, {_share(density['filled'])} of users × items."
    )
    rows = [
        [el("th", title, scope="row"), *(el("td", number(density[key][each], 1)) for each in ("median", "p95"))]
        for title, key in (("a user", "per_user"), ("an item", "per_item"))
    ]
    head = ["events of", "median", "95th percentile"]
    return join([el("h3", "Density of the events"), el("p", about), table(head, rows, "Events of a user and an item")])


def _columns(name: str, columns: Sequence[Json]) -> Html:
    """Return a table of the statistics of columns, in an element that the reader opens."""
    rows = [
        [
            el("th", each["name"], scope="row"),
            el("td", each["type"], class_="words"),
            el("td", percent(each["missing"])),
            el("td", "–" if each["distinct"] is None else f"{each['distinct']:,}"),
            *(el("td", _figure(each[key])) for key in ("low", "median", "high")),
            el("td", *(el("div", f"{value} ({percent(share)})") for value, share in each["top"]), class_="words"),
        ]
        for each in columns
    ]
    head = ["column", "type", "missing", "distinct", "min", "median", "max", "most frequent"]
    return el("details", el("summary", f"Columns of {name}"), table(head, rows, f"Columns of {name}"))


def _figure(value: float | None) -> str:
    """Format a number: integers and numbers from 10,000 without decimals, others with four digits, None as a dash."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 10_000 else f"{value:.4g}".replace("-", "−")


def _share(value: float) -> str:
    """Format a small share as a percentage with two significant digits."""
    return f"{100 * value:.2g}%"
