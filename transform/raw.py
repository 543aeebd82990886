"""The raw inputs of the served signatures: dense tensors by name, and their sparse form for the transform graph.

A missing string is "", a missing number NaN; lists are padded with these.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from collections.abc import Mapping

import pyarrow as pa
import tensorflow as tf

from core import names
from transform.arrays import pad_integers, pad_numbers, pad_strings, raw_arrays
from transform.features import Feature, raw_columns

__all__ = [
    "from_table", "item_specs", "latest", "pad_integers", "pad_numbers", "pad_strings", "specs", "to_sparse",
    "user_specs",
]  # fmt: skip


def specs(features: Mapping[str, Feature], *batch: int | None) -> dict[str, tf.TensorSpec]:
    """Return column → the spec of its raw tensor: [*batch], or [*batch, V] where a row has a list."""
    return {
        name: tf.TensorSpec([*batch, *(None for _ in raw.shape)], raw.dtype, name=name)
        for name, raw in raw_columns(features).items()
    }


def user_specs(features: Mapping[str, Feature]) -> dict[str, tf.TensorSpec]:
    """Return the specs of a query's raw tensors: user_id [B], history [B, H] oldest first, and features of users."""
    return {
        names.USER_ID: tf.TensorSpec([None], tf.string, name=names.USER_ID),
        names.HISTORY: tf.TensorSpec([None, None], tf.string, name=names.HISTORY),
        **specs(features, None),
    }


def item_specs(item_features: Mapping[str, Feature]) -> dict[str, tf.TensorSpec]:
    """Return the specs of an item's raw tensors: item_id [B], and features of items."""
    return {names.ITEM_ID: tf.TensorSpec([None], tf.string, name=names.ITEM_ID), **specs(item_features, None)}


def to_sparse(raw: dict[str, tf.Tensor]) -> dict[str, tf.SparseTensor]:
    """Return the sparse inputs of the transform graph from dense tensors [B] or [B, V]; missing values are left out."""
    sparse = {}
    for name, value in raw.items():
        value = value if value.shape.rank == 2 else value[:, tf.newaxis]
        present = ~tf.math.is_nan(value) if value.dtype.is_floating else tf.not_equal(value, "")
        # The position of a value is the number of present values before it in its row, so that rows have no gaps.
        where = tf.where(present)
        position = tf.cumsum(tf.cast(present, tf.int64), axis=1, exclusive=True)
        indices = tf.stack([where[:, 0], tf.gather_nd(position, where)], axis=1)
        sparse[name] = tf.SparseTensor(indices, tf.boolean_mask(value, present), tf.shape(value, tf.int64))
    return sparse


def latest(history: tf.Tensor, length: int) -> tf.Tensor:
    """Return at most the last `length` ids of each row of padded ids [B, H], with the padding "" at the end."""
    ragged = tf.ragged.boolean_mask(history, tf.not_equal(history, ""))
    return ragged[:, -length:].to_tensor(default_value="")


def from_table(table: pa.Table, features: Mapping[str, Feature]) -> dict[str, tf.Tensor]:
    """Return the raw tensors of the feature columns of an Arrow table."""
    return {name: tf.constant(value) for name, value in raw_arrays(table, features).items()}
