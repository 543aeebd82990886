"""The computations of the feature kinds in the transform graph, with TensorFlow Transform.

Every output is dense. Categories are indices from 1; 0 is a missing value or padding.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import math

import tensorflow as tf
import tensorflow_transform as tft

from transform.features import bucket_name, vocabulary_name, weight_name


def index(column: tf.SparseTensor, name: str, min_count: int, oov_buckets: int) -> tf.Tensor:
    """Return the vocabulary index of each row's first value: [B], from 1; 0 for a row without a value.

    An out-of-vocabulary value has one of `oov_buckets` indices after those of the vocabulary, by its hash.
    """
    return first(in_vocabulary(column, name, min_count, oov_buckets))


def in_vocabulary(column: tf.SparseTensor, name: str, min_count: int, oov_buckets: int) -> tf.SparseTensor:
    """Return indices from 0: those of the vocabulary of `name`, then hashed buckets for out-of-vocabulary strings."""
    return tft.apply_vocabulary(column, vocabulary(column, name, min_count), num_oov_buckets=oov_buckets)


def vocabulary(column: tf.SparseTensor, name: str, min_count: int, most: int | None = None):
    """Return the vocabulary of `name`: the `most` most frequent strings that occur at least `min_count` times."""
    return tft.vocabulary(
        column,
        top_k=most,
        frequency_threshold=min_count if min_count > 1 else None,
        vocab_filename=vocabulary_name(name),
        name=vocabulary_name(name),
    )


def words(column: tf.SparseTensor, most: int) -> tf.SparseTensor:
    """Return the first `most` words of each row's text, in lower case; a word is a run of letters and digits."""
    text = tf.strings.lower(first(column), encoding="utf-8")
    return tf.strings.split(tf.strings.regex_replace(text, r"[^\pL\pM\pN]+", " "))[:, :most].to_sparse()


def tf_idf(column: tf.SparseTensor, name: str, min_count: int, most: int) -> tuple[tf.SparseTensor, tf.SparseTensor]:
    """Return the vocabulary indices of each row's words, a repeated word once, and the TF-IDF weights of the words.

    Args:
      column: the words.
      name: the name of the feature.
      min_count: the minimum count of a word in the vocabulary; other words are left out.
      most: the maximum size of the vocabulary, the most frequent words.
    """
    indices = tft.apply_vocabulary(column, vocabulary(column, name, min_count, most), default_value=-1)
    known = tf.sparse.retain(indices, indices.values >= 0)
    # Document counts are integers, so the weights do not depend on the order in which Beam adds them.
    return tft.tfidf(known, most, name=weight_name(name))


def vectors(column: tf.SparseTensor, size: int, normalize: bool) -> tf.Tensor:
    """Return each row's vector, or zeros for a row with fewer than `size` numbers: [B, size]."""
    whole = dense(column.with_values(tf.ones_like(column.values)), size)
    rows = dense(column, size) * tf.reduce_min(whole, axis=1, keepdims=True)
    return tf.math.l2_normalize(rows, axis=1) if normalize else rows


def crossed(parts: list[tf.Tensor], count: int) -> tf.Tensor:
    """Return the hashed buckets of all combinations of one index from each part [B] or [B, W]: [B, V], V = Π W."""
    wide = [part if part.shape.rank == 2 else part[:, tf.newaxis] for part in parts]
    hashed = tf.sparse.cross_hashed([tf.sparse.from_dense(part) for part in wide], num_buckets=count)
    return dense(hashed, math.prod(part.shape[1] for part in wide))


def logarithms(column: tf.SparseTensor) -> tf.SparseTensor:
    """Return log(1 + x) of each number x; a negative x counts as 0."""
    return column.with_values(tf.math.log1p(tf.maximum(tf.cast(column.values, tf.float32), 0.0)))


def buckets(column: tf.SparseTensor, name: str, count: int) -> tf.Tensor:
    """Return the quantile bucket of each number: [B]."""
    bucketized = tft.bucketize(column.with_values(tf.cast(column.values, tf.float32)), count, name=bucket_name(name))
    return first(bucketized.with_values(tf.cast(bucketized.values, tf.int64)))


def clipped(column: tf.SparseTensor) -> tf.SparseTensor:
    """Return the numbers clipped to their range in train and eval, which the transform graph is computed from."""
    least, most = tft.min(column), tft.max(column)
    return column.with_values(tf.clip_by_value(column.values, least, most))


def standardised(column: tf.SparseTensor) -> tf.Tensor:
    """Return (x - mean) / deviation, 0 for a missing number and where all are equal: [B].

    Beam sums in no fixed order. So that every run has the same scale, the sums are computed in double precision, where
    the order does not change the rounded result. `tft.scale_to_z_score` would sum in the precision of the column.
    """
    wide = column.with_values(tf.cast(column.values, tf.float64))
    mean, variance = tf.cast(tft.mean(wide), tf.float32), tf.cast(tft.var(wide), tf.float32)
    values = tf.cast(column.values, tf.float32)
    return first(column.with_values(tf.math.divide_no_nan(values - mean, tf.sqrt(variance))))


def first(column: tf.SparseTensor) -> tf.Tensor:
    """Return the first value of each row, in the form of `dense`: [B]."""
    return tf.squeeze(dense(column, 1), axis=1)


def dense(column: tf.SparseTensor, width: int) -> tf.Tensor:
    """Return the first `width` values of each row, padded with 0: [B, width].

    Integers are indices from 0; they are raised by one, so that 0 is left for padding.
    """
    values = column.values + 1 if column.values.dtype == tf.int64 else column.values
    positions, values = tf.ensure_shape(column.indices, [None, 2]), tf.ensure_shape(values, [None])
    kept = tf.less(positions[:, 1], width)
    indices, values = tf.boolean_mask(positions, kept), tf.boolean_mask(values, kept)
    result = tf.sparse.to_dense(tf.SparseTensor(indices, values, tf.stack([column.dense_shape[0], width])))
    return tf.ensure_shape(result, [None, width])
