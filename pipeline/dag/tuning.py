"""The DAG of a search for the settings of a step's model: the nodes that the step reads from, then TFX's Tuner."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tfx import v1 as tfx

from components.table_example_gen.sources import TableSource
from core import names, node_ids
from core.code import code_digest
from core.files import read_json
from pipeline.config import Config, paths
from pipeline.dag import nodes as dag_nodes
from pipeline.dag import settings as dag_settings
from pipeline.dag import wiring
from pipeline.runners.outcome import Outcome
from trainer.step_settings import TunerSettings, custom_config
from trainer.steps import RANKING, REGISTRIES, RETRIEVAL
from trainer.tuning.records import Records, Trial, trials_folder
from trainer.tuning.space import Space, decoded

_RESULTS_FILE = "tuner_results.json"  # TFX's name


@dataclass(frozen=True)
class Search:
    """The settings of a search.

    Args:
      step: retrieval or ranking.
      space: setting → its search space.
      settings: all settings of the model, as configured.
      trials: the maximum number of trials.
      minutes: the maximum time of all trials, in minutes; None for no limit.
    """

    step: str
    space: Space
    settings: dict[str, Any]
    trials: int
    minutes: float | None

    @property
    def node(self) -> str:
        return f"{self.step.title()}Tuner"

    @property
    def configured(self) -> dict[str, Any]:
        """Return setting → its configured value, for the settings in the search space."""
        return {name: self.settings[name] for name in self.space}


def search_for(config: Config, step: str, space: Space, trials: int, minutes: float | None) -> Search:
    """Return a search for the configured model of a step."""
    chosen = getattr(config, step)
    settings = REGISTRIES[step].check(chosen.model, chosen.params).model_dump(mode="json")
    return Search(step, space, settings, trials, minutes)


def build(
    config: Config, config_file: str | Path, search: Search, tables: dict[str, TableSource] | None = None
) -> tfx.dsl.Pipeline:
    """Return the local pipeline of a search; the nodes before the Tuner share the cache with `twostep run`.

    Args:
      config, config_file, tables: as for `wiring.local_places`.
      search: the search.
    """
    places = wiring.local_places(config, config_file, tables)
    return wiring.local_pipeline(config, nodes(config, places, search, str(paths.tuning_folder(config))))


def nodes(config: Config, places: dag_nodes.Places, search: Search, folder: str | None) -> list[Any]:
    """Return all nodes of the DAG of a search, connected to each other.

    Args:
      config: the configuration.
      places: the files and folders of the pipeline.
      search: the search.
      folder: the folder of finished trials, from which a search continues; None for a new search each time.
    """
    joined = dag_nodes.joined_nodes(config, places)
    made, examples = joined.nodes, joined.joiner.outputs["examples"]
    if search.step == RANKING:
        retrieved = dag_nodes.retrieval_nodes(config, joined)
        made, examples = [*made, *retrieved.nodes], retrieved.generator.outputs["candidates"]
    tuner = tfx.components.Tuner(
        tuner_fn="trainer.tuning.tuner_fn.tuner_fn",
        examples=examples,
        transform_graph=joined.transform.outputs["transform_graph"],
        train_args=tfx.proto.TrainArgs(splits=[names.TRAIN]),
        eval_args=tfx.proto.EvalArgs(splits=[names.EVAL]),
        custom_config=custom_config(tuner_settings(config, search, folder), _code(config, search.step)),
    ).with_id(search.node)
    return [*made, tuner]


def tuner_settings(config: Config, search: Search, folder: str | None) -> TunerSettings:
    """Return the settings of the Tuner."""
    return TunerSettings(
        step=search.step,
        retrieval=dag_settings.retrieval_step(config) if search.step == RETRIEVAL else None,
        ranking=dag_settings.ranking_step(config) if search.step == RANKING else None,
        space={name: each.model_dump(mode="json") for name, each in search.space.items()},
        trials=search.trials,
        minutes=search.minutes,
        folder=folder,
    )


def _code(config: Config, step: str) -> str:
    """Return the digest of the code that a trial runs."""
    chosen = getattr(config, step)
    return code_digest("trainer.tuning.tuner_fn", *REGISTRIES[step].modules(chosen.model, chosen.params))


def finished(outcome: Outcome, search: Search) -> list[Trial]:
    """Return the trials of a finished search, in their order."""
    rows = read_json(outcome.folder(search.node, "tuner_results") / _RESULTS_FILE)
    trials = [Trial(int(row["trial_id"]) + 1, decoded(search.space, row), row["score"]) for row in rows]
    return sorted(trials, key=lambda trial: trial.number)


def kept(config: Config, outcome: Outcome, search: Search) -> list[Trial]:
    """Return the finished trials of a search that was stopped."""
    try:
        ranking = search.step == RANKING
        source = (node_ids.CANDIDATE_GENERATOR, "candidates") if ranking else (node_ids.EVENT_JOINER, "examples")
        examples, transform = outcome.folder(*source), outcome.folder(node_ids.TRANSFORM, "transform_graph")
    except KeyError:
        return []
    folder = paths.tuning_folder(config)
    conditions = tuner_settings(config, search, str(folder)).conditions()
    code = _code(config, search.step)
    records = Records(trials_folder(folder, conditions, code, str(examples), str(transform))).all()
    fixed = {name: value for name, value in search.settings.items() if name not in search.space}
    return [
        replace(trial, params={name: trial.params[name] for name in search.space})
        for trial in records
        if all(trial.params[name] == value for name, value in fixed.items())
    ]
