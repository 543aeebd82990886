"""The two-step engine: candidates from the retriever, put in order by the ranker. What is judged is what is served."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

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
from core.queries import Queries
from trainer.ranking.contract import PER_CANDIDATE, lists_of
from trainer.retrieval import ask
from transform.features import Features

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
    """

    def __init__(
        self,
        retrieval: str | Path,
        index: str | Path | None,
        ranking: str | Path,
        catalogue: pa.Table,
        features: Features,
        candidates: int,
    ):
        self.catalogue, self.features, self.candidates = catalogue, features, candidates
        self.source = CandidateSource(retrieval, index, catalogue[names.ITEM_ID].combine_chunks(), features)
        self.ranker = tf.saved_model.load(str(ranking))
        self.kinds = {name: feature.model_dump() for name, feature in features.item.items()}

    @classmethod
    def of_release(cls, folder: Path) -> "TwoStep":
        """The models of a release, which `core.releases.resolve` has verified."""
        serving = read_json(folder / names.MANIFEST_FILE)["facts"]["serving"]
        catalogue = read_arrow(folder / names.CATALOGUE_FILE)
        parts = (folder / releases.RETRIEVAL, folder / releases.INDEX, folder / releases.RANKING)
        return cls(*parts, catalogue, Features.model_validate(serving["features"]), serving["candidates"])

    def recommend(self, queries: Queries, k: int) -> tuple[np.ndarray, np.ndarray]:
        """[Q, min(k, candidates)] int32 catalogue rows, best first, -1 past the last; and the ranker's scores."""
        rows, retrieval_scores = self.source.retrieve(queries, self.candidates)
        scores = self.rank(queries, rows, retrieval_scores)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]  # stable: ties stay in the retriever's order
        return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)

    def rank(self, queries: Queries, rows: np.ndarray, retrieval_scores: np.ndarray) -> np.ndarray:
        """[Q, C] scores of candidates [Q, C], -inf for padding."""
        scores = []
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            part = np.arange(start, min(start + QUERIES_AT_ONCE, len(queries)))
            table = candidate_table(queries.take(part), rows[part], retrieval_scores[part], self.catalogue, self.kinds)
            lists = lists_of(table, self.features)
            inputs = {name: tf.constant(lists[name]) for name in self._inputs()}
            scores.append(self.ranker.signatures["rank"](**inputs)["score"].numpy())
        return np.concatenate(scores) if scores else np.zeros(rows.shape, np.float32)

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
        return rows[rows >= 0], answer["score"].numpy()[0][rows >= 0]

    def takes_these_features(self) -> bool:
        """Whether both models take exactly the features configured now, as one of an earlier release may not."""
        ranker = set(self.ranker.signatures["rank"].structured_input_signature[1])
        return self.source.takes_these_features() and ranker == set(self._inputs())

    def _inputs(self) -> list[str]:
        return [names.USER_ID, names.HISTORY, *self.features.user, names.ITEM_ID, *self.features.item, *PER_CANDIDATE]
