"""What TFX's Trainer calls to fit the configured retrieval model, as often as it is asked.

The first model is fitted on train and chosen by eval; its candidates for the events of eval are what the ranker learns
from, so they carry no memory of those events. Where the ranker learns from earlier windows of train too, there is one
more such model for each, fitted with what was chosen on the events before that window. The last model is fitted on
train and eval together and is the one released.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import json
import os

import tensorflow_transform as tft

from core import names, progress, queries
from core.files import write_json
from core.windows import earlier_windows
from trainer import data as training
from trainer.retrieval.contract import Retriever
from trainer.retrieval.registry import MODELS
from transform.features import Features, raw_columns


def early_model(window: int = 0) -> str:
    """Where below the model run the model lies that was fitted on what came before eval, or so many windows earlier."""
    return f"early_{window}" if window else "early"


def run_fn(fn_args) -> None:
    """Fit, save the early models below `model_run_dir` and the released one as `serving_model_dir`.

    Args:
      fn_args: TFX's; its `custom_config` holds model, params, seed, queries, windows and the features as JSON.
    """
    config = fn_args.custom_config
    events, validation = inputs(fn_args)
    entry = MODELS[config["model"]]
    settings, fit = MODELS.check(config["model"], config["params"]), entry.load()

    windows = earlier_windows(events.read(names.TRAIN), events.read(names.EVAL), **config["windows"])

    train = events.data([names.TRAIN], validation)
    progress.report(f"fitting {entry.name} on {len(train.items):,} events of train")
    early: Retriever = fit(settings, train, config["seed"])
    early.save(os.path.join(fn_args.model_run_dir, early_model()))
    for window in windows:
        known = train.where(window.known)
        progress.report(f"fitting {entry.name} on {len(known.items):,} events, {window.number} windows earlier")
        fitted: Retriever = fit(early.settings, known, config["seed"])
        fitted.save(os.path.join(fn_args.model_run_dir, early_model(window.number)))
    both = events.data([names.TRAIN, names.EVAL], None)
    progress.report(f"fitting {entry.name} once more on {len(both.items):,} events of train and eval")
    final: Retriever = fit(early.settings, both, config["seed"])
    final.save(fn_args.serving_model_dir)
    log = {"model": entry.name, "settings": settings.model_dump(), "chosen": early.settings.model_dump()} | early.log
    write_json(os.path.join(fn_args.model_run_dir, names.TRAINING_FILE), log)


def inputs(fn_args) -> tuple[training.Events, queries.Queries]:
    """What models are fitted on, and what the events of eval ask of one that is fitted on train.

    Args:
      fn_args: TFX's; its `custom_config` holds seed, queries and the features as JSON.
    """
    config = fn_args.custom_config
    features = Features.model_validate(json.loads(config["features"]))
    uri = training.examples_uri(fn_args.train_files)
    events = training.Events(uri, features, tft.TFTransformOutput(fn_args.transform_graph_path))
    parts = {split: events.read(split) for split in (names.TRAIN, names.EVAL)}
    validation = queries.build(
        parts[names.TRAIN],
        parts[names.EVAL],
        events.catalogue[names.ITEM_ID].combine_chunks(),
        user_columns=[names.USER_ID, *raw_columns(features.user)],
        history_length=features.history_length,
        left_out=queries.read_left_out(uri),
        seed=config["seed"],
        **config["queries"],
    )
    return events, validation
