"""Leave-one-out evaluation against sampled negatives, for comparison with published figures only.

One relevant item is ranked among n negatives that are drawn at random, instead of among the catalogue. The values are
much higher than full-catalogue ones and may order models differently, so no decision on a release uses them.
Source: He et al., Neural collaborative filtering (WWW 2017), 4.1; against it, Krichene and Rendle, On sampled metrics
for item recommendation (KDD 2020).
"""

import numpy as np

from core.membership import is_in
from core.metrics.lists import PADDING, queries_of

_DRAWN_AT_ONCE = 1 << 24  # random numbers, which bounds memory


def draw_negatives(offsets: np.ndarray, known: np.ndarray, n_items: int, n: int, seed: int) -> np.ndarray:
    """Draw for each query n different items that its user has no event with, uniformly.

    Args:
      offsets, known: CSR of the items of all events of each query's user, the relevant one included.
      n_items: size of the catalogue.
      n: the number of items to draw.
      seed: the seed of the draws.
    Returns: [Q, n] item rows.
    Raises:
      ValueError: the user of a query has no event with fewer than n items.
    """
    left = n_items - np.diff(offsets)
    if len(left) and left.min() < n:
        raise ValueError(f"each query needs {n} items without an event; query {left.argmin()} has {left.min()}")
    random = np.random.default_rng(seed)
    n_queries, query = len(left), queries_of(offsets)
    negatives = np.empty((n_queries, n), dtype=np.int64)
    step = max(1, _DRAWN_AT_ONCE // n_items)
    for start in range(0, n_queries, step):
        end = min(start + step, n_queries)
        draws = random.random((end - start, n_items))
        batch = slice(offsets[start], offsets[end])
        draws[query[batch] - start, known[batch]] = np.inf
        negatives[start:end] = np.argpartition(draws, n - 1, axis=1)[:, :n]
    return negatives


def ranks_by_score(scores: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Return [Q] the number of negatives before each relevant item; a tied negative counts as before it.

    Args:
      scores: [Q, n_items] of the whole catalogue.
      positives: [Q] the relevant item.
      negatives: [Q, n] from `draw_negatives`.
    """
    own = np.take_along_axis(scores, positives[:, None], axis=1)
    return (np.take_along_axis(scores, negatives, axis=1) >= own).sum(axis=1)


def ranks_in_lists(ranked: np.ndarray, positives: np.ndarray, negatives: np.ndarray, k: int) -> np.ndarray:
    """Return [Q] the number of negatives before each relevant item in ranked lists: exact below k, else at least k.

    Args:
      ranked: [Q, K] item rows, best first, padded with -1.
      positives: [Q] the relevant item.
      negatives: [Q, n] from `draw_negatives`.
      k: the largest cutoff of the metrics.
    Raises:
      ValueError: a list ends before its relevant item and before k of its negatives, so that the rank is unknown.
    """
    is_positive = ranked == positives[:, None]
    listed = is_positive.any(axis=1)
    n_items = max(int(ranked.max(initial=0)), int(negatives.max(initial=0))) + 1
    row = np.arange(len(ranked))[:, None] * n_items
    drawn = is_in(row + ranked, row + negatives) & (ranked != PADDING)
    end = np.where(listed, is_positive.argmax(axis=1), ranked.shape[1])
    before = (drawn & (np.arange(ranked.shape[1]) < end[:, None])).sum(axis=1)
    is_open = ~listed & (before < k)
    if is_open.any():
        raise ValueError(
            f"a list should hold the relevant item or {k} negatives; that of query {is_open.argmax()} has neither"
            f" in {ranked.shape[1]} positions. Request longer lists"
        )
    return before


def hits_of_ranks(ranks: np.ndarray, k: int) -> np.ndarray:
    """Return hits [Q, k] for the metrics of relevance, with one relevant item per query: True at each rank below k."""
    return ranks[:, None] == np.arange(k)
