"""The user–item matrix, and what an entry of it says. NumPy and SciPy only."""

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from trainer.retrieval.settings import Weighting

# Of BM25: how soon one more event of the same pair adds nothing, and how far a long row is held back.
K1, B = 1.2, 0.75


def user_item_counts(users: pa.Array, items: np.ndarray, n_items: int) -> sp.csr_matrix:
    """[U, N] float32, how often each user met each item; users in the order of their first events.

    Args:
      users: [E] user ids.
      items: [E] catalogue rows.
      n_items: N.
    """
    users = users.dictionary_encode()
    ones = np.ones(len(items), np.float32)
    return sp.csr_matrix((ones, (users.indices.to_numpy(), items)), shape=(len(users.dictionary), n_items))


def idf(counts: sp.csr_matrix) -> np.ndarray:
    """[T] float32 of each column: ln((1 + rows) / (1 + rows that have it)); 0 for a column that every row has."""
    having = np.bincount(counts.indices, minlength=counts.shape[1])
    return np.log((1 + counts.shape[0]) / (1 + having)).astype(np.float32)


def weighted(counts: sp.csr_matrix, weighting: Weighting) -> sp.csr_matrix:
    """The weight of each entry: rows are read as documents, columns as terms.

    `none`: 1. `tf_idf`: √count · idf. `bm25`: count (K1 + 1) / (count + K1 (1 - B + B · length / mean length)) · idf,
    the length being the row's sum (Robertson & Zaragoza, "The probabilistic relevance framework", 2009, eq. 3.15).

    Args:
      counts: [R, T].
      weighting: which.
    Returns:
      [R, T] float32 without stored zeros: a column that every row has (idf 0) has no entries.
    """
    found = counts.copy()
    if weighting == "none":
        found.data[:] = 1.0
        return found
    rare = idf(counts)[counts.indices]
    if weighting == "tf_idf":
        found.data = np.sqrt(counts.data) * rare
        found.eliminate_zeros()
        return found
    lengths = np.asarray(counts.sum(axis=1), np.float32).ravel()
    relative = 1 - B + B * lengths / max(counts.sum() / max(counts.shape[0], 1), 1e-9)
    held_back = K1 * np.repeat(relative, np.diff(counts.indptr))
    found.data = counts.data * (K1 + 1) / (held_back + counts.data) * rare
    found.eliminate_zeros()
    return found
