"""A linear low-pass filter on the user–item graph: near neighbours, and the smoothest patterns of the whole.

Source: Shen et al., "How powerful is graph convolution for recommendation?", CIKM 2021. With R the 0/1 matrix of who
met what, R̃ = D_U^-½ R D_I^-½ and V the first right singular vectors of R̃, a history r scores (eq. 12, section 5)

    s = r R̃ᵀ R̃ + α r D_I^-½ V Vᵀ D_I^½

Nothing is trained, and users new since fitting get the same answers as everyone with their history.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import scipy.sparse as sp
import tensorflow as tf
from scipy.linalg import eigh
from scipy.sparse.linalg import svds

from core import names
from trainer.retrieval.contract import RetrievalData, Retriever
from trainer.retrieval.settings import GraphFilterSettings

SMALL = 8192  # users; a matrix of all of them then takes half a GB
NOISE = 1e-6  # a singular value up to here is one that the data does not hold: a rank below the count


class GraphFilterRetriever(Retriever):
    """The filter over a catalogue of N items and the U users it was fitted on.

    Args:
      met: [U, N] R̃.
      patterns: [F, N] float32, V.
      degrees: [N] float32, the square root of each item's users, 0 for an item nobody met.
      strength: α.
      counts: [N] events of each item; they order what the filter has nothing to say of.
    """

    def __init__(self, data, settings, met: sp.coo_matrix, patterns, degrees, strength: float, counts):
        super().__init__(data, settings)
        places = np.stack([met.row, met.col], axis=1).astype(np.int64)
        self.places, self.values = tf.constant(places), tf.constant(met.data, tf.float32)
        self.shape = met.shape
        self.patterns = tf.constant(patterns, tf.float32)
        inverse = np.divide(1.0, degrees, out=np.zeros_like(degrees), where=degrees > 0)
        self.before, self.after = tf.constant(strength * inverse, tf.float32), tf.constant(degrees, tf.float32)
        self.popularity = tf.constant(1e-6 * counts / max(1, counts.max(initial=0)), tf.float32)

    def scores(self, query):
        return self._filtered(self.rows.lookup(query[names.HISTORY]))

    def item_scores(self, rows):
        return self._filtered(rows[:, tf.newaxis])

    def _filtered(self, rows: tf.Tensor) -> tf.Tensor:
        """[B, H] catalogue rows, -1 for none → [B, N]."""
        where = tf.where(rows >= 0)
        places = tf.stack([where[:, 0], tf.gather_nd(rows, where)], axis=1)
        shape = tf.stack([tf.shape(rows, tf.int64)[0], tf.constant(self.shape[1], tf.int64)])
        profile = tf.tensor_scatter_nd_max(tf.zeros(shape), places, tf.ones(tf.shape(places)[:1]))
        met = tf.SparseTensor(self.places, self.values, self.shape)
        by_user = tf.sparse.sparse_dense_matmul(met, profile, adjoint_b=True)
        near = tf.transpose(tf.sparse.sparse_dense_matmul(met, by_user, adjoint_a=True))
        known = tf.matmul(profile * self.before, self.patterns, transpose_b=True)
        smooth = tf.matmul(known, self.patterns) * self.after
        return near + smooth + self.popularity


def fit(settings: GraphFilterSettings, data: RetrievalData, seed: int) -> GraphFilterRetriever:
    """Normalise the graph and find its smoothest patterns."""
    users = data.users.dictionary_encode()
    shape = (len(users.dictionary), data.n_items)
    met = sp.csr_matrix((np.ones(len(data.items), np.float32), (users.indices.to_numpy(), data.items)), shape=shape)
    met.data[:] = 1.0  # an item met twice was met
    of_users, of_items = (np.sqrt(np.asarray(met.sum(axis=axis), np.float32).ravel()) for axis in (1, 0))
    scale_users = sp.diags(1 / np.maximum(of_users, 1))
    scale_items = sp.diags(1 / np.maximum(of_items, 1))
    normal = (scale_users @ met @ scale_items).tocsr().astype(np.float32)
    patterns = first_patterns(normal, settings.patterns, seed)
    counts = data.counts()
    return GraphFilterRetriever(data, settings, normal.tocoo(), patterns, of_items, settings.strength, counts)


def first_patterns(normal: sp.csr_matrix, count: int, seed: int) -> np.ndarray:
    """[F, N] the right singular vectors of the largest singular values, F = min(count, smaller side - 1).

    Of a small side all are found at once, which takes less time than one after the other.
    """
    count = min(count, min(normal.shape) - 1)
    if count < 1:
        return np.zeros((0, normal.shape[1]), np.float32)
    normal = normal.astype(np.float64)
    if normal.shape[0] <= min(SMALL, normal.shape[1]):
        last = normal.shape[0] - 1
        squares, vectors = eigh((normal @ normal.T).toarray(), subset_by_index=(last - count + 1, last))
        values = np.sqrt(np.maximum(squares, 0))
        patterns = (normal.T @ vectors / np.maximum(values, NOISE)).T
    else:
        start = np.random.default_rng(seed).standard_normal(min(normal.shape))
        _, values, patterns = svds(normal, k=count, v0=start, return_singular_vectors="vh")
    return patterns[values > NOISE].astype(np.float32)
