"""The trade-off of accuracy and diversity: the same candidates re-ranked with several weights of diversity.

    {
      "method": "mmr", "k": 10, "queries": 943,
      "served": 0.2,                            the configured weight; 0 without diversity
      "points": [{"weight": 0.0, "ndcg": 0.17, "intra_list_diversity": 0.5, "catalogue_coverage": 0.3}, …]
    }

The other settings of re-ranking stay as configured. The metrics are of the first k items, over a sample of the queries.
"""

import math
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import sparse

from core import metrics
from core.queries import Queries
from serving.rerank.reranker import Reranker
from serving.rerank.settings import Reranking
from transform.features import Feature

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
MOST_QUERIES = 2_000


def trade_off(
    settings: Reranking,
    catalogue: pa.Table,
    features: dict[str, Feature],
    vectors: sparse.csr_array,
    queries: Queries,
    rows: np.ndarray,
    scores: np.ndarray,
    k: int,
    seed: int,
) -> dict[str, Any] | None:
    """Return accuracy, diversity and coverage by the weight of diversity, under the configured method or MMR.

    Args:
      settings: the served re-ranking.
      catalogue, features: the items and their features.
      vectors: [N, F] from `serving.item_vectors`.
      queries: Q queries.
      rows, scores: [Q, C] candidates, -1 for padding, and their scores by the ranker.
      k: the list length of the metrics.
      seed: the seed of the sample.
    Returns:
      `method`, `k`, `queries` (their number), `served` (the configured weight) and `points`, one per weight with
      `weight`, `ndcg`, `intra_list_diversity` and `catalogue_coverage`; None if no list has two items with features.
    """
    chosen = np.arange(len(queries))
    if len(queries) > MOST_QUERIES:
        chosen = np.sort(np.random.default_rng(seed).choice(len(queries), MOST_QUERIES, replace=False))
    queries, rows, scores = queries.take(chosen), rows[chosen], scores[chosen]
    served = settings.diversity
    weights = sorted({served, *(weight for weight in WEIGHTS if weight + settings.other_shares <= 1)})
    reranker = Reranker(settings.with_diversity(served), catalogue, features)
    points = []
    for weight in weights:
        lists = reranker.with_settings(settings.with_diversity(weight)).rerank(queries, rows, scores, k)[0]
        points.append({"weight": weight, **_measured(lists, queries, vectors, k)})
    if all(point["intra_list_diversity"] is None for point in points):
        return None
    return {"method": settings.method, "k": k, "queries": len(queries), "served": served, "points": points}


def _measured(lists: np.ndarray, queries: Queries, vectors: sparse.csr_array, k: int) -> dict[str, float | None]:
    n_items = vectors.shape[0]
    hits = metrics.hits(lists, queries.relevant_offsets, queries.relevant_items, n_items)
    values = {
        "ndcg": _mean(metrics.ndcg(hits, np.diff(queries.relevant_offsets), k)),
        "intra_list_diversity": _mean(metrics.intra_list_diversity(lists, vectors, k)),
        "catalogue_coverage": metrics.catalogue_coverage(lists, n_items, k),
    }
    return {name: None if math.isnan(value) else float(value) for name, value in values.items()}


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan
