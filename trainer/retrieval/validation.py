"""How a model chooses while it is fitted: NDCG on the validation queries."""

import numpy as np

from core import metrics, names
from trainer.retrieval.ask import retrieve
from trainer.retrieval.contract import RetrievalData, Retriever


class Judge:
    """Asks a retriever the validation queries, again and again while it is trained; traced once.

    Args:
      retriever: the model.
      data: with validation queries.
      k: the length of the lists.
    """

    def __init__(self, retriever: Retriever, data: RetrievalData, k: int):
        assert data.validation is not None
        self.queries, self.k, self.user_features = data.validation, k, data.features.user
        self.catalogue = data.catalogue[names.ITEM_ID].combine_chunks()
        self.signature = retriever.signatures()["retrieve"]

    def ndcg(self) -> float:
        """Mean NDCG@k of the validation queries; see `core.metrics.ndcg`."""
        rows, _ = retrieve(self.signature, self.queries, self.user_features, self.catalogue, self.k)
        offsets = self.queries.relevant_offsets
        hits = metrics.hits(rows, offsets, self.queries.relevant_items, len(self.catalogue))
        return float(np.nanmean(metrics.ndcg(hits, np.diff(offsets), self.k)))
