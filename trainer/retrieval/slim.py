"""SLIM: a sparse linear model of each item from those it was met with.

Source: Ning & Karypis, "SLIM: sparse linear methods for top-N recommender systems", ICDM 2011, eq. 4 and 5. With X the
0/1 matrix of who met what, the weights of item j are

    argmin ½ ‖x_j - X w‖² + l2/2 ‖w‖² + l1 ‖w‖₁   with w ≥ 0 and w_j = 0
"""

from trainer.retrieval.contract import NeighbourhoodRetriever, RetrievalData
from trainer.retrieval.linear import sparse_weights
from trainer.retrieval.neighbours import first_of_rows
from trainer.retrieval.settings import SLIMSettings
from trainer.retrieval.weighting import user_item_counts, weighted


def fit(settings: SLIMSettings, data: RetrievalData, seed: int) -> NeighbourhoodRetriever:
    """Solve for each item that has events, then keep the largest weights of each row."""
    met = weighted(user_item_counts(data.users, data.items, data.n_items), "none")
    found = sparse_weights(met, settings.l1, settings.l2)
    width = min(settings.neighbours, max(data.n_items - 1, 0))
    neighbours, weights = first_of_rows(found.row, found.col, found.data, data.n_items, width)
    return NeighbourhoodRetriever(data, settings, neighbours, weights, data.counts(), distinct=True)
