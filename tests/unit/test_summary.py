"""The summary of a run: at most 80 columns, with the metrics of the rules and the result of each rule."""

import io
import json
import re

import pytest
from rich.console import Console

from pipeline.report import summary


def estimate(mean, low=None, high=None):
    return {"mean": mean, "low": low, "high": high, "queries": 9}


def measured(scale, metrics):
    return {metric: estimate(0.1693 * scale, 0.156 * scale, 0.1831 * scale) for metric in metrics}


def evaluation(rules=("ndcg@10 not below popularity",), scale=1.0, more=(), items=12_345_678):
    metrics = ["ndcg@10", "recall@100", *more]
    models = {"two_step": 1.0, "retrieval": 0.9, "knn_baseline": 0.5, "in_force": 0.8, "popularity": 0.4}
    both = {
        "subject": "two_step",
        "ks": [10, 100],
        "queries_with_relevant": 10_000,
        "catalogue": items,
        "models": {name: measured(scale * each, metrics) for name, each in models.items()},
        "differences": {
            name: {metric: estimate(0.0512 * scale, -0.0123 * scale, 0.0987 * scale) for metric in metrics}
            for name in models
            if name != "two_step"
        },
    }
    verdicts = [
        {"rule": f"two_step {rule}", "passed": place % 2 == 0, "value": 0.1693, "bound": 0.0677, "sentence": ""}
        for place, rule in enumerate(rules)
    ]
    return {"steps": {"two_step": both, "retrieval": both}, "verdicts": verdicts}


def lines_of(found, width=80):
    out = io.StringIO()
    console = Console(file=out, width=width)
    console.print(summary.metrics_table(found))
    for line in summary.rule_lines(found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return out.getvalue().splitlines()


LONG = ("intra_list_diversity@10", "average_popularity@10", "personalisation@10")


@pytest.mark.parametrize(
    ("rules", "scale", "more"),
    [
        (("ndcg@10 not below popularity", "ndcg@10 not below in_force"), 1, ()),
        (("recall@100 at least 0.2",), 1, ()),
        (("average_popularity@10 at least 3", "personalisation@10 at least 1"), 100_000, LONG),
        (("average_popularity@10 at least 3", "intra_list_diversity@10 not below in_force"), 100_000, LONG),
        (("intra_list_diversity@10 at least 3", "serendipity@10 at least 1"), 50, (*LONG, "serendipity@10")),
        (("ndcg@10 of occupation=" + "a very long value " * 6 + "not below popularity",), 1, ()),
        ((), 1, ()),
    ],
)
def test_no_line_is_longer_than_80_columns_and_no_figure_is_cut(rules, scale, more):
    lines = lines_of(evaluation(rules, scale, more))
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    assert sum(bool(re.search(r"\[[\d.,]+, [\d.,]+\]", line)) for line in lines) == 5  # one interval per model
    assert sum(bool(re.search(r"\[[-+\d.,]+, \+[\d.,]+\]$", line.rstrip())) for line in lines) == 4


def test_the_table_shows_what_the_rules_judge():
    assert summary.shown_metrics(evaluation()) == ("ndcg@10", "recall@100")
    assert summary.shown_metrics(evaluation(rules=())) == ("ndcg@10", "recall@100")
    judged = evaluation(rules=("map@10 at least 0.1", "ndcg@10 at least 0.1"), more=("map@10",))
    assert summary.shown_metrics(judged) == ("map@10", "ndcg@10")
    overall = evaluation(rules=("gini@10 at most 0.9",), more=("gini@10",))
    assert summary.shown_metrics(overall) == ("ndcg@10", "recall@100")
    heading = "\n".join(lines_of(judged))
    assert "Map@10" in heading
    assert "NDCG@10" in heading


def test_models_stand_best_first_with_the_difference_of_the_two_steps():
    rows = [line for line in lines_of(evaluation()) if re.search(r"0\.\d{4}", line)]
    assert [row.split()[0] for row in rows[:5]] == [
        "two-step",
        "retrieval",
        "in_force",
        "knn_baseline",
        "popularity",
    ]
    assert "0.1693 [.156, .183]" in rows[0]
    assert "+0.0512 [-.012, +.099]" in rows[1]


def test_each_rule_says_whether_it_passed_and_by_what():
    lines = summary.rule_lines(evaluation(rules=("ndcg@10 not below popularity", "recall@100 at least 0.2")))
    assert lines == [
        "passed      two_step ndcg@10 not below popularity: 0.1693, bound 0.0677",
        "failed      two_step recall@100 at least 0.2: 0.1693, bound 0.0677",
    ]


def test_a_value_of_the_data_in_a_rule_is_text():
    lines = summary.rule_lines(evaluation(rules=("ndcg@10 of genre=[bold]x\x1b[2J at most 1",)))
    assert "genre=[bold]x\\x1b[2J" in " ".join(lines)


def test_nothing_measured_is_a_dash():
    found = evaluation()
    for model in found["steps"]["two_step"]["models"].values():
        model["ndcg@10"] = estimate(None)
    found["verdicts"][0] |= {"value": None, "bound": None}
    [line] = summary.rule_lines(found)
    assert line.startswith("passed      two_step ndcg@10 not below popularity: —")
    assert max(map(len, lines_of(json.loads(json.dumps(found))))) <= 80
