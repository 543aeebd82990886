"""The section of the report on accuracy against diversity, for the choice of the weight of diversity."""

from typing import Any

from pipeline.report import charts
from pipeline.report.glossary import metric_title
from pipeline.report.markup import Html, el, figure, join, number, percent, table

_METHODS = {
    "mmr": "maximal marginal relevance (MMR)",
    "dpp": "a determinantal point process (DPP)",
}

Json = dict[str, Any]


def section(facts: Json) -> Html:
    """Return accuracy and diversity by the weight of diversity, as a chart and as a table."""
    k, points = facts["k"], facts["points"]
    accuracy, diversity, coverage = (
        metric_title(f"{name}@{k}") for name in ("ndcg", "intra_list_diversity", "catalogue_coverage")
    )
    drawn = [point for point in points if point["ndcg"] is not None and point["intra_list_diversity"] is not None]
    about = el(
        "p",
        f"The candidates of {facts['queries']:,} test queries, re-ranked by {_METHODS[facts['method']]} with several "
        f"weights; all other settings are as configured. The configured weight is {facts['served']:g}"
        f"{'' if facts['served'] else ', without diversity'}. It is set by ",
        el("code", f"reranking.{facts['method']}.weight"),
        ".",
    )
    parts: list[Html | None] = [about]
    if drawn:
        description = ", ".join(
            f"weight {point['weight']:g}: {number(point['ndcg'], 4)} at {number(point['intra_list_diversity'], 4)}"
            for point in drawn
        )
        caption = f"{accuracy} against {diversity}"
        line = [(point["intra_list_diversity"], point["ndcg"], f"{point['weight']:g}") for point in drawn]
        served = next((index for index, point in enumerate(drawn) if point["weight"] == facts["served"]), -1)
        drawing = charts.trade_off(f"{caption}. {description}.", (diversity, accuracy), line, served)
        note = "The number at a point is the weight."
        parts.append(figure(drawing, caption, note))
    rows = [_row(point, points[0], point["weight"] == facts["served"]) for point in points]
    head = ["weight", accuracy, diversity, coverage]
    return join([*parts, table(head, rows, f"{accuracy}, {diversity} and {coverage} by the weight of diversity")])


def _row(point: Json, first: Json, served: bool) -> list[Html]:
    """Return the cells of the row of one diversity weight, with differences from the row of the smallest weight."""
    class_ = "subject" if served else None
    weight = el("th", f"{point['weight']:g}", el("small", "configured") if served else None, scope="row", class_=class_)
    values = [
        el("td", number(point[name], 4), el("small", _change(point[name], first[name])), class_=class_)
        for name in ("ndcg", "intra_list_diversity", "catalogue_coverage")
    ]
    return [weight, *values]


def _change(value: float | None, first: float | None) -> str:
    """Format the relative difference from the value at the smallest weight."""
    if value is None or not first or value == first:
        return ""
    return percent(value - first, first).replace("-", "−") if value < first else f"+{percent(value - first, first)}"
