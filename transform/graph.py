"""The computations of the feature kinds in the transform graph, with the statistics of the analysis.

Every output is dense. Categories are indices from 1; 0 is a missing value or padding. All functions run eagerly too,
since the analysis calls them to compute the statistics; see `transform.statistics_store`.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from transform import statistics
from transform.features import vocabulary_name
from transform.statistics_store import current


def index(column: tf.SparseTensor, name: str, min_count: int, oov_buckets: int) -> tf.Tensor:
    """Return the vocabulary index of each row's first value: [B], from 1; 0 for a row without a value.

    An out-of-vocabulary value has one of `oov_buckets` indices after those of the vocabulary, by its hash.
    """
    return first(in_vocabulary(column, name, min_count, oov_buckets))


def in_vocabulary(column: tf.SparseTensor, name: str, min_count: int, oov_buckets: int) -> tf.SparseTensor:
    """Return indices from 0: those of the vocabulary of `name`, then hashed buckets for out-of-vocabulary strings.

    The vocabulary has the strings that occur at least `min_count` times in the analysed column.
    """
    words = _words(column, name, min_count)
    table = _table(name, lambda: tf.lookup.StaticVocabularyTable(words, oov_buckets, lookup_key_dtype=tf.string))
    return column.with_values(table.lookup(column.values))


def _words(
    column: tf.SparseTensor, name: str, min_count: int, most: int | None = None
) -> tf.lookup.TextFileInitializer:
    """Return the initializer of a lookup table: string → its line in the file of the vocabulary of `name`."""
    file = current().vocabulary(vocabulary_name(name), column, min_count, most)
    whole, number = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
    return tf.lookup.TextFileInitializer(str(file), tf.string, whole, tf.int64, number)


def _table(name: str, make: Callable[[], Any]) -> Any:
    """Return the lookup table of a feature; in a graph it is made once, and TensorFlow Transform saves it."""
    return tft.make_and_track_object(make, name) if tf.inside_function() else make()


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
    vocabulary = _words(column, name, min_count, most)
    table = _table(name, lambda: tf.lookup.StaticHashTable(vocabulary, default_value=-1))
    found = column.with_values(table.lookup(column.values))
    known = tf.sparse.retain(found, found.values >= 0)
    rows = known.indices[:, 0]
    documents = current().numbers(
        lambda weights: statistics.document_counts(rows.numpy(), known.values.numpy(), weights, int(table.size()))
    )
    inverse = 1 + np.log((1 + documents[-1]) / (1 + documents[:-1]))
    # Each pair of a row and a word once, sorted, with its count in the row.
    size = max(1, len(inverse))
    pairs, _, counts = tf.unique_with_counts(tf.sort(rows * size + known.values), out_idx=tf.int64)
    row, word = pairs // size, pairs % size
    length = tf.math.unsorted_segment_sum(counts, row, known.dense_shape[0])
    weights = tf.cast(counts / tf.gather(length, row), tf.float32)
    weights *= tf.gather(tf.constant(inverse if len(inverse) else [0.0], tf.float32), word)
    positions = tf.range(tf.size(row, tf.int64)) - tf.searchsorted(row, row, out_type=tf.int64)
    places, shape = tf.stack([row, positions], axis=1), known.dense_shape
    return tf.SparseTensor(places, word, shape), tf.SparseTensor(places, weights, shape)


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


def buckets(column: tf.SparseTensor, count: int) -> tf.Tensor:
    """Return the quantile bucket of each number: [B]."""
    values = tf.cast(column.values, tf.float32)
    found = current().numbers(lambda weights: statistics.quantiles(values.numpy(), _of_values(column, weights), count))
    return first(column.with_values(tf.searchsorted(tf.constant(found, tf.float32), values, "right", tf.int64)))


def clipped(column: tf.SparseTensor) -> tf.SparseTensor:
    """Return the numbers clipped to their range in train and eval, which the transform graph is computed from."""
    least, most = current().numbers(lambda weights: statistics.limits(column.values.numpy()))
    bounds = (tf.constant(bound, column.dtype) for bound in (least, most))
    return column.with_values(tf.clip_by_value(column.values, *bounds))


def standardised(column: tf.SparseTensor) -> tf.Tensor:
    """Return (x - mean) / deviation, 0 for a missing number and where all are equal: [B]."""
    mean, variance = current().numbers(
        lambda weights: statistics.moments(column.values.numpy(), _of_values(column, weights))
    )
    values = tf.cast(column.values, tf.float32)
    return first(column.with_values(tf.math.divide_no_nan(values - mean, tf.constant(math.sqrt(variance), tf.float32))))


def _of_values(column: tf.SparseTensor, weights: np.ndarray) -> np.ndarray:
    """Return the weight of each value of an eager column, from those of the rows."""
    return weights[column.indices[:, 0].numpy()]


def first(column: tf.SparseTensor) -> tf.Tensor:
    """Return the first value of each row, in the form of `dense`: [B]."""
    return tf.squeeze(dense(column, 1), axis=1)


def dense(column: tf.SparseTensor, width: int) -> tf.Tensor:
    """Return the first `width` values of each row, padded with 0: [B, width].

    Integers are indices from 0; they are raised by one, so that 0 is left for padding.
    """
    values = column.values + 1 if column.values.dtype == tf.int64 else column.values
    positions = tf.ensure_shape(column.indices, [None, 2])
    whole = tf.SparseTensor(positions, tf.ensure_shape(values, [None]), column.dense_shape)
    rows = column.dense_shape[0]
    part = tf.sparse.slice(whole, [0, 0], tf.stack([rows, tf.constant(width, tf.int64)]))
    result = tf.sparse.to_dense(tf.SparseTensor(part.indices, part.values, tf.stack([rows, width])))
    return tf.ensure_shape(result, [None, width])
