"""Metrics of ranked lists over the full catalogue, as functions of arrays.

Three groups, each with one signature:

- `RELEVANCE`: (hits [Q, K] bool, n_relevant [Q], k) → [Q]; did the list hold what the user took?
- `POPULARITY`: (ranked [Q, K], train_counts [n_items], k) → [Q]; how well known is what the list holds?
- `EXPOSURE`: (ranked [Q, K], n_items, k) → one number for all lists together.

The same conventions hold for all of them:

- *Ties*: a list comes in its final order, so ties are the caller's to break; no metric sees a score.
- *Short lists*: a list is padded with -1. To `RELEVANCE` a missing position, be it padding or k > K, is a miss:
  precision still divides by k. `POPULARITY` and `EXPOSURE` look at the items that are there.
- *Nothing relevant*: a query without a relevant item has no value: NaN, which every mean leaves out.
- *Duplicates*: an item that stands twice in one list would be credited twice, so `hits` refuses it.
"""

import re
from collections.abc import Callable

import numpy as np

from core.errors import UsageError

PADDING = -1


def hits(ranked: np.ndarray, offsets: np.ndarray, items: np.ndarray, n_items: int) -> np.ndarray:
    """Whether each position of each list holds a relevant item.

    Args:
      ranked: [Q, K] item indices, best first, padded with -1.
      offsets: [Q + 1]; query q's relevant items are `items[offsets[q]:offsets[q + 1]]`.
      items: [nnz] item indices, no item twice in a query.
      n_items: size of the catalogue.

    Returns: [Q, K] bool; padding is False.

    Raises:
      ValueError: shapes that do not fit, an index outside the catalogue, or an item twice in one list or relevant set.
    """
    _check_relevant(offsets, items, n_items)
    _check_ranked(ranked, len(offsets) - 1, n_items)
    found = np.zeros(ranked.shape, dtype=bool)
    if not len(items) or not ranked.size:
        return found
    relevant = np.sort(_keys(offsets, items, n_items))
    if (relevant[1:] == relevant[:-1]).any():
        query, item = divmod(int(relevant[1:][relevant[1:] == relevant[:-1]][0]), n_items)
        raise ValueError(f"relevant: query {query} has item {item} twice; each relevant item should stand once")
    filled = ranked != PADDING
    sought = (np.arange(len(ranked), dtype=np.int64)[:, None] * n_items + ranked)[filled]
    place = np.minimum(np.searchsorted(relevant, sought), len(relevant) - 1)
    found[filled] = relevant[place] == sought
    return found


def queries_of(offsets: np.ndarray) -> np.ndarray:
    """[nnz] the query that each relevant item belongs to."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def _keys(offsets: np.ndarray, items: np.ndarray, n_items: int) -> np.ndarray:
    # One integer for a (query, item) pair turns set membership a query into one search over all queries.
    return queries_of(offsets).astype(np.int64) * n_items + items


def _check_relevant(offsets: np.ndarray, items: np.ndarray, n_items: int) -> None:
    if len(offsets) < 1 or offsets[0] != 0 or offsets[-1] != len(items) or (np.diff(offsets) < 0).any():
        raise ValueError(f"offsets should rise from 0 to the number of relevant items, {len(items)}; found {offsets!r}")
    if len(items) and (items.min() < 0 or items.max() >= n_items):
        raise ValueError(f"relevant items should be in [0, {n_items}); found {items.min()} to {items.max()}")


def _check_ranked(ranked: np.ndarray, n_queries: int, n_items: int) -> None:
    if ranked.ndim != 2 or len(ranked) != n_queries:
        raise ValueError(f"ranked should have shape [{n_queries}, K]; found {list(ranked.shape)}")
    if ranked.size and (ranked.min() < PADDING or ranked.max() >= n_items):
        raise ValueError(f"ranked items should be in [0, {n_items}) or -1; found {ranked.min()} to {ranked.max()}")
    by_item = np.sort(ranked, axis=1)
    twice = (by_item[:, 1:] == by_item[:, :-1]) & (by_item[:, 1:] != PADDING)
    if twice.any():
        query, place = (int(part[0]) for part in twice.nonzero())
        raise ValueError(f"ranked: query {query} has item {by_item[query, place]} twice; each item should stand once")


def _of_relevant(values: np.ndarray, n_relevant: np.ndarray) -> np.ndarray:
    return np.where(n_relevant > 0, values, np.nan)


# ---- relevance ----


def precision(hits: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Share of the first k positions that are relevant: |top k ∩ relevant| / k.

    Divides by k however short the list is. [Q] in [0, 1]; NaN without a relevant item.
    Source: Manning, Raghavan and Schütze, Introduction to Information Retrieval (2008), 8.3 and 8.4.
    """
    return _of_relevant(hits[:, :k].sum(axis=1) / k, n_relevant)


