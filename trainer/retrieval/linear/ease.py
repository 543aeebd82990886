"""EASE: a linear model of each item from all others, in closed form.

Source: Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019. With X the 0/1 user–item matrix and
P = (XᵀX + λI)⁻¹, least squares with a zero diagonal has the weights B_ij = -P_ij / P_jj (eq. 8). The scores for a
history, as a 0/1 row x, are x B. Negative weights lower scores and so matter as well: of each row the weights with the
largest absolute values are kept.
"""

from trainer.retrieval.contract import NeighbourhoodModel, RetrievalData
from trainer.retrieval.interactions import user_items
from trainer.retrieval.linear.settings import EASESettings
from trainer.retrieval.linear.weights import dense_weights


def fit(settings: EASESettings, data: RetrievalData, seed: int) -> NeighbourhoodModel:
    """Return a model with the weights of all items that have events.

    Raises:
      ModelError: the matrix to invert takes more than `memory_gb`.
    """
    matrix = user_items(data.users, data.items, data.n_items)
    neighbours, weights = dense_weights(matrix, settings.l2, settings.neighbours, settings.memory_gb)
    return NeighbourhoodModel(data, settings, neighbours, weights, data.counts(), distinct=True)
