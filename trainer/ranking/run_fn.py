"""What TFX's Trainer calls to fit the configured ranking model on the candidate lists."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import json
import os

import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft

from core import names, progress
from core.columns import STRINGS, feature_types
from core.examples import read_examples
from core.files import write_json
from trainer.data import examples_uri, transform_sizes
from trainer.ranking.contract import PER_CANDIDATE, RankingData, lists_of, transform_lists
from trainer.ranking.registry import MODELS
from transform.features import Features

LISTS_AT_ONCE = 256


def run_fn(fn_args) -> None:
    """Fit on the train lists, choose by the eval lists, save as `serving_model_dir`.

    Args:
      fn_args: TFX's; its `custom_config` holds model, params, seed and the features as JSON.
    """
    config = fn_args.custom_config
    features = Features.model_validate(json.loads(config["features"]))
    output = tft.TFTransformOutput(fn_args.transform_output)
    transform = output.transform_features_layer()
    uri = examples_uri(fn_args.train_files)
    lists = {split: read_lists(uri, split, features) for split in (names.TRAIN, names.EVAL)}
    progress.report(f"fitting {config['model']} on {len(lists[names.TRAIN][names.LABEL]):,} lists")
    data = RankingData(
        features=features,
        transform=transform,
        sizes=transform_sizes(output, features),
        train=transformed_lists(lists[names.TRAIN], features, transform),
        validation=transformed_lists(lists[names.EVAL], features, transform),
    )
    settings = MODELS.check(config["model"], config["params"])
    ranker, log = MODELS[config["model"]].load()(settings, data, config["seed"])
    ranker.save(fn_args.serving_model_dir)
    write_json(
        os.path.join(fn_args.model_run_dir, names.TRAINING_FILE),
        {"model": config["model"], "settings": settings.model_dump()} | log,
    )


def read_lists(uri: str, split: str, features: Features) -> dict[str, np.ndarray]:
    """The raw columns of the candidate lists of CandidateGenerator; see `trainer.ranking.contract.lists_of`."""
    users = feature_types({name: feature.model_dump() for name, feature in features.user.items()})
    items = {name: pa.list_(pa.float32()) if f.kind == "numeric" else STRINGS for name, f in features.item.items()}
    types = {names.USER_ID: pa.string(), names.HISTORY: STRINGS, names.ITEM_ID: STRINGS, **users, **items}
    floats = (*PER_CANDIDATE, names.LABEL, names.WEIGHT)
    return lists_of(read_examples(uri, split, types | {name: pa.list_(pa.float32()) for name in floats}), features)


def transformed_lists(lists: dict[str, np.ndarray], features: Features, transform: tf.Module) -> dict[str, np.ndarray]:
    """Raw lists → transformed ones, with label and weight beside them."""
    names_in = [name for name in lists if name not in (names.LABEL, names.WEIGHT)]
    apply = tf.function(lambda **query: transform_lists(query, features, transform), reduce_retracing=True)
    parts = []
    for start in range(0, len(lists[names.LABEL]), LISTS_AT_ONCE):
        part = {name: tf.constant(lists[name][start : start + LISTS_AT_ONCE]) for name in names_in}
        parts.append({name: value.numpy() for name, value in apply(**part).items()})
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return columns | {name: lists[name] for name in (names.LABEL, names.WEIGHT)}
