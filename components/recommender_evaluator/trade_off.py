"""What diversity costs: the same lists re-ranked at several weights of it, so that one can be chosen by looking.

    {
      "method": "mmr", "k": 10, "queries": 943,
      "served": 0.2,                            the weight configured; 0 where no diversity is
      "points": [{"weight": 0.0, "ndcg": 0.17, "intra_list_diversity": 0.5, "catalogue_coverage": 0.3}, …]
    }

All else of re-ranking stays as configured. The measures are of the first k, over a sample of the queries.
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
    """Accuracy, diversity and coverage by the weight of diversity, of the method configured or else MMR.

    Args:
      settings: of re-ranking, as served.
      catalogue, features: the items and their features.
      vectors: [N, F] of `item_vectors`.
      queries: Q queries.
      rows, scores: [Q, C] candidates, -1 for padding, and what the ranker says of them.
      k: the length of the lists that are measured.
      seed: of the sample.
    Returns: None where no list has two items whose features can be compared.
    """
    chosen = np.arange(len(queries))
    if len(queries) > MOST_QUERIES:
        chosen = np.sort(np.random.default_rng(seed).choice(len(queries), MOST_QUERIES, replace=False))
    queries, rows, scores = queries.take(chosen), rows[chosen], scores[chosen]
    served = settings.diversity
    weights = sorted({served, *(weight for weight in WEIGHTS if weight + settings.calibrated <= 1)})
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
