"""Content: items whose features are like those of the items met; cold items have their place among them.

Source: Pazzani & Billsus, "Content-based recommendation systems", The Adaptive Web, 2007: items as TF-IDF vectors of
the values of their features, a user as the mean of the items met, compared by cosine. A number is its bucket.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import tensorflow as tf

from core import names
from core.errors import ModelError
from trainer.retrieval.contract import EmbeddingRetriever, RetrievalData
from trainer.retrieval.repeats import decay
from trainer.retrieval.settings import ContentSettings
from trainer.retrieval.vectors import value_vectors
from transform import raw
from transform.names import bucket_name

STEPS = (-1.5, -0.5, 0.5, 1.5)  # of a z-score, where the configuration asks for no buckets
TIE = 1e-4  # the most that popularity adds to a cosine: it orders items of equal content


class ContentRetriever(EmbeddingRetriever):
    """Vectors of the features' values behind the transform graph; the last place of an embedding holds popularity.

    Args:
      seed: of the search for the narrowed vectors.
    """

    def __init__(self, data: RetrievalData, settings: ContentSettings, seed: int):
        super().__init__(data, settings)
        self.transform, self.half_life = data.transform, settings.half_life
        self.sizes = {column: size for column, size in _sizes(data).items() if size > 1}
        counts = data.counts()
        self.ties = tf.constant(TIE * counts / max(1, counts.max(initial=0)), tf.float32)
        places = tf.function(lambda **item: self._places(item))
        found = places(**raw.from_table(data.catalogue, self.features.item)).numpy()
        vectors = value_vectors(found, 1 + sum(size - 1 for size in self.sizes.values()), settings.dim, seed)
        self.vectors = tf.Variable(vectors, trainable=False)
        embeddings = self._embedded(tf.constant(found), tf.range(data.n_items, dtype=tf.int64))
        self.embeddings = tf.Variable(embeddings, trainable=False, name="embeddings")

    def embed_query(self, query):
        rows = self.rows.lookup(query[names.HISTORY])
        known = tf.cast(rows >= 0, tf.float32)
        ages = tf.cumsum(known, axis=1, reverse=True, exclusive=True)
        weights = known * decay(ages, self.half_life)
        items = tf.gather(self.embeddings[:, :-1], tf.maximum(rows, 0))
        mean = tf.math.l2_normalize(tf.einsum("bh,bhd->bd", weights, items), axis=1)
        return tf.concat([mean, tf.ones([tf.shape(rows)[0], 1])], axis=1)

    def embed_candidate(self, item):
        return self._embedded(self._places(item), self.rows.lookup(item[names.ITEM_ID]))

    def _embedded(self, places: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """[B, P] values and [B] catalogue rows, -1 for none → [B, D]."""
        content = tf.math.l2_normalize(tf.reduce_sum(tf.gather(self.vectors, places), axis=1), axis=1)
        ties = tf.where(rows >= 0, tf.gather(self.ties, tf.maximum(rows, 0)), 0.0)
        return tf.concat([content, ties[:, tf.newaxis]], axis=1)

    def _places(self, item: dict[str, tf.Tensor]) -> tf.Tensor:
        """Raw item features → [B, P] the values of all of them, numbered one feature after the other; 0 for none."""
        columns = self.transform(raw.to_sparse({name: item[name] for name in self.features.item}))
        found, first = [], 0
        for column, size in self.sizes.items():
            index = columns[column]
            if index.dtype.is_floating:
                index = 1 + tf.searchsorted(tf.constant(STEPS), index, side="right")
            index = tf.cast(index, tf.int64)
            index = index if index.shape.rank == 2 else index[:, tf.newaxis]
            found.append(tf.where(index > 0, index + first, 0))
            first += size - 1
        return tf.concat(found, axis=1)


def _sizes(data: RetrievalData) -> dict[str, int]:
    """Transformed item column → how many values it has, 0 for missing included."""
    sizes = {}
    for name, feature in data.features.item.items():
        if feature.kind == "numeric" and not feature.buckets:
            sizes[name] = len(STEPS) + 2
        else:
            column = bucket_name(name) if feature.kind == "numeric" else name
            sizes[column] = data.sizes[column]
    return sizes


def fit(settings: ContentSettings, data: RetrievalData, seed: int) -> ContentRetriever:
    """Number the values, weigh them by how rare they are, and embed the catalogue.

    Raises:
      ModelError: there are no transformed features, or no features of items.
    """
    if not data.features.item:
        raise ModelError(
            "content compares items by their features, but `features.item` is empty. Add some, or use item_knn."
        )
    data.check_transformed()
    return ContentRetriever(data, settings, seed)
