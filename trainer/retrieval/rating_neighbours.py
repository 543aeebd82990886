"""What a rating should be at first sight, and the items whose ratings stray from it together. NumPy and SciPy only."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from trainer.retrieval.ratings import Ratings

ROWS_AT_ONCE = 256  # bounds the memory: this many rows of item by item are held at once
PASSES = 10
USER_DAMPING, ITEM_DAMPING = 15, 10  # ratings of the mean that each user and item is given beside its own


@dataclass(frozen=True)
class Baseline:
    """b_ui = μ + b_u + b_i.

    Args:
      mean: μ.
      users: [U] b_u.
      items: [N] b_i, 0 for an item without ratings.
    """

    mean: float
    users: np.ndarray
    items: np.ndarray


def baseline(ratings: Ratings) -> Baseline:
    """Damped means, items and users in turn.

    Source: Koren, "Factor in the neighbors: scalable and accurate collaborative filtering", TKDD 2010, section 2.1,
    with the alternating solution that Surprise has.
    """
    users, items, mean = ratings.user_rows, ratings.items, ratings.values.mean()
    user_counts = np.bincount(users) + USER_DAMPING
    item_counts = np.bincount(items, minlength=ratings.n_items) + ITEM_DAMPING
    of_users, of_items = np.zeros(len(user_counts)), np.zeros(ratings.n_items)
    for _ in range(PASSES):
        rest = ratings.values - mean - of_users[users]
        of_items = np.bincount(items, rest, ratings.n_items) / item_counts
        of_users = np.bincount(users, ratings.values - mean - of_items[items]) / user_counts
    return Baseline(float(mean), of_users, of_items)


def residuals(ratings: Ratings, base: Baseline) -> sp.csr_matrix:
    """[U, N] what each user's latest rating of each item is above b_ui; zeros are stored."""
    key = ratings.user_rows.astype(np.int64) * ratings.n_items + ratings.items
    last = len(key) - 1 - np.unique(key[::-1], return_index=True)[1]
    users, items = ratings.user_rows[last], ratings.items[last]
    values = ratings.values[last] - base.mean - base.users[users] - base.items[items]
    ends = np.cumsum(np.bincount(users, minlength=len(ratings.users)))
    return sp.csr_matrix((values, items, np.r_[0, ends]), shape=(len(ratings.users), ratings.n_items))


def nearest(strayed: sp.csr_matrix, neighbours: int, shrinkage: float) -> tuple[np.ndarray, np.ndarray]:
    """The most alike columns of each column, by the shrunk correlation of residuals over the users of both.

    ρ_ij = Σ e_ui e_uj / √(Σ e_ui² Σ e_uj²), s_ij = (n_ij − 1) / (n_ij − 1 + shrinkage) ρ_ij (Koren, 2010, section 2.2).

    Args:
      strayed: [U, N] residuals e, zeros stored.
      neighbours: the most that are kept; M is this, or all the others where the columns are fewer.
      shrinkage: how many common users count half.
    Returns:
      [N, M] int32 columns, most alike first; [N, M] float32 s, 0 past the last one above 0.
    """
    n_items = strayed.shape[1]
    width = min(neighbours, max(n_items - 1, 0))
    squares, rated = strayed.multiply(strayed).tocsr(), strayed.copy()
    rated.data[:] = 1.0
    by_item = [matrix.T.tocsr() for matrix in (strayed, squares, rated)]
    found, alike = np.zeros((n_items, width), np.int32), np.zeros((n_items, width), np.float32)
    for start in range(0, n_items, ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        of_strayed, of_squares, of_rated = (matrix[rows] for matrix in by_item)
        common = (of_rated @ rated).toarray()
        scale = np.sqrt((of_squares @ rated).toarray() * (of_rated @ squares).toarray())
        shared = np.maximum(common - 1, 0)
        shrunk = np.divide(shared, shared + shrinkage, out=np.zeros_like(shared), where=shared > 0)
        similar = shrunk * np.divide((of_strayed @ strayed).toarray(), scale, out=np.zeros_like(scale), where=scale > 0)
        similar[np.arange(len(similar)), np.arange(start, start + len(similar))] = 0.0
        order = np.argsort(-similar, axis=1, kind="stable")[:, :width]
        found[rows] = order
        alike[rows] = np.maximum(np.take_along_axis(similar, order, axis=1), 0.0)
    return found, alike
