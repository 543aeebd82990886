"""Vectors of items from the values of their features. NumPy and SciPy only."""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import svds

from trainer.retrieval.weighting import idf


def value_vectors(places: np.ndarray, weights: np.ndarray, weighed: np.ndarray, dim: int, seed: int) -> np.ndarray:
    """A vector of each value, so that an item's is the weighted sum over its values: TF-IDF, narrowed where too wide.

    Args:
      places: [N, P] the values of each item, 0 where it has fewer.
      weights: [N, P] how much each counts.
      weighed: [V] bool, the values whose weights say already how rare they are; the others are given their IDF.
      dim: the most that a vector has; wider ones are projected on the first right singular vectors of the items'
        normalised rows (latent semantic analysis, Deerwester et al., 1990).
      seed: of the search for those.
    Returns:
      [V, D] float32; row 0 is 0.
    """
    owner, place = np.repeat(np.arange(len(places)), places.shape[1]), places.ravel()
    there = place > 0
    shape = (len(places), len(weighed))
    table = sp.csr_matrix((weights.ravel()[there], (owner[there], place[there])), shape=shape)
    rarity = np.where(weighed, np.float32(1), idf(table))
    if len(weighed) - 1 <= dim:
        return np.diag(rarity)[:, 1:]
    rows = table @ sp.diags(rarity)
    lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    normal = (sp.diags(1 / np.maximum(lengths, 1e-9)) @ rows).astype(np.float64)
    side = min(normal.shape)
    start = np.random.default_rng(seed).standard_normal(side)
    _, _, first = svds(normal, k=min(dim, side - 1), v0=start, return_singular_vectors="vh")
    vectors = rarity[:, np.newaxis] * first[::-1].T
    vectors[0] = 0.0
    return vectors.astype(np.float32)
