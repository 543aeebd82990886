"""The wiring: which node feeds which. Paths come in from outside, so every runner gets the same DAG."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfx import v1 as tfx
from tfx.dsl.components.common.resolver import Resolver
from tfx.types import Channel, standard_artifacts

from components.candidate_generator.component import CandidateGenerator
from components.candidate_index.component import CandidateIndex
from components.event_joiner.component import EventJoiner
from components.recommender_evaluator.component import RecommenderEvaluator
from components.recommender_evaluator.last_blessed import LastBlessed
from components.release_pusher.component import ReleasePusher
from components.table_example_gen.component import TableExampleGen
from components.table_example_gen.spec import TableSpec
from core import names
from core.code import code_digest
from pipeline import paths, tfma
from pipeline.config import Config
from trainer.ranking import registry as ranking_registry
from trainer.retrieval import registry as retrieval_registry

# The direct runner would try to fetch a binary of another runner first. Without an image, which no local run starts,
# TFX packs its own source for every node that uses Beam, and leaves 42 MB of it in the temporary folder each time.
BEAM_ARGS = ("--runner=FnApiRunner", "--sdk_container_image=none")

_REGISTRIES = {"retrieval": retrieval_registry.MODELS, "ranking": ranking_registry.MODELS}


@dataclass(frozen=True)
class Places:
    """Where a runner reads from and writes to.

    Args:
      data: folder of the tables.
      releases: folder of the releases.
      serving: folder of the pushed models, as TensorFlow Serving expects them.
      schemas: table → a frozen schema to import.
    """

    data: str
    releases: str
    serving: str
    schemas: dict[str, str]


def build(config: Config, config_file: str | Path) -> tfx.dsl.Pipeline:
    """The pipeline for this machine."""
    places = Places(
        data=str(paths.data_root(config, config_file)),
        releases=str(paths.releases_folder(config)),
        serving=str(paths.serving_folder(config)),
        schemas=paths.frozen_schemas(config, config_file),
    )
    paths.run_folder(config).mkdir(parents=True, exist_ok=True)
    return tfx.dsl.Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(paths.pipeline_root(config)),
        components=nodes(config, places),
        enable_cache=True,
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(paths.metadata_file(config))
        ),
        beam_pipeline_args=list(BEAM_ARGS),
    )


def nodes(config: Config, places: Places) -> list[Any]:
    """Every node of the DAG, wired."""
    features = config.features.model_dump(mode="json")
    tables, table_nodes = _tables(config, places)
    joiner = EventJoiner(tables=tables, settings=_json(_join_settings(config))).with_id("EventJoiner")
    events = joiner.outputs["examples"]
    transform = tfx.components.Transform(
        examples=events,
        schema=joiner.outputs["schema"],
        preprocessing_fn="transform.preprocessing.preprocessing_fn",
        splits_config=tfx.proto.SplitsConfig(analyze=[names.TRAIN, names.EVAL], transform=[names.TRAIN]),
        materialize=False,
        disable_statistics=True,
        custom_config={"features": _json(features), "code": code_digest("transform.preprocessing")},
    ).with_id("Transform")
    retrieval = _trainer(config, "retrieval", events, transform, queries=_queries(config))
    model = retrieval.outputs["model"]
    index = CandidateIndex(
        model=model,
        examples=events,
        settings=_json({"features": features, "index": config.retrieval.index.model_dump(), "seed": config.seed}),
        code_digest=code_digest("components.candidate_index.executor"),
    ).with_id("CandidateIndex")
    generator = CandidateGenerator(
        examples=events,
        model=model,
        model_run=retrieval.outputs["model_run"],
        candidate_index=index.outputs["candidate_index"],
        settings=_json(
            {
                "features": features,
                "candidates": config.retrieval.candidates,
                "queries": _queries(config),
                "seed": config.seed,
            }
        ),
        code_digest=code_digest("components.candidate_generator.executor"),
    ).with_id("CandidateGenerator")
    ranking = _trainer(config, "ranking", generator.outputs["candidates"], transform)
    judges = _judges(config, features, events, retrieval, index, generator, ranking)
    pushers = _pushers(config, places, retrieval, index, ranking, judges["TwoStepEvaluator"])
    return [*table_nodes, joiner, transform, retrieval, index, generator, ranking, *judges.values(), *pushers]


def _tables(config: Config, places: Places) -> tuple[dict[str, tuple], list[Any]]:
    """For each table its Examples, schema and anomalies, and the nodes that make them."""
    channels, made = {}, []
    for table, name in names.NODE_NAMES.items():
        generator = TableExampleGen(
            spec=table_spec(config, table),
            input_base=places.data,
            pattern=getattr(config.data, table).path,
            code_digest=code_digest("components.table_example_gen.executor"),
        ).with_id(f"{name}Gen")
        examples = generator.outputs["examples"]
        statistics = tfx.components.StatisticsGen(examples=examples).with_id(f"{name}StatisticsGen")
        if table in places.schemas:
            schema = tfx.components.ImportSchemaGen(schema_file=places.schemas[table]).with_id(f"{name}SchemaGen")
        else:
            schema = tfx.components.SchemaGen(statistics=statistics.outputs["statistics"], infer_feature_shape=False)
            schema = schema.with_id(f"{name}SchemaGen")
        validator = tfx.components.ExampleValidator(
            statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"]
        ).with_id(f"{name}Validator")
        channels[table] = (examples, schema.outputs["schema"], validator.outputs["anomalies"])
        made += [generator, statistics, schema, validator]
    return channels, made


def table_spec(config: Config, table: str) -> TableSpec:
    """How the files of a table are read."""
    source = getattr(config.data, table)
    features = {names.USERS: config.features.user, names.ITEMS: config.features.item}.get(table, {})
    extra = {names.ITEMS: config.data.title, names.INTERACTIONS: config.split.column}
    return TableSpec(
        table=table,
        columns=source.columns,
        separator=source.separator,
        on_invalid=source.on_invalid,
        on_duplicate=source.on_duplicate,
        rating_range=config.data.interactions.rating_range if table == names.INTERACTIONS else None,
        features={name: feature.model_dump() for name, feature in features.items()},
        extra=tuple(column for column in (extra.get(table),) if column),
    )


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


def _judges(config, features, events, retrieval, index, generator, ranking) -> dict[str, Any]:
    """The evaluators, and the resolvers of what they compare with."""
    # The blessing of earlier runs, which only the last of these nodes makes.
    blessings = Channel(
        type=standard_artifacts.ModelBlessing, producer_component_id="TwoStepEvaluator", output_key="blessing"
    )
    retrieval_model, ranking_model = retrieval.outputs["model"], ranking.outputs["model"]
    last_retrieval = Resolver(strategy_class=LastBlessed, blessing=blessings, retrieval_model=retrieval_model)
    last_retrieval = last_retrieval.with_id("LastBlessedRetrieval")
    last_pair = Resolver(
        strategy_class=LastBlessed, blessing=blessings, retrieval_model=retrieval_model, ranking_model=ranking_model
    ).with_id("LastBlessedPair")
    code = code_digest(
        "components.recommender_evaluator.executor",
        *(module for name in config.evaluation.baselines for module in _REGISTRIES["retrieval"].modules(name, {})),
    )
    common = {
        "examples": events,
        "model": retrieval_model,
        "candidate_index": index.outputs["candidate_index"],
        "code_digest": code,
    }
    first = RecommenderEvaluator(
        **common,
        settings=_json(_judge_settings(config, features, "retrieval")),
        baseline_retrieval_model=last_retrieval.outputs["retrieval_model"],
    ).with_id("RetrievalEvaluator")
    ranking_judge = tfx.components.Evaluator(
        examples=generator.outputs["candidates"],
        model=ranking_model,
        example_splits=[names.TEST],
        eval_config=tfma.eval_config(config),
    ).with_id("RankingEvaluator")
    both = RecommenderEvaluator(
        **common,
        settings=_json(_judge_settings(config, features, "retrieval", "two_step")),
        ranking_model=ranking_model,
        retrieval_evaluation=first.outputs["evaluation"],
        baseline_retrieval_model=last_pair.outputs["retrieval_model"],
        baseline_ranking_model=last_pair.outputs["ranking_model"],
    ).with_id("TwoStepEvaluator")
    made = (last_retrieval, first, ranking_judge, last_pair, both)
    return {node.id: node for node in made}


def _pushers(config: Config, places: Places, retrieval: Any, index: Any, ranking: Any, judge: Any) -> list[Any]:
    pushers = {}
    for step, trainer in (("retrieval", retrieval), ("ranking", ranking)):
        where = tfx.proto.PushDestination.Filesystem(base_directory=str(Path(places.serving) / step))
        pushers[step] = tfx.components.Pusher(
            model=trainer.outputs["model"],
            model_blessing=judge.outputs["blessing"],
            push_destination=tfx.proto.PushDestination(filesystem=where),
        ).with_id(f"{step.title()}Pusher")
    release = ReleasePusher(
        retrieval_model=retrieval.outputs["model"],
        ranking_model=ranking.outputs["model"],
        candidate_index=index.outputs["candidate_index"],
        retrieval_pushed=pushers["retrieval"].outputs["pushed_model"],
        ranking_pushed=pushers["ranking"].outputs["pushed_model"],
        evaluation=judge.outputs["evaluation"],
        blessing=judge.outputs["blessing"],
        releases=places.releases,
        name=config.name,
        seed=config.seed,
        serving=_json(_serving(config)),
        code_digest=code_digest("components.release_pusher.executor"),
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
        "seed": config.seed,
    }


def _queries(config: Config) -> dict:
    return {
        "unit": config.evaluation.unit,
        "exclude_seen": config.data.exclude_seen,
        "max_queries": config.evaluation.max_queries,
        "in_time": config.split.in_time,
    }


def _serving(config: Config) -> dict:
    return {
        "features": config.features.model_dump(mode="json"),
        "candidates": config.retrieval.candidates,
        "exclude_seen": config.data.exclude_seen,
        "title": config.data.title,
    }


def _judge_settings(config: Config, features: dict, *steps: str) -> dict:
    """What an evaluator goes by; of the rules those of its steps, so that a change of others leaves it in cache."""
    evaluation = config.evaluation.model_dump(mode="json")
    kept = ("at", "baselines", "slices", "resamples")
    return {
        "features": features,
        "queries": _queries(config),
        "candidates": config.retrieval.candidates,
        "seed": config.seed,
        "rules": [rule for rule in evaluation["rules"] if rule["step"] in steps],
        **{key: evaluation[key] for key in kept},
    }


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
