"""The part of the report that tells what diversity costs, so that its weight can be chosen."""

from typing import Any

from pipeline.report import charts
from pipeline.report.glossary import metric_title
from pipeline.report.markup import Html, el, figure, join, number, percent, table

_METHODS = {
    "mmr": "maximal marginal relevance (MMR)",
    "dpp": "a determinantal point process (DPP)",
}

Json = dict[str, Any]


def section(found: Json) -> Html:
    """Accuracy against diversity by the weight of diversity: a drawing, and the numbers with their change."""
    k, points = found["k"], found["points"]
    accuracy, diversity, coverage = (
        metric_title(f"{name}@{k}") for name in ("ndcg", "intra_list_diversity", "catalogue_coverage")
    )
    drawn = [point for point in points if point["ndcg"] is not None and point["intra_list_diversity"] is not None]
    about = el(
        "p",
        f"The candidates of {found['queries']:,} test queries, re-ranked by {_METHODS[found['method']]} at several "
        f"weights, with all else as configured. Served is the weight {found['served']:g}"
        f"{'' if found['served'] else ', the order without diversity'}; set ",
        el("code", f"reranking.{found['method']}.weight"),
        " to serve another.",
    )
    parts: list[Html | None] = [about]
    if drawn:
        told = ", ".join(
            f"weight {point['weight']:g}: {number(point['ndcg'], 4)} at {number(point['intra_list_diversity'], 4)}"
            for point in drawn
        )
        caption = f"{accuracy} against {diversity}"
        line = [(point["intra_list_diversity"], point["ndcg"], f"{point['weight']:g}") for point in drawn]
        served = next((place for place, point in enumerate(drawn) if point["weight"] == found["served"]), -1)
        drawing = charts.trade_off(f"{caption}. {told}.", (diversity, accuracy), line, served)
        note = "The number at a point is the weight. Up is more accurate, right is more diverse."
        parts.append(figure(drawing, caption, note))
    rows = [_row(point, points[0], point["weight"] == found["served"]) for point in points]
    head = ["weight", accuracy, diversity, coverage]
    return join([*parts, table(head, rows, f"{accuracy}, {diversity} and {coverage} by the weight of diversity")])


def _row(point: Json, first: Json, served: bool) -> list[Html]:
    class_ = "subject" if served else None
    weight = el("th", f"{point['weight']:g}", el("small", "as served") if served else None, scope="row", class_=class_)
    measured = [
        el("td", number(point[name], 4), el("small", _change(point[name], first[name])), class_=class_)
        for name in ("ndcg", "intra_list_diversity", "catalogue_coverage")
    ]
    return [weight, *measured]


def _change(value: float | None, first: float | None) -> str:
    """From what the smallest weight gives, as a share of that."""
    if value is None or not first or value == first:
        return ""
    return percent(value - first, first).replace("-", "−") if value < first else f"+{percent(value - first, first)}"
