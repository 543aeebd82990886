"""Popularity: the items with the most events, the same for everyone."""

import numpy as np

from trainer.retrieval.contract import NeighbourhoodRetriever, RetrievalData
from trainer.retrieval.settings import PopularitySettings


def fit(settings: PopularitySettings, data: RetrievalData, seed: int) -> NeighbourhoodRetriever:
    """Count the events of each item; a score is the share of the most popular one's count, times 1e-6."""
    none = np.zeros((data.n_items, 0))
    return NeighbourhoodRetriever(data, settings, none, none, data.counts())
