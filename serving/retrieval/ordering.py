"""The order of items by score: the highest first, and of equal scores the lowest row first, as TensorFlow's top_k."""

import numpy as np

PARTITIONED = 4  # a list of up to this share, 1/4, of all items is found by a partition, not by a sort of all


def top(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the rows of the k highest scores, best first, int32; fewer where scores are -inf.

    Args:
      scores: [N] float32.
    """
    k = min(k, len(scores))
    if k <= 0:
        return np.zeros(0, np.int32)
    if k * PARTITIONED > len(scores):
        order = ordered(scores)[:k]
    else:
        # Without items below the k-th score; there may be more than k where scores are equal.
        rows = np.flatnonzero(scores >= np.partition(scores, len(scores) - k)[len(scores) - k])
        order = rows[ordered(scores[rows])[:k]]
    return order[scores[order] > -np.inf].astype(np.int32)


def ordered(scores: np.ndarray) -> np.ndarray:
    """Return the positions of float32 scores [N] from the highest to the lowest, [N] int64.

    A sort of integers is several times as fast as one of floats with their positions. The bits of a float are ordered
    as integers are, if those of negative ones are inverted; the position is in the lower 32 bits.
    """
    bits = (scores + np.float32(0)).view(np.int32)  # + 0, since -0 equals 0, but not in its bits
    ascending = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    keys = (~ascending).astype(np.int64) << 32 | np.arange(len(scores))
    keys.sort()
    return keys & 0xFFFFFFFF
