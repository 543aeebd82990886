"""The nodes of the DAG and the connections between them, from the tables to the release."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tfx import v1 as tfx
from tfx.types import Channel

from components.candidate_generator.component import CandidateGenerator
from components.candidate_index.component import CandidateIndex
from components.event_joiner.component import EventJoiner
from components.recommender_evaluator.component import RecommenderEvaluator
from components.release_in_force.component import ReleaseInForce
from components.release_in_force.executor import MODEL
from components.release_pusher.component import ReleasePusher
from components.table_example_gen.sources import TableSource
from components.transform.component import Transform
from core import names, node_ids
from core.code import code_digest
from pipeline.config import Config
from pipeline.dag import settings, tfma
from pipeline.dag.tables import drift_nodes, table_nodes
from trainer.step_settings import StepSettings, custom_config
from trainer.steps import RANKING, REGISTRIES, RETRIEVAL
from transform.features import own_modules


@dataclass(frozen=True)
class Places:
    """The files and folders that a pipeline reads and writes.

    Args:
      tables: table → its files.
      releases: folder or URI of the releases.
      serving: folder or URI of the pushed models, as TensorFlow Serving expects them.
      schemas: table → a frozen schema to import.
      signing_key: file of the private key that signs releases; "" for none.
      trusted_keys: files of the public keys of trusted releases; empty for none.
      key_digests: file of a key → its digest, a part of cache keys, so that a replaced key is not ignored.
    """

    tables: dict[str, TableSource]
    releases: str
    serving: str
    schemas: dict[str, str]
    signing_key: str = ""
    trusted_keys: tuple[str, ...] = ()
    key_digests: Mapping[str, str] = field(default_factory=dict)

    @property
    def trusted_digests(self) -> tuple[str, ...]:
        """Return the known digests of the trusted keys."""
        return tuple(self.key_digests[file] for file in self.trusted_keys if file in self.key_digests)


@dataclass(frozen=True)
class Joined:
    """The nodes from the tables to Transform, with the nodes and outputs that later nodes read.

    Args:
      nodes: all these nodes, including `joiner` and `transform`.
      joiner, transform: EventJoiner and Transform.
      impressions: the inputs that CandidateGenerator reads from the table of impressions; empty without this table.
      statistics: table → its statistics.
      base_model: the retrieval model with whose vocabularies and weights this run begins; None without a warm start.
    """

    nodes: list[Any]
    joiner: Any
    transform: Any
    impressions: dict[str, Channel]
    statistics: dict[str, Channel]
    base_model: Channel | None


@dataclass(frozen=True)
class Retrieved:
    """The nodes of the first step up to the candidate lists."""

    trainer: Any
    index: Any
    generator: Any

    @property
    def nodes(self) -> list[Any]:
        """Return the nodes in the order in which they run."""
        return [self.trainer, self.index, self.generator]


def nodes(config: Config, places: Places) -> list[Any]:
    """Return all nodes of the DAG, connected to each other."""
    joined = joined_nodes(config, places)
    retrieved = retrieval_nodes(config, joined)
    candidates = retrieved.generator.outputs["candidates"]
    ranking = _trainer(RANKING, settings.ranking_step(config), candidates, joined.transform)
    evaluators = _evaluators(config, places, joined.joiner.outputs["examples"], retrieved, ranking)
    pushers = _pushers(config, places, joined, retrieved, ranking, evaluators[node_ids.TWO_STEP_EVALUATOR])
    return [*joined.nodes, *retrieved.nodes, ranking, *evaluators.values(), *pushers]


def joined_nodes(config: Config, places: Places) -> Joined:
    """Return the nodes from the tables to Transform."""
    tables, statistics, made = table_nodes(config, places.tables, places.schemas)
    joined = {table: tables[table] for table in names.TABLES if table in tables}
    drift = drift_nodes(config, places.releases, places.trusted_keys, statistics)
    joiner = EventJoiner(tables=joined, settings=settings.joiner(config)).with_id(node_ids.EVENT_JOINER)
    # DriftDetector runs before EventJoiner but is not an input, so that another release in force changes no cache key.
    joiner.add_upstream_node(drift[-1])
    base_model = drift[0].outputs[MODEL] if config.retrieval.warm_start else None
    transform = Transform(
        examples=joiner.outputs["examples"],
        settings=settings.transform(config),
        code_digest=code_digest("components.transform.executor", *own_modules(config.features)),
        base_model=base_model,
    ).with_id(node_ids.TRANSFORM)
    impressions = {}
    if names.IMPRESSIONS in tables:
        examples, _, anomalies = tables[names.IMPRESSIONS]
        impressions = {names.IMPRESSIONS: examples, f"{names.IMPRESSIONS}_anomalies": anomalies}
    return Joined([*made, *drift, joiner, transform], joiner, transform, impressions, statistics, base_model)


def retrieval_nodes(config: Config, joined: Joined) -> Retrieved:
    """Return the nodes from the joined events to the candidate lists."""
    events = joined.joiner.outputs["examples"]
    trainer = _trainer(RETRIEVAL, settings.retrieval_step(config), events, joined.transform, joined.base_model)
    model = trainer.outputs["model"]
    index = CandidateIndex(
        model=model,
        examples=events,
        settings=settings.candidate_index(config),
        code_digest=code_digest("components.candidate_index.executor"),
    ).with_id(node_ids.CANDIDATE_INDEX)
    generator = CandidateGenerator(
        examples=events,
        model=model,
        model_run=trainer.outputs["model_run"],
        candidate_index=index.outputs["candidate_index"],
        settings=settings.candidate_generator(config),
        **joined.impressions,
        code_digest=code_digest("components.candidate_generator.executor"),
    ).with_id(node_ids.CANDIDATE_GENERATOR)
    return Retrieved(trainer, index, generator)


def _trainer(
    step: str, step_settings: StepSettings, examples: Channel, transform: Any, base_model: Channel | None = None
) -> Any:
    """Return the Trainer of a step; a fit begins with the weights of `base_model`, if there is one."""
    modules = REGISTRIES[step].modules(step_settings.model, step_settings.params)
    return tfx.components.Trainer(
        run_fn=f"trainer.{step}.run_fn.run_fn",
        examples=examples,
        transform_graph=transform.outputs["transform_graph"],
        base_model=base_model,
        train_args=tfx.proto.TrainArgs(splits=[names.TRAIN]),
        eval_args=tfx.proto.EvalArgs(splits=[names.EVAL]),
        custom_config=custom_config(step_settings, code_digest(f"trainer.{step}.run_fn", *modules)),
    ).with_id(node_ids.trainer(step))


def _evaluators(config: Config, places: Places, events: Channel, retrieved: Retrieved, ranking: Any) -> dict[str, Any]:
    """Return the evaluators, and the nodes that find the release to compare with, by node id."""
    retrieval_model, ranking_model = retrieved.trainer.outputs["model"], ranking.outputs["model"]
    in_force = places.releases, code_digest("components.release_in_force.executor")
    last_retrieval = ReleaseInForce(*in_force, retrieval_model=retrieval_model).with_id(node_ids.RETRIEVAL_IN_FORCE)
    last_pair = ReleaseInForce(*in_force, retrieval_model=retrieval_model, ranking_model=ranking_model)
    last_pair = last_pair.with_id(node_ids.PAIR_IN_FORCE)
    common = {
        "examples": events,
        "model": retrieval_model,
        "candidate_index": retrieved.index.outputs["candidate_index"],
        "code_digest": code_digest(
            "components.recommender_evaluator.executor",
            *(module for name in config.evaluation.baselines for module in REGISTRIES[RETRIEVAL].modules(name, {})),
        ),
    }
    first = RecommenderEvaluator(
        **common,
        settings=settings.evaluator(config, places.releases, places.trusted_keys, places.trusted_digests),
        baseline_release=last_retrieval.outputs["release"],
    ).with_id(node_ids.RETRIEVAL_EVALUATOR)
    ranking_evaluator = tfx.components.Evaluator(
        examples=retrieved.generator.outputs["candidates"],
        model=ranking_model,
        example_splits=[names.TEST],
        eval_config=tfma.eval_config(config),
        module_path=tfma.__name__,
    ).with_id(node_ids.RANKING_EVALUATOR)
    both = RecommenderEvaluator(
        **common,
        settings=settings.evaluator(
            config, places.releases, places.trusted_keys, places.trusted_digests, both_steps=True
        ),
        ranking_model=ranking_model,
        retrieval_evaluation=first.outputs["evaluation"],
        baseline_release=last_pair.outputs["release"],
    ).with_id(node_ids.TWO_STEP_EVALUATOR)
    return {node.id: node for node in (last_retrieval, first, ranking_evaluator, last_pair, both)}


def _pushers(
    config: Config, places: Places, joined: Joined, retrieved: Retrieved, ranking: Any, evaluator: Any
) -> list[Any]:
    """Return the Pushers of both models and ReleasePusher."""
    pushers = {}
    for step, trainer in ((RETRIEVAL, retrieved.trainer), (RANKING, ranking)):
        folder = tfx.proto.PushDestination.Filesystem(base_directory=f"{places.serving}/{step}")
        pushers[step] = tfx.components.Pusher(
            model=trainer.outputs["model"],
            model_blessing=evaluator.outputs["blessing"],
            push_destination=tfx.proto.PushDestination(filesystem=folder),
        ).with_id(node_ids.pusher(step))
    release = ReleasePusher(
        retrieval_model=retrieved.trainer.outputs["model"],
        ranking_model=ranking.outputs["model"],
        candidate_index=retrieved.index.outputs["candidate_index"],
        retrieval_pushed=pushers[RETRIEVAL].outputs["pushed_model"],
        ranking_pushed=pushers[RANKING].outputs["pushed_model"],
        evaluation=evaluator.outputs["evaluation"],
        blessing=evaluator.outputs["blessing"],
        examples=joined.joiner.outputs["examples"],
        statistics=joined.statistics,
        settings=settings.release_pusher(config, places.releases, places.signing_key or None),
        code_digest=" ".join(
            filter(
                None,
                [code_digest("components.release_pusher.executor"), places.key_digests.get(places.signing_key)],
            )
        ),
    ).with_id(node_ids.RELEASE_PUSHER)
    return [*pushers.values(), release]
