"""Implicit matrix factorisation by alternating least squares; `implicit` does the fitting.

Source: Hu, Koren & Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008. With r_ui how often u
met i, p_ui = 1 where r_ui > 0 and c_ui = 1 + α r_ui, it minimises (eq. 3)

    Σ_{u,i} c_ui (p_ui − x_u · y_i)² + λ (Σ ‖x_u‖² + Σ ‖y_i‖²)

A query's vector is the minimiser for its history alone (eq. 4), the items' vectors as they are: a user new since
training is answered as well as any other, and an event counts from the moment it is in the history.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import scipy.sparse as sp
import tensorflow as tf

from core import progress
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.factors import FactorRetriever, gathered, user_items
from trainer.retrieval.settings import IALSSettings

POPULARITY = 1e-6  # the weight of an item's share of events: so small that it only orders what the factors tie


class IALSRetriever(FactorRetriever):
    """The items' vectors, and the least squares that a query's vector solves.

    Args:
      factors: [N, D] y.
      counts: [N] events of each item; with nothing met, x is zero and they alone order the items.
      alpha, penalty: α and λ.
    """

    def __init__(self, data, settings, factors: np.ndarray, counts: np.ndarray, alpha: float, penalty: float):
        super().__init__(data, settings, factors, POPULARITY * counts / max(1, counts.max(initial=0)))
        self.alpha = alpha
        gram = factors.T.astype(np.float64) @ factors + penalty * np.eye(factors.shape[1])
        self.gram = tf.constant(gram, tf.float32)

    def query_vector(self, history):
        """Solve (YᵀY + λI + Σ α r_i y_i y_iᵀ) x = Σ (1 + α r_i) y_i over the items met."""
        rows = tf.sort(history, axis=1)
        # An item met twice is in the sums twice, which is right for α r_i but not for the 1.
        first = tf.concat([tf.ones_like(rows[:, :1], tf.bool), rows[:, 1:] != rows[:, :-1]], axis=1)
        met = gathered(self.factors, rows)
        system = self.gram + self.alpha * tf.matmul(met, met, transpose_a=True)
        wanted = tf.reduce_sum((self.alpha + tf.cast(first, tf.float32))[..., tf.newaxis] * met, axis=1)
        return tf.linalg.cholesky_solve(tf.linalg.cholesky(system), wanted[..., tf.newaxis])[..., 0]


def fit(settings: IALSSettings, data: RetrievalData, seed: int) -> IALSRetriever:
    """Fit the factors in single precision; the result does not depend on the number of threads."""
    _, counts = user_items(data)
    penalty = settings.regularization * len(data.items) / counts.shape[0]
    factors = item_factors(confidence(counts, settings.alpha), settings, penalty, seed)
    return IALSRetriever(data, settings, factors, data.counts(), settings.alpha, penalty)


def confidence(counts: sp.csr_matrix, alpha: float) -> sp.csr_matrix:
    """[U, N] r → c = 1 + α r of what was met."""
    return sp.csr_matrix((1 + alpha * counts.data, counts.indices, counts.indptr), counts.shape)


def item_factors(weights: sp.csr_matrix, settings: IALSSettings, penalty: float, seed: int) -> np.ndarray:
    """Confidences [U, N] → y [N, D]."""
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    def told(iteration: int, seconds: float, loss: float | None) -> None:
        progress.report(f"iteration {iteration + 1}/{settings.iterations}")

    # One thread for BLAS: its sums then do not depend on the machine, and it does not fight the solver's own threads.
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=settings.factors,
            regularization=penalty,
            iterations=settings.iterations,
            random_state=seed,
        )
        model.fit(weights, show_progress=False, callback=told)
    return model.item_factors
