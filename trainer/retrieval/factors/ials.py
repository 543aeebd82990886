"""Implicit matrix factorisation by alternating least squares, fitted by `implicit` or by Spark.

Source: Hu, Koren & Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008. With r_ui the number
of events of user u with item i, p_ui = 1 where r_ui > 0 and c_ui = 1 + α r_ui, the fit minimises (eq. 3)

    Σ_{u,i} c_ui (p_ui − x_u · y_i)² + λ (Σ ‖x_u‖² + Σ ‖y_i‖²)

Spark's ALS weights the penalty (`trainer.retrieval.factors.spark`), so the items' vectors of both differ.

The vector of a query minimises this loss for the history of the query, with the items' vectors fixed (eq. 4). So users
without events in the data have a vector too, and a new event changes the vector as soon as it is in the history.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import scipy.sparse as sp
import tensorflow as tf

from core import progress
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.factors import spark
from trainer.retrieval.factors.model import FactorModel
from trainer.retrieval.factors.settings import IALSSettings
from trainer.retrieval.interactions import user_item_counts

POPULARITY = 1e-6  # the weight of an item's share of events: so small that it only breaks ties


class IALSModel(FactorModel):
    """The items' vectors, and the least-squares solution that is the vector of a query.

    Args:
      factors: [N, D] y, the items' vectors.
      counts: [N] the number of events of each item, which alone orders the items for an empty history, where x is 0.
      alpha, penalty: α and λ.
    """

    def __init__(self, data, settings, factors: np.ndarray, counts: np.ndarray, alpha: float, penalty: float):
        super().__init__(data, settings, factors, POPULARITY * counts / max(1, counts.max(initial=0)))
        self.alpha = alpha
        gram = factors.T.astype(np.float64) @ factors + penalty * np.eye(factors.shape[1])
        self.gram = tf.constant(gram, tf.float32)
        self.root = tf.constant(np.linalg.inv(np.linalg.cholesky(gram)).T, tf.float32)

    def query_vector(self, history):
        """Solve (YᵀY + λI + Σ α r_i y_i y_iᵀ) x = Σ (1 + α r_i) y_i over the items of each history."""
        size = self.factors.shape[1]
        return tf.map_fn(self._solve, history, fn_output_signature=tf.TensorSpec([size], tf.float32))

    def _solve(self, rows: tf.Tensor) -> tf.Tensor:
        """Return x [D] for item rows [H], -1 for none."""
        rows = tf.sort(tf.boolean_mask(rows, rows >= 0))
        # `rows` has an item once for each of its r_i events. Each adds α, and the first adds 1: 1 + α r_i in total.
        first = tf.concat([tf.ones_like(rows[:1], tf.bool), rows[1:] != rows[:-1]], axis=0)
        targets = (self.alpha + tf.cast(first, tf.float32))[:, tf.newaxis]
        items = tf.gather(self.factors, rows)
        solution = tf.cond(
            tf.shape(items)[0] < items.shape[1],
            lambda: self._solve_by_events(items, targets),
            lambda: self._solve_by_factors(items, targets),
        )
        return solution[:, 0]

    def _solve_by_factors(self, items: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Return (G + α MᵀM)⁻¹ Mᵀ w, with M [E, D], w [E, 1] and G = YᵀY + λI: [D, 1]."""
        system = self.gram + self.alpha * tf.matmul(items, items, transpose_a=True)
        return tf.linalg.cholesky_solve(tf.linalg.cholesky(system), tf.matmul(items, targets, transpose_a=True))

    def _solve_by_events(self, items: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Return the result of `_solve_by_factors` from a system of size E, the number of events, instead of D.

        The result is R (M R)ᵀ (I + α M R (M R)ᵀ)⁻¹ w, with R Rᵀ = G⁻¹.
        """
        items = tf.matmul(items, self.root)
        system = tf.eye(tf.shape(items)[0]) + self.alpha * tf.matmul(items, items, transpose_b=True)
        solution = tf.linalg.cholesky_solve(tf.linalg.cholesky(system), targets)
        return tf.matmul(self.root, tf.matmul(items, solution, transpose_a=True))


def fit(settings: IALSSettings, data: RetrievalData, seed: int) -> IALSModel:
    """Fit the factors in single precision; the result does not depend on the number of threads."""
    counts = user_item_counts(data.users, data.items, data.n_items)
    penalty = settings.regularization * len(data.items) / counts.shape[0]
    if settings.spark is None:
        factors = item_factors(confidence(counts, settings.alpha), settings, penalty, seed)
    else:
        factors = spark.item_factors(counts, settings, settings.spark, seed)
    return IALSModel(data, settings, factors, data.counts(), settings.alpha, penalty)


def confidence(counts: sp.csr_matrix, alpha: float) -> sp.csr_matrix:
    """Return the confidences c = 1 + α r of the stored entries of r [U, N]."""
    return sp.csr_matrix((1 + alpha * counts.data, counts.indices, counts.indptr), counts.shape)


def item_factors(weights: sp.csr_matrix, settings: IALSSettings, penalty: float, seed: int) -> np.ndarray:
    """Return the items' vectors y [N, D], fitted on the confidences `weights` [U, N]."""
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    def report(iteration: int, seconds: float, loss: float | None) -> None:
        progress.report(f"iteration {iteration + 1}/{settings.iterations}")

    # One thread for BLAS: its sums then do not depend on the machine, and it leaves the cores to the solver's threads.
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=settings.factors,
            regularization=penalty,
            iterations=settings.iterations,
            random_state=seed,
        )
        model.fit(weights, show_progress=False, callback=report)
    return model.item_factors
