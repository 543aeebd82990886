"""RecommenderEvaluator: models and events → metrics of the models, and their blessing."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.recommender_evaluator.executor import Executor
from components.recommender_evaluator.settings import EvaluatorSettings
from components.types import BaselineRelease, CandidateIndex, RecommenderEvaluation


class RecommenderEvaluatorSpec(ComponentSpec):
    """Inputs, outputs and parameters of RecommenderEvaluator."""

    PARAMETERS = {"settings": ExecutionParameter(type=str), "code_digest": ExecutionParameter(type=str)}  # noqa: RUF012
    INPUTS = {  # noqa: RUF012 - TFX's form
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "model": ChannelParameter(type=standard_artifacts.Model),
        "candidate_index": ChannelParameter(type=CandidateIndex),
        "ranking_model": ChannelParameter(type=standard_artifacts.Model, optional=True),
        "retrieval_evaluation": ChannelParameter(type=RecommenderEvaluation, optional=True),
        "baseline_release": ChannelParameter(type=BaselineRelease),
    }
    OUTPUTS = {  # noqa: RUF012
        "evaluation": ChannelParameter(type=RecommenderEvaluation),
        "blessing": ChannelParameter(type=standard_artifacts.ModelBlessing, optional=True),
    }


class RecommenderEvaluator(base_component.BaseComponent):
    """A node that measures models over the full catalogue and compares them with baselines and the release in force.

    Without a ranking model the node evaluates retrieval alone. With one it evaluates both steps as they are served, and
    blesses the models if they meet the rules.

    Args:
      examples: output of EventJoiner.
      model: output of RetrievalTrainer.
      candidate_index: output of CandidateIndex.
      settings: the settings of this component; `two_step` is set if and only if there is a ranking model.
      code_digest: the digest of this component's code, part of the cache key.
      baseline_release: output of ReleaseInForce.
      ranking_model: output of RankingTrainer.
      retrieval_evaluation: output of the evaluator of retrieval alone, whose lists are reused.
    Outputs:
      evaluation: `evaluation.json` and the lists of all models.
      blessing: the blessing of both models; only with a ranking model.
    """

    SPEC_CLASS = RecommenderEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        candidate_index: types.BaseChannel,
        settings: EvaluatorSettings,
        code_digest: str,
        baseline_release: types.BaseChannel,
        ranking_model: types.BaseChannel | None = None,
        retrieval_evaluation: types.BaseChannel | None = None,
    ):
        if (settings.two_step is None) != (ranking_model is None):
            raise ValueError("`two_step` of the settings should be set if and only if there is a ranking model")
        spec = RecommenderEvaluatorSpec(
            examples=examples,
            model=model,
            candidate_index=candidate_index,
            ranking_model=ranking_model,
            retrieval_evaluation=retrieval_evaluation,
            baseline_release=baseline_release,
            settings=settings.canonical_json(),
            code_digest=code_digest,
            evaluation=types.Channel(type=RecommenderEvaluation),
            blessing=types.Channel(type=standard_artifacts.ModelBlessing) if ranking_model is not None else None,
        )
        super().__init__(spec=spec)
