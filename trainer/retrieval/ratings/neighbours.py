"""Baselines of ratings, and the items with correlated residuals. NumPy and SciPy only."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from trainer.retrieval.ratings.data import Ratings

ROWS_AT_ONCE = 256  # rows of the item × item matrix that are computed at once, which bounds the memory
PASSES = 10
USER_DAMPING, ITEM_DAMPING = 15, 10  # the number of ratings without bias that are added for each user and each item


@dataclass(frozen=True)
class Baseline:
    """The baseline b_ui = μ + b_u + b_i of the rating of item i by user u.

    Args:
      mean: μ, the mean rating.
      users: [U] b_u.
      items: [N] b_i, 0 for an item without ratings.
    """

    mean: float
    users: np.ndarray
    items: np.ndarray


def baseline(ratings: Ratings) -> Baseline:
    """Return the baselines; the biases are damped means, computed for items and users alternately.

    Source: Koren, "Factor in the neighbors: scalable and accurate collaborative filtering", TKDD 2010, section 2.1,
    solved alternately as in Surprise.
    """
    users, items, mean = ratings.user_rows, ratings.items, ratings.values.mean()
    user_counts = np.bincount(users) + USER_DAMPING
    item_counts = np.bincount(items, minlength=ratings.n_items) + ITEM_DAMPING
    user_bias, item_bias = np.zeros(len(user_counts)), np.zeros(ratings.n_items)
    for _ in range(PASSES):
        rest = ratings.values - mean - user_bias[users]
        item_bias = np.bincount(items, rest, ratings.n_items) / item_counts
        user_bias = np.bincount(users, ratings.values - mean - item_bias[items]) / user_counts
    return Baseline(float(mean), user_bias, item_bias)


def residuals(ratings: Ratings, base: Baseline) -> sp.csr_matrix:
    """Return the residuals [U, N]: each user's latest rating of each item minus b_ui; residuals of 0 are stored."""
    key = ratings.user_rows.astype(np.int64) * ratings.n_items + ratings.items
    last = len(key) - 1 - np.unique(key[::-1], return_index=True)[1]
    users, items = ratings.user_rows[last], ratings.items[last]
    values = ratings.values[last] - base.mean - base.users[users] - base.items[items]
    ends = np.cumsum(np.bincount(users, minlength=len(ratings.users)))
    return sp.csr_matrix((values, items, np.r_[0, ends]), shape=(len(ratings.users), ratings.n_items))


def nearest(residual: sp.csr_matrix, neighbours: int, shrinkage: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the most similar columns of each column, by the shrunk correlation of residuals over common users.

    ρ_ij = Σ e_ui e_uj / √(Σ e_ui² Σ e_uj²), s_ij = (n_ij − 1) / (n_ij − 1 + shrinkage) ρ_ij (Koren, 2010, section 2.2).

    Args:
      residual: [U, N] e; residuals of 0 are stored.
      neighbours: the maximum number of neighbours kept; M is the smaller of this and the number of other columns.
      shrinkage: the number of common users, minus one, at which a similarity is halved.
    Returns:
      [N, M] int32 columns, most similar first; [N, M] float32 similarities s, with 0 in place of negative ones.
    """
    n_items = residual.shape[1]
    width = min(neighbours, max(n_items - 1, 0))
    squares, rated = residual.multiply(residual).tocsr(), residual.copy()
    rated.data[:] = 1.0
    by_item = [matrix.T.tocsr() for matrix in (residual, squares, rated)]
    columns, similarities = np.zeros((n_items, width), np.int32), np.zeros((n_items, width), np.float32)
    for start in range(0, n_items, ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        part_residual, part_squares, part_rated = (matrix[rows] for matrix in by_item)
        common = (part_rated @ rated).toarray()
        scale = np.sqrt((part_squares @ rated).toarray() * (part_rated @ squares).toarray())
        freedom = np.maximum(common - 1, 0)
        factor = np.divide(freedom, freedom + shrinkage, out=np.zeros_like(freedom), where=freedom > 0)
        products = (part_residual @ residual).toarray()
        block = factor * np.divide(products, scale, out=np.zeros_like(scale), where=scale > 0)
        block[np.arange(len(block)), np.arange(start, start + len(block))] = 0.0
        order = np.argsort(-block, axis=1, kind="stable")[:, :width]
        columns[rows] = order
        similarities[rows] = np.maximum(np.take_along_axis(block, order, axis=1), 0.0)
    return columns, similarities
