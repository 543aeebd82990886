"""The embedding of features, the seeding, the batches and the training steps of the networks of both steps."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from core import memory
from transform.features import Feature, Indices, Numbers


class FeatureEmbedding(tf.keras.layers.Layer):
    """A layer from transformed feature columns [...] or [..., V] to a list of vectors, one for each feature output.

    An index gives its embedding [..., D], several indices the weighted mean of their embeddings [..., D], a number a
    vector [..., 1], and a given vector its projection [..., D].

    Args:
      features: the features, by column.
      sizes: column → its number of indices, including index 0 for a missing value.
      dim: D, the size of embeddings and projections.
    """

    def __init__(self, features: dict[str, Feature], sizes: dict[str, int], dim: int):
        super().__init__()
        self.features, self.sizes, self.dim = features, sizes, dim
        self.feature_outputs = tuple(output for name, feature in features.items() for output in feature.outputs(name))
        self.tables = {
            output.column: tf.keras.layers.Embedding(sizes[output.column], dim, name=f"{output.column}_embedding")
            for output in self.feature_outputs
            if isinstance(output, Indices)
        }
        self.projections = {
            output.column: tf.keras.layers.Dense(dim, use_bias=False, name=f"{output.column}_projection")
            for output in self.feature_outputs
            if isinstance(output, Numbers) and output.width is not None
        }

    def get_config(self):
        features = {name: feature.model_dump() for name, feature in self.features.items()}
        return super().get_config() | {"features": features, "sizes": self.sizes, "dim": self.dim}

    def call(self, columns):
        return [self._vector(output, columns) for output in self.feature_outputs]

    def _vector(self, output, columns):
        column = columns[output.column]
        if output.column in self.projections:
            return self.projections[output.column](column)
        if isinstance(output, Numbers):
            return column[..., tf.newaxis]
        vectors = self.tables[output.column](column)
        if not output.several:
            return vectors
        present = tf.cast(column > 0, tf.float32)
        weights = (present if output.weights is None else columns[output.weights])[..., tf.newaxis]
        return tf.math.divide_no_nan(tf.reduce_sum(vectors * weights, axis=-2), tf.reduce_sum(weights, axis=-2))


def seed_everything(seed: int) -> None:
    """Seed all random generators and make TensorFlow deterministic, so that the same seed gives the same fit."""
    tf.keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


class Dropout(tf.keras.layers.Layer):
    """Dropout with masks that depend on a seed and on the number of the call alone.

    The generator of Keras' own layer starts again whenever a fit in another thread sets the global seed. The seed of
    this layer is drawn from Python's generator when the layer is made. A mask takes 8 random bits for each number
    instead of 32, since random bits take a third of the time of a small network's training step. So the rate is
    rounded to a multiple of 1/256. Replicas of a network that is trained on several devices have different masks.
    """

    def __init__(self, rate: float):
        super().__init__()
        self.seed = random.getrandbits(31)
        self.dropped = 0 if not rate else min(max(round(rate * 256), 1), 255)  # of 256
        # Each replica counts its own calls, so that counting needs no communication.
        self.calls = tf.Variable(
            0,
            trainable=False,
            dtype=tf.int32,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def call(self, inputs, training=False):
        if not training or not self.dropped:
            return inputs
        count = tf.size(inputs)
        context = tf.distribute.get_replica_context()
        replica = 0 if context is None else context.replica_id_in_sync_group
        seed = [self.seed ^ replica, self.calls.assign_add(1)]
        bits = tf.random.stateless_uniform([(count + 3) // 4], seed, minval=None, maxval=None, dtype=tf.int32)
        numbers = tf.reshape(tf.reshape(tf.bitcast(bits, tf.uint8), [-1])[:count], tf.shape(inputs))
        kept = numbers >= tf.constant(self.dropped, tf.uint8)
        return inputs * (tf.cast(kept, inputs.dtype) * (256 / (256 - self.dropped)))


_seeding = threading.RLock()


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Call `seed_everything` for the block, which no other thread's block overlaps, since the generators are global."""
    with _seeding:
        seed_everything(seed)
        yield


def shuffled_rows(rows: int, batch_size: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the row numbers of the batches of one epoch, in random order, without a last short batch.

    A `tf.data.Dataset` is not used, since the end of each of its iterators can take a second.
    """
    order = random.permutation(rows)
    size = min(batch_size, rows)
    for start in range(0, rows - size + 1, size):
        yield order[start : start + size]


def training_step(
    loss: Callable[[Any], tf.Tensor], model: tf.keras.Model, optimizer: tf.keras.optimizers.legacy.Optimizer
) -> Callable[[Any], tf.Tensor]:
    """Return a function, to be traced, that makes one training step with a batch and returns the loss of the batch.

    A function that creates variables when it is traced is traced a second time. So the variables of the optimizer are
    created here; the weights of the model must exist. The process keeps freed memory from now on.
    """
    memory.keep_freed()
    optimizer._create_all_weights(model.trainable_variables)

    def step(batch):
        with tf.GradientTape() as tape:
            value = loss(batch)
        # A weight that the loss does not depend on has no gradient.
        pairs = zip(tape.gradient(value, model.trainable_variables), model.trainable_variables, strict=True)
        optimizer.apply_gradients([(gradient, weight) for gradient, weight in pairs if gradient is not None])
        return value

    return step
