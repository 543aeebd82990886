"""The items that are most similar to an item, from the tables of a model: those of its signature `similar`."""

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

    Args:
      retrieval: the model as tables.
      tables: its tables.
    """

    def __init__(self, retrieval: Retrieval, tables: Mapping[str, np.ndarray]):
        self._retrieval, self._plan = retrieval, retrieval.plan
        self._tables = {label: own_tables(tables, label) for label in self._plan.parts}
        self._inverse: dict[str, np.ndarray] = {}  # label → the inverse lengths of the embeddings, [N]

    def best(self, row: int, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of the k items most similar to that at a row, best first, and their similarities."""
        by_part = {label: self._scores(label, part, row) for label, part in self._plan.parts.items()}
        if self._plan.fusion is None:
            [scores] = by_part.values()
        else:
            depth = self._plan.fusion.depth
            scores = self._retrieval.fused({label: top(each, depth) for label, each in by_part.items()})
        scores = scores.copy()
        scores[row] = -np.inf
        rows = top(scores, k)
        return rows, scores[rows]

    def _scores(self, label: str, part: plan.Part, row: int) -> np.ndarray:
        """Return the similarities of all items with that at a row by a part, [N] float32."""
        tables = self._tables[label]
        match part:
            case plan.Embedding():
                vectors = tables["embeddings"][:, : part.compared]
                inverse = self._inverse.get(label)
                if inverse is None:
                    squares = np.einsum("nd,nd->n", vectors, vectors)
                    inverse = self._inverse[label] = 1 / np.sqrt(np.maximum(squares, np.float32(LEAST_SQUARE)))
                return (vectors @ vectors[row]) * (inverse * inverse[row])
            case plan.Neighbours():
                added = np.bincount(tables["neighbours"][row], tables["weights"][row], len(tables["popularity"]))
                return tables["popularity"] + added.astype(np.float32)
            case plan.Lists():
                return tables["scores"][0]
            case _:
                [scored] = parts.of_plan(part, tables).score([np.array([row], np.int32)], np.zeros((1, 0), np.float32))
                return scored.at(np.arange(len(tables["popularity"])))
