"""SLIM: a sparse linear model of each item from all others.

Source: Ning & Karypis, "SLIM: sparse linear methods for top-N recommender systems", ICDM 2011, eq. 4 and 5. With X the
0/1 user–item matrix, the weights of item j are

    argmin ½ ‖x_j - X w‖² + l2/2 ‖w‖² + l1 ‖w‖₁   with w ≥ 0 and w_j = 0
"""

from trainer.retrieval.contract import NeighbourhoodModel, RetrievalData
from trainer.retrieval.interactions import user_items
from trainer.retrieval.linear.settings import SLIMSettings
from trainer.retrieval.linear.weights import sparse_weights
from trainer.retrieval.neighbours.nearest import first_of_rows


def fit(settings: SLIMSettings, data: RetrievalData, seed: int) -> NeighbourhoodModel:
    """Return a model with the largest weights of each item that has events."""
    matrix = user_items(data.users, data.items, data.n_items)
    entries = sparse_weights(matrix, settings.l1, settings.l2)
    width = min(settings.neighbours, max(data.n_items - 1, 0))
    neighbours, weights = first_of_rows(entries.row, entries.col, entries.data, data.n_items, width)
    return NeighbourhoodModel(data, settings, neighbours, weights, data.counts(), distinct=True)
