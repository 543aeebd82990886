"""The preprocessing_fn of TensorFlow Transform, for training and serving: raw columns → indices and scaled numbers.

Every output is dense. Ids and categories are indices from 1; 0 is a missing value or padding.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import json

import tensorflow as tf
import tensorflow_transform as tft

from core import names
from transform import graph
from transform.features import Features, raw_columns


def preprocessing_fn(inputs: dict[str, tf.SparseTensor], custom_config: dict) -> dict[str, tf.Tensor]:
    """Return the transformed columns.

    Args:
      inputs: raw columns of the joined events, sparse.
      custom_config: its key `features` holds the feature configuration as JSON.
    Returns:
      user_id, item_id [B] int64; history [B, H] int64; the columns of each feature's `outputs`.
    """
    features = Features.model_validate(json.loads(custom_config["features"]))
    users, items, history = inputs[names.USER_ID], inputs[names.ITEM_ID], inputs[names.HISTORY]
    buckets = features.id_oov_buckets
    catalogue = graph.vocabulary(items, names.ITEM_ID, features.id_min_count)
    outputs = {
        names.USER_ID: graph.index(users, names.USER_ID, features.id_min_count, buckets),
        names.ITEM_ID: graph.first(tft.apply_vocabulary(items, catalogue, num_oov_buckets=buckets)),
        names.HISTORY: graph.dense(
            tft.apply_vocabulary(history, catalogue, num_oov_buckets=buckets), features.history_length
        ),
    }
    every = features.user | features.item
    columns = raw_columns(every)
    indices = {}
    for name in columns:
        outputs |= every[name].transform(name, inputs[name])
        if output := every[name].indices(name):
            indices[name] = outputs[output.column]
    for name, feature in every.items():
        if name not in columns:
            outputs |= feature.transform(name, indices)
    return outputs
