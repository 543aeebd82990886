"""The section of the report on the recall of the candidates, an upper bound of the ranker's recall."""

from typing import Any

from pipeline.report import charts, results
from pipeline.report.facts import ReportFacts
from pipeline.report.glossary import RETRIEVAL, TWO_STEP, metric_title
from pipeline.report.markup import Html, el, figure, join, number, percent, table

Json = dict[str, Any]


def section(facts: ReportFacts, step: Json) -> Html:
    """Return the section that compares recall at each smaller k with the recall of all candidates, its ceiling."""
    depth, first = max(step["ks"]), min(step["ks"])
    both, retrieval = step["models"][TWO_STEP], step["models"][RETRIEVAL]
    parts: list[Html | None] = [_reach(facts)]
    deep = depth >= facts.candidates and retrieval[f"recall@{depth}"]["mean"]
    if deep:
        ceiling = retrieval[f"recall@{depth}"]["mean"]
        groups = [
            (
                metric_title(label),
                [
                    results.dot("retriever's order", retrieval[label], note=percent(retrieval[label]["mean"], ceiling)),
                    results.dot("ranker's order", both[label], strong=True, note=percent(both[label]["mean"], ceiling)),
                ],
            )
            for label in results.at_every_k(step, "recall")
            if int(label.partition("@")[2]) < depth
        ]
        caption = f"Recall of the first positions of the {depth} candidates"
        note = (
            f"The line is the ceiling, {metric_title(f'recall@{depth}')} = {number(ceiling, 4)}, which no order of the "
            "candidates can exceed. On the right is the share of the ceiling."
        )
        if groups:
            parts.append(figure(charts.intervals(results.described(caption, groups), groups, ceiling), caption, note))
    label = f"ndcg@{first}"
    if RETRIEVAL in step["differences"]:
        parts.append(el("ul", results.finding(step, RETRIEVAL, label), class_="findings"))
    return join(parts)


def _reach(facts: ReportFacts) -> Html | None:
    """Return a table of the number of relevant items among the candidates; None without candidate lists."""
    if not facts.lists:
        return None
    titles = {"learn": "training lists of the ranker", "test": "test"}
    rows = []
    for purpose, counts in facts.lists.items():
        relevant = counts["positives"] + counts["positives_missed"]
        rows.append(
            [
                el(
                    "th",
                    titles.get(purpose, f"training lists of window {purpose.removeprefix('learn_')} before eval"),
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
    about = f"The retriever returns {facts.candidates:,} candidates per query; no other item can be recommended."
    return join([el("p", about), table(head, rows, "Relevant items among the candidates")])
