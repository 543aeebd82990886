"""The items that are not recommended, as the store says. NumPy only."""

from collections.abc import Mapping

import numpy as np

from serving.stores.store import Item


class Hidden:
    """The items that are hidden, or will expire.

    Args:
      items: row → what the store says of the item.
      state: the state of the store's items.
    """

    def __init__(self, items: Mapping[int, Item], state: int = 0):
        self.items, self.state = items, state
        self._rows = np.array([row for row, item in items.items() if item.hidden], np.int32)
        expiring = [(row, item.expires) for row, item in items.items() if not item.hidden and item.expires is not None]
        self._expiring, self._expires = np.array(expiring, np.int64).reshape(-1, 2).T

    def rows(self, now: int) -> np.ndarray:
        """Return the rows of the items that are hidden, or have expired at a time."""
        return np.concatenate([self._rows, self._expiring[self._expires <= now]])
