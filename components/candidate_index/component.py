"""CandidateIndex: retrieval model and catalogue → the index from which candidates are retrieved."""

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
    """A node that embeds the whole catalogue, including cold items, and builds the index.

    The node fails if the recall of the index is below the bound of the settings.

    Args:
      model: the output of RetrievalTrainer.
      examples: the output of EventJoiner: the catalogue, and users whose queries measure the recall.
      settings: the settings of this component.
      code_digest: the digest of this component's code, part of the cache key.
    Outputs:
      candidate_index: the index, a copy of the catalogue and a report with the measured recall.
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
