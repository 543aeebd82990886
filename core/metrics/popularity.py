"""How well known is what the lists hold?"""

import numpy as np

from core.metrics.lists import PADDING, queries_of


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


def popularity_places(
    ranked: np.ndarray, train_counts: np.ndarray, offsets: np.ndarray, seen: np.ndarray
) -> np.ndarray:
    """The place, from 0, that each listed item would have in a list by popularity of the items that may be returned.

    Args:
      ranked: [Q, K] item indices, padded with -1.
      train_counts: [n_items] events in train; of equally popular items the one with the lower index comes first.
      offsets, seen: CSR of each query's items that may not be returned, none twice.
    Returns: [Q, K]; of padding the size of the catalogue.
    """
    n_items = len(train_counts)
    place = np.empty(n_items + 1, dtype=np.int64)
    place[np.argsort(-train_counts, kind="stable")] = np.arange(n_items)
    place[PADDING] = n_items
    listed = place[ranked]
    # Less the unseen: one search over all queries counts the seen items of each that are more popular.
    taken = np.sort(queries_of(offsets) * (n_items + 1) + place[seen])
    before = np.searchsorted(taken, np.arange(len(ranked))[:, None] * (n_items + 1) + listed) - offsets[:-1, None]
    return np.where(ranked == PADDING, n_items, listed - before)


def serendipity(hits: np.ndarray, places: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Share of the first k positions that are relevant and that popularity alone would not have shown.

    |(top k \\ the k most popular items that may be returned) ∩ relevant| / k: never above precision, and 0 for the
    popularity baseline. The primitive model that makes an item expected is popularity in train; missing positions and
    k beyond the list are misses.

    Args:
      hits: [Q, K]
      places: [Q, K] of `popularity_places`.
      n_relevant: [Q]
    Returns: [Q] in [0, 1]; NaN without a relevant item.
    Source: Ge, Delgado-Battenfeld and Jannach, Beyond accuracy (RecSys 2010), after Murakami, Mori and Orihara (2007);
    Kaminskas and Bridge, Diversity, serendipity, novelty, and coverage (TiiS 2016).
    """
    found = (hits[:, :k] & (places[:, :k] >= k)).sum(axis=1) / k
    return np.where(n_relevant > 0, found, np.nan)
