"""The retriever of an engine: a retrieval SavedModel with its index."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from core import names
from core.files import read_json
from core.membership import is_in
from core.queries import Candidates, Queries
from serving.catalogue import NO_ITEM, Catalogue
from serving.saved_model import SavedModel
from trainer.retrieval import inference
from transform.arrays import pad_strings
from transform.features import Features

INDEX_FILE = "index.json"
GRAPH_FILE = "graph.faiss"


class CandidateSource:
    """A retriever: a retrieval model with its index.

    With the index `exact` the model scores all items itself. With `hnsw` (Malkov & Yashunin 2018, in faiss) the model
    embeds the query, and the embedding is searched for in a graph of the items.

    Args:
      model: folder of the retrieval SavedModel.
      index: folder of the CandidateIndex; None to let the model score all items.
      catalogue: the items, in the same order as when the model was fitted.
      features: the feature configuration.
      wanted, optimized: as for `serving.saved_model.SavedModel`.
    """

    def __init__(
        self,
        model: str | Path,
        index: str | Path | None,
        catalogue: Catalogue,
        features: Features,
        wanted: Collection[str] | None = None,
        optimized: bool = True,
    ):
        self.model = SavedModel(model, wanted, optimized)
        self.catalogue, self.features = catalogue, features
        self.graph: Any = None
        if index is not None and read_json(Path(index) / INDEX_FILE)["kind"] == "hnsw":
            import faiss

            self.graph = faiss.read_index(str(Path(index) / GRAPH_FILE))

    @property
    def signals(self) -> tuple[str, ...]:
        """Return the names of the signals of the model."""
        return tuple(sorted(self.model.outputs["retrieve"] - {names.ITEM_ID, names.ITEM_ROW, names.SCORE}))

    def retrieve(self, queries: Queries, k: int) -> Candidates:
        """Return the best min(k, N) items of each query, with their scores and signals."""
        n_items = len(self.catalogue)
        if self.graph is None:
            return inference.retrieve(self.model.signatures["retrieve"], queries, self.features.user, n_items, k)
        batches = [self._search(batch, min(k, n_items)) for batch in inference.batches(queries, n_items)]
        rows, scores = zip(*batches, strict=True)
        return Candidates(np.concatenate(rows), np.concatenate(scores))

    def score(self, queries: Queries, rows: np.ndarray) -> Candidates:
        """Return the scores and signals of the items at catalogue rows [Q, C], -1 for none."""
        ids, signature = self.catalogue.gather(names.ITEM_ID, rows), self.model.signatures["score"]
        return inference.score(signature, queries, self.features.user, len(self.catalogue), rows, ids)

    def similar(self, item_id: str, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of the k items most similar to an item, best first, and their similarities."""
        answer = self.model.signatures["similar"](item_id=[item_id], k=k)
        rows, scores = answer[names.ITEM_ROW][0], answer[names.SCORE][0]
        return rows[rows != NO_ITEM], scores[rows != NO_ITEM]

    def close(self) -> None:
        """Free the memory of the model and the index."""
        self.model.close()
        self.graph = None

    def _search(self, queries: Queries, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and scores [Q, k] from the graph, without seen items.

        The search is for k more items than the largest number of seen items of a query; seen items are then removed.
        """
        seen = pad_strings(queries.seen)
        wide = min(k + seen.shape[1], len(self.catalogue))
        arrays = inference.query_arrays(queries, self.features.user)
        embeddings = self.model.signatures["embed_query"](**arrays)["embedding"]
        scores, rows = self.graph.search(embeddings, wide)
        excluded = self.catalogue.rows(seen.ravel()).reshape(seen.shape)
        keyed = np.arange(len(rows))[:, None] * (len(self.catalogue) + 1)
        free = (rows >= 0) & ~is_in(keyed + rows, (keyed + excluded)[excluded >= 0])
        order = np.argsort(~free, axis=1, kind="stable")[:, :k]
        kept = np.take_along_axis(free, order, axis=1)
        rows = np.where(kept, np.take_along_axis(rows, order, axis=1), NO_ITEM).astype(np.int32)
        return rows, np.where(kept, np.take_along_axis(scores, order, axis=1), -np.inf).astype(np.float32)
