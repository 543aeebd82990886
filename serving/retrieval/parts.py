"""The parts of a retrieval model, which score queries from tables. A part is a model, or a member of a fusion."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from core.queries import ranges
from serving.retrieval.ordering import top
from serving.retrieval.scored import DenseScores, IndexedScores, OrderedScores, Scored, SparseScores
from trainer.retrieval import plan
from trainer.retrieval.neighbours.nearest import denominator
from trainer.retrieval.neighbours.weighting import K1, B

DENSE = 32  # a sum of N / 32 entries or more is computed for all items at once: with fewer, sorting them is faster

Tables = Mapping[str, np.ndarray]


class Part(Protocol):
    """A part of a retrieval model."""

    def score(self, histories: Sequence[np.ndarray], asked: np.ndarray) -> Sequence[Scored]:
        """Return the scores of B queries.

        Args:
          histories: the rows of the known items of each history, oldest first.
          asked: what the part asks of the model for each query, [B, …]; [B, 0] if it asks nothing.
        """
        ...


def of_plan(described: Any, tables: Tables, index: Any = None) -> Part:
    """Return a part.

    Args:
      described: the part in the plan of the model.
      tables: name → table; see `trainer.retrieval.plan`.
      index: the index of faiss over the embeddings; None to compare the query with all items.
    """
    match described:
        case plan.Embedding():
            return EmbeddingPart(tables["embeddings"], index)
        case plan.Neighbours():
            return NeighbourhoodPart(described, tables)
        case plan.UserNeighbours():
            return UserNeighbourhoodPart(described, tables)
        case plan.Lists():
            return ListsPart(tables["scores"])
        case _:
            return DensePart()


class EmbeddingPart:
    """Dot products of embeddings, by an index if there is one."""

    def __init__(self, embeddings: np.ndarray, index: Any):
        self.embeddings, self._index = embeddings, index

    def score(self, histories: Sequence[np.ndarray], asked: np.ndarray) -> Sequence[Scored]:
        if self._index is not None:
            return [IndexedScores(self._index, self.embeddings, vector) for vector in asked]
        return [DenseScores(scores) for scores in asked @ self.embeddings.T]


class DensePart:
    """Scores that the model computes for all items."""

    def score(self, histories: Sequence[np.ndarray], asked: np.ndarray) -> Sequence[Scored]:
        return [DenseScores(scores) for scores in asked]


class ListsPart:
    """Lists of items in a fixed order, one for each segment of users."""

    def __init__(self, scores: np.ndarray):
        self._scores = scores
        self._lists: dict[int, OrderedScores] = {}  # segment → list, which is ordered at the first query

    def score(self, histories: Sequence[np.ndarray], asked: np.ndarray) -> Sequence[Scored]:
        segments = asked.tolist() if asked.ndim == 1 else [0] * len(histories)
        return [self._list(segment) for segment in segments]

    def _list(self, segment: int) -> OrderedScores:
        found = self._lists.get(segment)
        if found is None:
            found = self._lists[segment] = OrderedScores(self._scores[segment])
        return found


class NeighbourhoodPart:
    """Sums of the weights that the items of the history add to their neighbours."""

    def __init__(self, described: plan.Neighbours, tables: Tables):
        self._half_life, self._distinct = described.half_life, described.distinct
        self._neighbours, self._weights = tables["neighbours"], tables["weights"]
        self._base = OrderedScores(tables["popularity"])

    def score(self, histories: Sequence[np.ndarray], asked: np.ndarray) -> Sequence[Scored]:
        return [self._scored(history) for history in histories]

    def _scored(self, history: np.ndarray) -> Scored:
        if self._distinct:  # the latest event of each item counts
            _, latest = np.unique(history[::-1], return_index=True)
            history = history[len(history) - 1 - np.sort(latest)[::-1]]
        weights = self._weights[history]
        if self._half_life:
            ages = np.arange(len(history), dtype=np.float32)[::-1]
            weights = weights * np.float32(0.5) ** (ages / np.float32(self._half_life))[:, np.newaxis]
        return summed(self._base, self._neighbours[history].ravel(), weights.ravel())


class UserNeighbourhoodPart:
    """Sums of the similarities of the nearest users, which are found for each query."""

    def __init__(self, described: plan.UserNeighbours, tables: Tables):
        self._described, self._tables = described, tables
        self._base = OrderedScores(tables["popularity"])

    def score(self, histories: Sequence[np.ndarray], asked: np.ndarray) -> Sequence[Scored]:
        return [self._scored(history) for history in histories]

    def _scored(self, history: np.ndarray) -> Scored:
        settings, squares = self._described.settings, self._tables["squares"]
        items, counts = np.unique(history, return_counts=True)
        weights = self._item_weights(items, counts.astype(np.float32))
        users, values = self._rows("item_users", items, weights)
        products = np.bincount(users, values, len(squares)).astype(np.float32)
        near = np.flatnonzero(products)
        product, square = products[near], np.sum(weights * weights)
        divisor = self._described.shrinkage + denominator(square, squares[near], product, settings.similarity)
        similarity = np.divide(product, divisor, out=np.zeros_like(product), where=divisor != 0)
        best = top(similarity, settings.neighbours)
        return summed(self._base, *self._rows("user_items", near[best], similarity[best]))

    def _item_weights(self, items: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Return the weights of the items of a history, as `trainer.retrieval.neighbours.weighting.weighted`."""
        weighting, idf = self._described.settings.weighting, self._tables["idf"]
        if weighting == "none":
            return np.ones_like(counts)
        if weighting == "tf_idf":
            return np.sqrt(counts) * idf[items]
        relative = 1 - B + B * counts.sum() / max(self._described.mean_length, 1e-9)
        return (counts * (K1 + 1) / (K1 * relative + counts) * idf[items]).astype(np.float32)

    def _rows(self, matrix: str, rows: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the columns and the weighted values of all entries of rows of a sparse matrix."""
        offsets = self._tables[f"{matrix}_offsets"]
        owner, positions = ranges(offsets[rows], offsets[rows + 1])
        values = self._tables[f"{matrix}_values"][positions]
        return self._tables[f"{matrix}_columns"][positions], values * weights[owner]


def summed(base: OrderedScores, rows: np.ndarray, values: np.ndarray) -> Scored:
    """Return the base scores with a sum added at each of the rows [T], which may be there several times."""
    n_items = len(base.scores)
    if len(rows) * DENSE >= n_items:
        return DenseScores(base.scores + np.bincount(rows, values, n_items).astype(np.float32))
    order = np.argsort(rows, kind="stable")
    rows, values = rows[order], values[order]
    starts = np.flatnonzero(np.r_[True, rows[1:] != rows[:-1]])[: len(rows)]
    sums = np.add.reduceat(values.astype(np.float64), starts) if len(rows) else values
    return SparseScores(base, rows[starts], sums.astype(np.float32))
