"""What TFX's Trainer calls to fit the configured ranking model on the candidate lists."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import json
import os

import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft

from core import names, progress
from core.arrow import STRINGS
from core.examples import read_examples
from core.files import write_json
from trainer.data import examples_uri, transform_sizes
from trainer.ranking.contract import PER_CANDIDATE, RankingData, lists_of, transform_lists
from trainer.ranking.registry import MODELS
from transform.arrow_types import feature_types
from transform.features import Features, raw_columns

LISTS_AT_ONCE = 256


def run_fn(fn_args) -> None:
    """Fit on the train lists, choose by the eval lists, save as `serving_model_dir`.

    Args:
      fn_args: TFX's; its `custom_config` holds model, params, seed, the features as JSON and the retriever's signals.
    """
    config = fn_args.custom_config
    data = inputs(fn_args)
    progress.report(f"fitting {config['model']} on {len(data.train[names.LABEL]):,} lists")
    settings = MODELS.check(config["model"], config["params"])
    ranker, log = MODELS[config["model"]].load()(settings, data, config["seed"])
    ranker.save(fn_args.serving_model_dir)
    write_json(
        os.path.join(fn_args.model_run_dir, names.TRAINING_FILE),
        {"model": config["model"], "settings": settings.model_dump(), "told": data.told} | log,
    )


def inputs(fn_args) -> RankingData:
    """The candidate lists of train, to fit on, and of eval, to choose by.

    Args:
      fn_args: TFX's; its `custom_config` holds the features as JSON and the retriever's signals.
    """
    features = Features.model_validate(json.loads(fn_args.custom_config["features"]))
    output = tft.TFTransformOutput(fn_args.transform_graph_path)
    transform = output.transform_features_layer()
    uri = examples_uri(fn_args.train_files)
    given = (*PER_CANDIDATE, *fn_args.custom_config["signals"])
    lists = {split: read_lists(uri, split, features, given) for split in (names.TRAIN, names.EVAL)}
    return RankingData(
        features=features,
        transform=transform,
        sizes=transform_sizes(output, features),
        train=transformed_lists(lists[names.TRAIN], features, transform, given),
        validation=transformed_lists(lists[names.EVAL], features, transform, given),
        given=given,
    )


def read_lists(
    uri: str, split: str, features: Features, given: tuple[str, ...] = PER_CANDIDATE
) -> dict[str, np.ndarray]:
    """The raw columns of the candidate lists of CandidateGenerator; see `trainer.ranking.contract.lists_of`."""
    users = feature_types(features.user)
    items = {
        name: pa.list_(pa.float32()) if each.numbers else STRINGS for name, each in raw_columns(features.item).items()
    }
    times = {names.QUERY_TIME: pa.int64(), names.HISTORY_TIME: pa.list_(pa.int64())}
    types = {names.USER_ID: pa.string(), names.HISTORY: STRINGS, names.ITEM_ID: STRINGS, **times, **users, **items}
    types |= {name: pa.list_(pa.float32()) for name in (*given, names.LABEL, names.WEIGHT, names.RATING)}
    return lists_of(read_examples(uri, split, types), features, given)


def transformed_lists(
    lists: dict[str, np.ndarray],
    features: Features,
    transform: tf.Module,
    given: tuple[str, ...] = PER_CANDIDATE,
) -> dict[str, np.ndarray]:
    """Raw lists → transformed ones, with label, weight and rating beside them."""
    beside = {name: lists[name] for name in (names.LABEL, names.WEIGHT, names.RATING)}
    names_in = [name for name in lists if name not in beside]
    apply = tf.function(lambda **query: transform_lists(query, features, transform, given), reduce_retracing=True)
    parts = []
    for start in range(0, len(lists[names.LABEL]), LISTS_AT_ONCE):
        part = {name: tf.constant(lists[name][start : start + LISTS_AT_ONCE]) for name in names_in}
        parts.append({name: value.numpy() for name, value in apply(**part).items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} | beside
