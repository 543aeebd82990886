"""The two-step engine: candidates from the retriever, put in order by the ranker. What is judged is what is served."""

import core.tf  # Keras 2, before TensorFlow

from pathlib import Path

import numpy as np
import pyarrow as pa
import tensorflow as tf

from components.candidate_generator.candidates import candidate_table
from components.candidate_index.index import CandidateSource
from core import names, releases
from core.columns import read_arrow
from core.errors import UsageError
from core.files import read_json
from core.queries import Candidates, Queries
from serving.rerank.reranker import Reranker
from serving.rerank.settings import Reranking
from trainer.ranking.contract import PER_CANDIDATE, lists_of
from trainer.retrieval import ask
from transform.features import Features, raw_columns

QUERIES_AT_ONCE = 256


class TwoStep:
    """Both models over one catalogue.

    Args:
      retrieval: folder of the retrieval SavedModel.
      index: folder of the CandidateIndex, or None to ask the model alone.
      ranking: folder of the ranking SavedModel.
      catalogue: the items with their raw features.
      features: the feature configuration.
      candidates: how many the retriever hands to the ranker.
      reranking: what is done to the ranker's order; by default nothing.
    """

    def __init__(
        self,
        retrieval: str | Path,
        index: str | Path | None,
        ranking: str | Path,
        catalogue: pa.Table,
        features: Features,
        candidates: int,
        reranking: Reranking | None = None,
    ):
        self.catalogue, self.features, self.candidates = catalogue, features, candidates
        self.source = CandidateSource(retrieval, index, catalogue[names.ITEM_ID].combine_chunks(), features)
        core.tf.register_ops()
        self.ranker = tf.saved_model.load(str(ranking))
        self.reranker = Reranker(reranking or Reranking(), catalogue, features.item)

    @classmethod
    def of_release(cls, folder: Path) -> "TwoStep":
        """The models of a release, which `core.releases.resolve` has verified."""
        serving = read_json(folder / names.MANIFEST_FILE)["facts"]["serving"]
        catalogue = read_arrow(folder / names.CATALOGUE_FILE)
        parts = (folder / releases.RETRIEVAL, folder / releases.INDEX, folder / releases.RANKING)
        reranking = Reranking.model_validate(serving.get("reranking", {}))  # older releases say nothing
        return cls(*parts, catalogue, Features.model_validate(serving["features"]), serving["candidates"], reranking)

    def recommend(self, queries: Queries, k: int) -> tuple[np.ndarray, np.ndarray]:
        """[Q, min(k, candidates)] int32 catalogue rows, best first, -1 past the last; and the ranker's scores."""
        return self.reranker.rerank(queries, *self.ranked(queries), k)

    def ranked(self, queries: Queries) -> tuple[np.ndarray, np.ndarray]:
        """[Q, C] candidates in the retriever's order, -1 past the last; and the ranker's scores, -inf past the last."""
        found = self.source.retrieve(queries, self.candidates)
        return found.rows, self.rank(queries, found)

    def rank(self, queries: Queries, found: Candidates) -> np.ndarray:
        """[Q, C] scores of the candidates found, -inf for padding."""
        scores = []
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            part = np.arange(start, min(start + QUERIES_AT_ONCE, len(queries)))
            table = candidate_table(queries.take(part), found.take(part), self.catalogue, self.features.item)
            lists = lists_of(table, self.features, self._given())
            inputs = {name: tf.constant(lists[name]) for name in self._inputs()}
            scores.append(self.ranker.signatures["rank"](**inputs)[names.SCORE].numpy())
        return np.concatenate(scores) if scores else np.zeros(found.rows.shape, np.float32)

    def similar(self, item_id: str, k: int) -> tuple[np.ndarray, np.ndarray]:
        """[K] catalogue rows of the items most like one, best first, and their likeness.

        Raises:
          UsageError: the item is not in the catalogue.
        """
        if ask.rows_of(self.source.catalogue, np.array([item_id], object))[0] < 0:
            raise UsageError(
                f"item {item_id!r} is not among the {self.catalogue.num_rows:,} items of the catalogue. "
                "Ids are as in the items table."
            )
        answer = self.source.model.signatures["similar"](item_id=tf.constant([item_id]), k=tf.constant(k, tf.int32))
        rows = ask.rows_of(self.source.catalogue, answer[names.ITEM_ID].numpy())[0]
        return rows[rows >= 0], answer[names.SCORE].numpy()[0][rows >= 0]

    def takes_these_features(self) -> bool:
        """Whether both models take exactly the features configured now, as one of an earlier release may not."""
        ranker = set(self.ranker.signatures["rank"].structured_input_signature[1])
        return self.source.takes_these_features() and ranker == set(self._inputs())

    def _given(self) -> tuple[str, ...]:
        """The signals that the retriever gives."""
        answered = self.source.model.signatures["retrieve"].structured_outputs
        return (*PER_CANDIDATE, *sorted(set(answered) - {names.ITEM_ID, names.SCORE}))

    def _inputs(self) -> list[str]:
        users, items = raw_columns(self.features.user), raw_columns(self.features.item)
        asked = [names.USER_ID, names.QUERY_TIME, names.HISTORY, names.HISTORY_TIME]
        return [*asked, *users, names.ITEM_ID, *items, *self._given()]
