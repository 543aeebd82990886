"""GF-CF: a linear filter and an ideal low-pass filter on the user–item graph.

Source: Shen et al., "How powerful is graph convolution for recommendation?", CIKM 2021. With R the 0/1 user–item
matrix, R̃ = D_U^-½ R D_I^-½ and V the first right singular vectors of R̃, a history r has the scores (eq. 12, section 5)

    s = r R̃ᵀ R̃ + α r D_I^-½ V Vᵀ D_I^½

Nothing is trained. A query is represented by its history, not by the user's id, so the model also scores items for
users without events in the data that it was fitted on.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import scipy.sparse as sp
import tensorflow as tf
from scipy.linalg import eigh
from scipy.sparse.linalg import svds

from core import names
from trainer.retrieval.contract import RetrievalData, RetrievalModel
from trainer.retrieval.interactions import user_items
from trainer.retrieval.linear.settings import GraphFilterSettings

SMALL = 8192  # the maximum number of users for a dense matrix of users × users, which then takes half a GB
NOISE = 1e-6  # singular values up to this are rounding errors: the rank of the matrix is lower


class GraphFilterModel(RetrievalModel):
    """The filter over a catalogue of N items and the U users that it was fitted on.

    Args:
      normalised: [U, N] R̃.
      vectors: [F, N] float32, V.
      root_degrees: [N] float32, the square root of the number of users of each item.
      alpha: α.
      counts: [N] the number of events of each item, which orders items of equal scores.
    """

    def __init__(self, data, settings, normalised: sp.coo_matrix, vectors, root_degrees, alpha: float, counts):
        super().__init__(data, settings)
        positions = np.stack([normalised.row, normalised.col], axis=1).astype(np.int64)
        self.positions, self.values = tf.constant(positions), tf.constant(normalised.data, tf.float32)
        self.shape = normalised.shape
        self.vectors = tf.constant(vectors, tf.float32)
        inverse = np.divide(1.0, root_degrees, out=np.zeros_like(root_degrees), where=root_degrees > 0)
        self.before, self.after = tf.constant(alpha * inverse, tf.float32), tf.constant(root_degrees, tf.float32)
        self.popularity = tf.constant(1e-6 * counts / max(1, counts.max(initial=0)), tf.float32)

    def scores(self, query):
        return self._scores(self.rows.lookup(query[names.HISTORY]))

    def item_scores(self, rows):
        return self._scores(rows[:, tf.newaxis])

    def _scores(self, rows: tf.Tensor) -> tf.Tensor:
        """Return [B, N] scores for [B, H] item rows, -1 for none."""
        where = tf.where(rows >= 0)
        positions = tf.stack([where[:, 0], tf.gather_nd(rows, where)], axis=1)
        shape = tf.stack([tf.shape(rows, tf.int64)[0], tf.constant(self.shape[1], tf.int64)])
        profile = tf.tensor_scatter_nd_max(tf.zeros(shape), positions, tf.ones(tf.shape(positions)[:1]))
        matrix = tf.SparseTensor(self.positions, self.values, self.shape)
        user_scores = tf.sparse.sparse_dense_matmul(matrix, profile, adjoint_b=True)
        linear = tf.transpose(tf.sparse.sparse_dense_matmul(matrix, user_scores, adjoint_a=True))
        coefficients = tf.matmul(profile * self.before, self.vectors, transpose_b=True)
        low_pass = tf.matmul(coefficients, self.vectors) * self.after
        return linear + low_pass + self.popularity


def fit(settings: GraphFilterSettings, data: RetrievalData, seed: int) -> GraphFilterModel:
    """Return the filter with the normalised user–item matrix and its first singular vectors."""
    matrix = user_items(data.users, data.items, data.n_items)
    root_users, root_items = (np.sqrt(np.asarray(matrix.sum(axis=axis), np.float32).ravel()) for axis in (1, 0))
    scale_users = sp.diags(1 / np.maximum(root_users, 1))
    scale_items = sp.diags(1 / np.maximum(root_items, 1))
    normalised = (scale_users @ matrix @ scale_items).tocsr().astype(np.float32)
    vectors = first_singular_vectors(normalised, settings.singular_vectors, seed)
    counts = data.counts()
    return GraphFilterModel(data, settings, normalised.tocoo(), vectors, root_items, settings.alpha, counts)


def first_singular_vectors(matrix: sp.csr_matrix, count: int, seed: int) -> np.ndarray:
    """Return the right singular vectors of the largest singular values: [F, N], F = min(count, smaller side - 1).

    For a matrix with few rows they are computed by an eigendecomposition, which takes less time than the iterative
    method used for other matrices.
    """
    count = min(count, min(matrix.shape) - 1)
    if count < 1:
        return np.zeros((0, matrix.shape[1]), np.float32)
    matrix = matrix.astype(np.float64)
    if matrix.shape[0] <= min(SMALL, matrix.shape[1]):
        last = matrix.shape[0] - 1
        squares, left = eigh((matrix @ matrix.T).toarray(), subset_by_index=(last - count + 1, last))
        values = np.sqrt(np.maximum(squares, 0))
        vectors = (matrix.T @ left / np.maximum(values, NOISE)).T
    else:
        start = np.random.default_rng(seed).standard_normal(min(matrix.shape))
        _, values, vectors = svds(matrix, k=count, v0=start, return_singular_vectors="vh")
    return vectors[values > NOISE].astype(np.float32)
