"""Fitting the towers: the loss of a batch, the optimiser, and the epoch that did best on eval."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import math

import numpy as np
import tensorflow as tf

from core import names
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.two_tower.batches import Batches
from trainer.retrieval.two_tower.settings import TwoTowerSettings
from trainer.retrieval.two_tower.towers import CandidateTower, IdEmbedding, QueryTower

POOL = 4096  # items of the catalogue among which a batch's hard negatives are looked for
NEVER = -1e9


class LazyAdam(tf.keras.optimizers.legacy.Adam):
    """Adam that leaves the rows of a table alone which a batch does not touch, whose moments stay as they were.

    The stock one goes over the whole of every table in each step, which takes longer than all else.
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
      data: what it is fitted on.
      trained: `user_id` and `item_id` → the transformed ids that events have.
    """

    def __init__(self, settings: TwoTowerSettings, data: RetrievalData, trained: dict[str, np.ndarray]):
        super().__init__()
        spread = {names.USER_ID: 0.03, names.ITEM_ID: settings.dim**-0.5}
        users, items = (
            IdEmbedding(data.sizes[key], data.features.id_oov_buckets, trained[key], settings.dim, spread[key])
            for key in (names.USER_ID, names.ITEM_ID)
        )
        self.query, self.candidate = QueryTower(settings, data, users, items), CandidateTower(settings, data, items)
        self.temperature, self.hard, self.n_items = settings.temperature, settings.hard_negatives, data.n_items

    def loss(self, batch):
        """The mean over events of the cross-entropy of their items among the batch's and those drawn (eq. 3).

        Each logit is less the log of how often a batch holds the item (log-Q, eq. 5), which makes the sum over a batch
        an estimate of the sum over the catalogue. Hard negatives are the highest of a pool that holds every item with
        the same chance.
        """
        queries = self.query(batch["query"], met=batch["met"], training=True)
        vectors, rows = self.candidate(batch["candidate"]), batch["rows"]
        logits = tf.matmul(queries, vectors, transpose_b=True) / self.temperature - batch["log_expected"]
        events = tf.shape(queries)[0]
        again = tf.equal(rows[:events, tf.newaxis], rows) & ~tf.eye(events, tf.shape(rows)[0], dtype=tf.bool)
        logits = tf.where(again, NEVER, logits)  # the event's own item once more is no negative
        if "positives" in batch:
            logits = without(logits, batch["positives"])
        if self.hard:
            logits = tf.concat([logits, self._hard(queries, batch["pool"], batch["of_pool"])], axis=1)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(tf.range(events), logits))

    def _hard(self, queries, pool, positives):
        """[B, M] logits of each query's highest of the pool, without what its user met."""
        logits = tf.matmul(queries, self.candidate(pool), transpose_b=True) / self.temperature
        size = logits.shape[1]
        logits = without(logits - math.log(size / self.n_items), positives)
        return tf.math.top_k(logits, min(self.hard, size), sorted=False).values


def without(logits, places):
    """[B, C] logits with those at `places` [P, 2] too low to count."""
    return tf.tensor_scatter_nd_update(logits, places, tf.fill([tf.shape(places)[0]], NEVER))


def steps(model: TwoTower, learning_rate: float):
    """The function that makes a step of training with a batch and returns its loss."""
    optimizer = LazyAdam(learning_rate)

    @tf.function(reduce_retracing=True)
    def step(batch):
        with tf.GradientTape() as tape:
            loss = model.loss(batch)
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    return step


def epoch(step, batches: Batches) -> float:
    """One pass over the events; the mean loss."""
    return float(np.mean([step(batch).numpy() for batch in batches]))
