"""Item-based nearest neighbours: what those who met this item also met.

Source: Deshpande & Karypis, "Item-based top-N recommendation algorithms", TOIS 2004, with a shrunk similarity.
"""

from trainer.retrieval.contract import NeighbourhoodRetriever, RetrievalData
from trainer.retrieval.neighbours import nearest
from trainer.retrieval.settings import ItemKNNSettings
from trainer.retrieval.weighting import user_item_counts, weighted


def fit(settings: ItemKNNSettings, data: RetrievalData, seed: int) -> NeighbourhoodRetriever:
    """Keep each item's nearest items, an item being the weights of those who met it."""
    counts = user_item_counts(data.users, data.items, data.n_items)
    table = weighted(counts.T.tocsr(), settings.weighting).T.tocsr()
    neighbours, weights = nearest(table, settings.neighbours, settings.shrinkage, settings.similarity)
    return NeighbourhoodRetriever(data, settings, neighbours, weights, data.counts(), settings.half_life)
