"""Item-based nearest neighbours.

Source: Deshpande & Karypis, "Item-based top-N recommendation algorithms", TOIS 2004, with shrunk similarities.
"""

from trainer.retrieval.contract import NeighbourhoodModel, RetrievalData
from trainer.retrieval.interactions import user_item_counts
from trainer.retrieval.neighbours.nearest import nearest
from trainer.retrieval.neighbours.settings import ItemKNNSettings
from trainer.retrieval.neighbours.weighting import weighted


def fit(settings: ItemKNNSettings, data: RetrievalData, seed: int) -> NeighbourhoodModel:
    """Return a model with the nearest items of each item; the vector of an item holds the weights of its users."""
    counts = user_item_counts(data.users, data.items, data.n_items)
    table = weighted(counts.T.tocsr(), settings.weighting).T.tocsr()
    neighbours, weights = nearest(table, settings.neighbours, settings.shrinkage, settings.similarity)
    return NeighbourhoodModel(data, settings, neighbours, weights, data.counts(), settings.half_life)
