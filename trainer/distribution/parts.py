"""The division of a batch among replicas. NumPy only."""

import itertools

import numpy as np


def slices(rows: int, parts: int) -> list[slice]:
    """Return consecutive slices of `rows` rows, which differ by at most one in length."""
    bounds = np.arange(parts + 1) * rows // parts
    return [slice(int(start), int(end)) for start, end in itertools.pairwise(bounds)]
