"""The contract of every retrieval model: the data it is fitted on, and the SavedModel it exports.

Signatures, in stock TensorFlow ops only (B queries, items by id):
  retrieve(user_id [B], history [B, H], user features…, exclude [B, E], k [])
      → item_id [B, k], item_row [B, k], score [B, k], signals
  score(user_id [B], history [B, H], user features…, exclude [B, E], item_id [B, C]) → score [B, C], signals
  similar(item_id [B], k []) → item_id [B, k], item_row [B, k], score [B, k]
  embed_query(user_id [B], history [B, H], user features…) → embedding [B, D]     embedding models only
  embed_candidate(item_id [B], item features…) → embedding [B, D]                 embedding models only
Three more, `tables`, `ask` and `embed`, are for engines, which do not call the first two; see `trainer.retrieval.plan`.
The row of an item is its position in the catalogue that the model was fitted on. A list with fewer than k items is
padded with the id "", the row -1 and a score of -inf; a k above the size of the catalogue returns all items. Only the
latest `features.history_length` items of a history are used. Signals are numbers that a fusion computes for each item
besides its score, [B, k] or [B, C] each; they are inputs of the ranker.
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
from trainer import saving
from trainer.distribution.distribution import ONE, Distribution
from trainer.retrieval import plan, tables
from trainer.retrieval.choices import Choices
from trainer.retrieval.tables import Tables
from trainer.retrieval.warm_start.base import Base
from transform import raw
from transform.features import Features


def _no_features(**_: np.ndarray) -> dict[str, np.ndarray]:
    """Raise ModelError, since the data has no features."""
    raise ModelError(
        "this model is fitted on transformed features, but the data has events without features, as for a baseline. "
        "As a baseline use a model that learns from events alone, such as popularity or item_knn."
    )


@dataclass(frozen=True)
class RetrievalData:
    """The data that a retrieval model is fitted on.

    Args:
      features: the feature configuration.
      catalogue: [N] all items with their raw features, cold items included; `item_id` among the columns.
      users: [E] string array, the user of each event.
      items: [E] int32, the item row of each event.
      timestamps: [E] int64 seconds.
      ratings: [E] float32, or None where events have none.
      user_columns: a function that returns the transformed columns of the user of each event, [E, …] each. It raises
        ModelError if the data has no features.
      item_columns: a function that returns the transformed columns of the catalogue's items, [N, …] each; it raises
        ModelError likewise.
      transform: the transform graph as a layer, raw sparse columns → transformed ones.
      transformed: the transform graph as a function of raw dense columns, which is traced once for all fits.
      sizes: transformed column → its number of indices, index 0 included; empty if the data has no features.
      validation: the queries by which a fit makes its choices, such as the number of epochs; None if the settings
        already fix these choices.
      choices: with validation queries, where the fit's choices go; without, the choices that the fit follows. None if
        no other fit follows, or this fit follows none.
      base: the weights that a fit begins with; None for a cold start. Models without warm start ignore them.
      distribution: the devices on which networks are trained; models without networks ignore them.
    """

    features: Features
    catalogue: pa.Table
    users: pa.Array
    items: np.ndarray
    timestamps: np.ndarray
    ratings: np.ndarray | None = None
    user_columns: Callable[[], dict[str, np.ndarray]] = _no_features
    item_columns: Callable[[], dict[str, np.ndarray]] = _no_features
    transform: tf.Module = field(default_factory=tf.Module)
    transformed: Callable[..., dict[str, tf.Tensor]] = _no_features
    sizes: dict[str, int] = field(default_factory=dict)
    validation: Queries | None = None
    choices: Choices | None = None
    base: Base | None = None
    distribution: Distribution = ONE

    @property
    def follows(self) -> Choices | None:
        """Return the choices that the fit follows; None if it follows none."""
        return self.choices if self.validation is None else None

    @property
    def n_items(self) -> int:
        return self.catalogue.num_rows

    def counts(self) -> np.ndarray:
        """Return the number of events of each item: [N]."""
        return np.bincount(self.items, minlength=self.n_items)

    def where(self, chosen: np.ndarray) -> "RetrievalData":
        """Return the data of only the events where `chosen` [E] is true, without validation queries."""

        def user_columns() -> dict[str, np.ndarray]:
            return {name: column[chosen] for name, column in self.user_columns().items()}

        return replace(
            self,
            users=self.users.filter(pa.array(chosen)),
            items=self.items[chosen],
            timestamps=self.timestamps[chosen],
            ratings=None if self.ratings is None else self.ratings[chosen],
            user_columns=user_columns,
            validation=None,
            choices=None,
            base=None,
        )

    def check_transformed(self) -> None:
        """Check that the data has features. Raises: ModelError."""
        if not self.sizes:
            _no_features()


class RetrievalModel(tf.Module):
    """The base class of fitted models over a catalogue of N items; a subclass defines `scores` and `item_scores`.

    Args:
      data: the data that the model was fitted on.
      settings: the settings for a later fit on more events. They contain all choices that validation made, such as
        the number of epochs, so that the later fit needs no validation queries.
    """

    def __init__(self, data: RetrievalData, settings: Settings):
        super().__init__()
        self.settings = settings
        self.log: dict = {}  # the training log: the curve, the epoch kept
        self.features = data.features
        ids = data.catalogue[names.ITEM_ID].combine_chunks().to_numpy(zero_copy_only=False)
        self.item_ids = tf.constant(ids)
        rows = tf.range(len(ids), dtype=tf.int64)
        self.rows = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(self.item_ids, rows), default_value=-1
        )

    def scores(self, query: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the scores of all items, [B, N], higher is better, from raw query features."""
        raise NotImplementedError

    def scores_and_signals(self, query: dict[str, tf.Tensor], exclude: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return `score` and each signal of all items, [B, N] each.

        Args:
          query: raw query features.
          exclude: [B, E] item rows to leave out, -1 for none.
        """
        return {names.SCORE: masked(self.scores(query), exclude)}

    def item_scores(self, rows: tf.Tensor) -> tf.Tensor:
        """Return the similarities of all items to the item at each of `rows` [B]: [B, N]."""
        raise NotImplementedError

    def tables(self) -> Tables:
        """Return the model as an engine needs it; by default the engine asks the model for the scores of all items."""
        return Tables(plan.Dense(), ask=lambda query, _: self.scores(query))

    def engine_signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """Return the functions that an engine calls; see `trainer.retrieval.plan`."""
        return tables.signatures({plan.ALONE: self.tables()}, self._latest, self.features)

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """Return the served functions by name."""
        specs = {
            **raw.user_specs(self.features.user),
            names.EXCLUDE: tf.TensorSpec([None, None], tf.string, name=names.EXCLUDE),
            names.K: tf.TensorSpec([], tf.int32, name=names.K),
        }
        similar = {
            names.ITEM_ID: tf.TensorSpec([None], tf.string, name=names.ITEM_ID),
            names.K: tf.TensorSpec([], tf.int32, name=names.K),
        }
        # `retrieve` and `score` both call this function, so that it is traced and saved once. Each call of `signatures`
        # makes a new one, since the weights of a fusion may have changed. It is no attribute of the model, since on
        # saving TensorFlow would trace an attribute again and write both traces.
        compute = tf.function(self.scores_and_signals, reduce_retracing=True, autograph=False)
        retrieve = tf.function(partial(self._retrieve, compute), autograph=False).get_concrete_function(**specs)
        candidates = {names.ITEM_ID: tf.TensorSpec([None, None], tf.string, name=names.ITEM_ID)}
        score = {name: spec for name, spec in specs.items() if name != names.K} | candidates
        return {
            "retrieve": retrieve,
            "score": tf.function(partial(self._score, compute), autograph=False).get_concrete_function(**score),
            "similar": tf.function(self._similar, autograph=False).get_concrete_function(**similar),
            "serving_default": retrieve,
            **self.engine_signatures(),
        }

    def save(self, folder: str) -> None:
        """Write the SavedModel."""
        saving.save(self, self.signatures(), folder)

    def _retrieve(self, compute: Callable, **query: tf.Tensor) -> dict[str, tf.Tensor]:
        exclude, k = self.rows.lookup(query.pop(names.EXCLUDE)), query.pop(names.K)
        columns = compute(self._latest(query), exclude)
        best, rows = self._best(columns.pop(names.SCORE), k)
        signals = {name: tf.gather(values, rows, batch_dims=1) for name, values in columns.items()}
        return self._item_list(best, rows) | signals

    def _score(self, compute: Callable, **query: tf.Tensor) -> dict[str, tf.Tensor]:
        exclude, rows = (self.rows.lookup(query.pop(name)) for name in (names.EXCLUDE, names.ITEM_ID))
        columns = compute(self._latest(query), exclude)
        result = {name: tf.gather(values, tf.maximum(rows, 0), batch_dims=1) for name, values in columns.items()}
        return result | {names.SCORE: tf.where(rows >= 0, result[names.SCORE], -np.inf)}

    def _latest(self, query: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {**query, names.HISTORY: raw.latest(query[names.HISTORY], self.features.history_length)}

    def _similar(self, **query: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = self.rows.lookup(query[names.ITEM_ID])
        known = rows[:, tf.newaxis] >= 0
        scores = masked(self.item_scores(tf.maximum(rows, 0)), rows[:, tf.newaxis])
        return self._item_list(*self._best(tf.where(known, scores, -np.inf), query[names.K]))

    def _best(self, scores: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.math.top_k(scores, tf.minimum(tf.maximum(k, 0), tf.shape(scores)[1]))

    def _item_list(self, best: tf.Tensor, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        padding = tf.math.is_inf(best)
        ids = tf.where(padding, "", tf.gather(self.item_ids, rows))
        return {names.ITEM_ID: ids, names.ITEM_ROW: tf.where(padding, -1, rows), names.SCORE: best}


class EmbeddingModel(RetrievalModel):
    """The base class of models that score an item by the dot product of a query embedding and an item embedding.

    Attributes:
      embeddings: [N, D] float32, the embeddings of the catalogue's items.
    """

    embeddings: tf.Variable

    def embed_query(self, query: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the embeddings of queries, [B, D], from raw query features."""
        raise NotImplementedError

    def embed_candidate(self, item: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the embeddings of items, [B, D], from raw item features."""
        raise NotImplementedError

    def tables(self):
        asked, values = (lambda query, _: self.embed_query(query)), {"embeddings": self.embeddings}
        return Tables(plan.Embedding(), values, asked, self.embed_candidate)

    def scores(self, query):
        return tf.matmul(self.embed_query(query), self.embeddings, transpose_b=True)

    def item_scores(self, rows):
        normal = tf.math.l2_normalize(self.embeddings, axis=1)
        return tf.matmul(tf.gather(normal, rows), normal, transpose_b=True)

    def signatures(self):
        def embed_query(**query):
            return {"embedding": self.embed_query(self._latest(query))}

        def embed_candidate(**item):
            return {"embedding": self.embed_candidate(item)}

        return super().signatures() | {
            "embed_query": tf.function(embed_query, autograph=False).get_concrete_function(
                **raw.user_specs(self.features.user)
            ),
            "embed_candidate": tf.function(embed_candidate, autograph=False).get_concrete_function(
                **raw.item_specs(self.features.item)
            ),
        }


class NeighbourhoodModel(RetrievalModel):
    """A model in which each item of the history adds weights to the scores of its neighbours; popularity breaks ties.

    Args:
      neighbours: [N, M] int32, the item rows of the neighbours of each item.
      weights: [N, M] float32, the weights that an item adds to these neighbours; 0 if it has fewer than M neighbours.
      counts: [N] the number of events of each item, its popularity.
      half_life: the number of later events after which the weight of an item in the history is halved; None for equal
        weights.
      distinct: whether an item that is several times in the history counts once, at its latest event. Weights that are
        fitted on a 0/1 matrix require this.
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
        # Variables, since constants are part of the graph, whose size is limited to 2 GB.
        self.neighbours = tf.Variable(neighbours, trainable=False, dtype=tf.int32)
        self.weights = tf.Variable(weights, trainable=False, dtype=tf.float32)
        # So small that it orders only items with equal sums.
        self.popularity = tf.constant(1e-6 * counts / max(1, counts.max(initial=0)), tf.float32)

    def tables(self):
        values = {"neighbours": self.neighbours, "weights": self.weights, "popularity": self.popularity}
        return Tables(plan.Neighbours(half_life=self.half_life, distinct=self.distinct), values)

    def scores(self, query):
        return self._scores(self.rows.lookup(query[names.HISTORY]))

    def item_scores(self, rows):
        return self._scores(rows[:, tf.newaxis])

    def _scores(self, rows: tf.Tensor) -> tf.Tensor:
        """Return [B, N] scores for [B, H] item rows, -1 for none; query by query, which bounds the memory."""
        return tf.map_fn(self._query_scores, rows, fn_output_signature=tf.TensorSpec(self.popularity.shape, tf.float32))

    def _query_scores(self, rows: tf.Tensor) -> tf.Tensor:
        """Return [N] scores for [H] item rows, -1 for none."""
        known = tf.boolean_mask(rows, rows >= 0)
        if self.distinct:
            known = tf.unique(known[::-1]).y[::-1]
        neighbours = tf.reshape(tf.gather(self.neighbours, known), [-1])
        ages = tf.cast(tf.range(tf.shape(known)[0])[::-1], tf.float32)
        weights = tf.gather(self.weights, known) * decay(ages, self.half_life)[:, tf.newaxis]
        weights = tf.reshape(weights, [-1])
        return self.popularity + tf.math.unsorted_segment_sum(weights, neighbours, self.popularity.shape[0])


def decay(ages, half_life: float | None):
    """Return the weights ½^(age / half-life) of events, 1 without a half-life; an age is the number of later events."""
    return 0.5 ** (ages / half_life) if half_life else ages * 0 + 1


def masked(scores: tf.Tensor, exclude: tf.Tensor) -> tf.Tensor:
    """Return [B, N] scores with those at the item rows `exclude` [B, E] (-1 for none) set to -inf."""
    where = tf.where(exclude >= 0)
    positions = tf.stack([where[:, 0], tf.gather_nd(exclude, where)], axis=1)
    return tf.tensor_scatter_nd_update(scores, positions, tf.fill([tf.shape(positions)[0]], -np.inf))
