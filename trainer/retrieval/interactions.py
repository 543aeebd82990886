"""The user–item matrix of events. NumPy and SciPy only."""

import numpy as np
import pyarrow as pa
import scipy.sparse as sp


def user_item_counts(users: pa.Array, items: np.ndarray, n_items: int) -> sp.csr_matrix:
    """Return the number of events of each user with each item, users in the order of their first events.

    Args:
      users: [E] user ids.
      items: [E] item rows.
      n_items: N.
    Returns:
      [U, N] float32.
    """
    users = users.dictionary_encode()
    ones = np.ones(len(items), np.float32)
    return sp.csr_matrix((ones, (users.indices.to_numpy(), items)), shape=(len(users.dictionary), n_items))


def user_items(users: pa.Array, items: np.ndarray, n_items: int) -> sp.csr_matrix:
    """Return the matrix of `user_item_counts` with 1 in place of every count."""
    return binary(user_item_counts(users, items, n_items))


def binary(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Return a copy with 1 in place of every stored value."""
    result = matrix.copy()
    result.data[:] = 1.0
    return result
