"""CandidateIndex: retrieval model + catalogue → the index that candidates come from."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.candidate_index.executor import Executor
from components.candidate_index.settings import IndexSettings
from components.types import CandidateIndex as CandidateIndexArtifact


class CandidateIndexSpec(ComponentSpec):
    """Inputs, outputs and parameters of CandidateIndex."""

    PARAMETERS = {"settings": ExecutionParameter(type=str), "code_digest": ExecutionParameter(type=str)}  # noqa: RUF012
    INPUTS = {  # noqa: RUF012 - TFX's form
        "model": ChannelParameter(type=standard_artifacts.Model),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = {"candidate_index": ChannelParameter(type=CandidateIndexArtifact)}  # noqa: RUF012


class CandidateIndex(base_component.BaseComponent):
    """Embeds the whole catalogue, cold items too, builds the index and fails when it finds too little.

    Args:
      model: of RetrievalTrainer.
      examples: of EventJoiner, for the catalogue and for queries to measure with.
      settings: of this component.
      code_digest: of the code of this component.
    Outputs:
      candidate_index: the index, the catalogue beside it and a report with the measured recall.
    """

    SPEC_CLASS = CandidateIndexSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self, model: types.BaseChannel, examples: types.BaseChannel, settings: IndexSettings, code_digest: str
    ):
        index = types.Channel(type=CandidateIndexArtifact)
        spec = CandidateIndexSpec(
            model=model,
            examples=examples,
            settings=settings.canonical_json(),
            code_digest=code_digest,
            candidate_index=index,
        )
        super().__init__(spec=spec)
