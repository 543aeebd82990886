"""ReleasePusher: the models, the index and their evaluation → one release, if they are blessed."""

import core.tf  # noqa: F401  before TFX, which imports TensorFlow

# isort: split
from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts, system_executions
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.release_pusher.executor import Executor
from components.types import CandidateIndex, RecommenderEvaluation, Release
from core import names


class ReleasePusherSpec(ComponentSpec):
    """Inputs, outputs and parameters of ReleasePusher."""

    PARAMETERS = {  # noqa: RUF012 - TFX's form
        "releases": ExecutionParameter(type=str),
        "name": ExecutionParameter(type=str),
        "seed": ExecutionParameter(type=int),
        "keep": ExecutionParameter(type=int),
        "serving": ExecutionParameter(type=str),
        "signing_key": ExecutionParameter(type=str),
        "code_digest": ExecutionParameter(type=str),
    }
    INPUTS = {  # noqa: RUF012
        "retrieval_model": ChannelParameter(type=standard_artifacts.Model),
        "ranking_model": ChannelParameter(type=standard_artifacts.Model),
        "candidate_index": ChannelParameter(type=CandidateIndex),
        "retrieval_pushed": ChannelParameter(type=standard_artifacts.PushedModel),
        "ranking_pushed": ChannelParameter(type=standard_artifacts.PushedModel),
        "evaluation": ChannelParameter(type=RecommenderEvaluation),
        "blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        **{
            key: ChannelParameter(type=standard_artifacts.ExampleStatistics, optional=True)
            for key in names.STATISTICS_INPUTS.values()
        },
    }
    OUTPUTS = {"release": ChannelParameter(type=Release)}  # noqa: RUF012
    TYPE_ANNOTATION = system_executions.Deploy


class ReleasePusher(base_component.BaseComponent):
    """Publish both models, the index, the catalogue and the users as one release, or nothing.

    Args:
      retrieval_model, ranking_model, candidate_index, evaluation: what the release is copied from.
      retrieval_pushed, ranking_pushed: what the Pushers of the two models say they did; a release waits for both.
      blessing: of both steps together; without it there is no release.
      examples: of EventJoiner, for the users as of training.
      statistics: table → its statistics, which the next delivery is compared with.
      releases: the folder of the releases, absolute, on a mounted file system.
      name: of the recommender.
      seed: of everything that was drawn.
      keep: how many releases stay when one is made; see `core.release.writer.collect`.
      serving: JSON of `serving.settings.ServingSettings`.
      signing_key: file of the private key that the manifest is signed with; "" for none.
      code_digest: of the code of this component, so that the cache notices a change in it.
    Outputs:
      release: see `components.types.Release`.
    """

    SPEC_CLASS = ReleasePusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        retrieval_model: types.BaseChannel,
        ranking_model: types.BaseChannel,
        candidate_index: types.BaseChannel,
        retrieval_pushed: types.BaseChannel,
        ranking_pushed: types.BaseChannel,
        evaluation: types.BaseChannel,
        blessing: types.BaseChannel,
        examples: types.BaseChannel,
        statistics: dict[str, types.BaseChannel],
        releases: str,
        name: str,
        seed: int,
        keep: int,
        serving: str,
        signing_key: str,
        code_digest: str,
    ):
        spec = ReleasePusherSpec(
            retrieval_model=retrieval_model,
            ranking_model=ranking_model,
            candidate_index=candidate_index,
            retrieval_pushed=retrieval_pushed,
            ranking_pushed=ranking_pushed,
            evaluation=evaluation,
            blessing=blessing,
            examples=examples,
            **{names.STATISTICS_INPUTS[table]: channel for table, channel in statistics.items()},
            releases=releases,
            name=name,
            seed=seed,
            keep=keep,
            serving=serving,
            signing_key=signing_key,
            code_digest=code_digest,
            release=types.Channel(type=Release),
        )
        super().__init__(spec=spec)
