"""The analysis of users and items, and the transform graph with its statistics.

The analysis reads each user and each item once, weighted by the number of their events in train and eval. So it gives
the statistics of these events, at a cost that does not grow with their number.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import functools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from tensorflow_transform import impl_helper

from core import names
from transform import raw
from transform.features import Feature, Features, raw_columns
from transform.preprocessing import preprocessing_fn, transform_id, transform_table
from transform.statistics_store import Computed, used


def write_graph(
    features: Features,
    users: pa.Table,
    items: pa.Table,
    folder: Path,
    earlier: Mapping[str, Sequence[bytes]] | None = None,
) -> None:
    """Analyse the tables and write the transform graph as TensorFlow Transform does.

    Args:
      features: the feature configuration.
      users, items: the id, the raw columns of the features, and `event_count`; rows without events are ignored.
      folder: the folder to write to: `transform_fn`, a SavedModel with the vocabularies, and `transformed_metadata`.
      earlier: name of a vocabulary → the values of an earlier one, which keep their indices; see `statistics.grown`.
    """
    with tempfile.TemporaryDirectory() as analysis:
        analyse(features, users, items, Path(analysis), earlier)
        config = {"features": features.canonical_json(), "analysis": analysis}
        specs = {
            name: tf.SparseTensorSpec([None, None], tf.string) for name in (names.USER_ID, names.ITEM_ID, names.HISTORY)
        }
        for name, column in raw_columns(features.user | features.item).items():
            specs[name] = tf.SparseTensorSpec([None, None], tf.as_dtype(column.dtype))
        impl_helper.analyze_in_place(
            functools.partial(preprocessing_fn, custom_config=config), False, {}, specs, str(folder)
        )


def with_event_counts(table: pa.Table, key: str, ids: pa.ChunkedArray) -> pa.Table:
    """Return a table of users or items with `event_count`, the number of their events.

    Args:
      table: the id in column `key`, and other columns.
      key: the name of the column of the id.
      ids: the id of each event, of the table only.
    """
    rows = pc.index_in(ids.combine_chunks(), value_set=table[key].combine_chunks()).to_numpy()
    return table.append_column(names.EVENT_COUNT, pa.array(np.bincount(rows, minlength=len(table))))


def analyse(
    features: Features,
    users: pa.Table,
    items: pa.Table,
    folder: Path,
    earlier: Mapping[str, Sequence[bytes]] | None = None,
) -> None:
    """Write the statistics of the columns to a folder that exists; see `write_graph`."""
    computed = Computed(folder, earlier)
    with used(computed):
        for key, table, members in ((names.USER_ID, users, features.user), (names.ITEM_ID, items, features.item)):
            _analyse_table(computed, key, table.filter(pc.greater(table[names.EVENT_COUNT], 0)), members, features)
    computed.write()


def _analyse_table(
    computed: Computed, key: str, table: pa.Table, members: Mapping[str, Feature], features: Features
) -> None:
    computed.weights = table[names.EVENT_COUNT].to_numpy()
    ids = tf.constant(table[key].combine_chunks().to_numpy(zero_copy_only=False))
    inputs = raw.to_sparse({key: ids, **raw.from_table(table, members)})
    transform_id(key, inputs[key], features)
    transform_table(members, inputs)
