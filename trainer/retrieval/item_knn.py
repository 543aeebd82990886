"""Item-based nearest neighbours: what those who met this item also met.

Source: Deshpande & Karypis, "Item-based top-N recommendation algorithms", TOIS 2004, with a shrunk cosine.
"""

import numpy as np
import scipy.sparse as sp

from trainer.retrieval.contract import NeighbourhoodRetriever, RetrievalData
from trainer.retrieval.neighbours import nearest
from trainer.retrieval.settings import ItemKNNSettings


def fit(settings: ItemKNNSettings, data: RetrievalData, seed: int) -> NeighbourhoodRetriever:
    """Keep each item's nearest items by cos(i, j) = |users of both| / (√|users of i| √|users of j| + shrinkage)."""
    users = data.users.dictionary_encode()
    shape = (len(users.dictionary), data.n_items)
    met = sp.csr_matrix((np.ones(len(data.items), np.float32), (users.indices.to_numpy(), data.items)), shape=shape)
    met.data[:] = 1.0  # an item met twice was met
    neighbours, weights = nearest(met, settings.neighbours, settings.shrinkage)
    return NeighbourhoodRetriever(data, settings, neighbours, weights, data.counts())
