"""The contract of every ranking model: what it is given to fit on, and the SavedModel it exports.

Signatures, in stock TensorFlow ops only (B queries, C candidates each, in the retriever's order):
  rank(user_id [B], history [B, H], user features…, item_id [B, C], item features [B, C] or [B, C, V],
       retrieval_score [B, C], retrieval_rank [B, C]) → score [B, C]
  rank_examples(examples [B]) → probability [B, C]      of the Examples of CandidateGenerator, for TFMA
A candidate with the item id "" is padding and scores -inf.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import tensorflow as tf

from core import metrics, names
from transform import raw
from transform.features import Feature, Features

PER_CANDIDATE = (names.RETRIEVAL_SCORE, names.RETRIEVAL_RANK)


@dataclass(frozen=True)
class RankingData:
    """What a ranking model is fitted on.

    Args:
      features: the feature configuration.
      transform: the transform graph as a layer.
      sizes: transformed column → how many indices it has, 0 included.
      train, validation: transformed columns: users' [Q, …], items' [Q, C, …], retrieval_score, retrieval_rank, label
        and weight [Q, C].
    """

    features: Features
    transform: tf.Module
    sizes: dict[str, int]
    train: dict[str, np.ndarray]
    validation: dict[str, np.ndarray]


class Ranker(tf.Module):
    """A fitted ranking model. A subclass gives `scores` of transformed columns."""

    def __init__(self, data: RankingData):
        super().__init__()
        self.features, self.transform = data.features, data.transform
        self.width = data.train[names.LABEL].shape[1]

    def scores(self, columns: dict[str, tf.Tensor]) -> tf.Tensor:
        """Transformed columns, users' [B, …] and candidates' [B, C, …] → [B, C]."""
        raise NotImplementedError

    def rank(self, **query: tf.Tensor) -> tf.Tensor:
        """Raw columns as the signature takes them → [B, C], padding -inf."""
        scores = self.scores(transform_lists(query, self.features, self.transform))
        return tf.where(tf.equal(query[names.ITEM_ID], ""), -np.inf, scores)

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The served functions by name."""
        specs = {**raw.user_specs(self.features.user), **candidate_specs(self.features)}
        rank = tf.function(lambda **query: {"score": self.rank(**query)}).get_concrete_function(**specs)
        examples = tf.TensorSpec([None], tf.string, name="examples")
        rank_examples = tf.function(self._rank_examples).get_concrete_function(examples)
        return {"rank": rank, "rank_examples": rank_examples, "serving_default": rank}

    def save(self, folder: str) -> None:
        """Write the SavedModel."""
        tf.saved_model.save(self, folder, signatures=self.signatures())

    def _rank_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(examples, example_spec(self.features, self.width))
        columns = {
            name: tf.sparse.to_dense(value) if isinstance(value, tf.SparseTensor) else value
            for name, value in parsed.items()
        }
        for name, feature in self.features.item.items():
            if feature.kind == "multi_valued":
                columns[name] = tf.reshape(columns[name], [-1, self.width, feature.max_values])
        return {"probability": tf.sigmoid(self.rank(**columns))}


def candidate_specs(features: Features) -> dict[str, tf.TensorSpec]:
    """The raw inputs that describe the candidates."""
    return {
        names.ITEM_ID: tf.TensorSpec([None, None], tf.string, name=names.ITEM_ID),
        **raw.specs(features.item, None, None),
        **{name: tf.TensorSpec([None, None], tf.float32, name=name) for name in PER_CANDIDATE},
    }


def example_spec(features: Features, width: int) -> dict:
    """How an Example of CandidateGenerator with lists of `width` candidates is parsed."""

    def user(feature: Feature):
        if feature.kind == "multi_valued":
            return tf.io.VarLenFeature(tf.string)
        missing = np.float32(np.nan) if feature.kind == "numeric" else ""
        return tf.io.FixedLenFeature([], tf.float32 if feature.kind == "numeric" else tf.string, missing)

    def item(feature: Feature):
        values = width * (feature.max_values if feature.kind == "multi_valued" else 1)
        return tf.io.FixedLenFeature([values], tf.float32 if feature.kind == "numeric" else tf.string)

    return {
        names.USER_ID: tf.io.FixedLenFeature([], tf.string),
        names.HISTORY: tf.io.VarLenFeature(tf.string),
        names.ITEM_ID: tf.io.FixedLenFeature([width], tf.string),
        **{name: user(feature) for name, feature in features.user.items()},
        **{name: item(feature) for name, feature in features.item.items()},
        **{name: tf.io.FixedLenFeature([width], tf.float32) for name in PER_CANDIDATE},
    }


def lists_of(table: pa.Table, features: Features) -> dict[str, np.ndarray]:
    """The rows of `components.candidate_generator.candidates` as arrays: users' [Q, …], candidates' [Q, C, …]."""
    columns = {
        names.USER_ID: table[names.USER_ID].to_numpy(),
        names.HISTORY: raw.pad_strings(table[names.HISTORY].combine_chunks()),
        **{name: value.numpy() for name, value in raw.from_table(table, features.user).items()},
    }
    for name in (names.ITEM_ID, *PER_CANDIDATE, names.LABEL, names.WEIGHT, *features.item):
        values = table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        feature = features.item.get(name)
        shape = (-1, feature.max_values) if feature is not None and feature.kind == "multi_valued" else (-1,)
        columns[name] = values.reshape(table.num_rows, *shape)
    return columns


def transform_lists(query: dict[str, tf.Tensor], features: Features, transform: tf.Module) -> dict[str, tf.Tensor]:
    """Raw users [B, …] and candidates [B, C, …] → the same transformed; what is neither goes through as it is."""
    history = raw.latest(query[names.HISTORY], features.history_length)
    users = {
        names.USER_ID: query[names.USER_ID],
        names.HISTORY: history,
        **{name: query[name] for name in features.user},
    }
    shape = tf.shape(query[names.ITEM_ID])
    items = {name: query[name] for name in (names.ITEM_ID, *features.item)}
    flat = {name: tf.reshape(value, tf.concat([[-1], tf.shape(value)[2:]], 0)) for name, value in items.items()}
    for name, value in flat.items():
        value.set_shape([None] * (items[name].shape.rank - 1))
    columns = transform(raw.to_sparse(users))
    for name, value in transform(raw.to_sparse(flat)).items():
        columns[name] = tf.reshape(value, tf.concat([shape, tf.shape(value)[1:]], 0))
        columns[name].set_shape([None, None, *value.shape[1:]])
    return columns | {name: query[name] for name in PER_CANDIDATE}


def list_ndcg(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray, k: int) -> float:
    """Mean NDCG@k of lists ordered by score, ties in the retriever's order.

    Right answers that were not retrieved don't count.
    """
    order = np.argsort(np.where(weights > 0, -scores, np.inf), axis=1, kind="stable")
    hits = np.take_along_axis(labels, order, axis=1) > 0
    return float(np.nanmean(metrics.ndcg(hits, (labels > 0).sum(axis=1), k)))
