"""Matrix factorisation by Bayesian personalised ranking, fitted by `implicit`.

Source: Rendle et al., "BPR: Bayesian personalized ranking from implicit feedback", UAI 2009, section 4.1 (BPR-Opt). The
fit maximises Σ ln σ(x_u · y_i + b_i − x_u · y_j − b_j) − λ ‖Θ‖² over events (u, i) and sampled items j without an event
of u.

The vector of a query is the mean of the item vectors of its history, not the fitted vector of the user. The mean ranks
far better on MovieLens-100K, since the users' vectors overfit, and it also exists for users without events in the data.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import tensorflow as tf

from core import progress
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.factors.model import FactorModel, summed
from trainer.retrieval.factors.settings import BPRSettings
from trainer.retrieval.interactions import user_item_counts


class BPRModel(FactorModel):
    """The items' vectors and biases; for an empty history the bias alone, a measure of popularity, orders the items."""

    def query_vector(self, history):
        total, count = summed(self.factors, history)
        return total / tf.maximum(count, 1.0)


def fit(settings: BPRSettings, data: RetrievalData, seed: int) -> BPRModel:
    """Fit the model on one thread: the updates of several threads would depend on their timing."""
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    def report(iteration: int, seconds: float, *rest: float) -> None:
        progress.report(f"iteration {iteration + 1}/{settings.iterations}")

    model = BayesianPersonalizedRanking(
        factors=settings.factors,
        learning_rate=settings.learning_rate,
        regularization=settings.regularization,
        iterations=settings.iterations,
        num_threads=1,
        random_state=seed,
    )
    counts = user_item_counts(data.users, data.items, data.n_items)
    model.fit(counts, show_progress=False, callback=report)
    factors, bias = model.item_factors[:, :-1], model.item_factors[:, -1]
    # `implicit` leaves the bias of an item without events at 0, which is above the bias of most items with few events.
    lowest = bias.min(initial=0.0)
    return BPRModel(data, settings, factors, np.where(data.counts() > 0, bias, lowest), lowest)
