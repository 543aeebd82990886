"""Linear models of each item from the others: the weights of EASE and SLIM. NumPy, SciPy and scikit-learn only."""

import warnings
from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from scipy.linalg import lapack

from core import progress
from core.errors import ModelError
from trainer.retrieval.neighbours import largest

ROWS_AT_ONCE = 512
PASSES = 100  # the most of coordinate descent for an item
REPORTS = 5


def dense_weights(met: sp.csr_matrix, l2: float, neighbours: int, memory_gb: float) -> tuple[np.ndarray, np.ndarray]:
    """EASE's weights, of each row the largest of either sign.

    Args:
      met: [U, N] 0/1.
      l2: λ.
      neighbours: the most that are kept; M is this, or all the others where the items with events are fewer.
      memory_gb: the most that the matrix may take.
    Returns:
      [N, M] int32 columns and [N, M] float32 weights. Items without events have none, as in the solution of all items.
    Raises:
      ModelError: there are too many items and users, or the matrix cannot be inverted.
    """
    items = np.unique(met.indices)
    width = min(neighbours, max(len(items) - 1, 0))
    columns, weights = np.zeros((met.shape[1], width), np.int32), np.zeros((met.shape[1], width), np.float32)
    if not width:
        return columns, weights
    _check_memory(len(items), met.shape[0], memory_gb)
    inverse = InverseGram(met[:, items], l2)
    for start in range(0, len(items), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        block = inverse.rows(rows) / -inverse.diagonal
        block[np.arange(len(block)), np.arange(start, start + len(block))] = 0.0
        found, weights[items[rows]] = largest(block, width)
        columns[items[rows]] = items[found]
        progress.report(f"weights of {start + len(block):,} of {len(items):,} items")
    return columns, weights


def _check_memory(n_items: int, n_users: int, memory_gb: float) -> None:
    needed = 4 * min(n_items, n_users) ** 2 / 1e9
    if needed > memory_gb:
        raise ModelError(
            f"ease inverts a matrix of all {n_items:,} items that have events, or of all {n_users:,} users, and the "
            f"smaller takes {needed:.1f} GB; memory_gb is {memory_gb:g}. Raise it, or use slim or item_knn, which hold "
            "no such matrix."
        )


class InverseGram:
    """P = (XᵀX + λI)⁻¹ of X [U, N], row by row.

    One matrix of the smaller side is held: P itself, or where users are fewer Q = (XXᵀ + λI)⁻¹, from which by
    Woodbury's identity P = (I - Xᵀ Q X) / λ.

    Args:
      met: [U, N] X.
      l2: λ.
    """

    def __init__(self, met: sp.csr_matrix, l2: float):
        self.l2, self.by_user = l2, met.shape[0] < met.shape[1]
        self.met, self.by_item = met, met.T.tocsr()
        self.inverse = inverse_of_gram(self.by_item if self.by_user else met, l2)
        self.diagonal = self._diagonal() if self.by_user else np.diag(self.inverse).copy()

    def rows(self, rows: slice) -> np.ndarray:
        """[R, N] float32."""
        if not self.by_user:
            return self.inverse[rows]
        block = (self.by_item[rows] @ self.inverse) @ self.met
        block /= -self.l2
        block[np.arange(len(block)), np.arange(rows.start, rows.start + len(block))] += 1 / self.l2
        return block

    def _diagonal(self) -> np.ndarray:
        found = np.zeros(self.by_item.shape[0], np.float32)
        for start in range(0, len(found), ROWS_AT_ONCE):
            part = self.by_item[start : start + ROWS_AT_ONCE]
            found[start : start + ROWS_AT_ONCE] = np.asarray(part.multiply(part @ self.inverse).sum(axis=1)).ravel()
        return (1 - found) / self.l2


def inverse_of_gram(met: sp.csr_matrix, l2: float) -> np.ndarray:
    """[N, N] float32, (XᵀX + λI)⁻¹ of X [U, N], made in the place of one such matrix."""
    n_items = met.shape[1]
    gram = np.empty((n_items, n_items), np.float32, order="F")
    by_item = met.T.tocsr()
    for start in range(0, n_items, ROWS_AT_ONCE):
        columns = slice(start, start + ROWS_AT_ONCE)
        gram[:, columns] = (by_item @ by_item[columns].T).toarray()
    gram[np.diag_indices(n_items)] += l2
    progress.report(f"inverting a matrix of {n_items:,} rows")
    factor, failed = lapack.spotrf(gram, lower=1, overwrite_a=1)
    if failed:
        raise ModelError(f"ease cannot invert a matrix of {n_items:,} rows. Raise `l2`, which is {l2:g}.")
    inverse, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
    for start in range(0, n_items, ROWS_AT_ONCE):  # LAPACK fills the lower triangle alone
        stop = min(start + ROWS_AT_ONCE, n_items)
        corner = np.tril(inverse[start:stop, start:stop])
        inverse[start:stop, start:stop] = corner + np.tril(corner, -1).T
        inverse[start:stop, stop:] = inverse[stop:, start:stop].T
    return inverse.T  # the same, row after row in memory as what multiplies it wants it


def sparse_weights(met: sp.csr_matrix, l1: float, l2: float) -> sp.coo_matrix:
    """[N, N] SLIM's weights, how much item i (row) speaks for item j (column); none is negative.

    Args:
      met: [U, N] 0/1.
      l1, l2: the penalties.
    """
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits of a weight order nothing
        parts = list(_columns(met.tocsc(), l1, l2))
    nothing = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    rows, columns, values = (np.concatenate(each) for each in zip(nothing, *parts, strict=True))
    return sp.coo_matrix((values.astype(np.float32), (rows, columns)), shape=(met.shape[1], met.shape[1]))


def _columns(met: sp.csc_matrix, l1: float, l2: float) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The rows, columns and values of the weights, item by item."""
    from sklearn.linear_model import ElasticNet

    n_users, n_items = met.shape
    by_item = met.T.tocsr()
    # scikit-learn divides the squared error by the number of rows, and splits one penalty by a share.
    model = ElasticNet(
        alpha=(l1 + l2) / max(n_users, 1), l1_ratio=l1 / (l1 + l2), positive=True, fit_intercept=False, max_iter=PASSES
    )
    for item in range(n_items):
        target = met[:, [item]]
        common = (by_item @ target).toarray().ravel()
        # No weight can be negative, so an item with no more than `l1` users in common cannot get any.
        others = np.flatnonzero(common > l1)
        others = others[others != item]
        if len(others):
            found = model.fit(met[:, others], target.toarray().ravel()).coef_
            kept = np.flatnonzero(found)
            yield others[kept], np.full(len(kept), item), found[kept]
        if (item + 1) * REPORTS // n_items > item * REPORTS // n_items:
            progress.report(f"{item + 1:,} of {n_items:,} items")
