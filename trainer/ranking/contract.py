"""The contract of every ranking model: the data it is fitted on, and the SavedModel it exports.

The signatures use only ops that TensorFlow Serving includes: TensorFlow's own and, for trees, that of YDF. There are
B queries with C candidates each, in the retriever's order:
  rank(user_id [B], query_time [B], history [B, H], history_time [B, H], user features…,
       item_id [B, C], item features [B, C] or [B, C, V],
       retrieval_score [B, C], retrieval_rank [B, C], the retriever's signals [B, C]) → score, probability [B, C]
  rank_examples(examples [B]) → probability [B, C]      for Examples of CandidateGenerator, for TFMA
  pack(item_id [N], item features [N] or [N, V]) → integers [N, I], numbers [N, F]
  rank_packed(user_id [B], …, user features…, integers [B, C, I], numbers [B, C, F], signals [B, C, S])
       → score, probability [B, C]      as `rank`, for rows of `pack`; signals in the order of their sorted names
A candidate with the item id "", or the first integer -1, is padding, with a score of -inf and a probability of 0. Times
are seconds since 1970-01-01 UTC; an unknown time in `history_time` is 0.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import tensorflow as tf

from core import metrics, names
from trainer import saving
from trainer.distribution.distribution import ONE, Distribution
from trainer.ranking import context, packed
from trainer.ranking.signals import computed_signals
from transform import raw
from transform.arrays import raw_arrays
from transform.columns import RawColumn
from transform.features import Feature, Features, raw_columns, timestamp_columns
from transform.names import outputs

PER_CANDIDATE = (names.RETRIEVAL_SCORE, names.RETRIEVAL_RANK)


@dataclass(frozen=True)
class RankingData:
    """The data that a ranking model is fitted on.

    Args:
      features: the feature configuration.
      transform: the transform graph as a layer.
      sizes: transformed column → its number of indices, index 0 included.
      train, validation: the columns of Q candidate lists: transformed columns of users [Q, …] and of items [Q, C, …];
        signals, label and weight [Q, C] each; where events have ratings, rating [Q, C], NaN for a candidate without a
        rating.
      retrieval_signals: the names of the retriever's signals, retrieval_score and retrieval_rank among them; their
        columns are float [Q, C], NaN where unknown.
      distribution: the devices on which networks are trained.
    """

    features: Features
    transform: tf.Module
    sizes: dict[str, int]
    train: dict[str, np.ndarray]
    validation: dict[str, np.ndarray]
    retrieval_signals: tuple[str, ...] = PER_CANDIDATE
    distribution: Distribution = ONE

    @property
    def signals(self) -> tuple[str, ...]:
        """The names of all signals: those of the retriever, then those that the ranker computes itself."""
        return (*self.retrieval_signals, *computed_signals(self.features))

    @property
    def user(self) -> dict[str, Feature]:
        """The features of users that are inputs of a ranker: all but timestamps; see `_without_timestamps`."""
        return _without_timestamps(self.features.user)

    @property
    def item(self) -> dict[str, Feature]:
        """The features of items that are inputs of a ranker: all but timestamps."""
        return _without_timestamps(self.features.item)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of all input columns except the ids."""
        return (*self.signals, *outputs(self.user), *outputs(self.item))


