"""At most so many items of one value among the first places."""

import numpy as np

from serving.rerank.candidates import CandidateFeatures


class Cap:
    """Which candidates would be one too many of a category, brand or provider.

    An item of several values counts for each of them; one without any is never too many.

    Args:
      features: 1 for each value of a candidate.
      most: how many items of one value may be chosen.
      first: among how many.
    """

    def __init__(self, features: CandidateFeatures, most: int, first: int):
        self._features, self._most, self._first = features, most, first
        self._used = np.zeros(len(features.keys))
        self._chosen = 0

    def exceeded(self) -> np.ndarray:
        """[Q, C] bool."""
        if self._chosen >= self._first:
            return np.zeros(self._features.shape, bool)
        return self._features.times((self._used >= self._most).astype(np.float64)) > 0

    def take(self, places: np.ndarray) -> None:
        """Choose the candidates at `places` [Q]."""
        self._used += self._features.of(places)
        self._chosen += 1
