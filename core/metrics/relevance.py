"""Relevance of the items of lists."""

import numpy as np

from core.metrics.lists import PADDING


def _of_relevant(values: np.ndarray, n_relevant: np.ndarray) -> np.ndarray:
    """Return the values, NaN for queries without a relevant item."""
    return np.where(n_relevant > 0, values, np.nan)


def precision(hits: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Return the share of the first k positions that are relevant: |top k ∩ relevant| / k.

    Divides by k however short the list is. [Q] in [0, 1]; NaN without a relevant item.
    Source: Manning, Raghavan and Schütze, Introduction to Information Retrieval (2008), 8.3 and 8.4.
    """
    return _of_relevant(hits[:, :k].sum(axis=1) / k, n_relevant)


def recall(hits: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Return the share of the relevant items that are in the first k: |top k ∩ relevant| / |relevant|.

    Below 1 for more than k relevant items. [Q] in [0, 1]; NaN without a relevant item.
    Source: Manning, Raghavan and Schütze (2008), 8.3 and 8.4.
    """
    return _of_relevant(hits[:, :k].sum(axis=1) / np.maximum(n_relevant, 1), n_relevant)


def f1(hits: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Return the harmonic mean of precision and recall: 2PR / (P + R) = 2 |top k ∩ relevant| / (k + |relevant|).

    Computed per query, then averaged: it is not the F1 of the means. 0 without a hit.
    [Q] in [0, 1]; NaN without a relevant item.
    Source: van Rijsbergen, Information Retrieval (1979), chapter 7.
    """
    return _of_relevant(2 * hits[:, :k].sum(axis=1) / (k + n_relevant), n_relevant)


def hit_rate(hits: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Return 1 where any of the first k is relevant, else 0.

    [Q]; NaN without a relevant item.
    Source: Deshpande and Karypis, Item-based top-N recommendation algorithms (TOIS 2004).
    """
    return _of_relevant(np.any(hits[:, :k], axis=1).astype(np.float64), n_relevant)


def reciprocal_rank(hits: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Return 1 / (position of the first relevant item, from 1), 0 where none is in the first k; the mean is MRR@k.

    [Q] in [0, 1]; NaN without a relevant item.
    Source: Voorhees, The TREC-8 question answering track report (1999).
    """
    top = hits[:, :k]
    if not top.shape[1]:
        return _of_relevant(np.zeros(len(top)), n_relevant)
    return _of_relevant(top.any(axis=1) / (top.argmax(axis=1) + 1), n_relevant)


def average_precision(hits: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Return the mean over the relevant items of the precision at their positions; the mean over queries is MAP@k.

    AP@k = Σ_{i ≤ k} rel_i · P@i / min(k, |relevant|), so a perfect first k gives 1; other definitions divide by
    |relevant|.
    [Q] in [0, 1]; NaN without a relevant item.
    Source: Manning, Raghavan and Schütze (2008), 8.4, cut at k as in the Million Song Dataset Challenge
    (McFee et al., 2012).
    """
    top = hits[:, :k]
    precisions = np.cumsum(top, axis=1) / np.arange(1, top.shape[1] + 1)
    return _of_relevant((precisions * top).sum(axis=1) / np.clip(n_relevant, 1, k), n_relevant)


def ndcg(hits: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Return the discounted gain divided by that of an ideal list: DCG@k / IDCG@k, with binary gains.

    DCG@k = Σ_{i ≤ k} rel_i / log2(i + 1), positions from 1; IDCG@k = Σ_{i ≤ min(k, |relevant|)} 1 / log2(i + 1).
    [Q] in [0, 1]; NaN without a relevant item.
    Source: Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques (TOIS 2002), with the
    discount of Burges et al. (ICML 2005).
    """
    top = hits[:, :k]
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discounts)[np.clip(n_relevant, 1, k) - 1]
    # A matrix product is not used, since the order in which BLAS sums a row depends on the other rows. The gain is
    # still summed in another order than the ideal and may exceed it by a rounding error, hence the minimum below.
    gain = (top * discounts[: top.shape[1]]).sum(axis=1)
    return _of_relevant(np.minimum(gain / ideal, 1.0), n_relevant)


def auc(ranked: np.ndarray, hits: np.ndarray, n_relevant: np.ndarray, n_candidates: np.ndarray, k: int) -> np.ndarray:
    """Return the area under the ROC curve: the probability that a random relevant item precedes a random other item.

    AUC@k = (Σ_{hits in the first k} (n - misses before it) + U·V / 2) / (r·n), with r relevant and n other candidates,
    of which U and V are not in the first k. Unlisted items are tied, and a tied pair counts one half: with k and the
    list as long as the catalogue this is the AUC of the whole order; cut at k it is the limited AUC, whose curve
    continues as a straight line. A list without a hit has a little less than 0.5.

    Args:
      ranked, hits: [Q, K]; missing positions are ignored.
      n_relevant: [Q] the number of relevant items.
      n_candidates: [Q] the number of items that may be listed, relevant ones included: the catalogue without the items
        that may not be returned.
      k: the cutoff.
    Returns: [Q] in [0, 1]; NaN without a relevant item, or where every candidate is relevant.
    Raises:
      ValueError: a list holds more items that are not relevant than there are candidates.

    Source: Hanley and McNeil, The meaning and use of the area under a ROC curve (Radiology 1982); cut: Schröder, Thiele
    and Lehner, Setting goals and choosing metrics for recommender system evaluations (UCERSTI 2011).
    """
    top = hits[:, :k]
    misses = (ranked[:, :k] != PADDING) & ~top
    others = n_candidates - n_relevant
    unlisted, unlisted_others = n_relevant - top.sum(axis=1), others - misses.sum(axis=1)
    if (unlisted_others < 0).any():
        query = int(np.argmax(unlisted_others < 0))
        raise ValueError(
            f"n_candidates should count every item that may be listed; query {query} has {n_candidates[query]}, of "
            f"which {n_relevant[query]} relevant, and a list with {misses[query].sum()} others"
        )
    before = np.cumsum(misses, axis=1)
    ordered = np.where(top, others[:, None] - before, 0).sum(axis=1)
    pairs = n_relevant * others
    return np.divide(ordered + unlisted * unlisted_others / 2, pairs, out=np.full(len(ranked), np.nan), where=pairs > 0)
