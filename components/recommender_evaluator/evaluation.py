"""Lists of several models in, one JSON evaluation out.

    {
      "subject": "two_step",                    the model that is judged
      "baselines": ["popularity", …],           the others, in the order given; `last_blessed` is one of them
      "ks": [10, 20, 100],
      "queries": 943, "queries_with_relevant": 940, "catalogue": 1682,
      "confidence": 0.95, "resamples": 1000, "seed": 42,
      "models":      {model:    {metric@k: estimate}},
      "differences": {baseline: {metric@k: estimate}},    subject less baseline, paired by query
      "slices": [{"name": "gender=F", "of": "queries", "queries": 273, "metrics": {metric@k: estimate}}, …]
    }

An estimate is {"mean", "low", "high", "queries"}: the mean over the queries that have a value, its 95% bootstrap
interval and how many those are. What could not be measured is null (JSON has no NaN). The metrics of all lists together
(`catalogue_coverage`, `gini`) are one number, which stands under "mean"; their interval is null and they have no paired
difference. Slices are of the subject: slices of queries have every metric of relevance, over their own queries; slices
of items ("of": "items") have recall, the relevant items restricted to the slice, queries without any left out.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from components.recommender_evaluator import intervals, slices
from components.recommender_evaluator.intervals import Intervals
from core import metrics

Relevant = tuple[np.ndarray, np.ndarray]
# `intervals.of_means` under the resamples and the seed of this evaluation.
Interval = Callable[..., Intervals]


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
) -> dict[str, Any]:
    """Measure every model's lists and compare the subject with the others; the module says what comes out.

    Args:
      ranked_by_model: model → [Q, K] item indices, best first, padded with -1; K may differ between models.
      subject: which of them is judged; the others are its baselines.
      relevant: offsets [Q + 1] and items [nnz] of each query's relevant items.
      train_counts: [n_items] events of each item in train; an item's index is its row of the catalogue.
      ks: list lengths.
      features: one row a query, the columns to slice by; see `slices.of_queries`.
      has_history: [Q] bool, whether the query's user has a past.
      resamples: bootstrap resamples of every interval.
      seed: of the bootstrap.
      users: [Q] the user of each query, where a user has several (unit `event`); see `intervals.of_means`.

    Raises:
      ValueError: the subject is missing, a k below 1, or arrays that do not fit (see `metrics.hits`).
      UsageError: a column of `features` cannot be sliced by.
    """
    if subject not in ranked_by_model:
        raise ValueError(f"subject should be one of the models, {', '.join(ranked_by_model)}; found {subject!r}")
    ks = sorted({int(k) for k in ks})
    if not ks or ks[0] < 1:
        raise ValueError(f"ks should be list lengths of at least 1; found {ks}")
    offsets, items = relevant
    n_items = len(train_counts)
    n_relevant = np.diff(offsets)
    models = [subject, *(model for model in ranked_by_model if model != subject)]
    ranked = {model: ranked_by_model[model][:, : ks[-1]] for model in models}
    hits = {model: metrics.hits(ranked[model], offsets, items, n_items) for model in models}
    # [Q, models, metrics], so that one bootstrap serves all.
    of_relevance = np.stack([_relevance(hits[model], n_relevant, ks) for model in models], axis=1)
    of_popularity = np.stack([_popularity(ranked[model], train_counts, ks) for model in models], axis=1)
    values = np.concatenate([of_relevance, of_popularity], axis=2)
    labels = [*_labels(metrics.RELEVANCE, ks), *_labels(metrics.POPULARITY, ks)]
    first = np.broadcast_to(values[:, :1], values[:, 1:].shape)
    interval = partial(intervals.of_means, resamples=resamples, seed=seed)
    users = np.arange(len(values)) if users is None else users
    means = _rows(interval(values, users=users), labels)
    against = _rows(intervals.of_differences(first, values[:, 1:], resamples, seed, users), labels)
    query_slices = slices.of_queries(features, has_history)
    return {
        "subject": subject,
        "baselines": models[1:],
        "ks": ks,
        "queries": len(n_relevant),
        "queries_with_relevant": int((n_relevant > 0).sum()),
        "catalogue": n_items,
        "confidence": intervals.CONFIDENCE,
        "resamples": resamples,
        "seed": seed,
        "models": {
            model: row | _exposure(ranked[model], n_items, ks) for model, row in zip(models, means, strict=True)
        },
        "differences": dict(zip(models[1:], against, strict=True)),
        "slices": [
            *_of_query_slices(of_relevance[:, 0], query_slices, ks, interval, users),
            *_of_item_slices(
                ranked[subject], hits[subject], relevant, slices.of_items(train_counts), ks, interval, users
            ),
        ],
    }


def _labels(names: Sequence[str] | dict[str, Any], ks: Sequence[int]) -> list[str]:
    return [f"{name}@{k}" for name in names for k in ks]


def _relevance(hits: np.ndarray, n_relevant: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    """[Q, metrics · ks]"""
    return np.stack([metric(hits, n_relevant, k) for metric in metrics.RELEVANCE.values() for k in ks], axis=1)


def _popularity(ranked: np.ndarray, train_counts: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    """[Q, metrics · ks]"""
    return np.stack([metric(ranked, train_counts, k) for metric in metrics.POPULARITY.values() for k in ks], axis=1)


def _exposure(ranked: np.ndarray, n_items: int, ks: Sequence[int]) -> dict[str, Any]:
    return {
        f"{name}@{k}": {"mean": _number(metric(ranked, n_items, k)), "low": None, "high": None, "queries": len(ranked)}
        for name, metric in metrics.EXPOSURE.items()
        for k in ks
    }


def _of_query_slices(
    values: np.ndarray, of_queries: list[slices.Slice], ks: Sequence[int], interval: Interval, users: np.ndarray
) -> list[dict[str, Any]]:
    labels = _labels(metrics.RELEVANCE, ks)
    return [
        {
            "name": name,
            "of": "queries",
            "queries": int(mask.sum()),
            "metrics": _row(interval(values[mask], users=users[mask]), labels),
        }
        for name, mask in of_queries
    ]


def _of_item_slices(
    ranked: np.ndarray,
    hits: np.ndarray,
    relevant: Relevant,
    of_items: list[slices.Slice],
    ks: Sequence[int],
    interval: Interval,
    users: np.ndarray,
) -> list[dict[str, Any]]:
    offsets, items = relevant
    query = metrics.queries_of(offsets)
    n_relevant = [np.bincount(query[mask[items]], minlength=len(ranked)) for _, mask in of_items]
    values = np.stack(
        [
            # Padding reads some item's mask, but is no hit.
            np.stack([metrics.recall(hits & mask[ranked], number, k) for k in ks], axis=1)
            for (_, mask), number in zip(of_items, n_relevant, strict=True)
        ],
        axis=1,
    )
    rows = _rows(interval(values, users=users), _labels(["recall"], ks))
    return [
        {"name": name, "of": "items", "queries": int((number > 0).sum()), "metrics": row}
        for (name, _), number, row in zip(of_items, n_relevant, rows, strict=True)
    ]


def _rows(found: Intervals, labels: list[str]) -> list[dict[str, Any]]:
    return [_row(Intervals(*parts), labels) for parts in zip(*found, strict=True)]


def _row(found: Intervals, labels: list[str]) -> dict[str, Any]:
    return {
        label: {"mean": _number(mean), "low": _number(low), "high": _number(high), "queries": int(queries)}
        for label, mean, low, high, queries in zip(labels, *found, strict=True)
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
