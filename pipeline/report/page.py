"""The page of the report and its file."""

from pathlib import Path

from core import files
from pipeline.report import ceiling, making, results, samples, tables, trade_off
from pipeline.report.document import document
from pipeline.report.facts import ReportFacts
from pipeline.report.glossary import RETRIEVAL, TWO_STEP
from pipeline.report.markup import Html, el, join


def write(path: Path, facts: ReportFacts) -> None:
    """Write the report as one HTML file, atomically."""
    with files.replacing(path) as partial:
        partial.write_text(render(facts), encoding="utf-8")


def render(facts: ReportFacts) -> str:
    """Return the report as an HTML document."""
    sections = _sections(facts)
    links = [el("li", el("a", title, href=f"#{key}")) for key, (title, _) in sections.items()]
    shown = [el("section", el("h2", title), body, id=key) for key, (title, body) in sections.items()]
    state = "released" if facts.release is not None else "held back"
    return document(
        f"{facts.name}: {state}",
        el(
            "header",
            el("h1", facts.name),
            el("p", f"Run of {facts.run_time}, seed {facts.seed}", class_="note"),
            el("nav", el("ul", *links), aria_label="Parts of this report"),
        ),
        el("main", *shown),
    )


def _sections(facts: ReportFacts) -> dict[str, tuple[str, Html]]:
    """Return anchor → title and content, in the order of the page."""
    sections = {"result": ("Result", results.headline(facts))}
    if facts.evaluation is not None:
        steps = facts.evaluation["steps"]
        both = steps[TWO_STEP]
        sections |= {
            "metrics": ("Metrics", join([results.metrics_section(both), _retrieval_alone(steps[RETRIEVAL])])),
            "slices": ("Slices", results.slices_section(both)),
            "ceiling": ("Retrieval ceiling", ceiling.section(facts, both)),
        }
        if facts.evaluation.get("trade_off"):
            sections["diversity"] = ("Accuracy against diversity", trade_off.section(facts.evaluation["trade_off"]))
    if facts.samples is not None and facts.samples["lists"]:
        sections["samples"] = ("Sample recommendations", samples.section(facts.samples["lists"]))
    return sections | {
        "data": ("Data", join([making.data_section(facts), tables.section(facts)])),
        "training": ("Training", making.training_section(facts)),
        "nodes": ("Nodes", making.nodes_section(facts.nodes)),
        "lineage": ("Lineage", making.lineage_section(facts.lineage_svg)),
        "reading": ("How to read the metrics", making.reading_section()),
    }


def _retrieval_alone(step: dict) -> Html:
    """Return the metrics and slices of the retriever, in an element that the reader opens."""
    return el(
        "details",
        el("summary", "Retrieval alone: metrics and slices"),
        results.metrics_section(step),
        el("h3", "Slices"),
        results.slices_section(step),
    )
