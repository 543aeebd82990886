"""CandidateGenerator: retrieval models, index and events → candidate lists for the ranker."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.candidate_generator.executor import Executor
from components.candidate_generator.settings import GeneratorSettings
from components.types import CandidateIndex
from core import names


class CandidateGeneratorSpec(ComponentSpec):
    """Inputs, outputs and parameters of CandidateGenerator."""

    PARAMETERS = {"settings": ExecutionParameter(type=str), "code_digest": ExecutionParameter(type=str)}  # noqa: RUF012
    INPUTS = {  # noqa: RUF012 - TFX's form
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "model": ChannelParameter(type=standard_artifacts.Model),
        "model_run": ChannelParameter(type=standard_artifacts.ModelRun),
        "candidate_index": ChannelParameter(type=CandidateIndex),
        names.IMPRESSIONS: ChannelParameter(type=standard_artifacts.Examples, optional=True),
        f"{names.IMPRESSIONS}_anomalies": ChannelParameter(type=standard_artifacts.ExampleAnomalies, optional=True),
    }
    OUTPUTS = {"candidates": ChannelParameter(type=standard_artifacts.Examples)}  # noqa: RUF012


class CandidateGenerator(base_component.BaseComponent):
    """A node that writes the candidate lists on which the ranker is trained, selected and evaluated.

    The output has the splits train, eval and test. Its train and eval lists are made for the queries of EventJoiner's
    eval split, with candidates of the early model, which was fitted without that split. All queries of a random share
    of the users are held out: they are the output's eval split, with the lists that would be served to them. The train
    split also has lists for earlier windows, each from a model fitted on the events before the window. The test lists
    come from the model that is to be released, through its index.

    Args:
      examples: the output of EventJoiner.
      model, model_run: the outputs of RetrievalTrainer; the run holds the early models.
      candidate_index: the output of CandidateIndex.
      impressions, impressions_anomalies: the table of impressions, if there is one, and its anomalies.
      settings: the settings of this component.
      code_digest: the digest of this component's code, part of the cache key.
    Outputs:
      candidates: one Example per query; see `serving.candidates.candidate_table`.
    """

    SPEC_CLASS = CandidateGeneratorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        model_run: types.BaseChannel,
        candidate_index: types.BaseChannel,
        settings: GeneratorSettings,
        code_digest: str,
        impressions: types.BaseChannel | None = None,
        impressions_anomalies: types.BaseChannel | None = None,
    ):
        spec = CandidateGeneratorSpec(
            examples=examples,
            model=model,
            model_run=model_run,
            candidate_index=candidate_index,
            impressions=impressions,
            impressions_anomalies=impressions_anomalies,
            settings=settings.canonical_json(),
            code_digest=code_digest,
            candidates=types.Channel(type=standard_artifacts.Examples),
        )
        super().__init__(spec=spec)
