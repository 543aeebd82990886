"""Co-visitation: items that users met within a short time of each other.

Source: Davidson et al., "The YouTube video recommendation system", RecSys 2010, section 3.1. Items i and j have the
relatedness c_ij / f(c_i, c_j), where c_ij is how often both were met within the time, c_i how often i was met, and f
normalises by popularity: here f = c_i^(1-β) c_j^β + shrinkage.
"""

import numpy as np
import scipy.sparse as sp

from core.errors import ModelError
from trainer.retrieval.contract import NeighbourhoodModel, RetrievalData
from trainer.retrieval.interactions import by_user_and_time
from trainer.retrieval.neighbours.nearest import first_of_rows
from trainer.retrieval.neighbours.settings import CoVisitationSettings

PAIRS_AT_ONCE = 2**23  # the number of pairs of events that are summed at once, which bounds the memory
MOST_LATER = 100  # an event is paired with at most so many later ones, which bounds the time where events are crowded


def fit(settings: CoVisitationSettings, data: RetrievalData, seed: int) -> NeighbourhoodModel:
    """Return a model with the most related items of each item.

    Raises:
      ModelError: users have several events each, but no two are within `seconds`.
    """
    order, later = by_user_and_time(data.users, data.timestamps)
    table = co_visits(data.items[order], data.timestamps[order], later, data.n_items, settings.seconds).tocoo()
    if later.any() and not table.nnz and len(np.unique(data.items)) > 1:
        raise ModelError(
            f"no user has two items within {settings.seconds:g} seconds, so co_visitation relates no items. Raise "
            "`seconds`, or use item_knn, which needs no times."
        )
    counts = data.counts()
    exponent = settings.popularity_exponent
    popularity = counts[table.row] ** (1 - exponent) * counts[table.col] ** exponent
    relatedness = table.data / (popularity + settings.shrinkage)
    width = min(settings.neighbours, max(data.n_items - 1, 0))
    neighbours, weights = first_of_rows(table.row, table.col, relatedness, data.n_items, width)
    return NeighbourhoodModel(data, settings, neighbours, weights, counts, settings.half_life)


def co_visits(
    items: np.ndarray, timestamps: np.ndarray, later: np.ndarray, n_items: int, seconds: float
) -> sp.csr_matrix:
    """Return how many pairs of events, of one user and within some seconds, have the items i and j, i ≠ j.

    Args:
      items, timestamps: [E] of events by user and time.
      later: [E] the number of later events of the same user.
      n_items: N.
      seconds: the largest difference of the times.
    Returns:
      [N, N] float64, symmetric.
    """
    total = sp.csr_matrix((n_items, n_items))
    pairs: list[np.ndarray] = []
    first = np.arange(len(items))
    for lag in range(1, MOST_LATER + 1):
        first = first[later[first] >= lag]
        first = first[timestamps[first + lag] - timestamps[first] <= seconds]
        pairs.append(np.stack([items[first], items[first + lag]]))
        if not len(first) or lag == MOST_LATER or sum(map(np.size, pairs)) >= 2 * PAIRS_AT_ONCE:
            row, column = np.concatenate(pairs, axis=1)
            other = row != column
            total += sp.csr_matrix((np.ones(other.sum()), (row[other], column[other])), shape=total.shape)
            pairs = []
        if not len(first):
            break
    return total + total.T
