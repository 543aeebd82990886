"""The inputs of both trainers: joined events, catalogue, transform graph, and the number of indices of each column."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import functools
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
import tensorflow_transform as tft

from core import names
from core.arrow import read_arrow
from core.events import read_events
from core.queries import Queries, catalogue_rows
from trainer.retrieval.contract import RetrievalData
from transform import raw
from transform.arrow_types import user_types
from transform.features import Features, raw_columns
from transform.names import index_sizes, outputs, vocabularies

USERS_AT_ONCE = 16384

Transformed = Callable[..., dict[str, tf.Tensor]]


class Events:
    """The joined events, as EventJoiner wrote them, and the transform graph that computes model inputs from them.

    Args:
      uri: the URI of the Examples of EventJoiner.
      features: the feature configuration.
      transform_output: the output of the node Transform.
    """

    def __init__(self, uri: str, features: Features, transform_output: tft.TFTransformOutput):
        self.uri, self.features = uri, features
        self.catalogue = read_arrow(Path(uri) / names.CATALOGUE_FILE)
        self.transform = transform_output.transform_features_layer()
        self.sizes = transform_sizes(transform_output, features)
        self.transformed = of_dense(self.transform)
        self._item_columns = _once(lambda: item_columns(self.catalogue, features, self.transformed))

    @functools.cache  # noqa: B019 - lives as long as the trainer's process
    def read(self, split: str) -> pa.Table:
        """Return the events of a split with the columns needed for queries: ids, timestamp, rating, user features."""
        types = user_types(self.features.user)
        return read_events(self.uri, split, types | {names.RATING: pa.float32()})  # null where events have no rating

    def data(self, splits: Sequence[str], validation: Queries | None) -> RetrievalData:
        """Return the data that a retrieval model is fitted on: the events of `splits`, and the validation queries."""
        events = pa.concat_tables([self.read(split) for split in splits])
        ratings = events[names.RATING]
        return RetrievalData(
            features=self.features,
            catalogue=self.catalogue,
            users=events[names.USER_ID].combine_chunks(),
            items=catalogue_rows(self.catalogue[names.ITEM_ID].combine_chunks(), events[names.ITEM_ID]),
            timestamps=events[names.TIMESTAMP].to_numpy(),
            ratings=None if ratings.null_count else ratings.to_numpy(),
            user_columns=_once(lambda: user_columns(events, self.features, self.transformed)),
            item_columns=self._item_columns,
            transform=self.transform,
            transformed=self.transformed,
            sizes=self.sizes,
            validation=validation,
        )


def _once(make: Callable[[], dict[str, np.ndarray]]) -> Callable[[], dict[str, np.ndarray]]:
    """Return a function that calls `make` at its first call, and returns the same value at each call in any thread."""
    lock, made = threading.Lock(), list[dict[str, np.ndarray]]()

    def value() -> dict[str, np.ndarray]:
        with lock:
            if not made:
                made.append(make())
        return made[0]

    return value


def examples_uri(patterns: list[str]) -> str:
    """Return the URI of the Examples artifact from a file pattern of one of its splits."""
    return str(Path(patterns[0]).parent.parent)


def transform_sizes(output: tft.TFTransformOutput, features: Features) -> dict[str, int]:
    """Return transformed index column → its number of indices."""
    return index_sizes(features, {name: output.vocabulary_size_by_name(name) for name in vocabularies(features)})


def of_dense(transform: tf.Module) -> Transformed:
    """Return a transform graph as a function of raw dense columns, traced once for each set of columns."""
    return tf.function(lambda **columns: transform(raw.to_sparse(columns)), reduce_retracing=True, autograph=False)


def item_columns(catalogue: pa.Table, features: Features, transformed: Transformed) -> dict[str, np.ndarray]:
    """Return the transformed columns of the catalogue's items, [N, …] each.

    Args:
      catalogue: item_id and the raw columns of the items' features.
      features: the feature configuration.
      transformed: see `RetrievalData`.
    """
    ids = catalogue[names.ITEM_ID].combine_chunks().to_numpy(zero_copy_only=False)
    columns = transformed(**{names.ITEM_ID: tf.constant(ids)}, **raw.from_table(catalogue, features.item))
    return {name: column.numpy() for name, column in columns.items()}


def user_columns(events: pa.Table, features: Features, transformed: Transformed) -> dict[str, np.ndarray]:
    """Return the transformed columns of the user of each event, [E, …] each; each user is transformed once.

    Args:
      events: user_id and the raw columns of the users' features.
      features: the feature configuration.
      transformed: see `RetrievalData`.
    """
    encoded = pc.dictionary_encode(events[names.USER_ID].combine_chunks())
    rows = encoded.indices.to_numpy()
    first = np.unique(rows, return_index=True)[1]
    users = pa.table({name: events[name].take(pa.array(first)) for name in raw_columns(features.user)})
    ids = encoded.dictionary.to_numpy(zero_copy_only=False)
    parts = []
    for start in range(0, len(ids), USERS_AT_ONCE):
        values = raw.from_table(users.slice(start, USERS_AT_ONCE), features.user)
        columns = transformed(**{names.USER_ID: tf.constant(ids[start : start + USERS_AT_ONCE])}, **values)
        parts.append({name: columns[name].numpy() for name in (names.USER_ID, *outputs(features.user))})
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    # Indices are int32, which halves the memory: there is one for each event.
    whole = {name: column.astype(np.int32) if column.dtype == np.int64 else column for name, column in whole.items()}
    return {name: column[rows] for name, column in whole.items()}
