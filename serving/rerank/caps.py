"""The rule `caps`: a maximum number of items with the same value among the first positions."""

import numpy as np

from serving.rerank import settings
from serving.rerank.candidates import CandidateFeatures
from serving.rerank.items import Items
from serving.rerank.rule import ConstraintRule


class Cap(ConstraintRule[settings.Cap]):
    """A cap on one column of the items."""

    def __init__(self, settings: settings.Cap, items: Items):
        super().__init__(settings, items)
        self._indicators = items.indicators(settings.column)

    @property
    def top_k(self) -> int:
        """Return the number of first positions that the cap applies to."""
        return self.settings.top_k

    def constraint(self, rows: np.ndarray) -> "CapConstraint":
        """Return the state of the cap for the candidates at `rows`."""
        return CapConstraint(CandidateFeatures(self._indicators, rows), self.settings.max_items, self.settings.top_k)


class CapConstraint:
    """The state of a cap while lists are built: the number of selected items with each value.

    An item with several values counts for each value; an item without a value is never excluded.

    Args:
      features: 1 for each value of a candidate.
      max_items: the maximum number of selected items with the same value.
      top_k: the number of first positions that the cap applies to.
    """

    def __init__(self, features: CandidateFeatures, max_items: int, top_k: int):
        self._features, self._max_items, self._top_k = features, max_items, top_k
        self._counts = np.zeros(len(features.keys))
        self._selected = 0

    def exceeded(self) -> np.ndarray:
        """Return [Q, C] bool, the candidates that would exceed the cap."""
        if self._selected >= self._top_k:
            return np.zeros(self._features.shape, bool)
        return self._features.dot((self._counts >= self._max_items).astype(np.float64)) > 0

    def select(self, positions: np.ndarray) -> None:
        """Record the candidates at `positions` [Q] as selected."""
        self._counts += self._features.of(positions)
        self._selected += 1
