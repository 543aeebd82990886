"""Popularity of the items of lists."""

import numpy as np

from core.metrics.lists import PADDING, queries_of


def novelty(ranked: np.ndarray, train_counts: np.ndarray, k: int) -> np.ndarray:
    """Return the mean of -log2 p over the items in the first k, in bits, with p an item's share of the train events.

    An item without events in train counts as one with one event, to keep the value finite. Missing positions are left
    out. [Q]; NaN for an empty list, and everywhere where train is empty.
    Source: Zhou et al., Solving the apparent diversity-accuracy dilemma of recommender systems (PNAS 2010).
    """
    total = train_counts.sum()
    if not total:
        return np.full(len(ranked), np.nan)
    return _mean_of_items(-np.log2(np.maximum(train_counts, 1) / total), ranked[:, :k])


def average_popularity(ranked: np.ndarray, train_counts: np.ndarray, k: int) -> np.ndarray:
    """Return the mean number of train events of the items in the first k (average recommendation popularity).

    It measures popularity bias: compare the value with that of the popularity baseline. Missing positions are left out.
    [Q]; NaN for an empty list.
    Source: Yin et al., Challenging the long tail recommendation (VLDB 2012); Abdollahpouri, Burke and Mobasher,
    Managing popularity bias in recommender systems with personalized re-ranking (FLAIRS 2019).
    """
    return _mean_of_items(train_counts.astype(np.float64), ranked[:, :k])


def _mean_of_items(values: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Return [Q] the mean of the values of the listed items; NaN for an empty list."""
    sums = np.append(values, 0.0)[top].sum(axis=1)  # padding, -1, reads the appended zero
    lengths = (top != PADDING).sum(axis=1)
    return np.where(lengths > 0, sums / np.maximum(lengths, 1), np.nan)


def popularity_ranks(ranked: np.ndarray, train_counts: np.ndarray, offsets: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return [Q, K] the rank, from 0, of each listed item by popularity among the items that may be returned.

    Args:
      ranked: [Q, K] item rows, padded with -1.
      train_counts: [n_items] events in train; ties go to the lower row.
      offsets, seen: the items that may not be returned to each query as CSR, without duplicates within a query.
    Returns: [Q, K]; the size of the catalogue for padding.
    """
    n_items = len(train_counts)
    rank = np.empty(n_items + 1, dtype=np.int64)
    rank[np.argsort(-train_counts, kind="stable")] = np.arange(n_items)
    rank[PADDING] = n_items
    listed = rank[ranked]
    # For each listed item, count the more popular items that may not be returned, with one search for all queries.
    excluded = np.sort(queries_of(offsets) * (n_items + 1) + rank[seen])
    before = np.searchsorted(excluded, np.arange(len(ranked))[:, None] * (n_items + 1) + listed) - offsets[:-1, None]
    return np.where(ranked == PADDING, n_items, listed - before)


def serendipity(hits: np.ndarray, ranks: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Return the share of the first k positions with a relevant item that a list by popularity would not hold.

    |(top k \\ the k most popular items that may be returned) ∩ relevant| / k: at most precision, and 0 for the
    popularity baseline. Popularity in train is the sources' "primitive model", which decides what items are expected.
    Missing positions and k beyond the list are misses.

    Args:
      hits: [Q, K] bool, from `core.metrics.hits`.
      ranks: [Q, K] from `popularity_ranks`.
      n_relevant: [Q] the number of relevant items.
      k: the cutoff.
    Returns: [Q] in [0, 1]; NaN without a relevant item.
    Source: Ge, Delgado-Battenfeld and Jannach, Beyond accuracy (RecSys 2010), after Murakami, Mori and Orihara (2007);
    Kaminskas and Bridge, Diversity, serendipity, novelty, and coverage (TiiS 2016).
    """
    share = (hits[:, :k] & (ranks[:, :k] >= k)).sum(axis=1) / k
    return np.where(n_relevant > 0, share, np.nan)
