"""The function that TFX's Trainer calls to fit the configured ranking model on the candidate lists."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft

from core import names, progress
from core.arrow import STRINGS
from core.examples import files, read_files
from core.files import write_json
from trainer.data import examples_uri, transform_sizes
from trainer.distribution.joined import devices
from trainer.ranking.contract import PER_CANDIDATE, RankingData, lists_of, transform_lists
from trainer.ranking.registry import MODELS
from trainer.step_settings import RankingStepSettings, settings_json
from transform.arrow_types import feature_types
from transform.features import Features, raw_columns

LISTS_AT_ONCE = 256
Apply = Callable[..., dict[str, tf.Tensor]]


def run_fn(fn_args) -> None:
    """Fit the ranking model on the train lists, validated on the eval lists, and save it in `serving_model_dir`.

    Args:
      fn_args: TFX's arguments; `custom_config` holds `trainer.step_settings.RankingStepSettings` as JSON.
    """
    step = RankingStepSettings.model_validate_json(settings_json(fn_args.custom_config))
    settings = MODELS.check(step.model, step.params)
    with devices("ranking", fn_args, step.training) as distribution:
        data = replace(inputs(fn_args, step), distribution=distribution)
        progress.report(f"fitting {step.model} on {len(data.train[names.LABEL]):,} lists")
        ranker, log = MODELS[step.model].load()(settings, data, step.seed)
    ranker.save(fn_args.serving_model_dir)
    write_json(
        os.path.join(fn_args.model_run_dir, names.TRAINING_FILE),
        {"model": step.model, "settings": settings.model_dump(), "inputs": data.inputs} | log,
    )


def inputs(fn_args, step: RankingStepSettings) -> RankingData:
    """Return the data of a ranking model: the candidate lists of train to fit on, and those of eval for validation.

    Args:
      fn_args: TFX's arguments.
      step: the settings of the step.
    """
    features = step.features
    output = tft.TFTransformOutput(fn_args.transform_graph_path)
    transform = output.transform_features_layer()
    uri = examples_uri(fn_args.train_files)
    retrieval_signals = (*PER_CANDIDATE, *step.signals)
    apply = transformer(features, transform, retrieval_signals)
    train, validation = (
        read_transformed(uri, split, features, apply, retrieval_signals) for split in (names.TRAIN, names.EVAL)
    )
    return RankingData(
        features=features,
        transform=transform,
        sizes=transform_sizes(output, features),
        train=train,
        validation=validation,
        retrieval_signals=retrieval_signals,
    )


def read_transformed(
    uri: str,
    split: str,
    features: Features,
    apply: Apply,
    retrieval_signals: tuple[str, ...] = PER_CANDIDATE,
) -> dict[str, np.ndarray]:
    """Return the columns that `apply` computes of the lists of a split, and label, weight and rating unchanged.

    Files are read one after the other, since the strings of all raw lists take several times the memory of the columns.
    """
    types = _types(features, retrieval_signals)
    parts = [
        _transformed(lists_of(read_files([file], types), features, retrieval_signals), apply)
        for file in files(uri, split)
    ]
    return {name: _concatenated([part.pop(name) for part in parts]) for name in list(parts[0])}


def read_lists(
    uri: str, split: str, features: Features, retrieval_signals: tuple[str, ...] = PER_CANDIDATE
) -> dict[str, np.ndarray]:
    """Return the raw columns of the candidate lists of a split; see `trainer.ranking.contract.lists_of`."""
    return lists_of(read_files(files(uri, split), _types(features, retrieval_signals)), features, retrieval_signals)


def transformed_lists(
    lists: dict[str, np.ndarray],
    features: Features,
    transform: tf.Module,
    retrieval_signals: tuple[str, ...] = PER_CANDIDATE,
) -> dict[str, np.ndarray]:
    """Return the transformed columns of raw lists, and label, weight and rating unchanged."""
    return _transformed(lists, transformer(features, transform, retrieval_signals))


def _types(features: Features, retrieval_signals: tuple[str, ...]) -> dict[str, pa.DataType]:
    """Return column → type of the Examples of candidate lists."""
    users = feature_types(features.user)
    items = {name: pa.list_(column.value_type()) for name, column in raw_columns(features.item).items()}
    times = {names.QUERY_TIME: pa.int64(), names.HISTORY_TIME: pa.list_(pa.int64())}
    types = {names.USER_ID: pa.string(), names.HISTORY: STRINGS, names.ITEM_ID: STRINGS, **times, **users, **items}
    return types | {
        name: pa.list_(pa.float32()) for name in (*retrieval_signals, names.LABEL, names.WEIGHT, names.RATING)
    }


def transformer(features: Features, transform: tf.Module, retrieval_signals: tuple[str, ...] = PER_CANDIDATE) -> Apply:
    """Return a function from raw columns to transformed columns; see `trainer.ranking.contract.transform_lists`."""
    return tf.function(
        lambda **query: transform_lists(query, features, transform, retrieval_signals),
        reduce_retracing=True,
        autograph=False,
    )


def _transformed(lists: dict[str, np.ndarray], apply: Apply) -> dict[str, np.ndarray]:
    """Return the columns that `apply` computes of raw lists, and label, weight and rating unchanged."""
    unchanged = {name: lists[name] for name in (names.LABEL, names.WEIGHT, names.RATING)}
    raw_names = [name for name in lists if name not in unchanged]
    parts = []
    for start in range(0, len(lists[names.LABEL]), LISTS_AT_ONCE):
        part = {name: tf.constant(lists[name][start : start + LISTS_AT_ONCE]) for name in raw_names}
        parts.append({name: value.numpy() for name, value in apply(**part).items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} | unchanged


def _concatenated(parts: list[np.ndarray]) -> np.ndarray:
    """Return arrays [Q, …] one after the other, padded with 0, the index of a missing value, to the widest of them."""
    shape = np.max([part.shape[1:] for part in parts], axis=0).astype(int)
    whole = np.zeros((sum(map(len, parts)), *shape), parts[0].dtype)
    start = 0
    for part in parts:
        whole[(slice(start, start + len(part)), *map(slice, part.shape[1:]))] = part
        start += len(part)
    return whole