def recall(hits: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Share of the relevant items that are in the first k: |top k ∩ relevant| / |relevant|.

    With more than k relevant items it cannot reach 1. [Q] in [0, 1]; NaN without a relevant item.
    Source: Manning, Raghavan and Schütze (2008), 8.3 and 8.4.
    """
    return _of_relevant(hits[:, :k].sum(axis=1) / np.maximum(n_relevant, 1), n_relevant)


def f1(hits: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Harmonic mean of precision and recall: 2PR / (P + R) = 2 |top k ∩ relevant| / (k + |relevant|); 0 without a hit.

    Taken for each query, then averaged: it is not the F1 of the means. [Q] in [0, 1]; NaN without a relevant item.
    Source: van Rijsbergen, Information Retrieval (1979), chapter 7.
    """
    return _of_relevant(2 * hits[:, :k].sum(axis=1) / (k + n_relevant), n_relevant)


def hit_rate(hits: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """1 where any of the first k is relevant, else 0.

    [Q]; NaN without a relevant item.
    Source: Deshpande and Karypis, Item-based top-N recommendation algorithms (TOIS 2004).
    """
    return _of_relevant(np.any(hits[:, :k], axis=1).astype(np.float64), n_relevant)


def reciprocal_rank(hits: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """1 / (position of the first relevant item, from 1), 0 where none is in the first k; its mean is MRR@k.

    [Q] in [0, 1]; NaN without a relevant item.
    Source: Voorhees, The TREC-8 question answering track report (1999).
    """
    top = hits[:, :k]
    if not top.shape[1]:
        return _of_relevant(np.zeros(len(top)), n_relevant)
    return _of_relevant(top.any(axis=1) / (top.argmax(axis=1) + 1), n_relevant)


def average_precision(hits: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Mean over the relevant items of the precision at their positions; its mean over queries is MAP@k.

    AP@k = Σ_{i ≤ k} rel_i · P@i / min(k, |relevant|), so a perfect first k gives 1; others divide by |relevant|.
    [Q] in [0, 1]; NaN without a relevant item.
    Source: Manning, Raghavan and Schütze (2008), 8.4, cut at k as in the Million Song Dataset Challenge
    (McFee et al., 2012).
    """
    top = hits[:, :k]
    precisions = np.cumsum(top, axis=1) / np.arange(1, top.shape[1] + 1)
    return _of_relevant((precisions * top).sum(axis=1) / np.clip(n_relevant, 1, k), n_relevant)


def ndcg(hits: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Discounted gain over that of the best possible list: DCG@k / IDCG@k, binary gains.

    DCG@k = Σ_{i ≤ k} rel_i / log2(i + 1), positions from 1; IDCG@k = Σ_{i ≤ min(k, |relevant|)} 1 / log2(i + 1).
    [Q] in [0, 1]; NaN without a relevant item.
    Source: Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques (TOIS 2002), with the
    discount of Burges et al. (ICML 2005).
    """
    top = hits[:, :k]
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discounts)[np.clip(n_relevant, 1, k) - 1]
    # No matrix product: BLAS sums a row in an order that depends on the rows around it. A sum in another order than the
    # ideal's may still pass it by one unit in the last place.
    gained = (top * discounts[: top.shape[1]]).sum(axis=1)
    return _of_relevant(np.minimum(gained / ideal, 1.0), n_relevant)


# ---- popularity ----


def novelty(ranked: np.ndarray, train_counts: np.ndarray, k: int) -> np.ndarray:
    """Mean self-information in bits of the items in the first k: mean of -log2 p(item), p = its share of train events.

    An item never seen in train counts as seen once, since its surprise would be infinite. Missing positions are left
    out. [Q]; NaN for an empty list, and everywhere where train is empty.
    Source: Zhou et al., Solving the apparent diversity-accuracy dilemma of recommender systems (PNAS 2010).
    """
    total = train_counts.sum()
    if not total:
        return np.full(len(ranked), np.nan)
    return _mean_of_items(-np.log2(np.maximum(train_counts, 1) / total), ranked[:, :k])


def average_popularity(ranked: np.ndarray, train_counts: np.ndarray, k: int) -> np.ndarray:
    """Mean number of train events of the items in the first k (average recommendation popularity): popularity bias.

    Read it beside a baseline: a list that follows the crowd is near the popularity baseline's. Missing positions are
    left out. [Q]; NaN for an empty list.
    Source: Yin et al., Challenging the long tail recommendation (VLDB 2012); Abdollahpouri, Burke and Mobasher,
    Managing popularity bias in recommender systems with personalized re-ranking (FLAIRS 2019).
    """
    return _mean_of_items(train_counts.astype(np.float64), ranked[:, :k])


def _mean_of_items(values: np.ndarray, top: np.ndarray) -> np.ndarray:
    # Padding, -1, reads the appended zero.
    sums = np.append(values, 0.0)[top].sum(axis=1)
    lengths = (top != PADDING).sum(axis=1)
    return np.where(lengths > 0, sums / np.maximum(lengths, 1), np.nan)


# ---- exposure ----


def catalogue_coverage(ranked: np.ndarray, n_items: int, k: int) -> float:
    """Share of the catalogue that is in at least one query's first k.

    In [0, 1]; with Q queries it cannot pass Q·k / n_items. NaN for an empty catalogue.
    Source: Ge, Delgado-Battenfeld and Jannach, Beyond accuracy: evaluating recommender systems by coverage and
    serendipity (RecSys 2010).
    """
    return float((_exposure(ranked, n_items, k) > 0).mean()) if n_items else float("nan")


def gini(ranked: np.ndarray, n_items: int, k: int) -> float:
    """Gini coefficient of how often each item of the catalogue stands in a first k: 0 all alike, near 1 a few take all.

    G = Σ_i (2i - n - 1) x_i / (n Σ_i x_i), x ascending, i from 1, n the whole catalogue, items never shown included.
    NaN where nothing was shown.
    Source: Fleder and Hosanagar, Blockbuster culture's next rise or fall (Management Science 2009).
    """
    exposure = np.sort(_exposure(ranked, n_items, k))
    if not exposure.any():
        return float("nan")
    weights = 2 * np.arange(1, n_items + 1) - n_items - 1
    return float(weights @ exposure / (n_items * exposure.sum()))


def _exposure(ranked: np.ndarray, n_items: int, k: int) -> np.ndarray:
    top = ranked[:, :k]
    return np.bincount(top[top != PADDING], minlength=n_items)


# ---- the registry ----

Relevance = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
Popularity = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
Exposure = Callable[[np.ndarray, int, int], float]

RELEVANCE: dict[str, Relevance] = {
    "precision": precision,
    "recall": recall,
    "f1": f1,
    "hit_rate": hit_rate,
    "mrr": reciprocal_rank,
    "map": average_precision,
    "ndcg": ndcg,
}
POPULARITY: dict[str, Popularity] = {"novelty": novelty, "average_popularity": average_popularity}
EXPOSURE: dict[str, Exposure] = {"catalogue_coverage": catalogue_coverage, "gini": gini}
METRICS: dict[str, Callable] = {**RELEVANCE, **POPULARITY, **EXPOSURE}


def parse(metric: str) -> tuple[str, int]:
    """The name and k of a metric written `name@k`. Raises: UsageError, with the known names."""
    match = re.fullmatch(r"([a-z0-9_]+)@([1-9][0-9]*)", metric)
    if not match or match[1] not in METRICS:
        raise UsageError(
            f"metric should be NAME@K, such as ndcg@10, with NAME one of {', '.join(METRICS)}; found {metric!r}"
        )
    return match[1], int(match[2])
