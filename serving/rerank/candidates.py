"""Sparse features of the candidates of many lists at once, so that no list is looked at by itself."""

import numpy as np
from scipy import sparse


class CandidateFeatures:
    """Q lists of C candidates, each candidate a sparse row of features.

    The rows of all lists make one block-diagonal matrix, a block a list: one product with it looks at all candidates of
    all lists, and what belongs to one list never meets another. Only features that occur in a list have a column.

    Args:
      by_item: [N, F] a sparse row an item.
      rows: [Q, C] items, -1 for padding, which has no features.
    """

    def __init__(self, by_item: sparse.csr_array, rows: np.ndarray):
        self.shape = rows.shape
        n_features = by_item.shape[1]
        taken = by_item[np.maximum(rows, 0).ravel()]
        lengths = np.diff(taken.indptr)
        owner = np.repeat(np.arange(rows.size), lengths)
        kept = (rows.ravel() >= 0)[owner]
        keys = (owner // max(rows.shape[1], 1)).astype(np.int64) * n_features + taken.indices
        # Column → list · F + feature.
        self.keys, columns = np.unique(keys[kept], return_inverse=True)
        pointer = np.r_[0, np.cumsum(np.where(rows.ravel() >= 0, lengths, 0))]
        self.matrix = sparse.csr_array((taken.data[kept], columns, pointer), shape=(rows.size, len(self.keys)))
        self._transposed = self.matrix.T
        self._first = np.arange(rows.shape[0]) * rows.shape[1]

    def of(self, places: np.ndarray) -> np.ndarray:
        """[columns] the features of one candidate of each list, at `places` [Q]."""
        picked = np.zeros(self.matrix.shape[0])
        picked[self._first + places] = 1.0
        return self._transposed @ picked

    def times(self, values: np.ndarray) -> np.ndarray:
        """[Q, C] the inner product of each candidate's features with those of its list in `values` [columns]."""
        return (self.matrix @ values).reshape(self.shape)
