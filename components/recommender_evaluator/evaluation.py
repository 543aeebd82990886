"""The evaluation of the lists of several models, as JSON.

    {
      "subject": "two_step",                    the model that is evaluated
      "baselines": ["popularity", …],           the models that it is compared with; `in_force` is one of them
      "not_compared": {"in_force": "why"},      baselines that cannot be compared, and why
      "ks": [10, 20, 100],
      "queries": 943, "queries_with_relevant": 940, "catalogue": 1682,
      "confidence": 0.95, "resamples": 1000, "seed": 42,
      "models":      {model:    {metric@k: estimate}},
      "differences": {baseline: {metric@k: estimate}},    subject − baseline, paired by query
      "slices": [{"name": "gender=F", "of": "queries", "queries": 273, "metrics": {metric@k: estimate}}, …],
      "probabilities": …                        the metrics of the subject's probabilities of relevance, or null
    }

An estimate is {"mean", "low", "high", "queries"}: the mean over the queries that have a value, its 95% bootstrap
interval, and the number of these queries. A value that could not be measured is null (JSON has no NaN). The metrics of
all lists together (`core.metrics.AGGREGATE`) are one number, under "mean", without an interval or a paired difference.
Slices are measured for the subject. A slice of queries has every metric with a value per query, over its queries. A
slice of items ("of": "items") has recall of the relevant items in the slice, over the queries that have any. A slice
that a rule compares with a baseline also has "models" and "differences", as above.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from scipy import sparse

from components.recommender_evaluator import intervals, slices
from components.recommender_evaluator.intervals import Intervals
from core import metrics
from core.metrics import probabilities

Relevant = tuple[np.ndarray, np.ndarray]


class Predictions(NamedTuple):
    """The probabilities of the subject for P pairs of a query and an item.

    Args:
      labels: [P] bool, whether the item is relevant.
      probabilities: [P] the estimated probability that it is, in [0, 1].
      queries: [P] the number of the query.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    queries: np.ndarray


