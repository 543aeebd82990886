"""The sections of the report on the metrics of the models."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pipeline.report import charts, short
from pipeline.report.facts import ReportFacts
from pipeline.report.glossary import (
    METRICS,
    TWO_STEP,
    Metric,
    metric,
    metric_title,
    model_title,
    slice_title,
)
from pipeline.report.markup import Html, decimals, el, figure, interval, join, number, table

_ROUNDING = 1e-9  # the tolerance for equal numbers, since sums of the same terms may be rounded differently
FEW = 30  # a slice with fewer queries is marked

Json = dict[str, Any]


def headline(facts: ReportFacts) -> Html:
    """Return the decision with its reasons, and the key metrics compared with the baselines."""
    parts: list[Html | None] = [_verdict(facts)]
    if facts.evaluation is None:
        return join([*parts, el("p", "The run did not evaluate the models.", class_="note")])
    step = facts.evaluation["steps"][TWO_STEP]
    first, last = min(step["ks"]), max(step["ks"])
    tiles = (f"ndcg@{first}", f"recall@{first}", f"recall@{last}", f"catalogue_coverage@{first}")
    ranking = [label for name in ("ndcg", "recall") for label in at_every_k(step, name)]
    by_metric = {name: [label for label in ranking if label.startswith(name)] for name in ("ndcg", "recall")}
    parts += [
        short.section(facts.evaluation),
        el("div", *(_tile(step, label) for label in dict.fromkeys(tiles)), class_="tiles"),
        el("ul", *(finding(step, baseline, f"ndcg@{first}") for baseline in step["baselines"]), class_="findings"),
        el("div", *(_models_chart(step, name, labels) for name, labels in by_metric.items()), class_="pair"),
    ]
    return join(parts)


def _verdict(facts: ReportFacts) -> Html:
    """Return the decision and the rules."""
    verdicts = (facts.evaluation or {}).get("verdicts", ())
    if facts.release is not None:
        badge = el("p", el("span", "✓ Released", class_="badge good"), " ", el("code", facts.release))
    else:
        failed = [each["sentence"] for each in verdicts if not each["passed"]]
        reason = facts.held_back or "No reason is recorded."
        if failed and all(sentence in reason for sentence in failed):  # the rules are listed below
            reason = f"{len(failed)} of {len(verdicts)} rules failed"
        badge = el("p", el("span", "✗ Held back", class_="badge bad"), " ", reason)
    rules = [
        el(
            "li",
            el("span", "✓" if each["passed"] else "✗", class_="good" if each["passed"] else "bad", aria_hidden="true"),
            el("span", each["sentence"]),
        )
        for each in verdicts
    ]
    return el("div", badge, el("ul", *rules, class_="rules") if rules else None, class_="verdict")


def _tile(step: Json, label: str) -> Html:
    """Return a box with a key metric of the subject (the evaluated model) and the values of the baselines."""
    models = step["models"]
    subject = models[step["subject"]][label]
    places = decimals(row[label]["mean"] for row in models.values())
    others = [
        el("tr", el("th", model_title(model), scope="row"), el("td", number(models[model][label]["mean"], places)))
        for model in step["baselines"]
    ]
    return el(
        "div",
        el("h3", metric_title(label)),
        el("p", number(subject["mean"], places), class_="big"),
        el("p", interval(subject, places) or "one value of all lists together", class_="note"),
        el("table", el("caption", f"{metric_title(label)} of the baselines", class_="unseen"), el("tbody", *others)),
        class_="tile",
    )


def finding(step: Json, baseline: str, label: str) -> Html:
    """Return a sentence on the difference between the subject and a baseline."""
    difference = step["differences"][baseline][label]
    symbol, word, class_ = _significance(difference, label)
    places = max(4, decimals([difference["mean"]]))
    estimate = f"{number(difference['mean'], places, True)} ({interval(difference, places, True) or 'not measured'})"
    sentence = {
        "better": f"better than {model_title(baseline)}",
        "worse": f"worse than {model_title(baseline)}",
    }.get(word, f"no clear difference from {model_title(baseline)}")
    return el(
        "li",
        el("span", symbol, class_=class_, aria_hidden="true"),
        el("span", f"{model_title(step['subject']).capitalize()}: {sentence} in {metric_title(label)}, {estimate}"),
    )


def _models_chart(step: Json, name: str, labels: Sequence[str]) -> Html:
    """Return a chart of a metric of all models, by k."""
    groups = [
        (
            metric_title(label),
            [
                dot(model_title(model), row[label], strong=model == step["subject"])
                for model, row in _models(step)
            ],
        )
        for label in labels
    ]  # fmt: skip
    caption = f"{METRICS[name].title}, with {_confidence(step)} intervals"
    return figure(charts.intervals(described(caption, groups), groups), caption)


def described(title: str, groups: Sequence[tuple[str, Sequence[charts.Dot]]]) -> str:
    """Return the description of a chart for screen readers."""
    places = decimals(each.mean for _, dots in groups for each in dots)
    return f"{title}. " + " ".join(
        f"{heading}{': ' * bool(heading)}{', '.join(f'{each.label} {number(each.mean, places)}' for each in dots)}."
        for heading, dots in groups
    )


def dot(label: str, estimate: Json, strong: bool = False, note: str | None = None) -> charts.Dot:
    """Return an estimate for a chart."""
    return charts.Dot(label, estimate["mean"], estimate["low"], estimate["high"], strong, note)


def metrics_section(step: Json) -> Html:
    """Return all metrics of all models, and the differences between the subject and each baseline."""
    subject = model_title(step["subject"])
    about = (
        f"{step['queries_with_relevant']:,} of {step['queries']:,} test queries have a relevant item; the catalogue "
        f"has {step['catalogue']:,} items. Below each mean is its {_confidence(step)} bootstrap interval "
        f"({step['resamples']:,} resamples, seed {step['seed']}). "
    )
    best = "The best model of a row is marked, except for metrics of which neither direction is better by itself."
    parts = [el("p", about, best), _metrics_table(step)]
    if step["baselines"]:
        heading = el("h3", f"Differences between {subject} and each baseline")
        parts += [heading, el("p", _ON_DIFFERENCES), _differences_table(step)]
    return join(parts)


_ON_DIFFERENCES = (
    "Paired differences on the same queries, whose intervals are narrower than those above. If the interval excludes "
    "zero: ▲ better, ▼ worse, ◆ different (neither direction is better by itself). If it includes zero: ○ no clear "
    "difference. About one in twenty comparisons excludes zero by chance."
)


def _metrics_table(step: Json) -> Html:
    """Return the table of all metrics of all models."""
    subject = step["subject"]
    head = ["metric", "k", *(_column_head(model_title(model), model == subject) for model, _ in _models(step))]
    rows, digits = [], _decimals_of_metrics(step["models"].values())
    for label, row_head in _row_heads(step["models"][subject]):
        estimates = {model: row[label] for model, row in _models(step)}
        better = metric(label)[0].better
        means = [each["mean"] * better for each in estimates.values() if each["mean"] is not None]
        best = max(means) if better and means else None
        places = digits[metric(label)[0]]
        cells = [
            _estimate_cell(each, places, best=_is_best(each, better, best), subject=model == subject)
            for model, each in estimates.items()
        ]
        rows.append([*row_head, *cells])
    return table(head, rows, f"All metrics of {', '.join(model_title(model) for model, _ in _models(step))}", "metrics")


def _is_best(estimate: Json, better: int, best: float | None) -> bool:
    """Return whether an estimate is the best of its row."""
    return best is not None and estimate["mean"] is not None and estimate["mean"] * better >= best


def _estimate_cell(estimate: Json, places: int, best: bool = False, subject: bool = False) -> Html:
    """Return the cell of an estimate."""
    class_ = " ".join(name for name, holds in (("best", best), ("subject", subject)) if holds)
    value = number(estimate["mean"], places)
    shown = el("strong", value, el("span", " (best)", class_="unseen")) if best else value
    return el("td", shown, el("small", interval(estimate, places)), class_=class_ or None)


def _differences_table(step: Json) -> Html:
    """Return the table of differences between the subject and each baseline."""
    against = step["differences"]
    rows, digits = [], _decimals_of_metrics(against.values())
    for label, row_head in _row_heads(next(iter(against.values()), {})):
        places = digits[metric(label)[0]]
        cells = [_difference_cell(against[baseline][label], label, places) for baseline in step["baselines"]]
        rows.append([*row_head, *cells])
    head = ["metric", "k", *(_column_head(f"− {model_title(model)}") for model in step["baselines"])]
    return table(head, rows, f"Paired differences of {model_title(step['subject'])}", "metrics")


def _difference_cell(difference: Json, label: str, places: int) -> Html:
    """Return the cell of a difference."""
    symbol, word, class_ = _significance(difference, label)
    return el(
        "td",
        el("span", f"{symbol} ", class_=class_, aria_hidden="true"),
        number(difference["mean"], places, signed=True),
        el("span", f" ({word})", class_="unseen"),
        el("small", interval(difference, places, signed=True)),
    )


def _significance(difference: Json, label: str) -> tuple[str, str, str]:
    """Return the symbol, word and class of a difference, by its interval and the direction of the metric."""
    if difference["low"] is None:
        return "○", "not measured", "quiet"
    if difference["low"] <= _ROUNDING and difference["high"] >= -_ROUNDING:
        return "○", "no clear difference", "quiet"
    better = metric(label)[0].better * (1 if difference["mean"] > 0 else -1)
    return {1: ("▲", "better", "good"), -1: ("▼", "worse", "bad"), 0: ("◆", "different", "quiet")}[better]


def slices_section(step: Json) -> Html:
    """Return the metrics of the subject by slice of the queries and of the items."""
    by_label = {"queries": f"ndcg@{min(step['ks'])}", "items": f"recall@{max(step['ks'])}"}
    drawn = []
    for of, label in by_label.items():
        slices = [each for each in step["slices"] if each["of"] == of]
        dots = [
            dot(slice_title(each["name"]), each["metrics"][label], True, f"n = {each['queries']:,}") for each in slices
        ]
        if dots:
            caption = f"{metric_title(label)} by slice of the {of}"
            overall = step["models"][step["subject"]][label]["mean"]
            note = f"The line is the overall mean, {number(overall, 4)}. n is the number of queries."
            drawn.append(
                figure(charts.intervals(described(caption, [("", dots)]), [("", dots)], overall), caption, note)
            )
    labels = [*at_every_k(step, "ndcg"), *at_every_k(step, "recall"), *at_every_k(step, "hit_rate")]
    rows = [
        [
            el("th", slice_title(each["name"]), scope="row"),
            el("td", f"{each['queries']:,}", el("small", "few" if 0 < each["queries"] < FEW else "")),
            *(_estimate_cell(each["metrics"][x], 4) if x in each["metrics"] else el("td") for x in labels),
        ]
        for each in step["slices"]
    ]
    about = (
        f"Metrics of {model_title(step['subject'])}. For a slice of the items, only relevant items in the slice count, "
        f"and only queries with one. Slices with fewer than {FEW} queries are marked `few`."
    )
    head = ["slice", "queries", *map(metric_title, labels)]
    shown = table(head, rows, f"{model_title(step['subject'])} by slice")
    return join([el("p", about), el("div", *drawn, class_="pair"), shown])


def _confidence(step: Json) -> str:
    """Format the confidence level."""
    return f"{100 * step['confidence']:g}%"


def _models(step: Json) -> list[tuple[str, Json]]:
    """Return the models with their metrics, the subject first, then the baselines in their order."""
    return [(model, step["models"][model]) for model in (step["subject"], *step["baselines"])]


def _ordered(labels: Iterable[str]) -> list[str]:
    """Return metrics in the order of the glossary, others last, each by increasing k."""
    order = {name: index for index, name in enumerate(METRICS)}

    def key(label: str) -> tuple[int, str, int]:
        """Return the sort key of a metric."""
        name, _, k = label.partition("@")
        return order.get(name, len(order)), name, int(k or 0)

    return sorted(labels, key=key)


def _decimals_of_metrics(rows: Iterable[Json]) -> dict[Metric, int]:
    """Return the number of decimals of each metric, the same for every k."""
    means: dict[Metric, list[float | None]] = defaultdict(list)
    for label, estimate in (pair for row in rows for pair in row.items()):
        means[metric(label)[0]].append(estimate["mean"])
    return {each: decimals(values) for each, values in means.items()}


def at_every_k(step: Json, name: str) -> list[str]:
    """Return the labels of a metric, by increasing k."""
    return [f"{name}@{k}" for k in sorted(step["ks"])]


def _row_heads(labels: Iterable[str]) -> Iterator[tuple[str, list[Html]]]:
    """Yield each metric@k in order, with the first cells of its row: the metric, once for all k, and the k."""
    for each, same in itertools.groupby(_ordered(labels), lambda label: metric(label)[0]):
        group = list(same)
        for label in group:
            cells = [el("th", each.title, scope="rowgroup", rowspan=len(group))] if label == group[0] else []
            yield label, [*cells, el("th", metric(label)[1], scope="row", class_="k")]


def _column_head(title: str, subject: bool = False) -> Html:
    """Return the heading of a model's column."""
    return el("th", title, scope="col", class_="subject" if subject else None)
