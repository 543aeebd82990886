"""The metric by which a fit chooses between models: NDCG on the validation queries."""

import numpy as np

from core import metrics
from core.errors import ModelError
from core.queries import Queries
from trainer.retrieval.contract import RetrievalData, RetrievalModel
from trainer.retrieval.inference import retrieve


def validation_queries(data: RetrievalData) -> Queries:
    """Return the validation queries. Raises: ModelError where none has a relevant item."""
    if data.validation is None or not len(data.validation.relevant_items):
        found = (
            "there are no queries" if data.validation is None else f"none of {len(data.validation):,} queries has one"
        )
        raise ModelError(
            f"choosing a model by eval needs queries with relevant items; {found}. "
            "Enlarge `split.eval`, or set `data.exclude_seen: false` where users interact with items repeatedly."
        )
    return data.validation


class Validation:
    """The NDCG of a model on the validation queries, with the signature `retrieve` traced once for all calls.

    Args:
      model: the model.
      data: the data with the validation queries.
      k: the length of the lists.
    Raises:
      ModelError: no validation query has a relevant item.
    """

    def __init__(self, model: RetrievalModel, data: RetrievalData, k: int):
        self.queries, self.k, self.user_features = validation_queries(data), k, data.features.user
        self.n_items = data.n_items
        self.signature = model.signatures()["retrieve"]

    def ndcg(self) -> float:
        """Return the mean NDCG@k of the validation queries; see `core.metrics.ndcg`."""
        candidates = retrieve(self.signature, self.queries, self.user_features, self.n_items, self.k)
        offsets = self.queries.relevant_offsets
        hits = metrics.hits(candidates.rows, offsets, self.queries.relevant_items, self.n_items)
        return float(np.nanmean(metrics.ndcg(hits, np.diff(offsets), self.k)))
