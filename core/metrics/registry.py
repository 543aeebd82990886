"""The metrics by name, and their common arguments."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import UsageError
from core.metrics import coverage, diversity, popularity, relevance

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class Lists:
    """The lists of one model and the arguments of all metrics: Q queries, N items.

    Args:
      ranked: [Q, K] item rows, best first, padded with -1.
      hits: [Q, K] bool, from `core.metrics.hits`.
      n_relevant: [Q] the number of relevant items.
      n_candidates: [Q] the number of items that may be listed.
      train_counts: [N] the number of events of each item in train.
      popularity_ranks: [Q, K] from `core.metrics.popularity_ranks`.
      vectors: [N, F] a sparse row of features per item.
    """

    ranked: np.ndarray
    hits: np.ndarray
    n_relevant: np.ndarray
    n_candidates: np.ndarray
    train_counts: np.ndarray
    popularity_ranks: np.ndarray
    vectors: "csr_matrix"


Relevance = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
Popularity = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
Aggregate = Callable[[np.ndarray, int, int], float]

RELEVANCE: dict[str, Relevance] = {
    "precision": relevance.precision,
    "recall": relevance.recall,
    "f1": relevance.f1,
    "hit_rate": relevance.hit_rate,
    "mrr": relevance.reciprocal_rank,
    "map": relevance.average_precision,
    "ndcg": relevance.ndcg,
}
POPULARITY: dict[str, Popularity] = {
    "novelty": popularity.novelty,
    "average_popularity": popularity.average_popularity,
}
AGGREGATE: dict[str, Aggregate] = {
    "catalogue_coverage": coverage.catalogue_coverage,
    "gini": coverage.gini,
    "personalisation": diversity.personalisation,
}


def _of_relevance(metric: Relevance) -> Callable[[Lists, int], np.ndarray]:
    """Return a metric of relevance as a function of `Lists`."""
    return lambda lists, k: metric(lists.hits, lists.n_relevant, k)


def _of_popularity(metric: Popularity) -> Callable[[Lists, int], np.ndarray]:
    """Return a metric of popularity as a function of `Lists`."""
    return lambda lists, k: metric(lists.ranked, lists.train_counts, k)


def _auc(lists: Lists, k: int) -> np.ndarray:
    """Return [Q] the AUC of lists."""
    return relevance.auc(lists.ranked, lists.hits, lists.n_relevant, lists.n_candidates, k)


# Every metric with a value per query: (lists, k) → [Q].
BY_QUERY: dict[str, Callable[[Lists, int], np.ndarray]] = {
    **{name: _of_relevance(metric) for name, metric in RELEVANCE.items()},
    "auc": _auc,
    "grouped_auc": _auc,
    "serendipity": lambda lists, k: popularity.serendipity(lists.hits, lists.popularity_ranks, lists.n_relevant, k),
    **{name: _of_popularity(metric) for name, metric in POPULARITY.items()},
    "intra_list_diversity": lambda lists, k: diversity.intra_list_diversity(lists.ranked, lists.vectors, k),
    "user_coverage": lambda lists, k: coverage.user_coverage(lists.ranked, k),
}
# The metrics of `BY_QUERY` whose mean weights a query by its number of relevant items. Source: Zhu et al., Optimized
# cost per click in Taobao display advertising (KDD 2017), and Zhou et al., Deep interest network (KDD 2018), who weight
# the AUC of a user by impressions or clicks; here relevant items replace clicks.
WEIGHTED = frozenset({"grouped_auc"})
METRICS: dict[str, Callable[..., Any]] = {**BY_QUERY, **AGGREGATE}


def parse(metric: str) -> tuple[str, int]:
    """Return the name and k of a metric written `name@k`. Raises: UsageError, with the known names."""
    match = re.fullmatch(r"([a-z0-9_]+)@([1-9][0-9]*)", metric)
    if not match or match[1] not in METRICS:
        raise UsageError(
            f"metric should be NAME@K, such as ndcg@10, with NAME one of {', '.join(METRICS)}; found {metric!r}"
        )
    return match[1], int(match[2])
