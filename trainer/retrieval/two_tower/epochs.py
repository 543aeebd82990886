"""The number of epochs of a fit, and the weights that are kept for it."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from trainer.distribution.distribution import Distribution
from trainer.retrieval.choices import Choices
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.two_tower.settings import TwoTowerSettings
from trainer.retrieval.two_tower.validation import Validation

# The bytes of all weights that a fit may keep which does not know its number of epochs yet.
MOST_BYTES = 2**30
# The patience of a fit that begins with the weights of an earlier one: NDCG@10 is highest after the first epochs.
WARM_PATIENCE = 1


class LastEpoch:
    """A fit with as many epochs as the settings say."""

    def __init__(self, towers: tf.keras.Model):
        self.towers, self.epoch = towers, 0
        self.curve: list[dict[str, float]] = []

    def update(self, epoch: int, loss: float) -> None:
        """Note the end of an epoch."""
        self.epoch = epoch
        self.curve.append({"epoch": epoch, "loss": loss})

    def is_past(self, epoch: int) -> bool:
        """Return whether the fit ends before all epochs of the settings are made."""
        return False

    def restore(self) -> None:
        """Give the towers the weights of the epoch that is kept, `self.epoch`."""

    def metric_text(self) -> str:
        """Return the latest metric for a progress line; empty without."""
        return ""


class BestEpoch(LastEpoch):
    """A fit that keeps the epoch with the highest NDCG@10 of the validation queries.

    Args:
      embeddings: a function that returns the embeddings of the catalogue's items by the towers: [N, D].
      distribution: the devices on which the towers are trained.
    """

    def __init__(
        self,
        towers: tf.keras.Model,
        patience: int,
        validation: Validation,
        embeddings: Callable[[], tf.Tensor],
        distribution: Distribution,
    ):
        super().__init__(towers)
        self.patience, self.validation, self.embeddings = patience, validation, embeddings
        self.distribution = distribution
        self.value, self.weights = -1.0, list[np.ndarray]()

    def update(self, epoch, loss):
        value = self.distribution.agreed(self.validation.ndcg(self.towers.query, self.embeddings()))
        self.curve.append({"epoch": epoch, "loss": loss, "ndcg@10": value})
        if value > self.value:
            self.value, self.epoch, self.weights = value, epoch, self.towers.get_weights()

    def is_past(self, epoch):
        return epoch - self.epoch >= self.patience

    def restore(self):
        self.towers.set_weights(self.weights)

    def metric_text(self):
        return f", NDCG@10 {self.curve[-1]['ndcg@10']:.4f}"


class ChosenEpoch(LastEpoch):
    """A fit that keeps the epoch that another fit chooses, which may still run.

    Until the other fit has ended, the weights after each epoch are kept; where this would need more than `MOST_BYTES`,
    the fit waits for the other one first.
    """

    def __init__(self, towers: tf.keras.Model, epochs: int, choices: Choices):
        super().__init__(towers)
        self.epochs, self.choices = epochs, choices
        self.weights: dict[int, list[np.ndarray]] = {}

    def update(self, epoch, loss):
        super().update(epoch, loss)
        weights = self.towers.get_weights()
        if sum(each.nbytes for each in weights) * self.epochs > MOST_BYTES or epoch == self.epochs:
            self.choices.settings()
        if not self.choices.known() or epoch == self.choices.settings().epochs:
            self.weights[epoch] = weights

    def is_past(self, epoch):
        return self.choices.known() and epoch >= self.choices.settings().epochs

    def restore(self):
        self.epoch = self.choices.settings().epochs
        self.towers.set_weights(self.weights[self.epoch])
        self.curve = self.curve[: self.epoch]


def keeping(
    settings: TwoTowerSettings,
    data: RetrievalData,
    towers: tf.keras.Model,
    embeddings: Callable[[], tf.Tensor],
    seed: int,
) -> LastEpoch:
    """Return how a fit of the towers to `data` chooses its epoch."""
    if data.follows is not None:
        return ChosenEpoch(towers, settings.epochs, data.follows)
    if data.validation is not None:
        patience = settings.patience if data.base is None else WARM_PATIENCE
        return BestEpoch(towers, patience, Validation(data, seed), embeddings, data.distribution)
    return LastEpoch(towers)