class RankingModel(tf.Module):
    """The base class of fitted ranking models; a subclass defines `scores`."""

    def __init__(self, data: RankingData):
        super().__init__()
        self.features, self.transform = data.features, data.transform
        self.width = data.train[names.LABEL].shape[1]
        self.retrieval_signals = data.retrieval_signals

    def scores(self, columns: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return scores [B, C] from transformed columns, users' [B, …] and candidates' [B, C, …]."""
        raise NotImplementedError

    def probabilities(self, scores: tf.Tensor) -> tf.Tensor:
        """Return the probabilities [B, C] that candidates are relevant, from scores [B, C]."""
        return tf.sigmoid(scores)

    def rank(self, **query: tf.Tensor) -> tf.Tensor:
        """Return scores [B, C] from the raw inputs of the signature, -inf for padding."""
        scores = self.scores(transform_lists(query, self.features, self.transform, self.retrieval_signals))
        return tf.where(tf.equal(query[names.ITEM_ID], ""), -np.inf, scores)

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """Return the served functions by name."""
        specs = {**query_specs(self.features), **candidate_specs(self.features, self.retrieval_signals)}
        scores_of = tf.function(
            self.rank, reduce_retracing=True, autograph=False
        )  # traced and written once, for both signatures
        rank = tf.function(partial(self._rank, scores_of), autograph=False).get_concrete_function(**specs)
        examples = tf.TensorSpec([None], tf.string, name="examples")
        rank_examples = tf.function(partial(self._rank_examples, scores_of), autograph=False).get_concrete_function(
            examples
        )
        return {"rank": rank, "rank_examples": rank_examples, "serving_default": rank, **self._packed_signatures()}

    def _packed_signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """Return the functions `pack` and `rank_packed`."""
        packing = packed.Packing(self.features)
        ids = tf.TensorSpec([None], tf.string, name=names.ITEM_ID)
        pack = tf.function(lambda **items: packing.pack(self.transform, items), autograph=False).get_concrete_function(
            **{names.ITEM_ID: ids}, **raw.specs(self.features.item, None)
        )

        def rank(**query: tf.Tensor) -> dict[str, tf.Tensor]:
            hashes, items = packing.unpack(query[packed.INTEGERS], query[packed.NUMBERS])
            columns = user_columns(query, self.features, self.transform) | items
            columns |= _computed(query | items, hashes, self.features)
            columns |= dict(zip(sorted(self.retrieval_signals), tf.unstack(query[packed.SIGNALS], axis=2), strict=True))
            scores = tf.where(tf.equal(hashes, packed.PADDING), -np.inf, self.scores(columns))
            return {names.SCORE: scores, names.PROBABILITY: self._probabilities(scores)}

        specs = query_specs(self.features) | packing.specs(len(self.retrieval_signals))
        return {"pack": pack, "rank_packed": tf.function(rank, autograph=False).get_concrete_function(**specs)}

    def save(self, folder: str) -> None:
        """Write the SavedModel."""
        saving.save(self, self.signatures(), folder)

    def _rank(self, scores_of: Callable, **query: tf.Tensor) -> dict[str, tf.Tensor]:
        scores = scores_of(**query)
        return {names.SCORE: scores, names.PROBABILITY: self._probabilities(scores)}

    def _probabilities(self, scores: tf.Tensor) -> tf.Tensor:
        return tf.where(tf.math.is_inf(scores), 0.0, self.probabilities(scores))

    def _rank_examples(self, scores_of: Callable, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(examples, example_spec(self.features, self.width, self.retrieval_signals))
        columns = {
            name: tf.sparse.to_dense(value, np.nan if value.dtype.is_floating else None)
            if isinstance(value, tf.SparseTensor)
            else value
            for name, value in parsed.items()
        }
        for name, column in raw_columns(self.features.item).items():
            if column.shape:
                columns[name] = tf.reshape(columns[name], [-1, self.width, *column.shape])
        return {names.PROBABILITY: self._probabilities(scores_of(**columns))}


def _without_timestamps(features: dict[str, Feature]) -> dict[str, Feature]:
    """Return the features other than timestamps.

    Instead of a timestamp a ranker gets the age of that timestamp at the query, as a signal: in later serving dates
    leave the range of training, ages stay in it.
    """
    return {name: feature for name, feature in features.items() if name not in timestamp_columns(features)}


def query_specs(features: Features) -> dict[str, tf.TensorSpec]:
    """Return the specs of the raw inputs of a query."""
    return {
        **raw.user_specs(features.user),
        names.QUERY_TIME: tf.TensorSpec([None], tf.int64, name=names.QUERY_TIME),
        names.HISTORY_TIME: tf.TensorSpec([None, None], tf.int64, name=names.HISTORY_TIME),
    }


def candidate_specs(features: Features, retrieval_signals: tuple[str, ...]) -> dict[str, tf.TensorSpec]:
    """Return the specs of the raw inputs of candidates, with the signals of the retriever."""
    return {
        names.ITEM_ID: tf.TensorSpec([None, None], tf.string, name=names.ITEM_ID),
        **raw.specs(features.item, None, None),
        **{name: tf.TensorSpec([None, None], tf.float32, name=name) for name in retrieval_signals},
    }


def example_spec(features: Features, width: int, retrieval_signals: tuple[str, ...]) -> dict:
    """Return the parsing spec of the Examples of CandidateGenerator with lists of `width` candidates."""

    def user(column: RawColumn):
        dtype = tf.as_dtype(column.dtype)
        return tf.io.VarLenFeature(dtype) if column.shape else tf.io.FixedLenFeature([], dtype, column.missing)

    def item(column: RawColumn):
        return tf.io.FixedLenFeature([width * math.prod(column.shape)], tf.as_dtype(column.dtype))

    return {
        names.USER_ID: tf.io.FixedLenFeature([], tf.string),
        names.QUERY_TIME: tf.io.FixedLenFeature([], tf.int64),
        names.HISTORY: tf.io.VarLenFeature(tf.string),
        names.HISTORY_TIME: tf.io.VarLenFeature(tf.int64),
        names.ITEM_ID: tf.io.FixedLenFeature([width], tf.string),
        **{name: user(column) for name, column in raw_columns(features.user).items()},
        **{name: item(column) for name, column in raw_columns(features.item).items()},
        **{name: tf.io.FixedLenFeature([width], tf.float32) for name in retrieval_signals},
    }


def lists_of(
    table: pa.Table, features: Features, retrieval_signals: tuple[str, ...] = PER_CANDIDATE
) -> dict[str, np.ndarray]:
    """Return the candidate lists that CandidateGenerator wrote as arrays: users' columns [Q, …], items' [Q, C, …]."""
    history = raw.pad_strings(table[names.HISTORY].combine_chunks())
    columns = {
        names.USER_ID: table[names.USER_ID].to_numpy(),
        names.QUERY_TIME: table[names.QUERY_TIME].to_numpy(),
        names.HISTORY: history,
        names.HISTORY_TIME: raw.pad_integers(table[names.HISTORY_TIME].combine_chunks(), history.shape[1]),
        **raw_arrays(table, features.user),
    }
    items = raw_columns(features.item)
    for name in (names.ITEM_ID, *retrieval_signals, names.LABEL, names.WEIGHT, names.RATING, *items):
        values = table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        columns[name] = values.reshape(table.num_rows, -1, *(items[name].shape if name in items else ()))
    return columns


def transform_lists(
    query: dict[str, tf.Tensor],
    features: Features,
    transform: tf.Module,
    retrieval_signals: tuple[str, ...] = PER_CANDIDATE,
) -> dict[str, tf.Tensor]:
    """Return the transformed columns and all signals from the raw columns of users [B, …] and candidates [B, C, …]."""
    shape = tf.shape(query[names.ITEM_ID])
    items = {name: query[name] for name in (names.ITEM_ID, *raw_columns(features.item))}
    flat = {name: tf.reshape(value, tf.concat([[-1], tf.shape(value)[2:]], 0)) for name, value in items.items()}
    for name, value in flat.items():
        value.set_shape([None] * (items[name].shape.rank - 1))
    columns = user_columns(query, features, transform)
    for name, value in transform(raw.to_sparse(flat)).items():
        columns[name] = tf.reshape(value, tf.concat([shape, tf.shape(value)[1:]], 0))
        columns[name].set_shape([None, None, *value.shape[1:]])
    computed = _computed(query, context.hashed(query[names.ITEM_ID]), features)
    return columns | {name: query[name] for name in retrieval_signals} | computed


def user_columns(query: dict[str, tf.Tensor], features: Features, transform: tf.Module) -> dict[str, tf.Tensor]:
    """Return the transformed columns of users [B, …] from their raw columns."""
    users = {
        names.USER_ID: query[names.USER_ID],
        names.HISTORY: raw.latest(query[names.HISTORY], features.history_length),
        **{name: query[name] for name in raw_columns(features.user)},
    }
    return transform(raw.to_sparse(users))


def _computed(query: dict[str, tf.Tensor], hashes: tf.Tensor, features: Features) -> dict[str, tf.Tensor]:
    """Return the signals that the ranker computes, from raw columns and the hashes of the candidates' ids [B, C]."""
    of_items = query | {names.ITEM_ID: hashes}
    return context.signals(of_items, features.history_length) | context.ages(of_items, features)


def list_ndcg(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray, k: int) -> float:
    """Return the mean NDCG@k of lists ordered by score, ties in the retriever's order.

    Missed items do not lower it, and lists without a relevant candidate are left out of the mean.
    """
    return float(np.nanmean(ndcg_by_list(scores, labels, weights, k)))


def ndcg_by_list(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray, k: int) -> np.ndarray:
    """Return the NDCG@k of each list [Q], as in `list_ndcg`; NaN for a list without a relevant candidate."""
    order = np.argsort(np.where(weights > 0, -scores, np.inf), axis=1, kind="stable")
    hits = np.take_along_axis(labels, order, axis=1) > 0
    return metrics.ndcg(hits, (labels > 0).sum(axis=1), k)


def one_standard_error_rule(values: np.ndarray) -> int:
    """Return the index of the simplest ranker whose mean NDCG is within one standard error of the best ranker's.

    The standard error is computed from the differences to the best ranker on the same lists. The rule prefers a simpler
    ranker, since on a few hundred held-out lists a part of the best ranker's lead is due to chance.

    Args:
      values: [M, Q] the NDCG of M rankers, ordered from the simplest, on each held-out list; NaN for a list without a
        relevant candidate.
    Source: Breiman, Friedman, Olshen and Stone, Classification and Regression Trees (1984), section 3.4.3.
    """
    known = values[:, ~np.isnan(values).any(axis=0)]
    behind = known[known.mean(axis=1).argmax()] - known
    error = behind.std(axis=1, ddof=1) / np.sqrt(known.shape[1]) if known.shape[1] > 1 else np.zeros(len(values))
    return int((behind.mean(axis=1) <= error).argmax())
