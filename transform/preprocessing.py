"""One preprocessing_fn for training and serving: raw columns → indices and scaled numbers, as the features say.

Every output is dense. Ids and categories are indices from 1 on; 0 stands for a missing value or padding.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import json

import tensorflow as tf
import tensorflow_transform as tft

from core import names
from transform.features import Features
from transform.names import bucket_name, vocabulary_name


def preprocessing_fn(inputs: dict[str, tf.SparseTensor], custom_config: dict) -> dict[str, tf.Tensor]:
    """The transformed columns.

    Args:
      inputs: raw columns of the joined events, sparse.
      custom_config: `features` holds the configuration's features as JSON.
    Returns:
      user_id, item_id [B] int64; history [B, H] int64; a column a feature, see `outputs_of`.
    """
    features = Features.model_validate(json.loads(custom_config["features"]))
    users, items, history = inputs[names.USER_ID], inputs[names.ITEM_ID], inputs[names.HISTORY]
    buckets = features.id_oov_buckets
    catalogue = _vocabulary_file(items, names.ITEM_ID, features.id_min_count)
    outputs = {
        names.USER_ID: _index(users, names.USER_ID, features.id_min_count, buckets),
        names.ITEM_ID: tf.squeeze(_dense(tft.apply_vocabulary(items, catalogue, num_oov_buckets=buckets), 1), axis=1),
        names.HISTORY: _dense(
            tft.apply_vocabulary(history, catalogue, num_oov_buckets=buckets), features.history_length
        ),
    }
    for name, feature in (features.user | features.item).items():
        column = inputs[name]
        if feature.kind == "numeric":
            outputs |= _numeric(column, name, feature)
        elif feature.kind == "categorical":
            outputs[name] = _index(column, name, feature.min_count, feature.oov_buckets)
        else:
            ids = _vocabulary(column, name, feature.min_count, feature.oov_buckets)
            outputs[name] = _dense(ids, feature.max_values)
    return outputs


def _index(column: tf.SparseTensor, name: str, min_count: int, oov_buckets: int) -> tf.Tensor:
    return tf.squeeze(_dense(_vocabulary(column, name, min_count, oov_buckets), 1), axis=1)


def _vocabulary(column: tf.SparseTensor, name: str, min_count: int, oov_buckets: int) -> tf.SparseTensor:
    return tft.apply_vocabulary(column, _vocabulary_file(column, name, min_count), num_oov_buckets=oov_buckets)


def _vocabulary_file(column: tf.SparseTensor, name: str, min_count: int):
    return tft.vocabulary(
        column,
        frequency_threshold=min_count if min_count > 1 else None,
        vocab_filename=vocabulary_name(name),
        name=vocabulary_name(name),
    )


def _numeric(column: tf.SparseTensor, name: str, feature) -> dict[str, tf.Tensor]:
    values = tf.cast(column.values, tf.float32)
    if feature.log:
        values = tf.math.log1p(tf.maximum(values, 0.0))
    column = tf.SparseTensor(column.indices, values, column.dense_shape)
    outputs = {name: tf.squeeze(_dense(_z_score(column), 1), axis=1)}  # a missing one is 0, which is the mean
    if feature.buckets:
        buckets = tft.bucketize(column, feature.buckets, name=bucket_name(name))
        outputs[bucket_name(name)] = tf.squeeze(_dense(tf.cast(buckets, tf.int64), 1), axis=1)
    return outputs


def _z_score(column: tf.SparseTensor) -> tf.SparseTensor:
    """(x - mean) / deviation, 0 where all values are one.

    Beam adds parts up in any order. In double precision the order is rounded away, so every run gets the same scale;
    `tft.scale_to_z_score` adds in the precision of the column.
    """
    wide = tf.SparseTensor(column.indices, tf.cast(column.values, tf.float64), column.dense_shape)
    mean, variance = tf.cast(tft.mean(wide), tf.float32), tf.cast(tft.var(wide), tf.float32)
    scaled = tf.math.divide_no_nan(column.values - mean, tf.sqrt(variance))
    return tf.SparseTensor(column.indices, scaled, column.dense_shape)


def _dense(column: tf.SparseTensor, width: int) -> tf.Tensor:
    """[B, width]: integers shifted by one so that 0 is padding; values past `width` left out."""
    values = column.values + 1 if column.values.dtype == tf.int64 else column.values
    kept = tf.less(column.indices[:, 1], width)
    indices, values = tf.boolean_mask(column.indices, kept), tf.boolean_mask(values, kept)
    dense = tf.sparse.to_dense(tf.SparseTensor(indices, values, tf.stack([column.dense_shape[0], width])))
    return tf.ensure_shape(dense, [None, width])
