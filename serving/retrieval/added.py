"""Items that were added after the model was fitted: the scores of each part for them. NumPy only."""

from collections.abc import Sequence

import numpy as np

from serving.retrieval.ordering import top
from serving.retrieval.parts import DensePart, Part
from serving.retrieval.scored import Scored, Selection


class AddedPart:
    """A part that scores N items of its model and M added ones, whose rows follow.

    An added item has no events. A part with embeddings scores it by its own, all others as an item without events: a
    sum over the history or over users is 0 for it, and a model that scores all items has no lower score for any.

    Args:
      part: the part for the items of the model.
      n_items: N.
      count: M.
      embeddings: [M, D] the embeddings of the added items; None if the part has none.
    """

    def __init__(self, part: Part, n_items: int, count: int, embeddings: np.ndarray | None):
        self._part, self._n_items = part, n_items
        self._nothing, self._embeddings = np.zeros(count, np.float32), embeddings

    def score(self, histories: Sequence[np.ndarray], asked: np.ndarray) -> Sequence[Scored]:
        """Return the scores of B queries; see `serving.retrieval.parts.Part`."""
        known = [history[history < self._n_items] for history in histories]
        scored = self._part.score(known, asked)
        added: Sequence[np.ndarray] = [self._nothing] * len(scored)
        if self._embeddings is not None:
            added = asked @ self._embeddings.T
        elif isinstance(self._part, DensePart):
            added = [self._nothing + scores.min(initial=np.inf) for scores in asked]
        return [AddedScores(each, self._n_items, own) for each, own in zip(scored, added, strict=True)]


class AddedScores:
    """The scores of N items and of M that follow.

    Args:
      scores: those of the first N.
      n_items: N.
      added: [M] those of the others.
    """

    def __init__(self, scores: Scored, n_items: int, added: np.ndarray):
        self._scores, self._n_items, self._added = scores, n_items, added

    def best(self, depth: int, selection: Selection) -> np.ndarray:
        """Return the rows of the best items of a selection; see `serving.retrieval.scored.Scored`."""
        known = self._scores.best(depth, selection.of_first(self._n_items))
        rows = np.concatenate([np.sort(known), self._n_items + np.flatnonzero(selection.allowed[self._n_items :])])
        return rows[top(self.at(rows), depth)].astype(np.int32)

    def at(self, rows: np.ndarray) -> np.ndarray:
        """Return the scores of the items at rows [C]."""
        added = rows >= self._n_items
        scores = self._scores.at(np.where(added, 0, rows)) if self._n_items else np.zeros(len(rows), np.float32)
        scores[added] = self._added[rows[added] - self._n_items]
        return scores
