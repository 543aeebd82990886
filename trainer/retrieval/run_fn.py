"""The function that TFX's Trainer calls to fit the configured retrieval model.

The early model is fitted on train and validated on eval. The ranker learns from the candidates of the early model for
the queries of eval, since the early model was not fitted on the events of eval. If the ranker also learns from earlier
windows of train, one more early model is fitted for each window, on the events before the window and with the settings
that validation on eval chose. The last model is fitted on train and eval together and is the one released.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import tensorflow_transform as tft

from core import names, progress, queries
from core.files import write_json
from core.settings import Settings
from core.windows import earlier_windows
from trainer import data as training
from trainer.distribution.distribution import Distribution
from trainer.distribution.joined import devices
from trainer.retrieval import fitting
from trainer.retrieval.contract import RetrievalModel
from trainer.retrieval.registry import MODELS
from trainer.retrieval.warm_start import files
from trainer.retrieval.warm_start.known import last_events
from trainer.step_settings import RetrievalStepSettings, settings_json
from transform.features import raw_columns
from transform.names import vocabularies


def early_model(window: int = 0) -> str:
    """Return the folder, below `model_run_dir`, of the early model for eval (0) or for an earlier window (from 1)."""
    return f"early_{window}" if window else "early"


def run_fn(fn_args) -> None:
    """Fit all models; save the early ones below `model_run_dir` and the one to release in `serving_model_dir`.

    Args:
      fn_args: TFX's arguments; `custom_config` holds `trainer.step_settings.RetrievalStepSettings` as JSON.
    """
    step = RetrievalStepSettings.model_validate_json(settings_json(fn_args.custom_config))
    settings = MODELS.check(step.model, step.params)
    with devices("retrieval", fn_args, step.training) as distribution:
        if not distribution.several:
            fitting.share_cores(step.model, settings)
        _fit(fn_args, step, settings, distribution)


def _fit(fn_args, step: RetrievalStepSettings, settings: Settings, distribution: Distribution) -> None:
    """Fit and save all models on the given devices."""
    events, validation = inputs(fn_args, step)
    windows = earlier_windows(events.read(names.TRAIN), events.read(names.EVAL), **step.windows.model_dump())
    train, both = events.data([names.TRAIN], validation), events.data([names.TRAIN, names.EVAL], None)
    given: dict[str, pa.Table] = {}
    if fn_args.base_model:
        given[files.EARLY] = last_events(events.read(names.TRAIN))
        given[files.RELEASED] = last_events(given[files.EARLY], events.read(names.EVAL))
    start = _start(fn_args, step, given)
    train, both = (
        replace(data, base=start.bases.get(fit), distribution=distribution)
        for data, fit in ((train, files.EARLY), (both, files.RELEASED))
    )
    progress.report(f"fitting {step.model} on {len(train.items):,} events of train, then on {len(both.items):,}")
    log = {"model": step.model, "settings": settings.model_dump()}

    def after_early(early: RetrievalModel) -> None:
        """Save the early model; fit and save those for earlier windows."""
        log.update({"chosen": early.settings.model_dump()} | early.log)
        early.save(os.path.join(fn_args.model_run_dir, early_model()))
        for window in windows:
            known = train.where(window.known)
            progress.report(f"fitting {step.model} on {len(known.items):,} events, those before window {window.number}")
            fitted = fitting.fit(step.model, early.settings, known, step.seed)
            fitted.save(os.path.join(fn_args.model_run_dir, early_model(window.number)))

    final = fitting.fit_both(step.model, settings, train, both, step.seed, after_early)
    final.save(fn_args.serving_model_dir)
    if fn_args.base_model:
        early = Path(fn_args.model_run_dir) / early_model()
        files.write(Path(fn_args.serving_model_dir), early, start, given)
        log["warm_start"] = start.reason or "warm"
    write_json(os.path.join(fn_args.model_run_dir, names.TRAINING_FILE), log)


def _start(fn_args, step: RetrievalStepSettings, given: Mapping[str, pa.Table]) -> files.Start:
    """Return the beginning of both fits, and report why it is cold if it could be warm."""
    if not fn_args.base_model:
        return files.Start({}, {})
    transformed = tft.TFTransformOutput(fn_args.transform_graph_path)
    now = {name: transformed.vocabulary_by_name(name) for name in vocabularies(step.features)}
    start = files.read(Path(fn_args.base_model), step.features, now, given, step.windows.of_each_user)
    progress.report(f"cold start: {start.reason}" if start.reason else "warm start")
    return start


def inputs(fn_args, step: RetrievalStepSettings) -> tuple[training.Events, queries.Queries]:
    """Return the events, and the validation queries: the queries of eval, with histories from train.

    Args:
      fn_args: TFX's arguments.
      step: the settings of the step.
    """
    features = step.features
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
        seed=step.seed,
        max_queries=step.max_queries,
        **step.queries.model_dump(),
    )
    return events, validation
