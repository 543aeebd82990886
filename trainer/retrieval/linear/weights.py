"""The weights of EASE and SLIM. NumPy, SciPy and scikit-learn only."""

import warnings
from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from scipy.linalg import lapack

from core import progress
from core.errors import ModelError
from trainer.retrieval.neighbours.nearest import largest

ROWS_AT_ONCE = 512
PASSES = 100  # the maximum number of passes of coordinate descent for the weights of an item
REPORTS = 5  # the number of progress lines of SLIM


def dense_weights(matrix: sp.csr_matrix, l2: float, neighbours: int, memory_gb: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of EASE, of each row those with the largest absolute values.

    Args:
      matrix: [U, N] 0/1.
      l2: λ.
      neighbours: the maximum number of weights kept for each item; M is the smaller of this and the number of other
        items with events.
      memory_gb: the maximum memory of the matrix to invert, in GB.
    Returns:
      [N, M] int32 columns and [N, M] float32 weights. The weights of items without events are 0, as they would be if
      the matrix of all items were inverted.
    Raises:
      ModelError: the matrix to invert takes more than `memory_gb`, or cannot be inverted.
    """
    items = np.unique(matrix.indices)
    width = min(neighbours, max(len(items) - 1, 0))
    columns, weights = np.zeros((matrix.shape[1], width), np.int32), np.zeros((matrix.shape[1], width), np.float32)
    if not width:
        return columns, weights
    _check_memory(len(items), matrix.shape[0], memory_gb)
    inverse = InverseGram(matrix[:, items], l2)
    for start in range(0, len(items), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        block = inverse.rows(rows) / -inverse.diagonal
        block[np.arange(len(block)), np.arange(start, start + len(block))] = 0.0
        kept, weights[items[rows]] = largest(block, width)
        columns[items[rows]] = items[kept]
        progress.report(f"weights of {start + len(block):,} of {len(items):,} items")
    return columns, weights


def _check_memory(n_items: int, n_users: int, memory_gb: float) -> None:
    """Check that the matrix to invert takes at most `memory_gb`. Raises: ModelError."""
    needed = 4 * min(n_items, n_users) ** 2 / 1e9
    if needed > memory_gb:
        raise ModelError(
            f"ease inverts a matrix of the {n_items:,} items with events or of the {n_users:,} users, and the smaller "
            f"one takes {needed:.1f} GB; memory_gb is {memory_gb:g}. Raise `memory_gb`, or use slim or item_knn, which "
            "need no such matrix."
        )


class InverseGram:
    """The matrix P = (XᵀX + λI)⁻¹ for X [U, N], with access to single rows.

    Only the smaller of two matrices is stored: P [N, N] itself or, with fewer users than items, the matrix [U, U]
    Q = (XXᵀ + λI)⁻¹, from which P = (I - Xᵀ Q X) / λ by Woodbury's identity.

    Args:
      matrix: [U, N] X.
      l2: λ.
    """

    def __init__(self, matrix: sp.csr_matrix, l2: float):
        self.l2, self.by_user = l2, matrix.shape[0] < matrix.shape[1]
        self.matrix, self.by_item = matrix, matrix.T.tocsr()
        self.inverse = inverse_of_gram(self.by_item if self.by_user else matrix, l2)
        self.diagonal = self._diagonal() if self.by_user else np.diag(self.inverse).copy()

    def rows(self, rows: slice) -> np.ndarray:
        """Return the given rows of P: [R, N] float32."""
        if not self.by_user:
            return self.inverse[rows]
        block = (self.by_item[rows] @ self.inverse) @ self.matrix
        block /= -self.l2
        block[np.arange(len(block)), np.arange(rows.start, rows.start + len(block))] += 1 / self.l2
        return block

    def _diagonal(self) -> np.ndarray:
        """Return the diagonal of P from Q: [N] float32."""
        sums = np.zeros(self.by_item.shape[0], np.float32)
        for start in range(0, len(sums), ROWS_AT_ONCE):
            part = self.by_item[start : start + ROWS_AT_ONCE]
            sums[start : start + ROWS_AT_ONCE] = np.asarray(part.multiply(part @ self.inverse).sum(axis=1)).ravel()
        return (1 - sums) / self.l2


def inverse_of_gram(matrix: sp.csr_matrix, l2: float) -> np.ndarray:
    """Return (XᵀX + λI)⁻¹ of X [U, N], computed in place: [N, N] float32."""
    n_items = matrix.shape[1]
    gram = np.empty((n_items, n_items), np.float32, order="F")
    by_item = matrix.T.tocsr()
    for start in range(0, n_items, ROWS_AT_ONCE):
        columns = slice(start, start + ROWS_AT_ONCE)
        gram[:, columns] = (by_item @ by_item[columns].T).toarray()
    gram[np.diag_indices(n_items)] += l2
    progress.report(f"inverting a matrix of {n_items:,} rows")
    factor, failed = lapack.spotrf(gram, lower=1, overwrite_a=1)
    if failed:
        raise ModelError(f"ease cannot invert a matrix of {n_items:,} rows. Raise `l2`, which is {l2:g}.")
    inverse, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
    for start in range(0, n_items, ROWS_AT_ONCE):  # LAPACK fills the lower triangle only
        stop = min(start + ROWS_AT_ONCE, n_items)
        corner = np.tril(inverse[start:stop, start:stop])
        inverse[start:stop, start:stop] = corner + np.tril(corner, -1).T
        inverse[start:stop, stop:] = inverse[stop:, start:stop].T
    return inverse.T  # equal to its transpose, which is in the C order that products need


def sparse_weights(matrix: sp.csr_matrix, l1: float, l2: float) -> sp.coo_matrix:
    """Return the weights of SLIM, [N, N], none negative: entry (i, j) is the weight of item i in the model of item j.

    Args:
      matrix: [U, N] 0/1.
      l1, l2: the penalties.
    """
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # weights after PASSES are precise enough
        parts = list(_columns(matrix.tocsc(), l1, l2))
    empty = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    rows, columns, values = (np.concatenate(each) for each in zip(empty, *parts, strict=True))
    return sp.coo_matrix((values.astype(np.float32), (rows, columns)), shape=(matrix.shape[1], matrix.shape[1]))


def _columns(matrix: sp.csc_matrix, l1: float, l2: float) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield the rows, columns and values of the weights, column by column."""
    from sklearn.linear_model import ElasticNet

    n_users, n_items = matrix.shape
    by_item = matrix.T.tocsr()
    # scikit-learn divides the squared error by the number of rows, so the penalties are divided by it too. `alpha` is
    # the sum of both penalties, `l1_ratio` the share of L1 in the sum.
    model = ElasticNet(
        alpha=(l1 + l2) / max(n_users, 1), l1_ratio=l1 / (l1 + l2), positive=True, fit_intercept=False, max_iter=PASSES
    )
    for item in range(n_items):
        target = matrix[:, [item]]
        common = (by_item @ target).toarray().ravel()
        # No weight is negative, so the weight of an item with at most `l1` users in common is 0.
        others = np.flatnonzero(common > l1)
        others = others[others != item]
        if len(others):
            weights = model.fit(matrix[:, others], target.toarray().ravel()).coef_
            kept = np.flatnonzero(weights)
            yield others[kept], np.full(len(kept), item), weights[kept]
        if (item + 1) * REPORTS // n_items > item * REPORTS // n_items:
            progress.report(f"weights of {item + 1:,} of {n_items:,} items")
