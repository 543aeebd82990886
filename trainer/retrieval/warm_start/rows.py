"""The rows of embedding tables that are carried over by the values of vocabularies. NumPy only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Vocabularies:
    """The vocabularies of the indices of an embedding table: row 0, the values, then the out-of-vocabulary buckets.

    Args:
      before, now: the values at the earlier fit and at this one; empty for an output of hashed buckets alone.
    """

    before: Sequence[bytes]
    now: Sequence[bytes]

    def rows(self, size_before: int, size_now: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows before and now of all that both tables have: [R] and [R].

        Buckets are carried over if their number is the same, since a hash then gives the same bucket.

        Args:
          size_before, size_now: the numbers of rows of the tables.
        """
        place = {value: 1 + position for position, value in enumerate(self.before)}
        pairs = [(0, 0)]
        pairs += [(place[value], 1 + position) for position, value in enumerate(self.now) if value in place]
        buckets = size_now - 1 - len(self.now)
        if buckets == size_before - 1 - len(self.before):
            pairs += [(size_before - bucket, size_now - bucket) for bucket in range(buckets, 0, -1)]
        before, now = np.array(pairs).T
        return before, now


def carried(now: np.ndarray, before: np.ndarray | None, vocabularies: Vocabularies | None) -> np.ndarray | None:
    """Return the weight that a fit begins with; None if nothing of the earlier weight fits.

    Args:
      now: the initial weight of a cold start; for an embedding table [W, D].
      before: the earlier weight.
      vocabularies: those of an embedding table; None for other weights, which fit as a whole or not at all.
    """
    if before is None or before.dtype != now.dtype:
        return None
    if vocabularies is None:
        return before if before.shape == now.shape else None
    if before.shape[1:] != now.shape[1:]:
        return None
    rows_before, rows_now = vocabularies.rows(len(before), len(now))
    result = now.copy()
    result[rows_now] = before[rows_before]
    return result
