"""The function that TFX's Tuner calls: the search for the settings of a step's model with the highest NDCG@10 on eval.

A retrieval model is fitted on train and evaluated on the queries of eval, a ranking model is fitted on the train lists
and evaluated on the eval lists. Test is not read.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from collections.abc import Callable
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
from trainer.retrieval.validation import Validation
from trainer.step_settings import CODE, RankingStepSettings, RetrievalStepSettings, TunerSettings, settings_json
from trainer.steps import REGISTRIES
from trainer.tuning import space
from trainer.tuning.records import Records, trials_folder
from trainer.tuning.search import Proposals, Search

LENGTH = 10  # the length of the lists that are evaluated: k of NDCG@k


class TunerFnResult(NamedTuple):
    """The result that TFX's Tuner expects."""

    tuner: Search
    fit_kwargs: dict[str, Any]


def tuner_fn(fn_args) -> TunerFnResult:
    """Return the search, ready to run.

    Args:
      fn_args: TFX's arguments; `custom_config` holds `trainer.step_settings.TunerSettings` as JSON.
    """
    settings = TunerSettings.model_validate_json(settings_json(fn_args.custom_config))
    registry, step = REGISTRIES[settings.step], settings.of_step
    configured, dimensions = registry.check(step.model, step.params), space.read(settings.space)
    proposals = Proposals(
        dimensions, {name: getattr(configured, name) for name in dimensions}, settings.trials, step.seed
    )
    trials = trials_folder(
        settings.folder or Path(fn_args.working_dir) / "trials",
        settings.conditions(),
        fn_args.custom_config[CODE],
        examples_uri(fn_args.train_files),
        fn_args.transform_graph_path,
    )
    search = Search(
        proposals,
        settings_of=lambda params: registry.check(step.model, {**step.params, **params}),
        measure=MEASURES[settings.step](fn_args, step),
        records=Records(trials),
        minutes=settings.minutes,
        directory=fn_args.working_dir,
    )
    return TunerFnResult(search, {})


def of_retrieval(fn_args, step: RetrievalStepSettings) -> Callable[[Settings], float]:
    """Return a function that fits a retrieval model on train and returns its NDCG@10 on the queries of eval."""
    progress.report("reading the events of train and eval")
    events, validation = retrieval.inputs(fn_args, step)
    data = events.data([names.TRAIN], validation)
    fit = RETRIEVAL[step.model].load()

    def measure(settings: Settings) -> float:
        return Validation(fit(settings, data, step.seed), data, LENGTH).ndcg()

    return measure


def of_ranking(fn_args, step: RankingStepSettings) -> Callable[[Settings], float]:
    """Return a function that fits a ranking model on the train lists and returns its NDCG@10 on the eval lists."""
    progress.report("reading the candidate lists of train and eval")
    data = ranking.inputs(fn_args, step)
    fit = RANKING[step.model].load()

    def measure(settings: Settings) -> float:
        model, _ = fit(settings, data, step.seed)
        score = tf.function(lambda **columns: model.scores(columns), reduce_retracing=True, autograph=False)
        lists, scores = len(data.validation[names.LABEL]), []
        for start in range(0, lists, ranking.LISTS_AT_ONCE):
            part = slice(start, start + ranking.LISTS_AT_ONCE)
            scores.append(score(**{name: tf.constant(column[part]) for name, column in data.validation.items()}))
        return list_ndcg(np.concatenate(scores), data.validation[names.LABEL], data.validation[names.WEIGHT], LENGTH)

    return measure


MEASURES: dict[str, Callable[[Any, Any], Callable[[Settings], float]]] = {
    "retrieval": of_retrieval,
    "ranking": of_ranking,
}
