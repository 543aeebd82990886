"""How every ranking network is fitted: what it starts from, the passes, when it stops, and what is kept."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from core import names, progress
from trainer.layers import seed_everything, shuffled_batches
from trainer.ranking import calibration
from trainer.ranking.contract import Ranker, RankingData, list_ndcg, ndcg_by_list, simplest_of_the_best
from trainer.ranking.losses import LOSSES, Loss
from trainer.ranking.settings import TrainedSettings

LISTS_AT_ONCE = 256


class Network(tf.keras.Model):
    """Transformed columns, users' [B, …] and candidates' [B, C, …] → [B, C] scores."""

    def loss(self, columns: dict[str, tf.Tensor], loss: Loss) -> tf.Tensor:
        """What a step makes smaller; columns hold label and weight too."""
        return loss(self(columns, training=True), columns[names.LABEL], columns[names.WEIGHT])


class Retriever(tf.keras.layers.Dense):
    """Signals → the retriever's own order: at the start its score alone counts, and training may weigh all signals.

    A network adds it to what its last layer says, which starts at zero, and so learns what to change in that order.
    """

    def __init__(self, data: RankingData):
        only_the_score = [[float(name == names.RETRIEVAL_SCORE)] for name in data.signals] + [[0.0]] * len(data.signals)
        super().__init__(1, use_bias=False, kernel_initializer=tf.keras.initializers.Constant(only_the_score))


class NetworkRanker(Ranker):
    """A fitted network behind the transform graph."""

    def __init__(self, data: RankingData, model: Network, probability: tf.Module):
        super().__init__(data)
        self.model, self.probability = model, probability

    def scores(self, columns):
        return self.model(columns)

    def probabilities(self, scores):
        return self.probability(scores)


def fit(
    make: Callable[[Any, RankingData], Network], settings: TrainedSettings, data: RankingData, seed: int
) -> tuple[NetworkRanker, dict]:
    """Train until the validation lists' NDCG@10 no longer grows; return the best epoch and the training log.

    The retriever's own order is kept where the best epoch does not beat it by more than chance; see
    `simplest_of_the_best`.
    """
    seed_everything(seed)
    model = make(settings, data)
    step = _step(model, LOSSES[settings.loss], settings.learning_rate)
    scores_of = tf.function(lambda **columns: model(columns), reduce_retracing=True)
    batches = shuffled_batches(data.train, settings.batch_size, seed)
    truth = data.validation[names.LABEL], data.validation[names.WEIGHT]
    first = scores = in_parts(scores_of, data.validation)
    best, unchanged = (list_ndcg(scores, *truth, 10), 0), model.get_weights()
    weights = unchanged
    curve: list[dict[str, float]] = [{"epoch": 0, "ndcg@10": best[0]}]
    progress.report(f"NDCG@10 of the lists in the retriever's order {best[0]:.4f}")
    for epoch in range(1, settings.epochs + 1):
        loss = float(np.mean([step(batch).numpy() for batch in batches]))
        latest = in_parts(scores_of, data.validation)
        value = list_ndcg(latest, *truth, 10)
        curve.append({"epoch": epoch, "loss": loss, "ndcg@10": value})
        progress.report(f"epoch {epoch}/{settings.epochs}, loss {loss:.3f}, NDCG@10 of the lists {value:.4f}")
        if value > best[0]:
            best, weights, scores = (value, epoch), model.get_weights(), latest
        if epoch - best[1] >= settings.patience:
            break
    learned = simplest_of_the_best(np.stack([ndcg_by_list(each, *truth, 10) for each in (first, scores)]))
    epoch = best[1] if learned else 0
    if not epoch:
        weights, scores = unchanged, first
        progress.report("nothing learned was better than the retriever's order but by chance; the order is kept")
    model.set_weights(weights)
    probability, errors = calibration.fit(settings.calibration, scores, *truth)
    log = {"epoch": epoch, "kept_retrievers_order": not epoch, "curve": curve, "probabilities": errors}
    return NetworkRanker(data, model, probability), log


def in_parts(scores_of: Callable[..., tf.Tensor], columns: dict[str, np.ndarray]) -> np.ndarray:
    """[Q, C] scores of transformed lists, so many at once."""
    parts = []
    for start in range(0, len(columns[names.LABEL]), LISTS_AT_ONCE):
        part = {name: tf.constant(values[start : start + LISTS_AT_ONCE]) for name, values in columns.items()}
        parts.append(scores_of(**part).numpy())
    return np.concatenate(parts)


def _step(model: Network, loss: Loss, learning_rate: float) -> Callable[[dict[str, tf.Tensor]], tf.Tensor]:
    optimizer = tf.keras.optimizers.legacy.Adam(learning_rate)

    @tf.function
    def step(batch):
        with tf.GradientTape() as tape:
            value = model.loss(batch, loss)
        # Not every weight has a say in every loss.
        pairs = zip(tape.gradient(value, model.trainable_variables), model.trainable_variables, strict=True)
        optimizer.apply_gradients([(gradient, weight) for gradient, weight in pairs if gradient is not None])
        return value

    return step
