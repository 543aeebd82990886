"""The training of the towers: the loss of a batch, the optimiser, and an epoch."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import tensorflow as tf

from core import names
from trainer import saving
from trainer.distribution.distribution import ONE, Distribution, mean
from trainer.layers import seeded
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.two_tower.batches import Batches, divided
from trainer.retrieval.two_tower.sequence import HistoryRanges
from trainer.retrieval.two_tower.settings import TwoTowerSettings
from trainer.retrieval.two_tower.towers import CandidateTower, IdEmbedding, QueryTower
from trainer.retrieval.warm_start.base import Base

POOL = 4096  # the number of items that the hard negatives of a batch are chosen from
EXCLUDED = -1e9  # the logit of an item of the pool that is no negative
ROWS_OF_BLOCK = 128  # the queries whose logits are computed at once: 512 KB for 1,024 negatives
PATH = "towers:"  # the path of the towers in a fitted model
LEAST = 1e-30  # the sum of exponentials of a query without negatives


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
        self.blocks = max(1, settings.batch_size // ROWS_OF_BLOCK)

    def create_weights(self, batch):
        """Create the weights of both towers, as the first call with a batch would."""
        self.query(batch["query"], _places(batch))
        self.candidate(batch["candidate"])

    def loss(self, batch):
        """Return the mean over events of the cross-entropy of their items among the negatives of the batch (eq. 3).

        From the logit of an item, the log of the expected number of times that it is among the negatives of a batch is
        subtracted (log-Q correction, eq. 5), so that the sum over the negatives estimates the sum over the catalogue.
        Hard negatives are the items with the highest logits in a pool, in which every item is with the same
        probability.
        """
        queries = self.query(batch["query"], _places(batch), training=True) / self.temperature
        candidates = self.candidate(batch["candidate"])
        log_expected, negative = batch["log_expected"], batch["negative"]
        events = tf.shape(queries)[0]
        positive = tf.reduce_sum(queries * candidates[:events], axis=1) - log_expected[:events]
        negatives = tf.gather(candidates, negative), tf.gather(log_expected, negative)
        total = log_sum_exp(queries, *negatives, batch["excluded"], self.blocks)
        if self.hard:
            total = tf.reduce_logsumexp(tf.concat([total[:, tf.newaxis], self._hard(queries, batch)], axis=1), axis=1)
        return mean(tf.nn.softplus(total - positive))

    def _hard(self, queries, batch):
        """Return the highest logits [B, M] of each query in the pool, without the positives of its user."""
        candidates = self.candidate(batch["pool"])
        size = tf.shape(candidates)[0]
        share = tf.math.log(tf.cast(size, tf.float32) / self.n_items)
        logits = _logits(queries, candidates, tf.fill([size], share))
        positives = batch["pool_excluded"]
        logits = tf.tensor_scatter_nd_update(logits, positives, tf.fill([tf.shape(positives)[0]], EXCLUDED))
        return tf.math.top_k(logits, tf.minimum(self.hard, size), sorted=False).values


def _places(batch):
    """Return the histories of the events of a batch."""
    return HistoryRanges(batch["row"], batch["first"], batch["last"], batch.get("own"))


def _logits(queries, candidates, log_expected):
    """Return the logits [B, C] of queries [B, D] and candidates [C, D], less `log_expected` [C].

    The subtraction is one more dimension of the product, since a pass over the logits takes as long as the product.
    """
    ones = tf.ones([tf.shape(queries)[0], 1])
    candidates = tf.concat([candidates, -log_expected[:, tf.newaxis]], axis=1)
    return tf.matmul(tf.concat([queries, ones], axis=1), candidates, transpose_b=True)


def log_sum_exp(queries, candidates, log_expected, excluded, blocks):
    """Return log Σ exp of the logits [B, C] of all candidates of each query that are not excluded: [B].

    The logits are computed in blocks of queries that fit into a core's cache. The gradient uses the exponentials of the
    forward pass, and scales the queries instead of the exponentials, since each pass over [B, C] numbers takes as long
    as a product.

    Args:
      queries, candidates, log_expected: see `_logits`; `log_expected` has no gradient.
      excluded: [P, 2] int32 pairs of a query and a candidate, sorted by query.
      blocks: the number of blocks.
    """

    @tf.custom_gradient
    def of_blocks(queries, candidates):
        count = tf.shape(queries)[0]
        starts = tf.minimum(tf.range(blocks + 1) * -(-count // blocks), count)
        pairs = tf.searchsorted(excluded[:, 0], starts)
        exponentials, totals, results = [], [], []
        for block in range(blocks):
            start, end, first, last = starts[block], starts[block + 1], pairs[block], pairs[block + 1]
            logits = _logits(queries[start:end], candidates, log_expected)
            highest = tf.reduce_max(logits, axis=1, keepdims=True)
            places = excluded[first:last] - tf.stack([start, 0])
            of_block = tf.tensor_scatter_nd_update(tf.exp(logits - highest), places, tf.zeros([last - first]))
            total = tf.maximum(tf.reduce_sum(of_block, axis=1, keepdims=True), LEAST)
            exponentials.append(of_block)
            totals.append(total)
            results.append((tf.math.log(total) + highest)[:, 0])

        def gradient(upstream):
            scales = upstream[:, tf.newaxis] / tf.concat(totals, axis=0)
            scaled = tf.split(scales * queries, starts[1:] - starts[:-1], num=blocks)
            to_queries = tf.concat([tf.matmul(of_block, candidates) for of_block in exponentials], axis=0)
            # Transposed, since a product whose large factor is transposed takes three times as long.
            to_candidates = [
                tf.matmul(part, of_block, transpose_a=True) for of_block, part in zip(exponentials, scaled, strict=True)
            ]
            return scales * to_queries, tf.transpose(tf.add_n(to_candidates))

        return tf.concat(results, axis=0), gradient

    return of_blocks(queries, candidates)


def steps(model: TwoTower, learning_rate: float, seed: int, base: Base | None = None, distribution: Distribution = ONE):
    """Return a function that makes one training step with a batch and returns the loss of the batch.

    The first call creates the weights and, with a base, replaces them by its weights.
    """
    traced = None

    def step(batch):
        nonlocal traced
        if traced is None:
            with seeded(seed), distribution.scope():
                model.create_weights(batch)
                if base is not None:
                    begin(model, base)
                traced = distribution.steps(model.loss, model, LazyAdam(learning_rate), divided, _any_size(batch))
                return traced(batch)
        return traced(batch)

    return step


def begin(model: TwoTower, base: Base) -> None:
    """Replace the weights by those of a base where these fit; see `trainer.retrieval.warm_start.base.Base.start`."""
    ids = {names.USER_ID: model.query.users, names.ITEM_ID: model.query.items}
    tables = {layer.table.embeddings.ref(): column for column, layer in ids.items()}
    for content in (model.query.content, model.candidate.content):
        tables |= {table.embeddings.ref(): column for column, table in content.tables.items()}
    base.start(model, PATH, tables)
    # An id that the base was trained on keeps its own vector, even if it has no events now.
    paths = {id(each): path for path, each in saving.by_path(model).items()}
    for column, layer in ids.items():
        before = base.value(PATH + paths[id(layer.index)])
        if before is None:
            continue
        rows_before, rows_now = base.vocabularies[column].rows(len(before), layer.index.shape[0])
        trained = rows_now[before[rows_before] == rows_before]
        index = layer.index.numpy()
        index[trained] = trained
        layer.index.assign(index)


def _any_size(batch):
    """Return the specification of batches of any size, so that one graph is traced for all of them."""
    specs = tf.nest.map_structure(lambda values: tf.TensorSpec([None, *values.shape[1:]], values.dtype), batch)
    specs["query"][names.HISTORY] = tf.TensorSpec([None, None], batch["query"][names.HISTORY].dtype)
    return specs


def epoch(step, batches: Batches) -> float:
    """Make one pass over the events, and return the mean loss."""
    return float(np.mean([step(batch).numpy() for batch in _prefetched(batches)]))


def _prefetched(batches: Batches) -> Iterator[dict[str, Any]]:
    """Yield the batches; a thread makes each while the step before it runs."""
    iterator = iter(batches)
    with ThreadPoolExecutor(1, "batches") as thread:
        following = thread.submit(next, iterator, None)
        while (batch := following.result()) is not None:
            following = thread.submit(next, iterator, None)
            yield batch
