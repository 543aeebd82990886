"""The items of a catalogue in the order of their numbers of events. NumPy only."""

from collections.abc import Sequence

import numpy as np

from serving.catalogue import NO_ITEM

FIRST = 2000  # the number of items that are looked at first


class Popular:
    """The order of N items by their events before the release.

    Args:
      events: [N] the number of events of each item.
    """

    def __init__(self, events: np.ndarray):
        self._events = events
        self._order = np.argsort(-events, kind="stable").astype(np.int32)

    def best(
        self,
        k: int,
        left_out: Sequence[int] | np.ndarray,
        allowed: np.ndarray | None = None,
        only: np.ndarray | None = None,
    ) -> tuple[list[int], list[int]]:
        """Return the items with the most events.

        Args:
          k: the number of items.
          left_out: the rows of items that are not returned.
          allowed: [N] whether an item may be returned; None for all.
          only: the rows of the only items that are returned, each once, -1 for none; None for all.
        Returns:
          The rows of the items, those with the most events first, and their numbers of events.
        """
        order = self._order
        if only is not None:
            rows = only[only != NO_ITEM]
            order = rows[np.argsort(-self._events[rows], kind="stable")]
        for end in (FIRST, len(order)):
            rows = order[:end]
            kept = ~np.isin(rows, np.array(left_out, np.int32))
            if allowed is not None:
                kept &= allowed[rows]
            if kept.sum() >= k:
                break
        rows = rows[kept][:k]
        return rows.tolist(), self._events[rows].tolist()

    def events(self, rows: Sequence[int]) -> list[int]:
        """Return the numbers of events of items."""
        return self._events[list(rows)].tolist()
