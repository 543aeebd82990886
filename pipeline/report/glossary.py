"""The names that people read, and one sentence on each metric."""

from typing import Literal, NamedTuple

TWO_STEP, RETRIEVAL = "two_step", "retrieval"  # the steps of an evaluation, and the models they judge
_MODELS = {TWO_STEP: "two-step", RETRIEVAL: "retrieval alone", "in_force": "release in force"}


class Metric(NamedTuple):
    """How a metric is read.

    Args:
      title: its name.
      better: 1 where more is better, -1 where less is, 0 where neither is by itself.
      meaning: one sentence.
    """

    title: str
    better: Literal[-1, 0, 1]
    meaning: str


METRICS = {
    "ndcg": Metric(
        "NDCG",
        1,
        "The relevant items in the first k, each counting less the lower it stands, over what the best possible list "
        "would have: 1 is a perfect order, 0 no relevant item at all.",
    ),
    "recall": Metric(
        "Recall",
        1,
        "Which share of a query's relevant items is in the first k; with more than k of them it cannot reach 1.",
    ),
    "precision": Metric(
        "Precision", 1, "Which share of the first k positions holds a relevant item; an empty position is a miss."
    ),
    "f1": Metric(
        "F1",
        1,
        "The harmonic mean of precision and recall, taken for each query and then averaged: high only if both are.",
    ),
    "hit_rate": Metric("Hit rate", 1, "The share of queries with at least one relevant item in the first k."),
    "mrr": Metric(
        "MRR", 1, "One over the position of the first relevant item, 0 if none is in the first k: how soon a list hits."
    ),
    "map": Metric(
        "MAP",
        1,
        "The precision at the position of each relevant item, averaged over them: rewards lists whose relevant items "
        "all stand near the top.",
    ),
    "auc": Metric(
        "AUC",
        1,
        "The probability that a relevant item stands before another item of the catalogue; what is not among the first "
        "k counts as tied, one half, so it is exact where k reaches the end of the catalogue.",
    ),
    "grouped_auc": Metric(
        "Grouped AUC", 1, "The same, with each query weighing as much as it has relevant items instead of one."
    ),
    "serendipity": Metric(
        "Serendipity",
        1,
        "Which share of the first k positions holds a relevant item that a list of the most popular items would not "
        "have had there.",
    ),
    "novelty": Metric(
        "Novelty",
        0,
        "How surprising the items of the first k are, in bits: the rarer an item is in the training events, the more; "
        "chance scores highest, so read it beside the relevance.",
    ),
    "average_popularity": Metric(
        "Average popularity",
        0,
        "How many training events the items of the first k have on average: the nearer to the popularity baseline, the "
        "more a list follows the crowd.",
    ),
    "intra_list_diversity": Metric(
        "Intra-list diversity",
        0,
        "How unlike each other the items of the first k are in their features: 0 if all are the same, 1 if no two have "
        "anything in common; chance scores high, so read it beside the relevance.",
    ),
    "user_coverage": Metric(
        "User coverage", 1, "The share of queries whose list is full, with k items, whether right or wrong."
    ),
    "personalisation": Metric(
        "Personalisation",
        0,
        "How different the lists of two queries are on average (inter-list diversity): 0 if all have the same items, 1 "
        "if no two share any.",
    ),
    "catalogue_coverage": Metric(
        "Catalogue coverage", 1, "The share of the catalogue that is in the first k of at least one query."
    ),
    "gini": Metric(
        "Gini",
        -1,
        "How unevenly the items of the catalogue are shown: 0 if all equally often, near 1 if a few take all places.",
    ),
}


def model_title(model: str) -> str:
    """A model as people read it; a baseline's name is that of the configuration."""
    return _MODELS.get(model, model)


def metric(label: str) -> tuple[Metric, str]:
    """How `name@k` is read, and its k; a metric that is not known here is shown under its own name."""
    name, _, k = label.partition("@")
    return METRICS.get(name, Metric(name, 0, "")), k


def metric_title(label: str) -> str:
    """`NDCG@10` of `ndcg@10`."""
    found, k = metric(label)
    return f"{found.title}@{k}"


def slice_title(name: str) -> str:
    """`warm users` of `user:warm`; a slice of a column stays as it is."""
    return {
        "user:warm": "users with a past",
        "user:cold": "users without a past",
        "item:warm": "items seen in training",
        "item:cold": "items new since training",
        "item:head": "head: the popular half",
        "item:tail": "tail: all other items",
    }.get(name, name)
