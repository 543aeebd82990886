"""The positions of recommended lists that hold a relevant item (hits), and checks of lists and relevant items."""

import numpy as np

PADDING = -1


def hits(ranked: np.ndarray, offsets: np.ndarray, items: np.ndarray, n_items: int) -> np.ndarray:
    """Return whether each position of each list holds a relevant item.

    Args:
      ranked: [Q, K] item rows, best first, padded with -1.
      offsets: [Q + 1]; query q's relevant items are `items[offsets[q]:offsets[q + 1]]`.
      items: [nnz] item rows, no item twice in a query.
      n_items: size of the catalogue.

    Returns: [Q, K] bool; padding is False.

    Raises:
      ValueError: shapes that do not fit, an index outside the catalogue, or an item twice in one list or relevant set.
    """
    _check_relevant(offsets, items, n_items)
    _check_ranked(ranked, len(offsets) - 1, n_items)
    result = np.zeros(ranked.shape, dtype=bool)
    if not len(items) or not ranked.size:
        return result
    relevant = np.sort(_keys(offsets, items, n_items))
    if (relevant[1:] == relevant[:-1]).any():
        query, item = divmod(int(relevant[1:][relevant[1:] == relevant[:-1]][0]), n_items)
        raise ValueError(f"relevant: query {query} has item {item} twice; each relevant item should occur once")
    filled = ranked != PADDING
    keys = (np.arange(len(ranked), dtype=np.int64)[:, None] * n_items + ranked)[filled]
    index = np.minimum(np.searchsorted(relevant, keys), len(relevant) - 1)
    result[filled] = relevant[index] == keys
    return result


def queries_of(offsets: np.ndarray) -> np.ndarray:
    """Return [nnz] the query that each relevant item belongs to."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def unique_pairs(offsets: np.ndarray, items: np.ndarray, n_items: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the items of queries as CSR without duplicates within a query, in the order of the catalogue."""
    pairs = np.unique(_keys(offsets, items, n_items))
    return np.searchsorted(pairs, np.arange(len(offsets), dtype=np.int64) * n_items), pairs % n_items


def _keys(offsets: np.ndarray, items: np.ndarray, n_items: int) -> np.ndarray:
    """Return one integer per (query, item) pair, so that membership in all queries is tested by one search."""
    return queries_of(offsets).astype(np.int64) * n_items + items


def _check_relevant(offsets: np.ndarray, items: np.ndarray, n_items: int) -> None:
    """Check relevant items. Raises: ValueError."""
    if len(offsets) < 1 or offsets[0] != 0 or offsets[-1] != len(items) or (np.diff(offsets) < 0).any():
        raise ValueError(f"offsets should rise from 0 to the number of relevant items, {len(items)}; found {offsets!r}")
    if len(items) and (items.min() < 0 or items.max() >= n_items):
        raise ValueError(f"relevant items should be in [0, {n_items}); found {items.min()} to {items.max()}")


def _check_ranked(ranked: np.ndarray, n_queries: int, n_items: int) -> None:
    """Check lists. Raises: ValueError."""
    if ranked.ndim != 2 or len(ranked) != n_queries:
        raise ValueError(f"ranked should have shape [{n_queries}, K]; found {list(ranked.shape)}")
    if ranked.size and (ranked.min() < PADDING or ranked.max() >= n_items):
        raise ValueError(f"ranked items should be in [0, {n_items}) or -1; found {ranked.min()} to {ranked.max()}")
    by_item = np.sort(ranked, axis=1)
    twice = (by_item[:, 1:] == by_item[:, :-1]) & (by_item[:, 1:] != PADDING)
    if twice.any():
        query, column = (int(part[0]) for part in twice.nonzero())
        raise ValueError(f"ranked: query {query} has item {by_item[query, column]} twice; each item should occur once")
