"""The training of ranking networks: the initial order, the epochs, early stopping, and the weights kept."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from core import names, progress
from trainer.distribution.parts import slices
from trainer.layers import seed_everything, shuffled_rows
from trainer.ranking import calibration
from trainer.ranking.contract import RankingData, RankingModel, list_ndcg, ndcg_by_list, one_standard_error_rule
from trainer.ranking.losses import LOSSES, Loss
from trainer.ranking.settings import TrainedSettings

LISTS_AT_ONCE = 256


class Network(tf.keras.Model):
    """The base of networks from transformed columns, users' [B, …] and candidates' [B, C, …], to scores [B, C]."""

    def loss(self, columns: dict[str, tf.Tensor], loss: Loss) -> tf.Tensor:
        """Return the loss of a batch, which a training step minimises; `columns` include label and weight."""
        return loss(self(columns, training=True), columns[names.LABEL], columns[names.WEIGHT])


class SignalWeights(tf.keras.layers.Dense):
    """The weighted sum of the signals, initially the retrieval score alone.

    A network adds this sum to the output of its last layer, which is initially zero, so that training starts from the
    retriever's order.
    """

    def __init__(self, data: RankingData):
        initial = [[float(name == names.RETRIEVAL_SCORE)] for name in data.signals] + [[0.0]] * len(data.signals)
        super().__init__(1, use_bias=False, kernel_initializer=tf.keras.initializers.Constant(initial))


class NetworkModel(RankingModel):
    """A fitted network that applies the transform graph to its raw inputs."""

    def __init__(self, data: RankingData, model: Network, probability: tf.Module):
        super().__init__(data)
        self.model, self.probability = model, probability

    def scores(self, columns):
        return self.model(columns)

    def probabilities(self, scores):
        return self.probability(scores)


def fit(
    make: Callable[[Any, RankingData], Network], settings: TrainedSettings, data: RankingData, seed: int
) -> tuple[NetworkModel, dict]:
    """Train until the NDCG@10 of the validation lists stops growing; return the model of the best epoch and the log.

    If the best epoch is not better than the retriever's order by more than one standard error, the initial weights are
    kept, which give the retriever's order; see `one_standard_error_rule`.
    """
    seed_everything(seed)
    random, distribution = np.random.default_rng(seed), data.distribution
    labels_and_weights = data.validation[names.LABEL], data.validation[names.WEIGHT]
    with distribution.scope():
        model = make(settings, data)
        scores_of = scoring(model)
        # This call creates the weights, before the steps are traced.
        first = scores = in_parts(scores_of, data.validation)
        step = _steps(model, settings, data)
    best, unchanged = (list_ndcg(scores, *labels_and_weights, 10), 0), model.get_weights()
    weights = unchanged
    curve: list[dict[str, float]] = [{"epoch": 0, "ndcg@10": best[0]}]
    progress.report(f"NDCG@10 of the lists in the retriever's order {best[0]:.4f}")
    for epoch in range(1, settings.epochs + 1):
        batches = shuffled_rows(len(data.train[names.LABEL]), settings.batch_size, random)
        mean = float(np.mean([step(rows).numpy() for rows in batches]))
        latest = in_parts(scores_of, data.validation)
        value = distribution.agreed(list_ndcg(latest, *labels_and_weights, 10))
        curve.append({"epoch": epoch, "loss": mean, "ndcg@10": value})
        progress.report(f"epoch {epoch}/{settings.epochs}, loss {mean:.3f}, NDCG@10 of the lists {value:.4f}")
        if value > best[0]:
            best, weights, scores = (value, epoch), model.get_weights(), latest
        if epoch - best[1] >= settings.patience:
            break
    learned = one_standard_error_rule(
        np.stack([ndcg_by_list(each, *labels_and_weights, 10) for each in (first, scores)])
    )
    epoch = best[1] if learned else 0
    if not epoch:
        weights, scores = unchanged, first
        progress.report(
            "no epoch was better than the retriever's order by more than one standard error; the order is kept"
        )
    if distribution.several:
        model = make(settings, data)  # with variables on one device, as a server reads them
        in_parts(scoring(model), {name: column[:1] for name, column in data.validation.items()})
    model.set_weights(weights)
    probability, errors = calibration.fit(settings.calibration, scores, *labels_and_weights)
    log = {"epoch": epoch, "kept_retrievers_order": not epoch, "curve": curve, "probabilities": errors}
    return NetworkModel(data, model, probability), log


def scoring(model: Network) -> tf.types.experimental.PolymorphicFunction:
    """Return the function from transformed columns to scores, to be traced."""
    return tf.function(lambda **columns: model(columns), reduce_retracing=True, autograph=False)


def _steps(model: Network, settings: TrainedSettings, data: RankingData) -> Callable[[np.ndarray], tf.Tensor]:
    """Return a function that makes a training step with the lists of some rows, and returns its loss."""
    loss, optimizer = LOSSES[settings.loss], tf.keras.optimizers.legacy.Adam(settings.learning_rate)
    if data.distribution.several:

        def divided(rows: np.ndarray, parts: int) -> list[dict[str, np.ndarray]]:
            return [
                {name: column[rows[part]] for name, column in data.train.items()} for part in slices(len(rows), parts)
            ]

        return data.distribution.steps(lambda columns: model.loss(columns, loss), model, optimizer, divided)
    # On one device the lists are gathered in the step.
    train = {name: tf.constant(values) for name, values in data.train.items()}

    def loss_of(rows: tf.Tensor) -> tf.Tensor:
        return model.loss({name: tf.gather(column, rows) for name, column in train.items()}, loss)

    return data.distribution.steps(loss_of, model, optimizer, lambda rows, parts: [rows])


def in_parts(scores_of: Callable[..., tf.Tensor], columns: dict[str, np.ndarray]) -> np.ndarray:
    """Return the scores of transformed lists, `LISTS_AT_ONCE` per call: [Q, C]."""
    parts = []
    for start in range(0, len(columns[names.LABEL]), LISTS_AT_ONCE):
        part = {name: tf.constant(values[start : start + LISTS_AT_ONCE]) for name, values in columns.items()}
        parts.append(scores_of(**part).numpy())
    return np.concatenate(parts)
