"""The scores of one part of a model for one query: the best items, and the scores of given ones."""

import math
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from serving.retrieval.ordering import ordered, top

# Up to so many items are scored one by one. Of a million items an index takes as long for 30,000, and longer for fewer.
FEW = 20_000


class Selection:
    """The items that a query may return.

    Args:
      allowed: [N] bool.
    """

    def __init__(self, allowed: np.ndarray):
        self.allowed = allowed
        self._of_first: Selection | None = None  # kept, since each part of a model needs it

    @cached_property
    def few(self) -> np.ndarray | None:
        """Return the rows of the items if there are few, at most `FEW` and half of all; else None."""
        if self._count > min(FEW, len(self.allowed) // 2):
            return None
        return np.flatnonzero(self.allowed)

    def of_first(self, count: int) -> "Selection":
        """Return the selection among the first items alone."""
        if self._of_first is None or len(self._of_first.allowed) != count:
            self._of_first = Selection(self.allowed[:count])
        return self._of_first

    @property
    def share(self) -> float:
        """Return the share of the items that are in the selection."""
        return self._count / len(self.allowed)

    @cached_property
    def _count(self) -> int:
        return int(np.count_nonzero(self.allowed))


class Scored(Protocol):
    """The scores of a part for a query."""

    def best(self, depth: int, selection: Selection) -> np.ndarray:
        """Return the rows of the `depth` best items of a selection, best first, int32."""
        ...

    def at(self, rows: np.ndarray) -> np.ndarray:
        """Return the scores of the items at rows [C], float32."""
        ...


class DenseScores:
    """Scores of all items.

    Args:
      scores: [N] float32.
    """

    def __init__(self, scores: np.ndarray):
        self._scores = scores

    def best(self, depth: int, selection: Selection) -> np.ndarray:
        if selection.few is not None:
            return _best_of(selection.few, self, depth)
        return top(np.where(selection.allowed, self._scores, np.float32(-np.inf)), depth)

    def at(self, rows: np.ndarray) -> np.ndarray:
        return self._scores[rows]


class OrderedScores:
    """Scores whose order is known, such as those of popularity.

    Args:
      scores: [N] float32.
    """

    def __init__(self, scores: np.ndarray):
        self.scores, self.order = scores, ordered(scores).astype(np.int32)

    def best(self, depth: int, selection: Selection) -> np.ndarray:
        if selection.few is not None:
            return _best_of(selection.few, self, depth)
        return first(self.order, selection.allowed, depth)

    def at(self, rows: np.ndarray) -> np.ndarray:
        return self.scores[rows]


class SparseScores:
    """Scores of an order that is known, to which a query adds values for some items.

    Args:
      base: the scores without additions.
      rows: [T] the rows of the items with an addition, ascending.
      added: [T] float32, the additions.
    """

    def __init__(self, base: OrderedScores, rows: np.ndarray, added: np.ndarray):
        self._base, self._rows, self._added = base, rows, added

    def best(self, depth: int, selection: Selection) -> np.ndarray:
        if selection.few is not None:
            return _best_of(selection.few, self, depth)
        others = np.array(selection.allowed)
        others[self._rows] = False
        own = self._rows[selection.allowed[self._rows]]
        rows = np.concatenate([own, first(self._base.order, others, depth)])
        rows.sort()
        return rows[top(self.at(rows), depth)].astype(np.int32)

    def at(self, rows: np.ndarray) -> np.ndarray:
        scores = self._base.scores[rows]
        if len(self._rows):
            place = np.minimum(np.searchsorted(self._rows, rows), len(self._rows) - 1)
            scores += np.where(self._rows[place] == rows, self._added[place], np.float32(0))
        return scores


class IndexedScores:
    """Dot products with the vector of a query, whose best items an index finds.

    Args:
      index: the index of faiss over the embeddings, HNSW or IVF.
      embeddings: [N, D] the embeddings of the items.
      vector: [D] that of the query.
    """

    def __init__(self, index: Any, embeddings: np.ndarray, vector: np.ndarray):
        self._index, self._embeddings, self._vector = index, embeddings, vector

    def best(self, depth: int, selection: Selection) -> np.ndarray:
        if selection.few is not None:
            return _best_of(selection.few, self, depth)
        wide = min(depth, len(selection.allowed))
        _, [rows] = self._index.search(self._vector[np.newaxis], wide, params=self._parameters(wide, selection))
        rows = np.sort(rows[rows >= 0])
        return rows[top(self.at(rows), depth)].astype(np.int32)

    def at(self, rows: np.ndarray) -> np.ndarray:
        return self._embeddings[rows] @ self._vector

    def _parameters(self, wide: int, selection: Selection) -> Any:
        """Return the parameters of a search for `wide` items of a selection."""
        import faiss as stubbed

        faiss: Any = stubbed  # its stubs describe the classes of C++
        share = selection.share
        chosen = None if share == 1 else faiss.IDSelectorBitmap(np.packbits(selection.allowed, bitorder="little"))
        if hasattr(self._index, "hnsw"):
            return faiss.SearchParametersHNSW(sel=chosen, efSearch=max(self._index.hnsw.efSearch, wide))
        # The best items of a smaller selection are in more clusters. Over a million items the recall then stays at .998
        # and more; with the share itself in place of its root it takes three times as long.
        clusters = min(self._index.nlist, math.ceil(self._index.nprobe / math.sqrt(share)))
        return faiss.SearchParametersIVF(sel=chosen, nprobe=clusters)


def first(order: np.ndarray, allowed: np.ndarray, count: int) -> np.ndarray:
    """Return the first `count` rows of an order [N] that are allowed, a mask [N]."""
    found: list[np.ndarray] = []
    start, width = 0, 2 * count
    while count > 0 and start < len(order):
        part = order[start : start + width]
        part = part[allowed[part]][:count]
        found.append(part)
        count -= len(part)
        start, width = start + width, 2 * width
    return np.concatenate(found) if found else order[:0]


def _best_of(rows: np.ndarray, scores: Scored, depth: int) -> np.ndarray:
    """Return the best of the items at ascending rows."""
    return rows[top(scores.at(rows), depth)].astype(np.int32)
