"""Lines of the terminal summary on the tables: spans, dropped rows and drift."""

from collections import Counter
from typing import Any

from components.table_example_gen.spec import dropped_text
from core import names
from pipeline.report.facts import ReportFacts

_MAX_DRIFTS = 3


def data_lines(facts: ReportFacts) -> list[str]:
    """Return one line on the spans, one line per table with dropped rows, and one line on drift beyond a bound."""
    lines = []
    spans: dict[str, list[str]] = {}
    for table, report in facts.tables.items():
        if report.get("spans"):
            spans.setdefault(", ".join(report["spans"]), []).append(table)
    lines += [f"spans       {chosen}   ({', '.join(tables)})" for chosen, tables in spans.items()]
    # The reports of the nodes that drop rows with unknown ids.
    later = {names.INTERACTIONS: facts.join, names.IMPRESSIONS: facts.impressions}
    for table, report in facts.tables.items():
        dropped: Counter[str] = Counter(report["dropped"]) + Counter((later.get(table) or {}).get("dropped", {}))
        if dropped:
            lines.append(f"dropped     {table}: {dropped_text(dropped, report['rows_read'])}")
    return lines + _drift_lines((facts.drift or {}).get("findings", []))


def _drift_lines(findings: list[dict[str, Any]]) -> list[str]:
    """Return one line on the measures of drift beyond a bound; empty if there are none."""
    beyond = [each for each in findings if each["beyond"]]
    if not beyond:
        return []
    measures = [".".join(filter(None, (each["table"], each["column"]))) + f" {each['measure']}" for each in beyond]
    more = ", …" if len(measures) > _MAX_DRIFTS else ""
    return [f"drift       {len(beyond)} of {len(findings)} measures: {', '.join(measures[:_MAX_DRIFTS])}{more}"]
