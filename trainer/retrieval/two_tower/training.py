"""The training of the towers: the loss of a batch, the optimiser, and an epoch."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import math

import numpy as np
import tensorflow as tf

from core import names
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.two_tower.batches import Batches
from trainer.retrieval.two_tower.settings import TwoTowerSettings
from trainer.retrieval.two_tower.towers import CandidateTower, IdEmbedding, QueryTower

POOL = 4096  # the number of items that the hard negatives of a batch are chosen from
EXCLUDED = -1e9  # the logit of a candidate that is excluded from the negatives


class LazyAdam(tf.keras.optimizers.legacy.Adam):
    """Adam that updates only the embeddings that occur in a batch, and only the moments of these embeddings.

    Keras' own Adam updates every row of every embedding table in each step, which takes most of the time.
    """

    def _resource_apply_sparse(self, grad, var, indices, apply_state=None):
        rate = (apply_state or {}).get((var.device, var.dtype.base_dtype)) or self._fallback_apply_state(
            var.device, var.dtype.base_dtype
        )
        first, second = self.get_slot(var, "m"), self.get_slot(var, "v")
        mean = rate["beta_1_t"] * tf.gather(first, indices) + rate["one_minus_beta_1_t"] * grad
        square = rate["beta_2_t"] * tf.gather(second, indices) + rate["one_minus_beta_2_t"] * tf.square(grad)
        step = rate["lr"] * mean / (tf.sqrt(square) + rate["epsilon"])
        return tf.group(
            self._resource_scatter_update(first, indices, mean),
            self._resource_scatter_update(second, indices, square),
            self._resource_scatter_add(var, indices, -step),
        )

    @staticmethod
    def _resource_scatter_update(var, indices, values):
        return tf.raw_ops.ResourceScatterUpdate(resource=var.handle, indices=indices, updates=values)


class TwoTower(tf.keras.Model):
    """Both towers, and the loss of a batch of events.

    Args:
      settings: the settings.
      data: the data that the towers are fitted on.
      trained: `user_id` and `item_id` → the indices of the ids that have training events.
    """

    def __init__(self, settings: TwoTowerSettings, data: RetrievalData, trained: dict[str, np.ndarray]):
        super().__init__()
        deviations = {names.USER_ID: 0.03, names.ITEM_ID: settings.dim**-0.5}
        users, items = (
            IdEmbedding(data.sizes[key], data.features.id_oov_buckets, trained[key], settings.dim, deviations[key])
            for key in (names.USER_ID, names.ITEM_ID)
        )
        self.query, self.candidate = QueryTower(settings, data, users, items), CandidateTower(settings, data, items)
        self.temperature, self.hard, self.n_items = settings.temperature, settings.hard_negatives, data.n_items

    def loss(self, batch):
        """Return the mean over events of the cross-entropy of their items among the batch's candidates (eq. 3).

        From the logit of a candidate, the log of the expected number of times that the item is in a batch is subtracted
        (log-Q correction, eq. 5), so that the sum over a batch estimates the sum over the catalogue. Hard negatives are
        the items with the highest logits in a pool, in which every item is with the same probability.
        """
        queries = self.query(batch["query"], length=batch["history_length"], training=True)
        vectors, rows = self.candidate(batch["candidate"]), batch["rows"]
        logits = tf.matmul(queries, vectors, transpose_b=True) / self.temperature - batch["log_expected"]
        events = tf.shape(queries)[0]
        repeated = tf.equal(rows[:events, tf.newaxis], rows) & ~tf.eye(events, tf.shape(rows)[0], dtype=tf.bool)
        logits = tf.where(repeated, EXCLUDED, logits)  # a repetition of the event's own item is no negative
        if "positives" in batch:
            logits = without(logits, batch["positives"])
        if self.hard:
            logits = tf.concat([logits, self._hard(queries, batch["pool"], batch["pool_positives"])], axis=1)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(tf.range(events), logits))

    def _hard(self, queries, pool, positives):
        """Return the M highest logits [B, M] of each query over the items of `pool`, except the pairs `positives`."""
        logits = tf.matmul(queries, self.candidate(pool), transpose_b=True) / self.temperature
        size = logits.shape[1]
        logits = without(logits - math.log(size / self.n_items), positives)
        return tf.math.top_k(logits, min(self.hard, size), sorted=False).values


def without(logits, positions):
    """Return logits [B, C] with EXCLUDED at `positions` [P, 2]."""
    return tf.tensor_scatter_nd_update(logits, positions, tf.fill([tf.shape(positions)[0]], EXCLUDED))


def steps(model: TwoTower, learning_rate: float):
    """Return a function that makes one training step with a batch and returns the loss of the batch."""
    optimizer = LazyAdam(learning_rate)

    @tf.function(reduce_retracing=True, autograph=False)
    def step(batch):
        with tf.GradientTape() as tape:
            loss = model.loss(batch)
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    return step


def epoch(step, batches: Batches) -> float:
    """Make one pass over the events, and return the mean loss."""
    return float(np.mean([step(batch).numpy() for batch in batches]))
