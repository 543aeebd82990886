"""The settings of each component and trainer, from the configuration. No TensorFlow here."""

from components.candidate_generator.settings import GeneratorSettings, ImpressionSettings
from components.candidate_index.settings import IndexSettings
from components.drift_detector.settings import DetectorSettings
from components.event_joiner.settings import JoinerSettings
from components.recommender_evaluator.settings import EvaluatorSettings, TwoStepSettings
from components.release_pusher.settings import PusherSettings
from components.transform.settings import TransformSettings
from core.query_settings import QuerySettings, WindowSettings
from pipeline.config import Config
from pipeline.config.table_spec import compared_columns
from serving.settings import ServingSettings
from trainer.retrieval import registry as retrieval_registry
from trainer.step_settings import RankingStepSettings, RetrievalStepSettings


def joiner(config: Config) -> JoinerSettings:
    """Return the settings of EventJoiner."""
    return JoinerSettings(
        user=config.features.user,
        item=config.features.item,
        history_length=config.features.history_length,
        title=config.data.title,
        owner=config.data.owner,
        split=config.split,
        drop_unknown=config.data.interactions.on_unknown == "drop",
        max_dropped=config.data.interactions.max_dropped,
        seed=config.seed,
    )


def transform(config: Config) -> TransformSettings:
    """Return the settings of Transform."""
    return TransformSettings(features=config.features)


def drift_detector(config: Config, releases: str, trusted_keys: tuple[str, ...]) -> DetectorSettings:
    """Return the settings of DriftDetector."""
    return DetectorSettings(
        bounds=config.drift, columns=compared_columns(config), releases=releases, trusted_keys=trusted_keys
    )


def queries(config: Config) -> QuerySettings:
    """Return the settings of the queries of every split."""
    return QuerySettings(
        unit=config.evaluation.unit, exclude_seen=config.data.exclude_seen, in_time=config.split.in_time
    )


def windows(config: Config) -> WindowSettings:
    """Return the settings of the earlier windows of train, whose queries add training lists to those of eval."""
    return WindowSettings(count=config.ranking.earlier_windows, of_each_user=config.split.method != "temporal")


def retrieval_step(config: Config) -> RetrievalStepSettings:
    """Return the settings of RetrievalTrainer."""
    return RetrievalStepSettings(
        model=config.retrieval.model,
        params=config.retrieval.params,
        features=config.features,
        seed=config.seed,
        queries=queries(config),
        max_queries=config.retrieval.validation_queries,
        windows=windows(config),
        training=config.training,
    )


def ranking_step(config: Config) -> RankingStepSettings:
    """Return the settings of RankingTrainer."""
    return RankingStepSettings(
        model=config.ranking.model,
        params=config.ranking.params,
        features=config.features,
        seed=config.seed,
        signals=retrieval_registry.MODELS.signals(config.retrieval.model, config.retrieval.params),
        training=config.training,
    )


def candidate_index(config: Config) -> IndexSettings:
    """Return the settings of CandidateIndex."""
    return IndexSettings(features=config.features, index=config.retrieval.index, seed=config.seed)


def candidate_generator(config: Config) -> GeneratorSettings:
    """Return the settings of CandidateGenerator."""
    impressions = config.data.impressions
    return GeneratorSettings(
        features=config.features,
        candidates=config.retrieval.candidates,
        negatives=config.ranking.negatives,
        impressions=None
        if impressions is None
        else ImpressionSettings(drop_unknown=impressions.on_unknown == "drop", max_dropped=impressions.max_dropped),
        queries=queries(config),
        max_queries=config.ranking.max_queries,
        max_test_queries=min(config.evaluation.max_queries, config.evaluation.max_ranking_queries),
        windows=windows(config),
        seed=config.seed,
    )


def evaluator(
    config: Config,
    releases: str,
    trusted_keys: tuple[str, ...] = (),
    trusted_digests: tuple[str, ...] = (),
    both_steps: bool = False,
) -> EvaluatorSettings:
    """Return the settings of an evaluator of retrieval, or of both steps.

    They contain only the rules of the evaluated steps, so that a change of other rules keeps the cached evaluation.
    """
    evaluation = config.evaluation
    steps = ("retrieval", "two_step") if both_steps else ("retrieval",)
    return EvaluatorSettings(
        features=config.features,
        queries=queries(config),
        max_queries=evaluation.max_queries,
        split=config.split.of_test(config.seed),
        releases=releases,
        trusted_keys=trusted_keys,
        trusted_digests=trusted_digests,
        seed=config.seed,
        rules=tuple(rule for rule in evaluation.conditions if rule.step in steps),
        at=evaluation.at,
        baselines=evaluation.baselines,
        slices=evaluation.slices,
        resamples=evaluation.resamples,
        two_step=TwoStepSettings(min_queries=evaluation.min_queries, serving=serving(config)) if both_steps else None,
    )


def serving(config: Config) -> ServingSettings:
    """Return the serving settings of a release."""
    return ServingSettings(
        name=config.name,
        features=config.features,
        candidates=config.retrieval.candidates,
        reranking=config.reranking,
        exclude_seen=config.data.exclude_seen,
        title=config.data.title,
        owner=config.data.owner,
    )


def release_pusher(config: Config, releases: str, signing_key: str | None) -> PusherSettings:
    """Return the settings of ReleasePusher."""
    return PusherSettings(
        name=config.name,
        seed=config.seed,
        keep=config.release.keep,
        releases=releases,
        signing_key=signing_key,
        serving=serving(config),
    )
