"""What the kinds of features do in the transform graph, with TensorFlow Transform.

Every result is dense. Categories are indices from 1 on; 0 stands for a missing value or padding.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import math

import tensorflow as tf
import tensorflow_transform as tft

from transform.features import bucket_name, vocabulary_name, weight_name


def index(column: tf.SparseTensor, name: str, min_count: int, oov_buckets: int) -> tf.Tensor:
    """[B] the index of each row's first value in the vocabulary of `name`."""
    return first(in_vocabulary(column, name, min_count, oov_buckets))


def in_vocabulary(column: tf.SparseTensor, name: str, min_count: int, oov_buckets: int) -> tf.SparseTensor:
    """Strings → their places in the vocabulary of `name`, the rare and unknown ones' hashed behind it."""
    return tft.apply_vocabulary(column, vocabulary(column, name, min_count), num_oov_buckets=oov_buckets)


def vocabulary(column: tf.SparseTensor, name: str, min_count: int, most: int | None = None):
    """The vocabulary of `name`: the strings seen at least `min_count` times, of these the `most` most frequent."""
    return tft.vocabulary(
        column,
        top_k=most,
        frequency_threshold=min_count if min_count > 1 else None,
        vocab_filename=vocabulary_name(name),
        name=vocabulary_name(name),
    )


def words(column: tf.SparseTensor, most: int) -> tf.SparseTensor:
    """The words of each row's text in lower case, runs of letters and digits, at most `most`."""
    text = tf.strings.lower(first(column), encoding="utf-8")
    return tf.strings.split(tf.strings.regex_replace(text, r"[^\pL\pM\pN]+", " "))[:, :most].to_sparse()


def tf_idf(column: tf.SparseTensor, name: str, min_count: int, most: int) -> tuple[tf.SparseTensor, tf.SparseTensor]:
    """Words → of each row the places of its words in the vocabulary of `name`, each once, and their TF-IDF weights.

    Args:
      column: the words.
      name: of the feature.
      min_count: words seen fewer times are not in the vocabulary and are left out.
      most: how many words the vocabulary has at most, the most frequent.
    """
    places = tft.apply_vocabulary(column, vocabulary(column, name, min_count, most), default_value=-1)
    known = tf.sparse.retain(places, places.values >= 0)
    # The documents with a word are counted in whole numbers: whatever the order of Beam, the weights are the same.
    return tft.tfidf(known, most, name=weight_name(name))


def vectors(column: tf.SparseTensor, size: int, normalize: bool) -> tf.Tensor:
    """[B, size] each row's numbers; zeros for a row that has not `size` of them."""
    whole = dense(column.with_values(tf.ones_like(column.values)), size)
    found = dense(column, size) * tf.reduce_min(whole, axis=1, keepdims=True)
    return tf.math.l2_normalize(found, axis=1) if normalize else found


def crossed(parts: list[tf.Tensor], count: int) -> tf.Tensor:
    """[B, V] the hashed bucket of each combination of one index of each part, [B] or [B, W]; V the product of the W."""
    wide = [part if part.shape.rank == 2 else part[:, tf.newaxis] for part in parts]
    found = tf.sparse.cross_hashed([tf.sparse.from_dense(part) for part in wide], num_buckets=count)
    return dense(found, math.prod(part.shape[1] for part in wide))


def logarithms(column: tf.SparseTensor) -> tf.SparseTensor:
    """log(1 + x) of each number, a negative one counted as 0."""
    return column.with_values(tf.math.log1p(tf.maximum(tf.cast(column.values, tf.float32), 0.0)))


def buckets(column: tf.SparseTensor, name: str, count: int) -> tf.Tensor:
    """[B] the quantile bucket of each number."""
    found = tft.bucketize(column.with_values(tf.cast(column.values, tf.float32)), count, name=bucket_name(name))
    return first(found.with_values(tf.cast(found.values, tf.int64)))


def within_known(column: tf.SparseTensor) -> tf.SparseTensor:
    """The numbers, those outside of what was analysed as the least or the most of it."""
    least, most = tft.min(column), tft.max(column)
    return column.with_values(tf.clip_by_value(column.values, least, most))


def standardised(column: tf.SparseTensor) -> tf.Tensor:
    """[B] (x - mean) / deviation; 0 where all values are one, and for a missing one, which is the mean.

    Beam adds parts up in any order. In double precision the order is rounded away, so every run gets the same scale;
    `tft.scale_to_z_score` adds in the precision of the column.
    """
    wide = column.with_values(tf.cast(column.values, tf.float64))
    mean, variance = tf.cast(tft.mean(wide), tf.float32), tf.cast(tft.var(wide), tf.float32)
    values = tf.cast(column.values, tf.float32)
    return first(column.with_values(tf.math.divide_no_nan(values - mean, tf.sqrt(variance))))


def first(column: tf.SparseTensor) -> tf.Tensor:
    """[B] the first value of each row, as `dense` has it."""
    return tf.squeeze(dense(column, 1), axis=1)


def dense(column: tf.SparseTensor, width: int) -> tf.Tensor:
    """[B, width]: integers shifted by one so that 0 is padding; values past `width` left out."""
    values = column.values + 1 if column.values.dtype == tf.int64 else column.values
    places, values = tf.ensure_shape(column.indices, [None, 2]), tf.ensure_shape(values, [None])
    kept = tf.less(places[:, 1], width)
    indices, values = tf.boolean_mask(places, kept), tf.boolean_mask(values, kept)
    found = tf.sparse.to_dense(tf.SparseTensor(indices, values, tf.stack([column.dense_shape[0], width])))
    return tf.ensure_shape(found, [None, width])
