"""ReleasePusher: the models, the index and their evaluation → one release, if the models are blessed."""

import core.tf  # noqa: F401  before TFX, which imports TensorFlow

# isort: split
from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts, system_executions
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.release_pusher.executor import LINEAGE, Executor
from components.release_pusher.settings import PusherSettings
from components.types import CandidateIndex, RecommenderEvaluation, Release
from core import names


class ReleasePusherSpec(ComponentSpec):
    """Inputs, outputs and parameters of ReleasePusher."""

    PARAMETERS = {  # noqa: RUF012 - TFX's form
        "settings": ExecutionParameter(type=str),
        "code_digest": ExecutionParameter(type=str),
        LINEAGE: ExecutionParameter(type=str, optional=True),  # set by what runs the node, after the cache check
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
    """A node that publishes both models, the index, the catalogue and the users as one release, or nothing.

    Args:
      retrieval_model, ranking_model, candidate_index, evaluation: the artifacts that the release is copied from.
      retrieval_pushed, ranking_pushed: outputs of the Pushers; a release needs both.
      blessing: the blessing of both steps; without it there is no release.
      examples: output of EventJoiner, which holds the users after their last event.
      statistics: table → its statistics, with which the next delivery is compared.
      settings: the settings of this component.
      code_digest: the digest of this component's code, part of the cache key.
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
        settings: PusherSettings,
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
            settings=settings.canonical_json(),
            code_digest=code_digest,
            release=types.Channel(type=Release),
        )
        super().__init__(spec=spec)
