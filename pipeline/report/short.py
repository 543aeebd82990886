"""The short table at the top of the report: both steps and the baselines by the metrics of the rules."""

from typing import Any

from core import metrics
from core.rating_metrics import RATING
from pipeline.report.glossary import RETRIEVAL, TWO_STEP, metric_title, model_title
from pipeline.report.markup import Html, decimals, el, interval, join, number, table

Json = dict[str, Any]
_RATING_TITLES = {"rmse": "RMSE", "mae": "MAE", "r2": "R²"}


def shown_metrics(evaluation: dict[str, Any]) -> tuple[str, str]:
    """Return the two metrics of the short table: the first two of the rules, else NDCG and recall."""
    both = evaluation["steps"]["two_step"]
    rules = [verdict["rule"].split() for verdict in evaluation["verdicts"]]
    of_rules = [words[1] for words in rules if words[0] == "two_step"]
    by_query = [metric for metric in of_rules if metric.partition("@")[0] in metrics.BY_QUERY]
    every = [*by_query, f"ndcg@{min(both['ks'])}", f"recall@{max(both['ks'])}", *of_rules]
    first, second = list(dict.fromkeys(metric for metric in every if metric in both["models"][both["subject"]]))[:2]
    return first, second


def section(evaluation: Json) -> Html:
    """Return the table of both steps and the baselines, best first, and the metrics of predicted ratings."""
    both = evaluation["steps"][TWO_STEP]
    models, differences = both["models"], both["differences"]
    first, second = shown_metrics(evaluation)
    places = {label: decimals(row[label]["mean"] for row in models.values()) for label in (first, second)}
    rows = []
    for model, estimates in sorted(models.items(), key=lambda each: -(each[1][first]["mean"] or 0)):
        class_ = "subject" if model == both["subject"] else None
        difference = differences.get(model, {}).get(first)
        cells = [
            el(
                "td",
                number(estimates[label]["mean"], places[label]),
                _small(estimates[label], places[label]),
                class_=class_,
            )
            for label in (first, second)
        ]
        if difference is None:
            against = el("td", class_=class_)
        else:
            shown = number(difference["mean"], places[first], signed=True)
            against = el("td", shown, _small(difference, places[first], signed=True), class_=class_)
        rows.append([el("th", model_title(model), scope="row", class_=class_), *cells, against])
    head = ["", metric_title(first), metric_title(second), f"{metric_title(first)}: two-step − other"]
    caption = f"Both steps and the baselines by {metric_title(first)}"
    return join([table(head, rows, caption), ratings(evaluation["steps"][RETRIEVAL])])


def ratings(step: Json) -> Html | None:
    """Return the metrics of the ratings that the retriever predicts; None if it predicts none."""
    values = step.get("ratings")
    if not values:
        return None
    shown = [f"{_RATING_TITLES.get(name, name)} {number(values.get(name), 4)}" for name in RATING]
    return el("p", f"Predicted ratings of {values['events']:,} test events: {', '.join(shown)}.", class_="note")


def _small(estimate: Json, places: int, signed: bool = False) -> Html:
    """Return the interval of an estimate in small print."""
    return el("small", interval(estimate, places, signed))
