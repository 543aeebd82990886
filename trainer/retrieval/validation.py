"""How a model chooses while it is fitted: NDCG on the validation queries."""

import numpy as np

from core import metrics
from core.errors import ModelError
from core.queries import Queries
from trainer.retrieval.ask import retrieve
from trainer.retrieval.contract import RetrievalData, Retriever


def validation_queries(data: RetrievalData) -> Queries:
    """The queries to choose by. Raises: ModelError where none of them has a right answer."""
    if data.validation is None or not len(data.validation.relevant_items):
        asked = (
            "there are no queries" if data.validation is None else f"none of {len(data.validation):,} queries has one"
        )
        raise ModelError(
            f"choosing a model by eval needs queries with a right answer; {asked}. "
            "Enlarge `split.eval`, or set `data.exclude_seen: false` where items are met again."
        )
    return data.validation


class Judge:
    """Asks a retriever the validation queries, again and again while it is trained; traced once.

    Args:
      retriever: the model.
      data: with validation queries.
      k: the length of the lists.
    Raises:
      ModelError: no validation query has a right answer, so that there is nothing to choose by.
    """

    def __init__(self, retriever: Retriever, data: RetrievalData, k: int):
        self.queries, self.k, self.user_features = validation_queries(data), k, data.features.user
        self.n_items = data.n_items
        self.signature = retriever.signatures()["retrieve"]

    def ndcg(self) -> float:
        """Mean NDCG@k of the validation queries; see `core.metrics.ndcg`."""
        found = retrieve(self.signature, self.queries, self.user_features, self.n_items, self.k)
        offsets = self.queries.relevant_offsets
        hits = metrics.hits(found.rows, offsets, self.queries.relevant_items, self.n_items)
        return float(np.nanmean(metrics.ndcg(hits, np.diff(offsets), self.k)))
