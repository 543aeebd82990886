"""The two-step engine: candidates of the retriever, ordered by the ranker, then re-ranked. NumPy and Arrow only.

The evaluators measure models with this engine, so the lists that are evaluated are those that are served. Items are
catalogue rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from core.queries import Candidates, Queries
from serving.catalogue import NO_ITEM, Catalogue
from serving.rerank.reranker import Reranker
from serving.settings import ServingSettings

QUERIES_AT_ONCE = 256


class Retriever(Protocol):
    """The interface of the first step, which `serving.candidate_source.CandidateSource` implements."""

    def vectors(self, rows: np.ndarray) -> Mapping[str, np.ndarray]:
        """Return label → the embeddings of the items at rows [C], [C, D], by each part of the model that has them."""
        ...

    def retrieve(self, queries: Queries, k: int, allowed: Sequence[np.ndarray | None] | None = None) -> Candidates:
        """Return the best min(k, N) items of each query among those in its mask [N]; None for all."""
        ...

    def similar(self, item_id: str, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of the k items most similar to an item, best first, and their similarities."""
        ...

    def score(
        self, queries: Queries, rows: np.ndarray, allowed: Sequence[np.ndarray | None] | None = None
    ) -> Candidates:
        """Return the scores and signals of the items at catalogue rows [Q, C], -1 for none, as for `retrieve`."""
        ...

    def with_items(self, catalogue: Catalogue) -> "Retriever":
        """Return the retriever with the items of a catalogue that follow those it has."""
        ...

    def close(self) -> None:
        """Free the memory of the model."""


class Ranker(Protocol):
    """The interface of the second step, which `serving.models.SavedRanker` implements."""

    def rank(self, queries: Queries, candidates: Candidates) -> tuple[np.ndarray, np.ndarray]:
        """Return scores [Q, C], -inf for padding, and probabilities of relevance [Q, C], 0 for padding."""
        ...

    def with_items(self, catalogue: Catalogue) -> "Ranker":
        """Return the ranker with the items of a catalogue that follow those it has."""
        ...

    def close(self) -> None:
        """Free the memory of the model."""


@dataclass(frozen=True)
class Ranked:
    """Candidates with the ranker's scores.

    Args:
      candidates: the candidates, in the retriever's order.
      scores: [Q, C] the ranker's scores, -inf for padding.
      probabilities: [Q, C] the ranker's probabilities that a candidate is relevant, 0 for padding.
    """

    candidates: Candidates
    scores: np.ndarray
    probabilities: np.ndarray

    def take(self, rows: np.ndarray) -> "Ranked":
        """Return the candidates of the queries at `rows`."""
        return Ranked(self.candidates.take(rows), self.scores[rows], self.probabilities[rows])


class TwoStep:
    """Both steps over one catalogue.

    Args:
      retriever: the first step.
      ranker: the second step.
      catalogue: the items.
      settings: features, number of candidates and re-ranking.
    """

    def __init__(self, retriever: Retriever, ranker: Ranker, catalogue: Catalogue, settings: ServingSettings):
        self.retriever, self.ranker, self.catalogue, self.settings = retriever, ranker, catalogue, settings
        self.reranker = Reranker(settings.reranking, catalogue.table, settings.features.item)

    def with_settings(self, settings: ServingSettings) -> "TwoStep":
        """Return an engine of the same models with other settings; it must not be closed."""
        return TwoStep(self.retriever, self.ranker, self.catalogue, settings)

    def with_items(self, items: pa.Table) -> "TwoStep":
        """Return an engine of the same models with further items; it must not be closed.

        Args:
          items: the items, in the form of the catalogue's table.
        """
        catalogue = self.catalogue.with_items(items)
        return TwoStep(
            self.retriever.with_items(catalogue), self.ranker.with_items(catalogue), catalogue, self.settings
        )

    def recommend(self, queries: Queries, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return [Q, min(k, candidates)] int32 catalogue rows, best first, -1 for padding; and their scores."""
        return self.rerank(queries, self.ranked(queries), k)

    def ranked(self, queries: Queries) -> Ranked:
        """Return the candidates of each query in the retriever's order, with the ranker's scores."""
        return self.rank(queries, self.retriever.retrieve(queries, self.settings.candidates))

    def rank(self, queries: Queries, candidates: Candidates) -> Ranked:
        """Return the given candidates with the ranker's scores."""
        if 0 < len(queries) <= QUERIES_AT_ONCE:
            return Ranked(candidates, *self.ranker.rank(queries, candidates))
        empty: np.ndarray = np.zeros(candidates.rows.shape, np.float32)
        scores, probabilities = [empty[:0]], [empty[:0]]
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            batch = np.arange(start, min(start + QUERIES_AT_ONCE, len(queries)))
            score, probability = self.ranker.rank(queries.take(batch), candidates.take(batch))
            scores.append(score)
            probabilities.append(probability)
        return Ranked(candidates, np.concatenate(scores), np.concatenate(probabilities))

    def rerank(self, queries: Queries, ranked: Ranked, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the served lists, made from candidates with scores, in the form that `recommend` returns."""
        return self.reranker.rerank(queries, ranked.candidates.rows, ranked.scores, k)

    def similar(self, item_id: str, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of the k items most similar to an item, and their similarities; none for an unknown item."""
        if self.catalogue.row(item_id) == NO_ITEM:
            return np.zeros(0, np.int32), np.zeros(0, np.float32)
        return self.retriever.similar(item_id, k)

    def close(self) -> None:
        """Free the memory of both models; nothing can be asked afterwards."""
        self.retriever.close()
        self.ranker.close()
