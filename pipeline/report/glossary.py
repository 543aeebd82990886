"""Titles of models, metrics and slices in the report, and one sentence about each metric."""

from typing import Literal, NamedTuple

TWO_STEP, RETRIEVAL = "two_step", "retrieval"  # the steps of an evaluation, and the names of their models
_MODELS = {TWO_STEP: "two-step", RETRIEVAL: "retrieval alone", "in_force": "release in force"}


class Metric(NamedTuple):
    """The title and meaning of a metric.

    Args:
      title: the title.
      better: 1 if higher is better, -1 if lower is, 0 if neither is by itself.
      meaning: one sentence.
    """

    title: str
    better: Literal[-1, 0, 1]
    meaning: str


METRICS = {
    "ndcg": Metric(
        "NDCG",
        1,
        "The gain of the relevant items in the first k, discounted by position, divided by the gain of an ideal list: "
        "1 for an ideal list, 0 without a relevant item.",
    ),
    "recall": Metric(
        "Recall",
        1,
        "The share of the relevant items of a query that is in the first k; below 1 for more than k relevant items.",
    ),
    "precision": Metric(
        "Precision", 1, "The share of the first k positions with a relevant item; an empty position is a miss."
    ),
    "f1": Metric(
        "F1",
        1,
        "The harmonic mean of precision and recall, computed per query and then averaged: high only if both are high.",
    ),
    "hit_rate": Metric("Hit rate", 1, "The share of queries with at least one relevant item in the first k."),
    "mrr": Metric("MRR", 1, "One divided by the position of the first relevant item; 0 if none is in the first k."),
    "map": Metric(
        "MAP",
        1,
        "The mean over the relevant items of the precision at their positions: high if all of them are near the top.",
    ),
    "auc": Metric(
        "AUC",
        1,
        "The probability that a relevant item comes before another item of the catalogue. Items after the first k "
        "count as tied, one half, so the value is exact only for k as large as the catalogue.",
    ),
    "grouped_auc": Metric("Grouped AUC", 1, "AUC with each query weighted by its number of relevant items."),
    "serendipity": Metric(
        "Serendipity",
        1,
        "The share of the first k positions with a relevant item that a list of the k most popular items would not "
        "hold.",
    ),
    "novelty": Metric(
        "Novelty",
        0,
        "The mean self-information of the items in the first k, in bits: higher for items that are rarer in train. "
        "Random lists have the highest value, so compare it together with relevance.",
    ),
    "average_popularity": Metric(
        "Average popularity",
        0,
        "The mean number of training events of the items in the first k; compare it with the value of the popularity "
        "baseline.",
    ),
    "intra_list_diversity": Metric(
        "Intra-list diversity",
        0,
        "The mean distance between two items of the first k by their features: 0 if all are equal, 1 if no two share a "
        "value. Random lists have a high value, so compare it together with relevance.",
    ),
    "user_coverage": Metric("User coverage", 1, "The share of queries with a full list of k items, relevant or not."),
    "personalisation": Metric(
        "Personalisation",
        0,
        "The mean difference between the lists of two queries (inter-list diversity): 0 if all have the same items, 1 "
        "if no two share an item.",
    ),
    "catalogue_coverage": Metric(
        "Catalogue coverage", 1, "The share of the catalogue that is in the first k of at least one query."
    ),
    "gini": Metric(
        "Gini",
        -1,
        "The inequality of the number of lists that the items of the catalogue are in: 0 if all are in equally many, "
        "near 1 if a few items take all positions.",
    ),
}


def model_title(model: str) -> str:
    """Return the title of a model; for a baseline, its name in the configuration."""
    return _MODELS.get(model, model)


def metric(label: str) -> tuple[Metric, str]:
    """Return the metric of `name@k`, and its k; an unknown metric has its name as title."""
    name, _, k = label.partition("@")
    return METRICS.get(name, Metric(name, 0, "")), k


def metric_title(label: str) -> str:
    """Return the title of `name@k`, such as `NDCG@10` for `ndcg@10`."""
    known, k = metric(label)
    return f"{known.title}@{k}"


def slice_title(name: str) -> str:
    """Return the title of a slice; a slice by the value of a column has its name as title."""
    return {
        "user:warm": "users with events before the query",
        "user:cold": "users without events before the query",
        "item:warm": "items with events in train",
        "item:cold": "items without events in train",
        "item:head": "head: the most popular items, with half of the events",
        "item:tail": "tail: all other items",
    }.get(name, name)
