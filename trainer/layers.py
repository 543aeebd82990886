"""What the networks of both steps share: feature columns to embeddings, and batches to train on."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import tensorflow as tf

from transform.features import Feature
from transform.names import bucket_name


class FeatureEmbedding(tf.keras.layers.Layer):
    """Transformed feature columns [...] ([..., V] of a multi-valued one) → a list of vectors [..., D].

    A number's vector is [..., 1], its bucket's [..., D].

    Args:
      features: the features, by column.
      sizes: column → how many indices it has, 0 for a missing value included.
      dim: D.
    """

    def __init__(self, features: dict[str, Feature], sizes: dict[str, int], dim: int):
        super().__init__()
        self.features, self.sizes, self.dim = features, sizes, dim
        self.tables = {
            column: tf.keras.layers.Embedding(sizes[column], dim, name=f"{column}_embedding")
            for name in features
            for column in (name, bucket_name(name))
            if column in sizes
        }

    def get_config(self):
        features = {name: feature.model_dump() for name, feature in self.features.items()}
        return super().get_config() | {"features": features, "sizes": self.sizes, "dim": self.dim}

    def call(self, columns):
        vectors = []
        for name, feature in self.features.items():
            if feature.kind == "numeric":
                vectors.append(columns[name][..., tf.newaxis])
                if feature.buckets:
                    vectors.append(self.tables[bucket_name(name)](columns[bucket_name(name)]))
            elif feature.kind == "categorical":
                vectors.append(self.tables[name](columns[name]))
            else:
                present = tf.cast(columns[name] > 0, tf.float32)[..., tf.newaxis]
                total = tf.reduce_sum(self.tables[name](columns[name]) * present, axis=-2)
                vectors.append(total / tf.maximum(tf.reduce_sum(present, axis=-2), 1.0))
        return vectors


def seed_everything(seed: int) -> None:
    """The same weights, batches and sums from now on for the same seed, whatever else the machine is doing."""
    tf.keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def shuffled_batches(columns: dict[str, np.ndarray], batch_size: int, seed: int) -> tf.data.Dataset:
    """Batches of rows in another order each epoch, the same under one seed; a last short batch is left out.

    Row numbers are shuffled and whole batches gathered, which is far cheaper than shuffling the rows themselves.
    """
    rows = len(next(iter(columns.values())))
    tensors = {name: tf.constant(values) for name, values in columns.items()}
    order = tf.data.Dataset.range(rows).shuffle(rows, seed=seed).batch(batch_size, drop_remainder=rows > batch_size)
    return order.map(lambda chosen: {name: tf.gather(tensor, chosen) for name, tensor in tensors.items()}).prefetch(2)
