"""Item-based nearest neighbours: what those who met this item also met.

Source: Deshpande & Karypis, "Item-based top-N recommendation algorithms", TOIS 2004, with a shrunk cosine.
"""

import numpy as np
import scipy.sparse as sp

from trainer.retrieval.contract import NeighbourhoodRetriever, RetrievalData
from trainer.retrieval.settings import ItemKNNSettings

ROWS_AT_ONCE = 1024


def fit(settings: ItemKNNSettings, data: RetrievalData, seed: int) -> NeighbourhoodRetriever:
    """Keep each item's nearest items by cos(i, j) = |users of both| / (√|users of i| √|users of j| + shrinkage)."""
    users = data.users.dictionary_encode()
    shape = (len(users.dictionary), data.n_items)
    met = sp.csr_matrix((np.ones(len(data.items), np.float32), (users.indices.to_numpy(), data.items)), shape=shape)
    met.data[:] = 1.0  # an item met twice was met
    neighbours, weights = nearest(met, settings.neighbours, settings.shrinkage)
    return NeighbourhoodRetriever(data, settings, neighbours, weights, data.counts())


def nearest(met: sp.csr_matrix, neighbours: int, shrinkage: float) -> tuple[np.ndarray, np.ndarray]:
    """The nearest columns of each column.

    Args:
      met: [U, N] 0/1.
      neighbours: M, how many are kept.
      shrinkage: added to the denominator.
    Returns:
      [N, M] int32 columns, nearest first, and [N, M] float32 cosines, 0 past the last neighbour.
    """
    n_items = met.shape[1]
    width = min(neighbours, max(n_items - 1, 0))
    norms = np.sqrt(np.asarray(met.sum(axis=0)).ravel())
    by_item = met.T.tocsr()
    found = np.zeros((n_items, width), np.int32)
    cosines = np.zeros((n_items, width), np.float32)
    for start in range(0, n_items if width else 0, ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, n_items)
        block = (by_item[start:stop] @ met).toarray()
        block /= norms[start:stop, None] * norms[None, :] + shrinkage + 1e-12
        block[np.arange(stop - start), np.arange(start, stop)] = 0.0
        # Sorted whole and stable, so that ties fall the same way in every run.
        best = np.argsort(-block, axis=1, kind="stable")[:, :width]
        found[start:stop] = best
        cosines[start:stop] = np.take_along_axis(block, best, axis=1)
    return found, cosines
