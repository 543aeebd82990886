"""Matrix factorisation by Bayesian personalised ranking; `implicit` does the fitting.

Source: Rendle et al., "BPR: Bayesian personalized ranking from implicit feedback", UAI 2009. It maximises (BPR-Opt,
section 4.1) Σ ln σ(x_u · y_i + b_i − x_u · y_j − b_j) − λ ‖Θ‖² over items i that u met and sampled others j.

A query's vector is the mean of the vectors of what was met, and not the vector learned for the user: on MovieLens-100K
it ranks far better (the user's own overfits), and users new since training are answered like all others.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import tensorflow as tf

from core import progress
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.factors import FactorRetriever, summed, user_items
from trainer.retrieval.settings import BPRSettings


class BPRRetriever(FactorRetriever):
    """The items' vectors and biases; with nothing met the bias, which is learned popularity, orders the items."""

    def query_vector(self, history):
        total, count = summed(self.factors, history)
        return total / tf.maximum(count, 1.0)


def fit(settings: BPRSettings, data: RetrievalData, seed: int) -> BPRRetriever:
    """Fit on one thread: more would write over each other's steps, in another order each time."""
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    def told(iteration: int, seconds: float, *rest: float) -> None:
        progress.report(f"iteration {iteration + 1}/{settings.iterations}")

    model = BayesianPersonalizedRanking(
        factors=settings.factors,
        learning_rate=settings.learning_rate,
        regularization=settings.regularization,
        iterations=settings.iterations,
        num_threads=1,
        random_state=seed,
    )
    _, met = user_items(data)
    model.fit(met, show_progress=False, callback=told)
    factors, bias = model.item_factors[:, :-1], model.item_factors[:, -1]
    # An item nobody met comes back with a bias of 0, above those that were met and seldom chosen.
    bias = np.where(data.counts() > 0, bias, bias.min(initial=0.0))
    return BPRRetriever(data, settings, factors, bias)
