"""Vectors of the values of items' features. NumPy and SciPy only."""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import svds

from trainer.retrieval.neighbours.weighting import idf


def value_vectors(values: np.ndarray, weights: np.ndarray, has_idf: np.ndarray, dim: int, seed: int) -> np.ndarray:
    """Return the vector of each feature value, scaled by its IDF and reduced to at most `dim` dimensions.

    The vector of an item is the sum of the vectors of its values, weighted by `weights`.

    Args:
      values: [N, P] the numbers of the values of each item, 0 for padding.
      weights: [N, P] their weights.
      has_idf: [V] bool, whether the weights of a value already contain its IDF; if not, its vector contains it.
      dim: the maximum size of the vectors; larger ones are projected on the first right singular vectors of the items'
        normalised rows (latent semantic analysis, Deerwester et al., 1990).
      seed: the seed of the iterative method that computes these singular vectors.
    Returns:
      [V, D] float32; row 0, for padding, is 0.
    """
    owner, value = np.repeat(np.arange(len(values)), values.shape[1]), values.ravel()
    filled = value > 0
    shape = (len(values), len(has_idf))
    table = sp.csr_matrix((weights.ravel()[filled], (owner[filled], value[filled])), shape=shape)
    factor = np.where(has_idf, np.float32(1), idf(table))
    if len(has_idf) - 1 <= dim:
        return np.diag(factor)[:, 1:]
    rows = table @ sp.diags(factor)
    lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    normalised = (sp.diags(1 / np.maximum(lengths, 1e-9)) @ rows).astype(np.float64)
    side = min(normalised.shape)
    start = np.random.default_rng(seed).standard_normal(side)
    _, _, first = svds(normalised, k=min(dim, side - 1), v0=start, return_singular_vectors="vh")
    vectors = factor[:, np.newaxis] * first[::-1].T
    vectors[0] = 0.0
    return vectors.astype(np.float32)
