"""Leave-one-out against sampled negatives: what old tables report. For comparison with them alone.

One right item is ranked among n wrong ones that are drawn at random, instead of among the catalogue. The figures are
much higher than full-catalogue ones and may order models differently, so nothing that decides on a release uses them.
Source: He et al., Neural collaborative filtering (WWW 2017), 4.1; against it, Krichene and Rendle, On sampled metrics
for item recommendation (KDD 2020).
"""

import numpy as np

from core.metrics.lists import PADDING, queries_of

_DRAWN_AT_ONCE = 1 << 24  # numbers, which bounds memory


def draw_negatives(offsets: np.ndarray, known: np.ndarray, n_items: int, n: int, seed: int) -> np.ndarray:
    """n different items a query, none of them known to it, each with the same probability.

    Args:
      offsets, known: CSR of the items that each query's user has met anywhere, the right one included.
      n_items: size of the catalogue.
      n: how many to draw.
      seed: of the draws.
    Returns: [Q, n] item indices.
    Raises:
      ValueError: a query has fewer than n unknown items.
    """
    left = n_items - np.diff(offsets)
    if len(left) and left.min() < n:
        raise ValueError(f"there should be {n} unknown items for each query; query {left.argmin()} has {left.min()}")
    draw = np.random.default_rng(seed)
    n_queries, query = len(left), queries_of(offsets)
    negatives = np.empty((n_queries, n), dtype=np.int64)
    step = max(1, _DRAWN_AT_ONCE // n_items)
    for start in range(0, n_queries, step):
        end = min(start + step, n_queries)
        lot = draw.random((end - start, n_items))
        mine = slice(offsets[start], offsets[end])
        lot[query[mine] - start, known[mine]] = np.inf
        negatives[start:end] = np.argpartition(lot, n - 1, axis=1)[:, :n]
    return negatives


def ranks_by_score(scores: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """[Q] how many of its negatives stand before each right item; a tied one does, so a constant score wins nothing.

    Args:
      scores: [Q, n_items] of the whole catalogue.
      positives: [Q] the right item.
      negatives: [Q, n] of `draw_negatives`.
    """
    own = np.take_along_axis(scores, positives[:, None], axis=1)
    return (np.take_along_axis(scores, negatives, axis=1) >= own).sum(axis=1)


def ranks_in_lists(ranked: np.ndarray, positives: np.ndarray, negatives: np.ndarray, k: int) -> np.ndarray:
    """[Q] as `ranks_by_score`, from ranked lists: exact below k, at least k where it is not below.

    Args:
      ranked: [Q, K] item indices, best first, padded with -1.
      positives: [Q] the right item.
      negatives: [Q, n] of `draw_negatives`.
      k: the longest list that will be looked at.
    Raises:
      ValueError: a list is cut before its right item and before k of its negatives, so that the rank is open.
    """
    found = ranked == positives[:, None]
    listed = found.any(axis=1)
    n_items = max(int(ranked.max(initial=0)), int(negatives.max(initial=0))) + 1
    row = np.arange(len(ranked))[:, None] * n_items
    drawn = np.isin(row + ranked, row + negatives) & (ranked != PADDING)
    end = np.where(listed, found.argmax(axis=1), ranked.shape[1])
    before = (drawn & (np.arange(ranked.shape[1]) < end[:, None])).sum(axis=1)
    is_open = ~listed & (before < k)
    if is_open.any():
        raise ValueError(
            f"lists should reach the right item or {k} of its negatives; that of query {is_open.argmax()} has neither "
            f"in {ranked.shape[1]} places. Ask for longer lists, or give scores"
        )
    return before


def hits_of_ranks(ranks: np.ndarray, k: int) -> np.ndarray:
    """[Q, k] bool, true at each rank below k: what the metrics of relevance take, with one relevant item a query."""
    return ranks[:, None] == np.arange(k)
