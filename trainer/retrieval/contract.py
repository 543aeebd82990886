"""The contract of every retrieval model: what it is given to fit on, and the SavedModel it exports.

Signatures, in stock TensorFlow ops only (B queries, items by id):
  retrieve(user_id [B], history [B, H], user features…, exclude [B, E], k [])
      → item_id [B, k], item_row [B, k], score [B, k], signals
  score(user_id [B], history [B, H], user features…, exclude [B, E], item_id [B, C]) → score [B, C], signals
  similar(item_id [B], k []) → item_id [B, k], item_row [B, k], score [B, k]
  embed_query(user_id [B], history [B, H], user features…) → embedding [B, D]     embedding models only
  embed_candidate(item_id [B], item features…) → embedding [B, D]                 embedding models only
The row of an item is its place in the catalogue that the model was fitted on. Where fewer than k items may be
returned, the rest of a list is "" with the row -1 and a score of -inf; k past the catalogue means all of it. Of a
history a model sees the latest items only, as many as `features.history_length`. Signals are what a model made of
others says of each item beside its score, [B, k] or [B, C] each: a ranker is told them too.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pyarrow as pa
import tensorflow as tf

from core import names
from core.errors import ModelError
from core.queries import Queries
from core.settings import Settings
from transform import raw
from transform.features import Features


def _events_alone() -> dict[str, np.ndarray]:
    raise ModelError(
        "this model is fitted on transformed features, but was given events alone, as a baseline is. "
        "As a baseline use a model that needs none, such as popularity or item_knn."
    )


@dataclass(frozen=True)
class RetrievalData:
    """What a retrieval model is fitted on.

    Args:
      features: the feature configuration.
      catalogue: [N] every item with its raw features, cold ones too; `item_id` among the columns.
      users: [E] string array, the user of each event.
      items: [E] int32, the catalogue row of each event's item.
      timestamps: [E] int64 seconds.
      ratings: [E] float32, or None where events have none.
      transformed: the events' transformed columns but their histories, which models cut from the events, [E, …] each;
        read when called. Where there are events alone, which do for the models that need no features, it raises
        ModelError.
      transform: the transform graph as a layer, raw sparse columns → transformed ones.
      sizes: transformed column → how many indices it has, 0 included.
      validation: queries to choose by, or None where everything was chosen before.
    """

    features: Features
    catalogue: pa.Table
    users: pa.Array
    items: np.ndarray
    timestamps: np.ndarray
    ratings: np.ndarray | None = None
    transformed: Callable[[], dict[str, np.ndarray]] = _events_alone
    transform: tf.Module = field(default_factory=tf.Module)
    sizes: dict[str, int] = field(default_factory=dict)
    validation: Queries | None = None

    @property
    def n_items(self) -> int:
        return self.catalogue.num_rows

    def counts(self) -> np.ndarray:
        """[N] events of each item."""
        return np.bincount(self.items, minlength=self.n_items)

    def where(self, chosen: np.ndarray) -> "RetrievalData":
        """The same of some events alone, [E] bool, with nothing to choose by."""

        def transformed() -> dict[str, np.ndarray]:
            return {name: column[chosen] for name, column in self.transformed().items()}

        return replace(
            self,
            users=self.users.filter(pa.array(chosen)),
            items=self.items[chosen],
            timestamps=self.timestamps[chosen],
            ratings=None if self.ratings is None else self.ratings[chosen],
            transformed=transformed,
            validation=None,
        )

    def check_transformed(self) -> None:
        """Raises: ModelError where there are events alone."""
        if not self.sizes:
            _events_alone()


class Retriever(tf.Module):
    """A fitted model over a catalogue of N items. A subclass gives `scores` and `item_scores`, and `signals` if any.

    Args:
      data: what it was fitted on.
      settings: what to fit it with once more on more events, with everything chosen: no validation is needed then.
    """

    def __init__(self, data: RetrievalData, settings: Settings):
        super().__init__()
        self.settings = settings
        self.log: dict = {}  # what fitting has to tell: the curve, the epoch that was kept
        self.features = data.features
        ids = data.catalogue[names.ITEM_ID].combine_chunks().to_numpy(zero_copy_only=False)
        self.item_ids = tf.constant(ids)
        rows = tf.range(len(ids), dtype=tf.int64)
        self.rows = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(self.item_ids, rows), default_value=-1
        )

    def scores(self, query: dict[str, tf.Tensor]) -> tf.Tensor:
        """Raw query features → [B, N] scores of all items, higher is better."""
        raise NotImplementedError

    def opinions(self, query: dict[str, tf.Tensor], exclude: tf.Tensor) -> dict[str, tf.Tensor]:
        """Raw query features, catalogue rows [B, E] to leave out, -1 for none → `score` and each signal, [B, N]."""
        return {names.SCORE: masked(self.scores(query), exclude)}

    def item_scores(self, rows: tf.Tensor) -> tf.Tensor:
        """[B] catalogue rows → [B, N] how alike all items are to each."""
        raise NotImplementedError

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The served functions by name."""
        specs = {
            **raw.user_specs(self.features.user),
            names.EXCLUDE: tf.TensorSpec([None, None], tf.string, name=names.EXCLUDE),
            names.K: tf.TensorSpec([], tf.int32, name=names.K),
        }
        similar = {
            names.ITEM_ID: tf.TensorSpec([None], tf.string, name=names.ITEM_ID),
            names.K: tf.TensorSpec([], tf.int32, name=names.K),
        }
        # One function that `retrieve` and `score` both call: traced and written once. A new one for each call, since a
        # model may have changed what it says, as a fusion does that has learned its weights. It is no attribute of the
        # model: TensorFlow traces such ones again when it saves, and writes both.
        opinions = tf.function(self.opinions, reduce_retracing=True)
        retrieve = tf.function(partial(self._retrieve, opinions)).get_concrete_function(**specs)
        candidates = {names.ITEM_ID: tf.TensorSpec([None, None], tf.string, name=names.ITEM_ID)}
        score = {name: spec for name, spec in specs.items() if name != names.K} | candidates
        return {
            "retrieve": retrieve,
            "score": tf.function(partial(self._score, opinions)).get_concrete_function(**score),
            "similar": tf.function(self._similar).get_concrete_function(**similar),
            "serving_default": retrieve,
        }

    def save(self, folder: str) -> None:
        """Write the SavedModel."""
        tf.saved_model.save(self, folder, signatures=self.signatures())

    def _retrieve(self, opinions_of: Callable, **query: tf.Tensor) -> dict[str, tf.Tensor]:
        exclude, k = self.rows.lookup(query.pop(names.EXCLUDE)), query.pop(names.K)
        opinions = opinions_of(self._latest(query), exclude)
        best, rows = self._best(opinions.pop(names.SCORE), k)
        return self._answer(best, rows) | {name: tf.gather(all_, rows, batch_dims=1) for name, all_ in opinions.items()}

    def _score(self, opinions_of: Callable, **query: tf.Tensor) -> dict[str, tf.Tensor]:
        exclude, rows = (self.rows.lookup(query.pop(name)) for name in (names.EXCLUDE, names.ITEM_ID))
        opinions = opinions_of(self._latest(query), exclude)
        found = {name: tf.gather(all_, tf.maximum(rows, 0), batch_dims=1) for name, all_ in opinions.items()}
        return found | {names.SCORE: tf.where(rows >= 0, found[names.SCORE], -np.inf)}

    def _latest(self, query: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {**query, names.HISTORY: raw.latest(query[names.HISTORY], self.features.history_length)}

    def _similar(self, **query: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = self.rows.lookup(query[names.ITEM_ID])
        known = rows[:, tf.newaxis] >= 0
        scores = masked(self.item_scores(tf.maximum(rows, 0)), rows[:, tf.newaxis])
        return self._answer(*self._best(tf.where(known, scores, -np.inf), query[names.K]))

    def _best(self, scores: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.math.top_k(scores, tf.minimum(tf.maximum(k, 0), tf.shape(scores)[1]))

    def _answer(self, best: tf.Tensor, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        none = tf.math.is_inf(best)
        ids = tf.where(none, "", tf.gather(self.item_ids, rows))
        return {names.ITEM_ID: ids, names.ITEM_ROW: tf.where(none, -1, rows), names.SCORE: best}


class EmbeddingRetriever(Retriever):
    """A model that compares a query embedding with item embeddings by dot product.

    Args:
      embeddings: [N, D] float32 of the catalogue's items.
    """

    embeddings: tf.Variable

    def embed_query(self, query: dict[str, tf.Tensor]) -> tf.Tensor:
        """Raw query features → [B, D]."""
        raise NotImplementedError

    def embed_candidate(self, item: dict[str, tf.Tensor]) -> tf.Tensor:
        """Raw item features → [B, D]."""
        raise NotImplementedError

    def scores(self, query):
        return tf.matmul(self.embed_query(query), self.embeddings, transpose_b=True)

    def item_scores(self, rows):
        normal = tf.math.l2_normalize(self.embeddings, axis=1)
        return tf.matmul(tf.gather(normal, rows), normal, transpose_b=True)

    def signatures(self):
        item = {
            names.ITEM_ID: tf.TensorSpec([None], tf.string, name=names.ITEM_ID),
            **raw.specs(self.features.item, None),
        }

        def embed_query(**query):
            return {"embedding": self.embed_query(self._latest(query))}

        def embed_candidate(**item):
            return {"embedding": self.embed_candidate(item)}

        return super().signatures() | {
            "embed_query": tf.function(embed_query).get_concrete_function(**raw.user_specs(self.features.user)),
            "embed_candidate": tf.function(embed_candidate).get_concrete_function(**item),
        }


class NeighbourhoodRetriever(Retriever):
    """A model that adds up what each item of the history says of its neighbours; popularity orders the rest.

    Args:
      neighbours: [N, M] int32 catalogue rows.
      weights: [N, M] float32, 0 where an item has fewer than M neighbours.
      counts: [N] events of each item.
      half_life: after this many later events an item of the history counts half; None: all alike.
      distinct: whether an item counts once however often it stands in the history, as the latest of its events; so for
        weights that were fitted on a 0/1 matrix.
    """

    def __init__(
        self,
        data: RetrievalData,
        settings: Settings,
        neighbours: np.ndarray,
        weights: np.ndarray,
        counts: np.ndarray,
        half_life: float | None = None,
        distinct: bool = False,
    ):
        super().__init__(data, settings)
        self.half_life, self.distinct = half_life, distinct
        # Variables, since constants stand in the graph, which may not be larger than 2 GB.
        self.neighbours = tf.Variable(neighbours, trainable=False, dtype=tf.int32)
        self.weights = tf.Variable(weights, trainable=False, dtype=tf.float32)
        # So small that it only orders items which no neighbour speaks for.
        self.popularity = tf.constant(1e-6 * counts / max(1, counts.max(initial=0)), tf.float32)

    def scores(self, query):
        return self._summed(self.rows.lookup(query[names.HISTORY]))

    def item_scores(self, rows):
        return self._summed(rows[:, tf.newaxis])

    def _summed(self, rows: tf.Tensor) -> tf.Tensor:
        """[B, H] catalogue rows, -1 for none → [B, N]; query by query, so that the neighbours of one alone are held."""
        return tf.map_fn(self._sum, rows, fn_output_signature=tf.TensorSpec(self.popularity.shape, tf.float32))

    def _sum(self, rows: tf.Tensor) -> tf.Tensor:
        """[H] catalogue rows, -1 for none → [N]."""
        known = tf.boolean_mask(rows, rows >= 0)
        if self.distinct:
            known = tf.unique(known[::-1]).y[::-1]
        neighbours = tf.reshape(tf.gather(self.neighbours, known), [-1])
        ages = tf.cast(tf.range(tf.shape(known)[0])[::-1], tf.float32)
        weights = tf.gather(self.weights, known) * decay(ages, self.half_life)[:, tf.newaxis]
        weights = tf.reshape(weights, [-1])
        return self.popularity + tf.math.unsorted_segment_sum(weights, neighbours, self.popularity.shape[0])


def decay(ages, half_life: float | None):
    """What an event is worth whose age is the number of later ones."""
    return 0.5 ** (ages / half_life) if half_life else ages * 0 + 1


def masked(scores: tf.Tensor, exclude: tf.Tensor) -> tf.Tensor:
    """[B, N] scores with those at the catalogue rows `exclude` [B, E] (-1 for none) set to -inf."""
    where = tf.where(exclude >= 0)
    places = tf.stack([where[:, 0], tf.gather_nd(exclude, where)], axis=1)
    return tf.tensor_scatter_nd_update(scores, places, tf.fill([tf.shape(places)[0]], -np.inf))
