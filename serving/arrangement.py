"""One list, built position by position from an order of items, with pins, promotions and caps. NumPy only."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serving.column_values import ColumnValues

ROUNDING = 1e-9  # 0.29 · 100 is below 29 in floating-point numbers


@dataclass(frozen=True)
class Limit:
    """A cap.

    Args:
      values: the values of the items.
      at_most: the maximum number of items with the same value.
      first: the number of first positions that the cap applies to; None for all.
    """

    values: ColumnValues
    at_most: int
    first: int | None = None


@dataclass(frozen=True)
class Missing:
    """More items than were given are needed for the next position.

    Args:
      promotion: the number of the promotion that needs them; None for any items.
      full: for each cap of the request, the values of which the list can have no further item.
    """

    promotion: int | None
    full: tuple[list[int], ...]


class _Count:
    """The number of items with each value in a list under a cap."""

    def __init__(self, limit: Limit):
        self.limit = limit
        self.counts: Counter[int] = Counter()

    def add(self, row: int, position: int) -> None:
        if self.limit.first is None or position <= self.limit.first:
            self.counts.update(self.limit.values.of(row))

    def exceeded(self, row: int, position: int) -> bool:
        """Return whether the list would have too many items with a value of this one."""
        if self.limit.first is not None and position > self.limit.first:
            return False
        return any(self.counts[value] >= self.limit.at_most for value in self.limit.values.of(row))

    def full(self) -> list[int]:
        return [value for value, number in self.counts.items() if number >= self.limit.at_most]


class _Share:
    """A promotion while a list is built."""

    def __init__(self, share: float, allowed: np.ndarray, length: int, pins: dict[int, int]):
        self.allowed, self.placed = allowed, 0
        self.waiting: list[int] = []
        self.complete = False  # whether there are no further items that fulfil it
        self._wanted = np.floor(share * np.arange(1, length + 1) + ROUNDING).astype(np.int64)
        own = np.zeros(length, np.int64)
        for position, row in pins.items():
            if position <= length:
                own[position - 1] = bool(allowed[row])
        self._pinned = np.cumsum(own)

    def needed(self, index: int) -> np.ndarray:
        """Return how many more items must stand from a position on until each one from it, besides pins."""
        pinned = self._pinned[index:] - (self._pinned[index - 1] if index else 0)
        needed = self._wanted[index:] - self.placed - pinned
        return np.clip(needed, 0, len(self.waiting) if self.complete else None)


class Arrangement:
    """A list of items under the rules of a request.

    Pins stand at their positions. Any other position has the next item of the order, or the next one of a promotion
    where else the promotion could not have its share until some later position: promotions are served in the order of
    their deadlines. Caps of the request leave items out; those of the release do so as long as others are there, as in
    `serving.rerank.greedy`. The first items do not depend on the length of the list.

    Args:
      pins: position, from 1 → row.
      promotions: the share of each, and [N] whether an item fulfils it.
      caps: the caps of the request.
      soft_caps: the caps of the release.
      length: the largest position that promotions are planned for.
    """

    def __init__(
        self,
        pins: dict[int, int],
        promotions: Sequence[tuple[float, np.ndarray]],
        caps: Sequence[Limit],
        soft_caps: Sequence[Limit],
        length: int,
    ):
        self.rows: list[int] = []
        self._pins, self._length = dict(pins), length
        self._pinned = set(pins.values())
        self._order: list[int] = []
        self._complete = False
        self._shares = [_Share(share, allowed, length, pins) for share, allowed in promotions]
        self._caps, self._soft = [_Count(each) for each in caps], [_Count(each) for each in soft_caps]
        self._used: set[int] = set(self._pinned)
        for position, row in pins.items():  # pins count before their positions, so that other items leave them room
            for count in (*self._caps, *self._soft):
                count.add(row, position)
        free = [position not in pins for position in range(1, length + 1)]
        self._free = np.cumsum(np.array(free, np.int64))

    def add(self, order: Sequence[int], by_score: Sequence[int]) -> None:
        """Add items after those that wait.

        Args:
          order: the items in the order of the list.
          by_score: the same items in the ranker's order, in which promotions take them.
        """
        self._order += [row for row in order if row not in self._used]
        for share in self._shares:
            share.waiting += [row for row in by_score if share.allowed[row] and row not in self._used]

    def end(self, promotion: int | None) -> None:
        """Take note that there are no further items for a promotion; None for no further items at all."""
        if promotion is None:
            self._complete = True
        else:
            self._shares[promotion].complete = True

    def complete(self) -> None:
        """Take note that there are no further items."""
        self._complete = True
        for share in self._shares:
            share.complete = True

    def build(self, length: int) -> Missing | None:
        """Build the list up to a length, or until the items end; return what is missing for the next position."""
        while len(self.rows) < length:
            position = len(self.rows) + 1
            row = self._pins.pop(position, None)
            if row is None:
                found = self._chosen(position)
                if isinstance(found, Missing):
                    return found
                row = found
            if row is None:  # no other item is left: the rest of the pins follow
                if not self._pins:
                    return None
                row = self._pins.pop(min(self._pins))
            self._place(row, position)
        return None

    def _place(self, row: int, position: int) -> None:
        self.rows.append(row)
        for share in self._shares:
            share.placed += bool(share.allowed[row])
            if row in share.waiting:
                share.waiting.remove(row)
        if row not in self._pinned:
            self._used.add(row)
            for count in (*self._caps, *self._soft):
                count.add(row, position)

    def _chosen(self, position: int) -> int | Missing | None:
        """Return the item of a position without a pin; None if there is none."""
        while True:
            due = self._due(position)
            row = self._next(self._order if due is None else self._shares[due].waiting, position)
            if row is not None:
                return row
            if due is None:
                return None if self._complete else Missing(None, self._full())
            if not self._shares[due].complete:
                return Missing(due, self._full())

    def _due(self, position: int) -> int | None:
        """Return the promotion that must have a position, or it would lack its share later; None if none must."""
        index = position - 1
        if not self._shares or index >= self._length:
            return None
        needed = [share.needed(index) for share in self._shares]
        if not (sum(needed) > self._free[index:] - self._free[index]).any():
            return None
        deadlines = [int(np.argmax(each > 0)) if each.any() else self._length for each in needed]
        return int(np.argmin(deadlines))

    def _next(self, waiting: list[int], position: int) -> int | None:
        """Take the first item that the caps allow from those that wait; None if there is none.

        Items that a cap of the request excludes are removed, since the numbers of values only grow.
        """
        fewest, best = None, None
        kept: list[int] = []
        for index, row in enumerate(waiting):
            if row in self._used or any(each.exceeded(row, position) for each in self._caps):
                continue
            exceeded = sum(each.exceeded(row, position) for each in self._soft)
            if fewest is None or exceeded < fewest:
                fewest, best = exceeded, row
            if not exceeded:
                waiting[:] = kept + waiting[index + 1 :]
                return best
            kept.append(row)
        waiting[:] = [row for row in kept if row != best]
        return best

    def _full(self) -> tuple[list[int], ...]:
        return tuple(each.full() for each in self._caps)
