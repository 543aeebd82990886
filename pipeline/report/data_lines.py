"""What the terminal says of the tables at the end of a run: the spans that were read, and the rows left out."""

from collections import Counter

from components.table_example_gen.spec import dropped_text
from core import names
from pipeline.report.facts import ReportFacts


def data_lines(facts: ReportFacts) -> list[str]:
    """Return a line for the chosen spans, and one for each table of which rows were dropped; often none."""
    lines = []
    spans: dict[str, list[str]] = {}
    for table, report in facts.tables.items():
        if report.get("spans"):
            spans.setdefault(", ".join(report["spans"]), []).append(table)
    lines += [f"spans       {chosen}   ({', '.join(tables)})" for chosen, tables in spans.items()]
    later = {names.INTERACTIONS: facts.join, names.EXPOSURES: facts.exposures}  # where unknown ids are dropped
    for table, report in facts.tables.items():
        dropped: Counter[str] = Counter(report["dropped"]) + Counter((later.get(table) or {}).get("dropped", {}))
        if dropped:
            lines.append(f"dropped     {table}: {dropped_text(dropped, report['rows_read'])}")
    return lines
