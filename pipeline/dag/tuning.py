"""The DAG of a search for a step's settings: that of a run as far as the step, then TFX's Tuner."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tfx import v1 as tfx

from core import names
from core.code import code_digest
from core.files import read_json
from pipeline.config import Config, paths
from pipeline.dag import wiring
from pipeline.runners.outcome import Outcome
from trainer.ranking.registry import MODELS as RANKING
from trainer.retrieval.registry import MODELS as RETRIEVAL
from trainer.tuning.records import Records, Trial, world_folder
from trainer.tuning.space import Space, decoded

REGISTRIES = {"retrieval": RETRIEVAL, "ranking": RANKING}
_RESULTS_FILE = "tuner_results.json"  # TFX's name


@dataclass(frozen=True)
class Search:
    """What is searched for, and how long.

    Args:
      step: retrieval or ranking.
      space: what may be tried of each setting.
      settings: all settings of the model as configured.
      trials: the most trials.
      minutes: the most minutes that trials take in all; None for no limit.
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
        """The settings that vary, as configured."""
        return {name: self.settings[name] for name in self.space}


def search_for(config: Config, step: str, space: Space, trials: int, minutes: float | None) -> Search:
    """A search around what is configured."""
    chosen = getattr(config, step)
    settings = REGISTRIES[step].check(chosen.model, chosen.params).model_dump(mode="json")
    return Search(step, space, settings, trials, minutes)


def build(config: Config, config_file: str | Path, search: Search) -> tfx.dsl.Pipeline:
    """The pipeline for this machine. Its nodes before the Tuner are those of a run, and share its cache."""
    places = wiring.local_places(config, config_file)
    return wiring.local_pipeline(config, nodes(config, places, search, str(paths.tuning_folder(config))))


def nodes(config: Config, places: wiring.Places, search: Search, folder: str | None) -> list[Any]:
    """Every node of the DAG, wired.

    Args:
      folder: where finished trials are kept for a search that goes on; None where each search begins anew.
    """
    joined = wiring.joined_nodes(config, places)
    made, examples = joined.nodes, joined.joiner.outputs["examples"]
    if search.step == "ranking":
        retrieved = wiring.retrieval_nodes(config, joined)
        made, examples = [*made, *retrieved.nodes], retrieved.generator.outputs["candidates"]
    tuner = tfx.components.Tuner(
        tuner_fn="trainer.tuning.tuner_fn.tuner_fn",
        examples=examples,
        transform_graph=joined.transform.outputs["transform_graph"],
        train_args=tfx.proto.TrainArgs(splits=[names.TRAIN]),
        eval_args=tfx.proto.EvalArgs(splits=[names.EVAL]),
        custom_config=tuner_config(config, search, folder),
    ).with_id(search.node)
    return [*made, tuner]


def tuner_config(config: Config, search: Search, folder: str | None) -> dict[str, Any]:
    """What the Tuner is told."""
    chosen = getattr(config, search.step)
    modules = REGISTRIES[search.step].modules(chosen.model, chosen.params)
    return {
        "step": search.step,
        "model": chosen.model,
        "params": chosen.params,
        "space": json.dumps({name: each.model_dump(mode="json") for name, each in search.space.items()}),
        "trials": search.trials,
        "minutes": search.minutes,
        "folder": folder,
        "features": json.dumps(config.features.model_dump(mode="json"), sort_keys=True),
        "queries": wiring.validation_settings(config),
        **wiring.signal_settings(config),
        "seed": config.seed,
        "code": code_digest("trainer.tuning.tuner_fn", *modules),
    }


def finished(outcome: Outcome, search: Search) -> list[Trial]:
    """The trials of a search that has ended, or was taken from cache, in the order they were run."""
    rows = read_json(outcome.folder(search.node, "tuner_results") / _RESULTS_FILE)
    trials = [Trial(int(row["trial_id"]) + 1, decoded(search.space, row), row["score"]) for row in rows]
    return sorted(trials, key=lambda trial: trial.number)


def kept(config: Config, outcome: Outcome, search: Search) -> list[Trial]:
    """The finished trials of a search that was stopped; none where it had not begun."""
    try:
        source = ("CandidateGenerator", "candidates") if search.step == "ranking" else ("EventJoiner", "examples")
        examples, transform = outcome.folder(*source), outcome.folder("Transform", "transform_graph")
    except KeyError:
        return []
    folder = paths.tuning_folder(config)
    told = tuner_config(config, search, str(folder))
    records = Records(world_folder(folder, told, str(examples), str(transform))).all()
    fixed = {name: value for name, value in search.settings.items() if name not in search.space}
    return [
        replace(trial, params={name: trial.params[name] for name in search.space})
        for trial in records
        if all(trial.params[name] == value for name, value in fixed.items())
    ]
