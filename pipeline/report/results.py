"""The parts of the report that tell how good the models are."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pipeline.report import charts, short
from pipeline.report.facts import ReportFacts
from pipeline.report.glossary import (
    METRICS,
    RETRIEVAL,
    TWO_STEP,
    Metric,
    metric,
    metric_title,
    model_title,
    slice_title,
)
from pipeline.report.markup import Html, decimals, el, figure, interval, join, number, percent, table

_ROUNDING = 1e-9  # two sums of the same numbers may differ by so much
FEW = 30  # queries, below which a slice says little

Json = dict[str, Any]


def headline(facts: ReportFacts) -> Html:
    """Released or held back, why, and the key figures beside the baselines."""
    parts: list[Html | None] = [_verdict(facts)]
    if facts.evaluation is None:
        return join([*parts, el("p", "The run did not come to an evaluation.", class_="note")])
    step = facts.evaluation["steps"][TWO_STEP]
    first, last = min(step["ks"]), max(step["ks"])
    tiles = (f"ndcg@{first}", f"recall@{first}", f"recall@{last}", f"catalogue_coverage@{first}")
    ranking = [label for name in ("ndcg", "recall") for label in _at_every_k(step, name)]
    by_metric = {name: [label for label in ranking if label.startswith(name)] for name in ("ndcg", "recall")}
    parts += [
        short.section(facts.evaluation),
        el("div", *(_tile(step, label) for label in dict.fromkeys(tiles)), class_="tiles"),
        el("ul", *(_finding(step, baseline, f"ndcg@{first}") for baseline in step["baselines"]), class_="findings"),
        el("div", *(_models_chart(step, name, labels) for name, labels in by_metric.items()), class_="pair"),
    ]
    return join(parts)


def _verdict(facts: ReportFacts) -> Html:
    verdicts = (facts.evaluation or {}).get("verdicts", ())
    if facts.release is not None:
        badge = el("p", el("span", "✓ Released", class_="badge good"), " ", el("code", facts.release))
    else:
        failed = [each["sentence"] for each in verdicts if not each["passed"]]
        why = facts.held_back or "The run gives no reason."
        if failed and all(sentence in why for sentence in failed):  # they stand below
            why = f"{len(failed)} of {len(verdicts)} rules failed"
        badge = el("p", el("span", "✗ Held back", class_="badge bad"), " ", why)
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
    """One key figure of the subject, with those of the baselines under it."""
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
        el("p", interval(subject, places) or "over all lists together", class_="note"),
        el("table", el("caption", f"{metric_title(label)} of the baselines", class_="unseen"), el("tbody", *others)),
        class_="tile",
    )


def _finding(step: Json, baseline: str, label: str) -> Html:
    """In words: whether the subject is better than a baseline."""
    difference = step["differences"][baseline][label]
    symbol, word, class_ = _judged(difference, label)
    places = max(4, decimals([difference["mean"]]))
    told = f"{number(difference['mean'], places, True)} ({interval(difference, places, True) or 'not measured'})"
    sentence = {
        "better": f"better than {model_title(baseline)}",
        "worse": f"worse than {model_title(baseline)}",
    }.get(word, f"no clear difference from {model_title(baseline)}")
    return el(
        "li",
        el("span", symbol, class_=class_, aria_hidden="true"),
        el("span", f"{model_title(step['subject']).capitalize()}: {sentence} in {metric_title(label)}, {told}"),
    )


def _models_chart(step: Json, name: str, labels: Sequence[str]) -> Html:
    groups = [
        (
            metric_title(label),
            [
                _dot(model_title(model), row[label], strong=model == step["subject"])
                for model, row in _models(step)
            ],
        )
        for label in labels
    ]  # fmt: skip
    caption = f"{METRICS[name].title}, with {_confidence(step)} intervals"
    return figure(charts.intervals(_told(caption, groups), groups), caption)


def _told(title: str, groups: Sequence[tuple[str, Sequence[charts.Dot]]]) -> str:
    """A chart in words."""
    places = decimals(dot.mean for _, dots in groups for dot in dots)
    return f"{title}. " + " ".join(
        f"{heading}{': ' * bool(heading)}{', '.join(f'{dot.label} {number(dot.mean, places)}' for dot in dots)}."
        for heading, dots in groups
    )


def _dot(label: str, estimate: Json, strong: bool = False, note: str | None = None) -> charts.Dot:
    return charts.Dot(label, estimate["mean"], estimate["low"], estimate["high"], strong, note)


def metrics_section(step: Json) -> Html:
    """Every metric of every model, then what the subject has more or less than each baseline."""
    subject = model_title(step["subject"])
    measured = (
        f"{step['queries_with_relevant']:,} of {step['queries']:,} test queries have a relevant item; lists are drawn "
        f"from {step['catalogue']:,} items. Under each mean is its {_confidence(step)} bootstrap interval "
        f"({step['resamples']:,} resamples, seed {step['seed']}). "
    )
    best = "The best of a row is marked; where neither more nor less is better by itself, none is."
    parts = [el("p", measured, best), _metrics_table(step)]
    if step["baselines"]:
        heading = el("h3", f"What {subject} has more or less than each baseline")
        parts += [heading, el("p", _ON_DIFFERENCES), _differences_table(step)]
    return join(parts)


_ON_DIFFERENCES = (
    "The difference on the same queries, so it is surer than the intervals above. Where its interval excludes zero: "
    "▲ better, ▼ worse, ◆ different (where neither more nor less is better by itself). Where it includes zero: ○ no "
    "clear difference. Of so many comparisons about one in twenty excludes zero by chance."
)


def _metrics_table(step: Json) -> Html:
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
    return best is not None and estimate["mean"] is not None and estimate["mean"] * better >= best


def _estimate_cell(estimate: Json, places: int, best: bool = False, subject: bool = False) -> Html:
    class_ = " ".join(name for name, holds in (("best", best), ("subject", subject)) if holds)
    value = number(estimate["mean"], places)
    shown = el("strong", value, el("span", " (best)", class_="unseen")) if best else value
    return el("td", shown, el("small", interval(estimate, places)), class_=class_ or None)


def _differences_table(step: Json) -> Html:
    against = step["differences"]
    rows, digits = [], _decimals_of_metrics(against.values())
    for label, row_head in _row_heads(next(iter(against.values()), {})):
        places = digits[metric(label)[0]]
        cells = [_difference_cell(against[baseline][label], label, places) for baseline in step["baselines"]]
        rows.append([*row_head, *cells])
    head = ["metric", "k", *(_column_head(f"less {model_title(model)}") for model in step["baselines"])]
    return table(head, rows, f"Paired differences of {model_title(step['subject'])}", "metrics")


def _difference_cell(difference: Json, label: str, places: int) -> Html:
    symbol, word, class_ = _judged(difference, label)
    return el(
        "td",
        el("span", f"{symbol} ", class_=class_, aria_hidden="true"),
        number(difference["mean"], places, signed=True),
        el("span", f" ({word})", class_="unseen"),
        el("small", interval(difference, places, signed=True)),
    )


def _judged(difference: Json, label: str) -> tuple[str, str, str]:
    """Symbol, word and class of a difference: whether its interval excludes zero, and whether that is good."""
    if difference["low"] is None:
        return "○", "not measured", "quiet"
    if difference["low"] <= _ROUNDING and difference["high"] >= -_ROUNDING:
        return "○", "no clear difference", "quiet"
    better = metric(label)[0].better * (1 if difference["mean"] > 0 else -1)
    return {1: ("▲", "better", "good"), -1: ("▼", "worse", "bad"), 0: ("◆", "different", "quiet")}[better]


def slices_section(step: Json) -> Html:
    """The subject by part of the queries and of the catalogue."""
    by_label = {"queries": f"ndcg@{min(step['ks'])}", "items": f"recall@{max(step['ks'])}"}
    drawn = []
    for of, label in by_label.items():
        parts = [each for each in step["slices"] if each["of"] == of]
        dots = [
            _dot(slice_title(each["name"]), each["metrics"][label], True, f"n = {each['queries']:,}") for each in parts
        ]
        if dots:
            caption = f"{metric_title(label)} by part of the {'users' if of == 'queries' else 'catalogue'}"
            overall = step["models"][step["subject"]][label]["mean"]
            note = f"The line is the mean of all, {number(overall, 4)}. n is the number of queries."
            drawn.append(figure(charts.intervals(_told(caption, [("", dots)]), [("", dots)], overall), caption, note))
    labels = [*_at_every_k(step, "ndcg"), *_at_every_k(step, "recall"), *_at_every_k(step, "hit_rate")]
    rows = [
        [
            el("th", slice_title(each["name"]), scope="row"),
            el("td", f"{each['queries']:,}", el("small", "few" if 0 < each["queries"] < FEW else "")),
            *(_estimate_cell(each["metrics"][x], 4) if x in each["metrics"] else el("td") for x in labels),
        ]
        for each in step["slices"]
    ]
    about = (
        f"All of {model_title(step['subject'])}. Of a part of the catalogue, only the relevant items in it count, and "
        f"only queries that have one; a part with fewer than {FEW} queries says little."
    )
    head = ["part", "queries", *map(metric_title, labels)]
    shown = table(head, rows, f"{model_title(step['subject'])} by part")
    return join([el("p", about), el("div", *drawn, class_="pair"), shown])


def ceiling_section(facts: ReportFacts, step: Json) -> Html:
    """How many relevant items reach the ranker, and how far up it brings them."""
    depth, first = max(step["ks"]), min(step["ks"])
    both, alone = step["models"][TWO_STEP], step["models"][RETRIEVAL]
    parts: list[Html | None] = [_reach(facts)]
    deep = depth >= facts.candidates and alone[f"recall@{depth}"]["mean"]
    if deep:
        ceiling = alone[f"recall@{depth}"]["mean"]
        groups = [
            (
                metric_title(label),
                [
                    _dot("retrieval's own order", alone[label], note=percent(alone[label]["mean"], ceiling)),
                    _dot("the ranker's order", both[label], strong=True, note=percent(both[label]["mean"], ceiling)),
                ],
            )
            for label in _at_every_k(step, "recall")
            if int(label.partition("@")[2]) < depth
        ]
        caption = f"What reaches the first places of what is among the {depth} candidates"
        note = (
            f"The line is the ceiling, {metric_title(f'recall@{depth}')} = {number(ceiling, 4)}: no order of these "
            "candidates can do better. On the right, the share of it that is reached."
        )
        if groups:
            parts.append(figure(charts.intervals(_told(caption, groups), groups, ceiling), caption, note))
    label = f"ndcg@{first}"
    if RETRIEVAL in step["differences"]:
        parts.append(el("ul", _finding(step, RETRIEVAL, label), class_="findings"))
    return join(parts)


def _reach(facts: ReportFacts) -> Html | None:
    if not facts.lists:
        return None
    titles = {"learn": "what the ranker learns from", "test": "the test"}
    rows = []
    for purpose, counts in facts.lists.items():
        relevant = counts["positives"] + counts["positives_missed"]
        rows.append(
            [
                el(
                    "th",
                    titles.get(purpose, f"the same, window {purpose.removeprefix('learn_')} before eval"),
                    scope="row",
                ),
                el("td", f"{relevant:,}"),
                el("td", f"{counts['positives']:,}", el("small", percent(counts["positives"], relevant))),
                el("td", f"{counts['positives_missed']:,}"),
                el("td", f"{counts['queries']:,}"),
                el(
                    "td",
                    f"{counts['with_a_positive']:,}",
                    el("small", percent(counts["with_a_positive"], counts["queries"])),
                ),
            ]
        )
    head = ["", "relevant items", "among the candidates", "missed", "queries", "with at least one"]
    about = f"The retriever hands {facts.candidates:,} candidates to the ranker; nothing else can be recommended."
    return join([el("p", about), table(head, rows, "Relevant items among the candidates")])


def _confidence(step: Json) -> str:
    return f"{100 * step['confidence']:g}%"


def _models(step: Json) -> list[tuple[str, Json]]:
    """The subject first, then the baselines in their order."""
    return [(model, step["models"][model]) for model in (step["subject"], *step["baselines"])]


def _ordered(measured: Iterable[str]) -> list[str]:
    """The metrics in the order of the glossary, those that it does not know last, each by rising k."""
    order = {name: place for place, name in enumerate(METRICS)}

    def place(label: str) -> tuple[int, str, int]:
        name, _, k = label.partition("@")
        return order.get(name, len(order)), name, int(k or 0)

    return sorted(measured, key=place)


def _decimals_of_metrics(measured: Iterable[Json]) -> dict[Metric, int]:
    """Decimals a metric, the same at every k."""
    means: dict[Metric, list[float | None]] = defaultdict(list)
    for label, estimate in (pair for row in measured for pair in row.items()):
        means[metric(label)[0]].append(estimate["mean"])
    return {found: decimals(values) for found, values in means.items()}


def _at_every_k(step: Json, name: str) -> list[str]:
    return [f"{name}@{k}" for k in sorted(step["ks"])]


def _row_heads(measured: Iterable[str]) -> Iterator[tuple[str, list[Html]]]:
    """Each metric@k in order with the first cells of its row: the metric, once for all k, and the k."""
    for found, labels in itertools.groupby(_ordered(measured), lambda label: metric(label)[0]):
        group = list(labels)
        for label in group:
            cells = [el("th", found.title, scope="rowgroup", rowspan=len(group))] if label == group[0] else []
            yield label, [*cells, el("th", metric(label)[1], scope="row", class_="k")]


def _column_head(title: str, subject: bool = False) -> Html:
    return el("th", title, scope="col", class_="subject" if subject else None)
