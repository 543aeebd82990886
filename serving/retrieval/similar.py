"""The items that are most similar to an item, from the tables of a model: those of its signature `similar`."""

import copy
from collections.abc import Mapping

import numpy as np

from serving.retrieval import parts
from serving.retrieval.ordering import top
from serving.retrieval.retrieval import Retrieval, own_tables
from trainer.retrieval import plan

LEAST_SQUARE = 1e-12  # of the length of a vector, as in TensorFlow's `l2_normalize`


def possible(described: plan.RetrievalPlan) -> bool:
    """Return whether the tables tell how similar items are; a part that scores all items by itself has none."""
    return not any(isinstance(part, plan.Dense) for part in described.parts.values())


class Similar:
    """Similarities of items by a model, for which they are `possible`.

    Items that were added after the model was fitted are compared by the embeddings of the parts that have them.

    Args:
      retrieval: the model as tables.
      tables: its tables.
    """

    def __init__(self, retrieval: Retrieval, tables: Mapping[str, np.ndarray]):
        self._retrieval, self._plan = retrieval, retrieval.plan
        self._tables = {label: own_tables(tables, label) for label in self._plan.parts}
        self._inverse: dict[str, np.ndarray] = {}  # label → the inverse lengths of the embeddings, [N]
        self._added: Mapping[str, np.ndarray] = {}
        self._n_items = self._count = 0

    def with_items(
        self, retrieval: Retrieval, n_items: int, count: int, embeddings: Mapping[str, np.ndarray]
    ) -> "Similar":
        """Return the similarities of these items and of added ones, whose rows follow.

        Args:
          retrieval: the model as tables, with the added items.
          n_items, count, embeddings: as for `Retrieval.with_items`.
        """
        other = copy.copy(self)
        other._retrieval, other._n_items, other._count, other._added = retrieval, n_items, count, embeddings
        return other

    def best(self, row: int, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of the k items most similar to that at a row, best first, and their similarities.

        There are none for an added item if no part has its embedding; a part of events embeds it as zeros.
        """
        place = row - self._n_items if self._count else -1
        by_part = {
            label: self._scores(label, part, row)
            for label, part in self._plan.parts.items()
            if place < 0 or self._is_embedded(label, part, place)
        }
        if not by_part:
            return np.zeros(0, np.int32), np.zeros(0, np.float32)
        if self._plan.fusion is None:
            [scores] = by_part.values()
        else:
            depth = self._plan.fusion.depth
            lists = {label: top(each, depth) for label, each in by_part.items()}
            # All items are compared with an added one by its features alone; a cold one gets no more weight for it.
            scores = self._retrieval.fused(lists) if place < 0 else self._retrieval.fused_alike(lists)
        scores = scores.copy()
        scores[row] = -np.inf
        rows = top(scores, k)
        return rows, scores[rows]

    def _is_embedded(self, label: str, part: plan.Part, place: int) -> bool:
        """Return whether a part embeds an added item, of which `place` is the number from 0."""
        embeddings = self._added.get(label)
        if embeddings is None or not isinstance(part, plan.Embedding):
            return False
        return bool(embeddings[place, : part.compared].any())

    def _scores(self, label: str, part: plan.Part, row: int) -> np.ndarray:
        """Return the similarities of all items with that at a row by a part, [N + M] float32; -inf for unknown ones."""
        embeddings = self._added.get(label)
        if embeddings is None or not isinstance(part, plan.Embedding):
            return np.concatenate([self._of_model(label, part, row), np.full(self._count, -np.inf, np.float32)])
        known, own = self._vectors(label, part)
        others = embeddings[:, : part.compared]
        inverse = np.concatenate([own, _inverse_lengths(others)])
        asked = known[row] if row < self._n_items else others[row - self._n_items]
        return np.concatenate([known @ asked, others @ asked]) * (inverse * inverse[row])

    def _vectors(self, label: str, part: plan.Embedding) -> tuple[np.ndarray, np.ndarray]:
        """Return the embeddings of the items of the model that are compared, [N, D], and their inverse lengths, [N]."""
        vectors = self._tables[label]["embeddings"][:, : part.compared]
        inverse = self._inverse.get(label)
        if inverse is None:
            inverse = self._inverse[label] = _inverse_lengths(vectors)
        return vectors, inverse

    def _of_model(self, label: str, part: plan.Part, row: int) -> np.ndarray:
        """Return the similarities of the items of the model with that at a row by a part, [N] float32."""
        tables = self._tables[label]
        match part:
            case plan.Embedding():
                vectors, inverse = self._vectors(label, part)
                return (vectors @ vectors[row]) * (inverse * inverse[row])
            case plan.Neighbours():
                added = np.bincount(tables["neighbours"][row], tables["weights"][row], len(tables["popularity"]))
                return tables["popularity"] + added.astype(np.float32)
            case plan.Lists():
                return tables["scores"][0]
            case _:
                [scored] = parts.of_plan(part, tables).score([np.array([row], np.int32)], np.zeros((1, 0), np.float32))
                return scored.at(np.arange(len(tables["popularity"])))


def _inverse_lengths(vectors: np.ndarray) -> np.ndarray:
    """Return the inverse lengths of vectors [N, D], [N]."""
    return 1 / np.sqrt(np.maximum(np.einsum("nd,nd->n", vectors, vectors), np.float32(LEAST_SQUARE)))