def evaluate(
    ranked_by_model: dict[str, np.ndarray],
    subject: str,
    *,
    relevant: Relevant,
    train_counts: np.ndarray,
    ks: Sequence[int],
    features: pa.Table,
    has_history: np.ndarray,
    resamples: int,
    seed: int,
    users: np.ndarray | None = None,
    item_features: pa.Table | None = None,
    seen: Relevant | None = None,
    item_vectors: sparse.csr_array | None = None,
    predictions: Predictions | None = None,
    compared_slices: Collection[str] = (),
    not_compared: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Evaluate the lists of every model and compare the subject with the others; see the module for the result.

    Args:
      ranked_by_model: model → [Q, K] item indices, best first, padded with -1; K may differ between models.
      subject: the model that is evaluated; the others are its baselines.
      relevant: offsets [Q + 1] and items [nnz] of each query's relevant items.
      train_counts: [n_items] events of each item in train; an item's index is its row of the catalogue.
      ks: list lengths.
      features: one row per query, the columns to slice by; see `slices.of_queries`.
      has_history: [Q] bool, whether the user of the query has earlier events.
      item_features: one row per item, the columns to slice items by; see `slices.of_values`.
      resamples: the number of bootstrap resamples of an interval.
      seed: the seed of the bootstrap.
      users: [Q] the user of each query, where a user has several (unit `event`); see `intervals.of_means`.
      seen: offsets and items, as in `relevant`, of the items that may not be returned, possibly with duplicates; by
        default none.
      item_vectors: [n_items, F] from `serving.item_vectors`; without it diversity is not measured.
      predictions: the probabilities of the subject.
      compared_slices: the names of the slices in which the subject is compared with the others too.
      not_compared: model → why it is not among the models.

    Raises:
      ValueError: the subject is missing, a k is below 1, or shapes do not agree (see `metrics.hits`).
      UsageError: a column of `features` holds values that have no slices.
    """
    if subject not in ranked_by_model:
        raise ValueError(f"subject should be one of the models, {', '.join(ranked_by_model)}; found {subject!r}")
    ks = sorted({int(k) for k in ks})
    if not ks or ks[0] < 1:
        raise ValueError(f"ks should be list lengths of at least 1; found {ks}")
    models = [subject, *(model for model in ranked_by_model if model != subject)]
    lists = lists_of(
        {model: ranked_by_model[model][:, : ks[-1]] for model in models}, relevant, train_counts, seen, item_vectors
    )
    n_relevant, n_items = np.diff(relevant[0]), len(train_counts)
    # [Q, models, metrics]: all metrics share one bootstrap.
    values = np.stack([_by_query(of_model, ks) for of_model in lists.values()], axis=1)
    weights = np.where([name in metrics.WEIGHTED for name in metrics.BY_QUERY for _ in ks], n_relevant[:, None], 1)
    users = np.arange(len(values)) if users is None else users
    measure = _Measure(models, resamples, seed)
    return {
        "subject": subject,
        "baselines": models[1:],
        "not_compared": dict(not_compared or {}),
        "ks": ks,
        "queries": len(n_relevant),
        "queries_with_relevant": int((n_relevant > 0).sum()),
        "catalogue": n_items,
        "confidence": intervals.CONFIDENCE,
        "resamples": resamples,
        "seed": seed,
        **measure.all(values, users, weights, _labels(metrics.BY_QUERY, ks), {
            model: _aggregate(of_model.ranked, n_items, ks) for model, of_model in lists.items()
        }),
        "slices": [
            *_of_query_slices(values, slices.of_queries(features, has_history), ks, measure, users, weights,
                              compared_slices),
            *_of_item_slices(
                lists,
                relevant,
                [*slices.of_items(train_counts), *([] if item_features is None else slices.of_values(item_features))],
                ks,
                measure,
                users,
                compared_slices,
            ),
        ],
        "probabilities": None if predictions is None else _of_probabilities(predictions),
    }  # fmt: skip


def lists_of(
    ranked: dict[str, np.ndarray],
    relevant: Relevant,
    train_counts: np.ndarray,
    seen: Relevant | None,
    item_vectors: sparse.csr_array | None,
) -> dict[str, metrics.Lists]:
    """Return the lists of each model with the inputs of the metrics."""
    (offsets, items), n_items = relevant, len(train_counts)
    seen_offsets, seen_items = seen or (np.zeros(len(offsets), dtype=np.int64), np.zeros(0, dtype=np.int64))
    seen_offsets, seen_items = metrics.unique_pairs(seen_offsets, seen_items, n_items)
    vectors = sparse.csr_array((n_items, 0)) if item_vectors is None else item_vectors
    return {
        model: metrics.Lists(
            ranked=rows,
            hits=metrics.hits(rows, offsets, items, n_items),
            n_relevant=np.diff(offsets),
            n_candidates=n_items - np.diff(seen_offsets),
            train_counts=train_counts,
            popularity_ranks=metrics.popularity_ranks(rows, train_counts, seen_offsets, seen_items),
            vectors=vectors,
        )
        for model, rows in ranked.items()
    }


def _labels(names: Sequence[str] | Mapping[str, Any], ks: Sequence[int]) -> list[str]:
    """Return `metric@k` for every metric and k."""
    return [f"{name}@{k}" for name in names for k in ks]


def _by_query(lists: metrics.Lists, ks: Sequence[int]) -> np.ndarray:
    """Return [Q, metrics · ks] the values of each query."""
    return np.stack([metric(lists, k) for metric in metrics.BY_QUERY.values() for k in ks], axis=1)


def _aggregate(ranked: np.ndarray, n_items: int, ks: Sequence[int]) -> dict[str, Any]:
    return {
        f"{name}@{k}": {"mean": _number(metric(ranked, n_items, k)), "low": None, "high": None, "queries": len(ranked)}
        for name, metric in metrics.AGGREGATE.items()
        for k in ks
    }


class _Measure:
    """Means and paired differences with intervals, under the resamples and the seed of one evaluation."""

    def __init__(self, models: list[str], resamples: int, seed: int):
        self.models, self.resamples, self.seed = models, resamples, seed

    def rows(
        self, values: np.ndarray, users: np.ndarray, weights: np.ndarray | None, labels: list[str]
    ) -> list[dict[str, Any]]:
        """Return label → estimate for each position of the second axis of values [Q, rows, metrics].

        Args:
          values: [Q, rows, metrics].
          users: [Q] the user of each query.
          weights: [Q, metrics] the weights of the means; None for equal ones.
          labels: [metrics] `metric@k`.
        """
        weights = None if weights is None else weights[:, None]
        return _rows(intervals.of_means(values, self.resamples, self.seed, users, weights), labels)

    def all(
        self,
        values: np.ndarray,
        users: np.ndarray,
        weights: np.ndarray | None,
        labels: list[str],
        more: Mapping[str, dict[str, Any]],
    ) -> dict[str, Any]:
        """Return the estimates of every model, and those of the differences (first model − other).

        Args:
          values: [Q, models, metrics].
          users, weights, labels: as in `rows`.
          more: model → further estimates, which are added to those of the model.
        """
        first = np.broadcast_to(values[:, :1], values[:, 1:].shape)
        against = intervals.of_differences(
            first, values[:, 1:], self.resamples, self.seed, users, None if weights is None else weights[:, None]
        )
        rows = dict(zip(self.models, self.rows(values, users, weights, labels), strict=True))
        return {
            "models": {model: row | more.get(model, {}) for model, row in rows.items()},
            "differences": dict(zip(self.models[1:], _rows(against, labels), strict=True)),
        }


def _of_query_slices(
    values: np.ndarray,
    of_queries: list[slices.Slice],
    ks: Sequence[int],
    measure: _Measure,
    users: np.ndarray,
    weights: np.ndarray,
    compared: Collection[str],
) -> list[dict[str, Any]]:
    """Return the estimates of the slices of queries."""
    labels, parts = _labels(metrics.BY_QUERY, ks), []
    for name, mask in of_queries:
        rest = (users[mask], weights[mask], labels)
        more = measure.all(values[mask], *rest, {}) if name in compared else {}
        [row] = measure.rows(values[mask][:, :1], *rest)
        parts.append({"name": name, "of": "queries", "queries": int(mask.sum()), "metrics": row, **more})
    return parts


def _of_item_slices(
    lists: dict[str, metrics.Lists],
    relevant: Relevant,
    of_items: list[slices.Slice],
    ks: Sequence[int],
    measure: _Measure,
    users: np.ndarray,
    compared: Collection[str],
) -> list[dict[str, Any]]:
    """Return the estimates of recall in the slices of items."""
    (offsets, items), labels, parts = relevant, _labels(["recall"], ks), []
    query = metrics.queries_of(offsets)
    numbers = [np.bincount(query[mask[items]], minlength=len(offsets) - 1) for _, mask in of_items]

    def recall(model: str, place: int) -> np.ndarray:
        """Return [Q, ks] the recall of a model in a slice."""
        mask, one = of_items[place].mask, lists[model]
        # Padding, -1, reads the mask of the last item, but is never a hit.
        hits = one.hits & mask[one.ranked]
        return np.stack([metrics.recall(hits, numbers[place], k) for k in ks], axis=1)

    values = np.stack([recall(measure.models[0], place) for place in range(len(of_items))], axis=1)
    rows = measure.rows(values, users, None, labels)
    for place, ((name, _), number, row) in enumerate(zip(of_items, numbers, rows, strict=True)):
        of_all = np.stack([recall(model, place) for model in lists], axis=1) if name in compared else None
        more = {} if of_all is None else measure.all(of_all, users, None, labels, {})
        one = {"name": name, "of": "items", "queries": int((number > 0).sum()), "metrics": row, **more}
        parts.append(one)
    return parts


def _of_probabilities(predictions: Predictions) -> dict[str, Any]:
    """Return the log loss of the predictions and of a constant base rate, and their calibration error and AUC.

    `auc` is over all pairs; `grouped_auc` is the weighted mean over queries.
    """
    labels, given, queries = predictions
    base_rate = np.full(len(labels), labels.mean() if len(labels) else 0.0)
    found = probabilities.reliability(labels, given)
    return {
        "pairs": len(labels),
        "log_loss": _number(probabilities.log_loss(labels, given)),
        "log_loss_of_base_rate": _number(probabilities.log_loss(labels, base_rate)),
        "calibration_error": _number(probabilities.calibration_error(labels, given)),
        "auc": _number(probabilities.roc_auc(labels, given)),
        "grouped_auc": _number(probabilities.grouped_roc_auc(labels, given, queries)),
        "reliability": [
            {"predicted": float(predicted), "observed": float(observed), "rows": int(rows)}
            for predicted, observed, rows in zip(*found, strict=True)
        ],
    }


def _rows(found: Intervals, labels: list[str]) -> list[dict[str, Any]]:
    return [_row(Intervals(*parts), labels) for parts in zip(*found, strict=True)]


def _row(found: Intervals, labels: list[str]) -> dict[str, Any]:
    return {
        label: {"mean": _number(mean), "low": _number(low), "high": _number(high), "queries": int(queries)}
        for label, mean, low, high, queries in zip(labels, *found, strict=True)
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
