"""RecommenderEvaluator: models + events → what they are worth, and whether they may be released."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.recommender_evaluator.executor import Executor
from components.types import CandidateIndex, RecommenderEvaluation, Release


class RecommenderEvaluatorSpec(ComponentSpec):
    """Inputs, outputs and parameters of RecommenderEvaluator."""

    PARAMETERS = {"settings": ExecutionParameter(type=str), "code_digest": ExecutionParameter(type=str)}  # noqa: RUF012
    INPUTS = {  # noqa: RUF012 - TFX's form
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "model": ChannelParameter(type=standard_artifacts.Model),
        "candidate_index": ChannelParameter(type=CandidateIndex),
        "ranking_model": ChannelParameter(type=standard_artifacts.Model, optional=True),
        "retrieval_evaluation": ChannelParameter(type=RecommenderEvaluation, optional=True),
        "baseline_release": ChannelParameter(type=Release, optional=True),
    }
    OUTPUTS = {  # noqa: RUF012
        "evaluation": ChannelParameter(type=RecommenderEvaluation),
        "blessing": ChannelParameter(type=standard_artifacts.ModelBlessing, optional=True),
    }


class RecommenderEvaluator(base_component.BaseComponent):
    """Full-catalogue metrics with intervals, by slice, beside the baselines and the release in force.

    Without a ranking model it judges retrieval alone. With one it judges both steps as they will be served, and blesses
    them, or not, by the rules.

    Args:
      examples: of EventJoiner.
      model: of RetrievalTrainer.
      candidate_index: of CandidateIndex.
      settings: JSON with features, queries, split, at, baselines, slices, resamples and seed; with a ranking model also
        serving, rules and min_queries.
      code_digest: of the code of this component.
      ranking_model: of RankingTrainer.
      retrieval_evaluation: of the evaluator of retrieval alone, whose lists are not made again.
      baseline_release: the release in force.
    Outputs:
      evaluation: `evaluation.json` and the lists.
      blessing: of both models together; only with a ranking model.
    """

    SPEC_CLASS = RecommenderEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        candidate_index: types.BaseChannel,
        settings: str,
        code_digest: str,
        ranking_model: types.BaseChannel | None = None,
        retrieval_evaluation: types.BaseChannel | None = None,
        baseline_release: types.BaseChannel | None = None,
    ):
        spec = RecommenderEvaluatorSpec(
            examples=examples,
            model=model,
            candidate_index=candidate_index,
            ranking_model=ranking_model,
            retrieval_evaluation=retrieval_evaluation,
            baseline_release=baseline_release,
            settings=settings,
            code_digest=code_digest,
            evaluation=types.Channel(type=RecommenderEvaluation),
            blessing=types.Channel(type=standard_artifacts.ModelBlessing) if ranking_model is not None else None,
        )
        super().__init__(spec=spec)
