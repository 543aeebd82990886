"""The preprocessing_fn of TensorFlow Transform, for training and serving: raw columns → indices and scaled numbers.

Every output is dense. Ids and categories are indices from 1; 0 is a missing value or padding.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from core import names
from core.errors import UsageError
from core.printable import one_line
from transform import graph
from transform.features import Feature, Features, raw_columns
from transform.statistics_store import Stored, current, used


def preprocessing_fn(inputs: dict[str, tf.SparseTensor], custom_config: dict) -> dict[str, tf.Tensor]:
    """Return the transformed columns.

    Args:
      inputs: raw columns of the joined events, sparse.
      custom_config: `features`, the feature configuration as JSON; `analysis`, the folder of the statistics.
    Returns:
      user_id, item_id [B] int64; history [B, H] int64; the columns of each feature's `outputs`.
    """
    features = Features.model_validate(json.loads(custom_config["features"]))
    with used(Stored(Path(custom_config["analysis"]))):
        users = transform_id(names.USER_ID, inputs[names.USER_ID], features)
        items = transform_id(names.ITEM_ID, inputs[names.ITEM_ID], features)
        history = graph.in_vocabulary(
            inputs[names.HISTORY], names.ITEM_ID, features.id_min_count, features.id_oov_buckets
        )
        return {
            names.USER_ID: users,
            names.ITEM_ID: items,
            names.HISTORY: graph.dense(history, features.history_length),
            **transform_table(features.user, inputs),
            **transform_table(features.item, inputs),
        }


def transform_id(key: str, ids: tf.SparseTensor, features: Features) -> tf.Tensor:
    """Return the indices [B] of the ids of users or items."""
    return graph.index(ids, key, features.id_min_count, features.id_oov_buckets)


def transform_table(members: Mapping[str, Feature], inputs: Mapping[str, tf.SparseTensor]) -> dict[str, tf.Tensor]:
    """Return the columns of the outputs of a table's features, from raw columns.

    Args:
      members: the features of a table, by column.
      inputs: the raw columns of these features, and others.
    Raises:
      UsageError: a user-defined kind fails.
    """
    columns = raw_columns(members)
    outputs: dict[str, tf.Tensor] = {}
    indices = {}
    for name in columns:
        outputs |= _outputs(members[name], name, inputs[name])
        if output := members[name].indices(name):
            indices[name] = outputs[output.column]
    for name, feature in members.items():
        if name not in columns:
            outputs |= _outputs(feature, name, indices)
    return outputs


def _outputs(feature: Feature, name: str, column: Any) -> dict[str, tf.Tensor]:
    """Return the outputs of a feature. Raises: UsageError, where a user-defined kind fails."""
    current().feature = name
    try:
        return feature.transform(name, column)
    except Exception as error:
        if ":" not in feature.kind:
            raise
        raise UsageError(
            f"features: {name}: `transform` of {feature.kind} should run on tensors with values and in a graph; it "
            f"raised {type(error).__name__}: {one_line(error, 200)}. Compute vocabularies and other statistics with "
            "the functions of transform.graph; analyzers of TensorFlow Transform cannot be used (docs/features.md)"
        ) from error
