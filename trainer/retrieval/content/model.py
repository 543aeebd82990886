"""Content: items, cold items included, whose features are most similar to the features of the history's items.

Source: Pazzani & Billsus, "Content-based recommendation systems", The Adaptive Web, 2007: items as TF-IDF vectors of
the values of their features, a user as the mean of the items of the history, compared by cosine. A number is
represented by its bucket, a text by its words with their TF-IDF weights. A given vector, such as the embedding of a
text, is appended to the vector of all other features.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import tensorflow as tf

from core import names
from core.errors import ModelError
from trainer.retrieval.content.settings import ContentSettings
from trainer.retrieval.content.vectors import value_vectors
from trainer.retrieval.contract import EmbeddingModel, RetrievalData, decay
from transform import raw
from transform.features import Feature, Indices, Numbers, raw_columns

STEPS = (-1.5, -0.5, 0.5, 1.5)  # the bounds of z-scores for numbers without configured buckets
TIE = 1e-4  # the maximum that popularity adds to a cosine: it orders items with equal features
ITEMS_AT_ONCE = 8192


class ContentModel(EmbeddingModel):
    """Item embeddings from the values of raw features; the last dimension is popularity, which breaks ties.

    Args:
      seed: the seed of the reduction of the vectors.
    """

    def __init__(self, data: RetrievalData, settings: ContentSettings, seed: int):
        super().__init__(data, settings)
        self.transform, self.half_life = data.transform, settings.half_life
        outputs = [output for name, feature in data.features.item.items() for output in _compared(name, feature)]
        self.valued = tuple(each for each in outputs if isinstance(each, Indices) or each.width is None)
        self.given = tuple(each.column for each in outputs if isinstance(each, Numbers) and each.width is not None)
        # The number of values of each output; 0 is possible, if a column has no values and its vocabulary is empty.
        self.counts = [
            data.sizes[each.column] - 1 if isinstance(each, Indices) else len(STEPS) + 1 for each in self.valued
        ]
        counts = data.counts()
        self.ties = tf.constant(TIE * counts / max(1, counts.max(initial=0)), tf.float32)
        parts = self._catalogue_values(data)
        weighted = [isinstance(each, Indices) and each.weights is not None for each in self.valued]
        has_idf = np.concatenate([[False], np.repeat(np.array(weighted, bool), self.counts)])
        values, weights, _ = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        self.vectors = tf.Variable(value_vectors(values, weights, has_idf, settings.dim, seed), trainable=False)
        content = tf.concat([self._content(*map(tf.constant, part)) for part in parts], axis=0)
        rows = tf.range(data.n_items, dtype=tf.int64)
        self.embeddings = tf.Variable(self._with_ties(content, rows), trainable=False, name="embeddings")

    def embed_query(self, query):
        rows = self.rows.lookup(query[names.HISTORY])
        known = tf.cast(rows >= 0, tf.float32)
        ages = tf.cumsum(known, axis=1, reverse=True, exclusive=True)
        weights = known * decay(ages, self.half_life)
        items = tf.gather(self.embeddings, tf.maximum(rows, 0))[..., :-1]  # a slice of all items would be a copy
        mean = tf.math.l2_normalize(tf.einsum("bh,bhd->bd", weights, items), axis=1)
        return tf.concat([mean, tf.ones([tf.shape(rows)[0], 1])], axis=1)

    def embed_candidate(self, item):
        return self._with_ties(self._content(*self._values(item)), self.rows.lookup(item[names.ITEM_ID]))

    def _with_ties(self, content: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """Return embeddings [B, D + 1] from content vectors [B, D] and item rows [B], -1 for none."""
        ties = tf.where(rows >= 0, tf.gather(self.ties, tf.maximum(rows, 0)), 0.0)
        return tf.concat([content, ties[:, tf.newaxis]], axis=1)

    def _content(self, values: tf.Tensor, weights: tf.Tensor, given: tf.Tensor) -> tf.Tensor:
        """Return vectors [B, D] of length 1 from the outputs of `_values`."""
        summed = tf.einsum("bp,bpd->bd", weights, tf.gather(self.vectors, values))
        return tf.math.l2_normalize(tf.concat([tf.math.l2_normalize(summed, axis=1), given], axis=1), axis=1)

    def _catalogue_values(self, data: RetrievalData) -> list[tuple[np.ndarray, ...]]:
        """Return the result of `_values` for the items of the catalogue, in parts of `ITEMS_AT_ONCE` items."""
        values = tf.function(lambda **item: self._values(item), reduce_retracing=True, autograph=False)
        starts = range(0, max(1, data.n_items), ITEMS_AT_ONCE)
        parts = (data.catalogue.slice(start, ITEMS_AT_ONCE) for start in starts)
        return [tuple(array.numpy() for array in values(**raw.from_table(part, self.features.item))) for part in parts]

    def _values(self, item: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return the values of items from raw item features.

        Returns:
          [B, P] the numbers of the items' values, counted from 1 through all features, 0 for none; [B, P] the weights
          of these values; [B, G] the given vectors, each of norm 1, concatenated.
        """
        columns = self.transform(raw.to_sparse({name: item[name] for name in raw_columns(self.features.item)}))
        rows = tf.shape(next(iter(columns.values())))[0]
        values, weights, first = [tf.zeros([rows, 0], tf.int64)], [tf.zeros([rows, 0])], 0
        for output, count in zip(self.valued, self.counts, strict=True):
            index = columns[output.column]
            if isinstance(output, Numbers):
                index = 1 + tf.searchsorted(tf.constant(STEPS), index, side="right")
            index = tf.cast(index, tf.int64)
            index = index if index.shape.rank == 2 else index[:, tf.newaxis]
            weight = output.weights if isinstance(output, Indices) else None
            values.append(tf.where(index > 0, index + first, 0))
            weights.append(tf.ones_like(index, tf.float32) if weight is None else columns[weight])
            first += count
        given = [tf.math.l2_normalize(columns[column], axis=1) for column in self.given]
        return (
            *(tf.concat(parts, axis=1) for parts in (values, weights)),
            tf.concat([tf.zeros([rows, 0]), *given], axis=1),
        )


def _compared(name: str, feature: Feature) -> list[Indices | Numbers]:
    """Return the outputs of a feature by which items are compared: those with indices or, without these, all."""
    outputs = feature.outputs(name)
    return [each for each in outputs if isinstance(each, Indices)] or outputs


def fit(settings: ContentSettings, data: RetrievalData, seed: int) -> ContentModel:
    """Compute the vectors of the values of features, and embed the catalogue.

    Raises:
      ModelError: there are no transformed features, or no features of items.
    """
    if not data.features.item:
        raise ModelError(
            "content compares items by their features, but `features.item` is empty. Add a feature, or use item_knn."
        )
    data.check_transformed()
    return ContentModel(data, settings, seed)
