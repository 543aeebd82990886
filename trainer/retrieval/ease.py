"""EASE: a linear model of each item from all the others, in closed form.

Source: Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019. With X the 0/1 matrix of who met what
and P = (XᵀX + λI)⁻¹, least squares with a zero diagonal has the weights B_ij = -P_ij / P_jj (eq. 8), and a history x
scores x B, x being 0/1 as X is. A weight below zero speaks against an item, so a row keeps its largest weights whatever
their sign.
"""

from trainer.retrieval.contract import NeighbourhoodRetriever, RetrievalData
from trainer.retrieval.linear import dense_weights
from trainer.retrieval.settings import EASESettings
from trainer.retrieval.weighting import user_item_counts, weighted


def fit(settings: EASESettings, data: RetrievalData, seed: int) -> NeighbourhoodRetriever:
    """Solve for all items that have events at once.

    Raises:
      ModelError: they are too many for `memory_gb`.
    """
    met = weighted(user_item_counts(data.users, data.items, data.n_items), "none")
    neighbours, weights = dense_weights(met, settings.l2, settings.neighbours, settings.memory_gb)
    return NeighbourhoodRetriever(data, settings, neighbours, weights, data.counts(), distinct=True)
