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
from trainer.retrieval.factors import FactorRetriever, user_items
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
        self.root = tf.constant(np.linalg.inv(np.linalg.cholesky(gram)).T, tf.float32)

    def query_vector(self, history):
        """Solve (YᵀY + λI + Σ α r_i y_i y_iᵀ) x = Σ (1 + α r_i) y_i over the items met, query by query."""
        size = self.factors.shape[1]
        return tf.map_fn(self._solved, history, fn_output_signature=tf.TensorSpec([size], tf.float32))

    def _solved(self, rows: tf.Tensor) -> tf.Tensor:
        """[H] catalogue rows, -1 for none → x [D]."""
        rows = tf.sort(tf.boolean_mask(rows, rows >= 0))
        # An item met twice is in the sums twice, which is right for α r_i but not for the 1.
        first = tf.concat([tf.ones_like(rows[:1], tf.bool), rows[1:] != rows[:-1]], axis=0)
        wanted = (self.alpha + tf.cast(first, tf.float32))[:, tf.newaxis]
        met = tf.gather(self.factors, rows)
        solve = tf.cond(
            tf.shape(met)[0] < met.shape[1],
            lambda: self._by_events(met, wanted),
            lambda: self._by_factors(met, wanted),
        )
        return solve[:, 0]

    def _by_factors(self, met: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
        """(G + α MᵀM)⁻¹ Mᵀ w, with M [E, D], w [E, 1] and G = YᵀY + λI: [D, 1]."""
        system = self.gram + self.alpha * tf.matmul(met, met, transpose_a=True)
        return tf.linalg.cholesky_solve(tf.linalg.cholesky(system), tf.matmul(met, wanted, transpose_a=True))

    def _by_events(self, met: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
        """The same as R (M R)ᵀ (I + α M R (M R)ᵀ)⁻¹ w with R Rᵀ = G⁻¹, which solves for E events, not D factors."""
        met = tf.matmul(met, self.root)
        system = tf.eye(tf.shape(met)[0]) + self.alpha * tf.matmul(met, met, transpose_b=True)
        solved = tf.linalg.cholesky_solve(tf.linalg.cholesky(system), wanted)
        return tf.matmul(self.root, tf.matmul(met, solved, transpose_a=True))


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
