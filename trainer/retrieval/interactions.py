"""Events in the order of their users and times, and as a user–item matrix. NumPy and SciPy only."""

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


def by_user_and_time(users: pa.Array, timestamps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the order of events by user and time, and how many events of the same user come after each.

    Args:
      users: [E] user ids.
      timestamps: [E] int64 seconds.
    Returns:
      [E] the events in order, those of one second as given; [E] the number of later events of each of these.
    """
    rows = users.dictionary_encode().indices.to_numpy()
    order = np.lexsort((timestamps, rows))
    rows = rows[order]
    return order, np.searchsorted(rows, rows, side="right") - np.arange(len(rows)) - 1
