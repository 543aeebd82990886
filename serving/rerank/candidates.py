"""Sparse features of the candidates of many lists at once, so that lists are processed in batches."""

import numpy as np
from scipy import sparse


class CandidateFeatures:
    """Q lists of C candidates, each candidate a sparse row of features.

    The rows of all lists form one block-diagonal matrix with a block per list, so that one product with it covers all
    candidates of all lists, and lists do not affect each other. Only features that occur in a list have a column.

    Args:
      by_item: [N, F] a sparse row per item.
      rows: [Q, C] catalogue rows, -1 for padding, which has no features.

    Attributes:
      keys: [columns] list · F + feature of each column.
      matrix: [Q · C, columns] the features of all candidates.
    """

    def __init__(self, by_item: sparse.csr_array, rows: np.ndarray):
        self.shape = rows.shape
        n_features = by_item.shape[1]
        gathered = by_item[np.maximum(rows, 0).ravel()]
        lengths = np.diff(gathered.indptr)
        owner = np.repeat(np.arange(rows.size), lengths)
        filled = (rows.ravel() >= 0)[owner]
        keys = (owner // max(rows.shape[1], 1)).astype(np.int64) * n_features + gathered.indices
        self.keys, columns = np.unique(keys[filled], return_inverse=True)
        pointer = np.r_[0, np.cumsum(np.where(rows.ravel() >= 0, lengths, 0))]
        self.matrix = sparse.csr_array((gathered.data[filled], columns, pointer), shape=(rows.size, len(self.keys)))
        self._transposed = self.matrix.T
        self._first = np.arange(rows.shape[0]) * rows.shape[1]

    def of(self, positions: np.ndarray) -> np.ndarray:
        """Return [columns] the features of one candidate of each list, at `positions` [Q]."""
        one_hot = np.zeros(self.matrix.shape[0])
        one_hot[self._first + positions] = 1.0
        return self._transposed @ one_hot

    def dot(self, values: np.ndarray) -> np.ndarray:
        """Return [Q, C] the inner product of each candidate's features with `values` [columns]."""
        return (self.matrix @ values).reshape(self.shape)
