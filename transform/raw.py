"""Raw features as the served signatures take them: dense tensors by name, and the way into the transform graph.

A missing string is "", a missing number NaN; a list is padded with "".
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import pyarrow as pa
import tensorflow as tf

from core import names
from transform.features import Feature


def specs(features: dict[str, Feature], *batch: int | None) -> dict[str, tf.TensorSpec]:
    """Feature → the spec of its raw tensor: [*batch], or [*batch, V] for a multi-valued one."""
    return {
        name: tf.TensorSpec(
            [*batch, None] if feature.kind == "multi_valued" else list(batch),
            tf.float32 if feature.kind == "numeric" else tf.string,
            name=name,
        )
        for name, feature in features.items()
    }


def user_specs(features: dict[str, Feature]) -> dict[str, tf.TensorSpec]:
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


def from_table(table: pa.Table, features: dict[str, Feature]) -> dict[str, tf.Tensor]:
    """The raw tensors of feature columns of an Arrow table."""
    import numpy as np

    raw = {}
    for name, feature in features.items():
        column = table[name].combine_chunks()
        if feature.kind == "numeric":
            raw[name] = tf.constant(np.nan_to_num(column.to_numpy(zero_copy_only=False).astype(np.float32), nan=np.nan))
        elif feature.kind == "categorical":
            raw[name] = tf.constant(column.fill_null("").to_numpy(zero_copy_only=False))
        else:
            raw[name] = tf.constant(pad_strings(column))
    return raw


def pad_strings(column: pa.ListArray, width: int | None = None):
    """Lists of strings → NumPy object array [N, W] padded with ""; W is the longest list, at least 1."""
    import numpy as np
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    width = width or max(1, int(lengths.max(initial=0)))
    padded = np.full((len(column), width), "", object)
    padded[np.arange(width) < lengths[:, None]] = column.flatten().to_numpy(zero_copy_only=False)
    return padded
