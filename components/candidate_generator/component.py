"""CandidateGenerator: retrieval models + index + events → the candidate lists that the ranker learns from."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.candidate_generator.executor import Executor
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
        names.EXPOSURES: ChannelParameter(type=standard_artifacts.Examples, optional=True),
        f"{names.EXPOSURES}_anomalies": ChannelParameter(type=standard_artifacts.ExampleAnomalies, optional=True),
    }
    OUTPUTS = {"candidates": ChannelParameter(type=standard_artifacts.Examples)}  # noqa: RUF012


class CandidateGenerator(base_component.BaseComponent):
    """Asks the retriever for candidates as of each query, items that would not be served left out.

    The lists of the splits train and eval answer the events of EventJoiner's eval, from the early model, which has not
    seen them; users are held out whole for eval, whose lists are as they would be served. Those of train answer earlier
    windows of its train too, each from the model fitted on what came before. The lists of test come from the model to
    be released, by its index.

    Args:
      examples: of EventJoiner.
      model, model_run: of RetrievalTrainer; the run holds the early model.
      candidate_index: of CandidateIndex.
      exposures, exposures_anomalies: of what users were shown, where that is known.
      settings: JSON with features, candidates (how many), negatives, queries (unit, exclude_seen, in_time),
        max_queries of a window, test_queries, windows, seed and, where there are exposures, exposed (share of a list,
        drop_unknown).
      code_digest: of the code of this component.
    Outputs:
      candidates: Examples, one a query; see `components.candidate_generator.candidates`.
    """

    SPEC_CLASS = CandidateGeneratorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        model_run: types.BaseChannel,
        candidate_index: types.BaseChannel,
        settings: str,
        code_digest: str,
        exposures: types.BaseChannel | None = None,
        exposures_anomalies: types.BaseChannel | None = None,
    ):
        spec = CandidateGeneratorSpec(
            examples=examples,
            model=model,
            model_run=model_run,
            candidate_index=candidate_index,
            exposures=exposures,
            exposures_anomalies=exposures_anomalies,
            settings=settings,
            code_digest=code_digest,
            candidates=types.Channel(type=standard_artifacts.Examples),
        )
        super().__init__(spec=spec)
