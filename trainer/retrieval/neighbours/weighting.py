"""Weights of the entries of a count matrix. NumPy and SciPy only."""

import numpy as np
import scipy.sparse as sp

from trainer.retrieval.interactions import binary
from trainer.retrieval.neighbours.settings import Weighting

# The parameters of BM25: the saturation of a count, and the strength of the normalisation by the length of a row.
K1, B = 1.2, 0.75


def idf(counts: sp.csr_matrix) -> np.ndarray:
    """Return the inverse document frequency of each column, ln((1 + rows) / (1 + rows with an entry)): [T] float32."""
    document_counts = np.bincount(counts.indices, minlength=counts.shape[1])
    return np.log((1 + counts.shape[0]) / (1 + document_counts)).astype(np.float32)


def weighted(counts: sp.csr_matrix, weighting: Weighting) -> sp.csr_matrix:
    """Return the weight of each entry, with rows as documents and columns as terms.

    `none`: 1. `tf_idf`: √count · idf. `bm25`: count (K1 + 1) / (count + K1 (1 - B + B · length / mean length)) · idf,
    where the length is the sum of the row (Robertson & Zaragoza, "The probabilistic relevance framework", 2009, eq.
    3.15).

    Args:
      counts: [R, T].
      weighting: the scheme.
    Returns:
      [R, T] float32 without stored zeros: a column with an entry in every row (idf 0) has no entries.
    """
    if weighting == "none":
        return binary(counts)
    result = counts.copy()
    entry_idf = idf(counts)[counts.indices]
    if weighting == "tf_idf":
        result.data = np.sqrt(counts.data) * entry_idf
        result.eliminate_zeros()
        return result
    lengths = np.asarray(counts.sum(axis=1), np.float32).ravel()
    relative = 1 - B + B * lengths / max(counts.sum() / max(counts.shape[0], 1), 1e-9)
    saturation = K1 * np.repeat(relative, np.diff(counts.indptr))
    result.data = counts.data * (K1 + 1) / (saturation + counts.data) * entry_idf
    result.eliminate_zeros()
    return result
