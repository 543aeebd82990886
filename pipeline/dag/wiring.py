"""The wiring: which node feeds which. Paths come in from outside, so every runner gets the same DAG."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfx import v1 as tfx
from tfx.dsl.components.common.resolver import Resolver
from tfx.types import Channel

from components.candidate_generator.component import CandidateGenerator
from components.candidate_index.component import CandidateIndex
from components.event_joiner.component import EventJoiner
from components.recommender_evaluator.component import RecommenderEvaluator
from components.recommender_evaluator.in_force import ReleaseInForce
from components.release_pusher.component import ReleasePusher
from components.table_example_gen.sources import TableSource
from components.types import Release
from core import names
from core.code import code_digest
from pipeline.config import Config, paths
from pipeline.dag import tfma
from pipeline.dag.tables import drift_nodes, table_nodes
from serving.settings import ServingSettings
from trainer.ranking import registry as ranking_registry
from trainer.retrieval import registry as retrieval_registry
from transform.features import own_modules

# The direct runner would try to fetch a binary of another runner first. Without an image, which no local run starts,
# TFX packs its own source for every node that uses Beam, and leaves 42 MB of it in the temporary folder each time.
BEAM_ARGS = ("--runner=FnApiRunner", "--sdk_container_image=none")

_REGISTRIES = {"retrieval": retrieval_registry.MODELS, "ranking": ranking_registry.MODELS}


@dataclass(frozen=True)
class Places:
    """Where a runner reads from and writes to.

    Args:
      tables: table → where its files lie.
      releases: folder of the releases.
      serving: folder of the pushed models, as TensorFlow Serving expects them.
      schemas: table → a frozen schema to import.
      signing_key: file of the key that releases are signed with; "" for none.
      trusted_keys: files of the public keys that a release should be signed with; empty for none.
    """

    tables: dict[str, TableSource]
    releases: str
    serving: str
    schemas: dict[str, str]
    signing_key: str = ""
    trusted_keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Joined:
    """What both steps are made from: the nodes up to Transform, and those of them that others read.

    Args:
      nodes: all of them, the two below among them.
      joiner, transform: EventJoiner and Transform.
      exposures: what CandidateGenerator reads beside them, where there are exposures.
      statistics: table → its statistics.
    """

    nodes: list[Any]
    joiner: Any
    transform: Any
    exposures: dict[str, Channel]
    statistics: dict[str, Channel]


@dataclass(frozen=True)
class Retrieved:
    """The first step, as far as the second is made from it."""

    trainer: Any
    index: Any
    generator: Any

    @property
    def nodes(self) -> list[Any]:
        return [self.trainer, self.index, self.generator]


def build(config: Config, config_file: str | Path) -> tfx.dsl.Pipeline:
    """The pipeline for this machine."""
    places = local_places(config, config_file)
    return local_pipeline(config, nodes(config, places))


def upstream(config: Config, config_file: str | Path) -> dict[str, list[str]]:
    """Return node -> the nodes that it reads from, in the order in which they run; nothing is written."""
    places = Places(
        tables=paths.table_sources(config, config_file),
        releases=str(paths.releases_folder(config)),
        serving=str(paths.serving_folder(config)),
        schemas={table: str(file) for table, file in paths.schema_files(config, config_file).items()},
    )
    pipeline = tfx.dsl.Pipeline(
        pipeline_name=config.name, pipeline_root=str(paths.pipeline_root(config)), components=nodes(config, places)
    )
    return {node.id: sorted(each.id for each in node.upstream_nodes) for node in pipeline.components}


def local_places(config: Config, config_file: str | Path) -> Places:
    """Where the pipeline of this machine reads and writes."""
    return Places(
        tables=paths.table_sources(config, config_file),
        releases=str(paths.releases_folder(config)),
        serving=str(paths.serving_folder(config)),
        schemas=paths.frozen_schemas(config, config_file),
        signing_key=str(paths.signing_key(config, config_file) or ""),
        trusted_keys=tuple(map(str, paths.trusted_keys(config, config_file))),
    )


def local_pipeline(config: Config, components: list[Any]) -> tfx.dsl.Pipeline:
    """Nodes as a pipeline of this machine, which shares its cache with every other of the recommender."""
    paths.run_folder(config).mkdir(parents=True, exist_ok=True)
    return tfx.dsl.Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(paths.pipeline_root(config)),
        components=components,
        enable_cache=True,
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(paths.metadata_file(config))
        ),
        beam_pipeline_args=list(BEAM_ARGS),
    )


def nodes(config: Config, places: Places) -> list[Any]:
    """Every node of the DAG, wired."""
    joined = joined_nodes(config, places)
    retrieved = retrieval_nodes(config, joined)
    ranking = _trainer(
        config, "ranking", retrieved.generator.outputs["candidates"], joined.transform, **signal_settings(config)
    )
    judges = _judges(config, places, joined.joiner.outputs["examples"], retrieved, ranking)
    pushers = _pushers(config, places, joined, retrieved, ranking, judges["TwoStepEvaluator"])
    return [*joined.nodes, *retrieved.nodes, ranking, *judges.values(), *pushers]


def joined_nodes(config: Config, places: Places) -> Joined:
    """From the tables to Transform."""
    tables, statistics, made = table_nodes(config, places.tables, places.schemas)
    joined = {table: tables[table] for table in names.TABLES if table in tables}
    drift = drift_nodes(config, places.releases, places.trusted_keys, statistics)
    joiner = EventJoiner(tables=joined, settings=_json(_join_settings(config))).with_id("EventJoiner")
    joiner.add_upstream_node(drift[-1])  # no input, so that another release in force leaves the cache as it is
    transform = tfx.components.Transform(
        examples=joiner.outputs["examples"],
        schema=joiner.outputs["schema"],
        preprocessing_fn="transform.preprocessing.preprocessing_fn",
        splits_config=tfx.proto.SplitsConfig(analyze=[names.TRAIN, names.EVAL], transform=[names.TRAIN]),
        materialize=False,
        disable_statistics=True,
        custom_config={
            "features": _json(config.features.model_dump(mode="json")),
            "code": code_digest("transform.preprocessing", *own_modules(config.features)),
        },
    ).with_id("Transform")
    exposures = {}
    if names.EXPOSURES in tables:
        examples, _, anomalies = tables[names.EXPOSURES]
        exposures = {names.EXPOSURES: examples, f"{names.EXPOSURES}_anomalies": anomalies}
    return Joined([*made, *drift, joiner, transform], joiner, transform, exposures, statistics)


def retrieval_nodes(config: Config, joined: Joined) -> Retrieved:
    """From the joined events to the candidates that the ranker learns from."""
    features, events = config.features.model_dump(mode="json"), joined.joiner.outputs["examples"]
    trainer = _trainer(config, "retrieval", events, joined.transform, **learning_settings(config))
    model = trainer.outputs["model"]
    index = CandidateIndex(
        model=model,
        examples=events,
        settings=_json({"features": features, "index": config.retrieval.index.model_dump(), "seed": config.seed}),
        code_digest=code_digest("components.candidate_index.executor"),
    ).with_id("CandidateIndex")
    generator = CandidateGenerator(
        examples=events,
        model=model,
        model_run=trainer.outputs["model_run"],
        candidate_index=index.outputs["candidate_index"],
        settings=_json(
            {
                "features": features,
                "candidates": config.retrieval.candidates,
                "negatives": config.ranking.negatives.model_dump(exclude={"exposed"}),
                **exposed_settings(config),
                "queries": query_settings(config),
                "max_queries": config.ranking.max_queries,
                "test_queries": config.evaluation.max_queries,
                "windows": window_settings(config),
                "seed": config.seed,
            }
        ),
        **joined.exposures,
        code_digest=code_digest("components.candidate_generator.executor"),
    ).with_id("CandidateGenerator")
    return Retrieved(trainer, index, generator)


def signal_settings(config: Config) -> dict[str, list[str]]:
    """What the retriever says of a candidate beside its score."""
    return {"signals": list(retrieval_registry.MODELS.signals(config.retrieval.model, config.retrieval.params))}


def _trainer(config: Config, step: str, examples: Channel, transform: Any, **more: Any) -> Any:
    """The Trainer of a step; `more` stands beside what both are told."""
    chosen = getattr(config, step)
    return tfx.components.Trainer(
        run_fn=f"trainer.{step}.run_fn.run_fn",
        examples=examples,
        transform_graph=transform.outputs["transform_graph"],
        train_args=tfx.proto.TrainArgs(splits=[names.TRAIN]),
        eval_args=tfx.proto.EvalArgs(splits=[names.EVAL]),
        custom_config={
            "model": chosen.model,
            "params": chosen.params,
            "features": _json(config.features.model_dump(mode="json")),
            "seed": config.seed,
            "code": code_digest(f"trainer.{step}.run_fn", *_REGISTRIES[step].modules(chosen.model, chosen.params)),
            **more,
        },
    ).with_id(f"{step.title()}Trainer")


def _judges(config: Config, places: Places, events: Channel, retrieved: Retrieved, ranking: Any) -> dict[str, Any]:
    """The evaluators, and the resolvers of the release that they compare with."""
    # The releases of earlier runs: the node that makes them comes after these.
    made_before = Channel(type=Release, producer_component_id="ReleasePusher", output_key="release")
    features = config.features.model_dump(mode="json")
    retrieval_model, ranking_model = retrieved.trainer.outputs["model"], ranking.outputs["model"]
    in_force = {"strategy_class": ReleaseInForce, "config": {"folder": places.releases}, "release": made_before}
    last_retrieval = Resolver(**in_force, retrieval_model=retrieval_model).with_id("RetrievalInForce")
    last_pair = Resolver(**in_force, retrieval_model=retrieval_model, ranking_model=ranking_model)
    last_pair = last_pair.with_id("PairInForce")
    code = code_digest(
        "components.recommender_evaluator.executor",
        *(module for name in config.evaluation.baselines for module in _REGISTRIES["retrieval"].modules(name, {})),
    )
    common = {
        "examples": events,
        "model": retrieval_model,
        "candidate_index": retrieved.index.outputs["candidate_index"],
        "code_digest": code,
    }
    first = RecommenderEvaluator(
        **common,
        settings=_json(_judge_settings(config, places, features, "retrieval")),
        baseline_release=last_retrieval.outputs["release"],
    ).with_id("RetrievalEvaluator")
    ranking_judge = tfx.components.Evaluator(
        examples=retrieved.generator.outputs["candidates"],
        model=ranking_model,
        example_splits=[names.TEST],
        eval_config=tfma.eval_config(config),
    ).with_id("RankingEvaluator")
    both = RecommenderEvaluator(
        **common,
        settings=_json(_judge_settings(config, places, features, "retrieval", "two_step")),
        ranking_model=ranking_model,
        retrieval_evaluation=first.outputs["evaluation"],
        baseline_release=last_pair.outputs["release"],
    ).with_id("TwoStepEvaluator")
    made = (last_retrieval, first, ranking_judge, last_pair, both)
    return {node.id: node for node in made}


def _pushers(
    config: Config, places: Places, joined: Joined, retrieved: Retrieved, ranking: Any, judge: Any
) -> list[Any]:
    pushers = {}
    for step, trainer in (("retrieval", retrieved.trainer), ("ranking", ranking)):
        where = tfx.proto.PushDestination.Filesystem(base_directory=str(Path(places.serving) / step))
        pushers[step] = tfx.components.Pusher(
            model=trainer.outputs["model"],
            model_blessing=judge.outputs["blessing"],
            push_destination=tfx.proto.PushDestination(filesystem=where),
        ).with_id(f"{step.title()}Pusher")
    release = ReleasePusher(
        retrieval_model=retrieved.trainer.outputs["model"],
        ranking_model=ranking.outputs["model"],
        candidate_index=retrieved.index.outputs["candidate_index"],
        retrieval_pushed=pushers["retrieval"].outputs["pushed_model"],
        ranking_pushed=pushers["ranking"].outputs["pushed_model"],
        evaluation=judge.outputs["evaluation"],
        blessing=judge.outputs["blessing"],
        examples=joined.joiner.outputs["examples"],
        statistics=joined.statistics,
        releases=places.releases,
        name=config.name,
        seed=config.seed,
        keep=config.release.keep,
        signing_key=places.signing_key,
        serving=serving_settings(config).model_dump_json(),
        # Another key under the same name makes the release anew.
        code_digest=" ".join(
            [code_digest("components.release_pusher.executor"), *paths.key_digests([places.signing_key])]
        ),
    ).with_id("ReleasePusher")
    return [*pushers.values(), release]


def _join_settings(config: Config) -> dict:
    features = config.features.model_dump(mode="json")
    return {
        "title": config.data.title,
        "user_features": features["user"],
        "item_features": features["item"],
        "history_length": config.features.history_length,
        "split": config.split.model_dump(),
        "drop_unknown": config.data.interactions.on_unknown == "drop",
        "max_dropped": config.data.interactions.max_dropped,
        "seed": config.seed,
    }


def exposed_settings(config: Config) -> dict[str, dict]:
    """What becomes of the exposures, where there are any."""
    if config.data.exposures is None:
        return {}
    exposures = config.data.exposures
    return {
        "exposed": {
            "share": config.ranking.negatives.exposed,
            "drop_unknown": exposures.on_unknown == "drop",
            "max_dropped": exposures.max_dropped,
        }
    }


def query_settings(config: Config) -> dict:
    """Return what the queries of a split are built by."""
    return {
        "unit": config.evaluation.unit,
        "exclude_seen": config.data.exclude_seen,
        "in_time": config.split.in_time,
    }


def validation_settings(config: Config) -> dict:
    """Return what the queries are built by that choose a retriever."""
    return query_settings(config) | {"max_queries": config.retrieval.validation_queries}


def window_settings(config: Config) -> dict:
    """Return the windows of train that lists to learn from are made of beside eval."""
    return {"count": config.ranking.earlier_windows, "of_each_user": config.split.method != "temporal"}


def learning_settings(config: Config) -> dict[str, dict]:
    """Return what the retrieval trainer chooses by, and the windows before which it fits further models."""
    return {"queries": validation_settings(config), "windows": window_settings(config)}


def serving_settings(config: Config) -> ServingSettings:
    """Return how a release answers."""
    return ServingSettings(
        name=config.name,
        features=config.features,
        candidates=config.retrieval.candidates,
        reranking=config.reranking,
        exclude_seen=config.data.exclude_seen,
        title=config.data.title,
    )


def _judge_settings(config: Config, places: Places, features: dict, *steps: str) -> dict:
    """Return the settings of an evaluator; of the rules those of its steps, so that others leave it in cache."""
    evaluation = config.evaluation.model_dump(mode="json")
    both = "two_step" in steps
    rules = [rule.model_dump(mode="json") for rule in config.evaluation.conditions]
    return {
        "features": features,
        "queries": query_settings(config) | {"max_queries": config.evaluation.max_queries},
        "split": config.split.of_test(config.seed),
        "releases": places.releases,
        "trusted_keys": places.trusted_keys,
        "trusted_digests": paths.key_digests(places.trusted_keys),
        "seed": config.seed,
        "rules": [rule for rule in rules if rule["step"] in steps],
        **{key: evaluation[key] for key in ("at", "baselines", "slices", "resamples")},
        **({"serving": serving_settings(config).model_dump(mode="json")} if both else {}),
        **({"min_queries": config.evaluation.min_queries} if both else {}),
    }


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
