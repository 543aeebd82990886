"""What TFX's Tuner calls: the search for a step's model, judged on eval.

Retrieval: fitted on train, asked the events of eval. Ranking: fitted on the train lists, judged on the eval lists.
Nothing here reads test.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import functools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from core import names, progress
from core.settings import Settings
from trainer.data import examples_uri
from trainer.ranking import run_fn as ranking
from trainer.ranking.contract import list_ndcg
from trainer.ranking.registry import MODELS as RANKING
from trainer.retrieval import run_fn as retrieval
from trainer.retrieval.registry import MODELS as RETRIEVAL
from trainer.retrieval.validation import Judge
from trainer.tuning import space
from trainer.tuning.records import Records, world_folder
from trainer.tuning.search import Proposals, Search

REGISTRIES = {"retrieval": RETRIEVAL, "ranking": RANKING}
LENGTH = 10  # of the lists that are judged


class TunerFnResult(NamedTuple):
    """What TFX's Tuner takes."""

    tuner: Search
    fit_kwargs: dict[str, Any]


def tuner_fn(fn_args) -> TunerFnResult:
    """The search, ready to run.

    Args:
      fn_args: TFX's; its `custom_config` holds step, model, params, space, trials, minutes, folder (of the trials; null
        for one below the working folder), queries, signals, seed, code and the features as JSON.
    """
    config = fn_args.custom_config
    registry = REGISTRIES[config["step"]]
    configured, dimensions = registry.check(config["model"], config["params"]), space.read(json.loads(config["space"]))
    proposals = Proposals(
        dimensions, {name: getattr(configured, name) for name in dimensions}, config["trials"], config["seed"]
    )
    world = world_folder(
        config["folder"] or Path(fn_args.working_dir) / "trials",
        config,
        examples_uri(fn_args.train_files),
        fn_args.transform_graph_path,
    )
    search = Search(
        proposals,
        settings_of=lambda params: registry.check(config["model"], {**config["params"], **params}),
        measure=MEASURES[config["step"]](fn_args),
        records=Records(world),
        minutes=config["minutes"],
        directory=fn_args.working_dir,
    )
    return TunerFnResult(search, {})


def of_retrieval(fn_args) -> Callable[[Settings], float]:
    """Settings → NDCG@10 of the model fitted on train, asked the events of eval."""
    config = fn_args.custom_config
    progress.report("reading the events of train and eval")
    events, validation = retrieval.inputs(fn_args)
    data = events.data([names.TRAIN], validation)
    columns = functools.cache(data.transformed)
    data = replace(data, transformed=lambda: dict(columns()))  # a copy: a fit may put columns of its own beside them
    fit = RETRIEVAL[config["model"]].load()

    def measure(settings: Settings) -> float:
        return Judge(fit(settings, data, config["seed"]), data, LENGTH).ndcg()

    return measure


def of_ranking(fn_args) -> Callable[[Settings], float]:
    """Settings → NDCG@10 of the eval lists in the order of the model fitted on the train lists."""
    config = fn_args.custom_config
    progress.report("reading the candidate lists of train and eval")
    data = ranking.inputs(fn_args)
    fit = RANKING[config["model"]].load()

    def measure(settings: Settings) -> float:
        ranker, _ = fit(settings, data, config["seed"])
        score = tf.function(lambda **columns: ranker.scores(columns), reduce_retracing=True)
        lists, scores = len(data.validation[names.LABEL]), []
        for start in range(0, lists, ranking.LISTS_AT_ONCE):
            part = slice(start, start + ranking.LISTS_AT_ONCE)
            scores.append(score(**{name: tf.constant(column[part]) for name, column in data.validation.items()}))
        return list_ndcg(np.concatenate(scores), data.validation[names.LABEL], data.validation[names.WEIGHT], LENGTH)

    return measure


MEASURES = {"retrieval": of_retrieval, "ranking": of_ranking}
