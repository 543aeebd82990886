"""Raw features as the served signatures take them: dense tensors by name, and the way into the transform graph.

A missing string is "", a missing number NaN; a list is padded with these.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from collections.abc import Mapping

import pyarrow as pa
import tensorflow as tf

from core import names
from transform.arrays import pad_integers, pad_numbers, pad_strings, raw_arrays
from transform.features import Feature, Raw, raw_columns

__all__ = [
    "dtype", "from_table", "latest", "missing", "pad_integers", "pad_numbers", "pad_strings", "specs", "to_sparse",
    "user_specs",
]  # fmt: skip


def specs(features: Mapping[str, Feature], *batch: int | None) -> dict[str, tf.TensorSpec]:
    """Column → the spec of its raw tensor: [*batch], or [*batch, V] where a row holds several values."""
    return {
        name: tf.TensorSpec([*batch] if raw.values is None else [*batch, None], dtype(raw), name=name)
        for name, raw in raw_columns(features).items()
    }


def dtype(raw: Raw) -> tf.DType:
    """The type of a raw column's values."""
    return tf.float32 if raw.numbers else tf.string


def missing(raw: Raw) -> float | str:
    """What stands for a missing value."""
    return float("nan") if raw.numbers else ""


def user_specs(features: Mapping[str, Feature]) -> dict[str, tf.TensorSpec]:
    """The raw inputs that describe a query: user_id [B], history [B, H] oldest first, and the user features."""
    return {
        names.USER_ID: tf.TensorSpec([None], tf.string, name=names.USER_ID),
        names.HISTORY: tf.TensorSpec([None, None], tf.string, name=names.HISTORY),
        **specs(features, None),
    }


def to_sparse(raw: dict[str, tf.Tensor]) -> dict[str, tf.SparseTensor]:
    """Dense raw tensors [B] or [B, V] → the sparse ones that the transform graph takes, missing values left out."""
    sparse = {}
    for name, value in raw.items():
        value = value if value.shape.rank == 2 else value[:, tf.newaxis]
        present = ~tf.math.is_nan(value) if value.dtype.is_floating else tf.not_equal(value, "")
        # Left-packed: the place of a value is its rank among the present ones of its row.
        where = tf.where(present)
        place = tf.cumsum(tf.cast(present, tf.int64), axis=1, exclusive=True)
        indices = tf.stack([where[:, 0], tf.gather_nd(place, where)], axis=1)
        sparse[name] = tf.SparseTensor(indices, tf.boolean_mask(value, present), tf.shape(value, tf.int64))
    return sparse


def latest(history: tf.Tensor, length: int) -> tf.Tensor:
    """[B, H] padded item ids, oldest first → at most the last `length` of each row, left-packed, padded with ""."""
    ragged = tf.ragged.boolean_mask(history, tf.not_equal(history, ""))
    return ragged[:, -length:].to_tensor(default_value="")


def from_table(table: pa.Table, features: Mapping[str, Feature]) -> dict[str, tf.Tensor]:
    """Return the raw tensors of the feature columns of an Arrow table."""
    return {name: tf.constant(value) for name, value in raw_arrays(table, features).items()}
