"""The nodes that read the tables, compute their statistics and validate them; each table has its own nodes."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import math
from typing import Any

import tensorflow_data_validation as tfdv
from tfx import v1 as tfx
from tfx.types import Channel

from components.drift_detector.component import DriftDetector
from components.release_in_force.component import ReleaseInForce
from components.statistics_gen.component import StatisticsGen
from components.table_example_gen.component import TableExampleGen
from components.table_example_gen.sources import TableSource
from core import names, node_ids
from core.code import code_digest
from pipeline.config import Config
from pipeline.config.table_spec import table_spec
from pipeline.dag import settings
from transform.features import own_modules, raw_columns

VALUES_OF_BATCH = 100_000  # the values of one column in a batch of StatisticsGen


def table_nodes(
    config: Config, sources: dict[str, TableSource], schemas: dict[str, str]
) -> tuple[dict[str, tuple], dict[str, Channel], list[Any]]:
    """Return each table's Examples, schema and anomalies, its statistics, and the nodes that make them.

    Args:
      config: the configuration of the recommender.
      sources: table → its files.
      schemas: table → a frozen schema to import.
    """
    channels, counted, made = {}, {}, []
    for table in config.data.tables:
        generator = TableExampleGen(
            spec=table_spec(config, table),
            source=sources[table],
            code_digest=code_digest("components.table_example_gen.executor", *own_modules(config.features)),
        ).with_id(node_ids.example_gen(table))
        examples = generator.outputs["examples"]
        statistics = StatisticsGen(
            examples=examples,
            stats_options=tfdv.StatsOptions(desired_batch_size=_rows_of_batch(config, table)),
            code_digest=code_digest("components.statistics_gen.executor"),
        ).with_id(node_ids.statistics_gen(table))
        if table in schemas:
            schema = tfx.components.ImportSchemaGen(schema_file=schemas[table]).with_id(node_ids.schema_gen(table))
        else:
            schema = tfx.components.SchemaGen(statistics=statistics.outputs["statistics"], infer_feature_shape=False)
            schema = schema.with_id(node_ids.schema_gen(table))
        validator = tfx.components.ExampleValidator(
            statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"]
        ).with_id(node_ids.validator(table))
        channels[table] = (examples, schema.outputs["schema"], validator.outputs["anomalies"])
        counted[table] = statistics.outputs["statistics"]
        made += [generator, statistics, schema, validator]
    return channels, counted, made


def _rows_of_batch(config: Config, table: str) -> int:
    """Return the rows of a batch of StatisticsGen: many, for speed, but fewer where a row has a list of many values."""
    members = {names.USERS: config.features.user, names.ITEMS: config.features.item}.get(table, {})
    widest = max((math.prod(column.shape) for column in raw_columns(members).values()), default=1)
    return max(1_000, VALUES_OF_BATCH // widest)


def drift_nodes(
    config: Config, releases: str, trusted_keys: tuple[str, ...], statistics: dict[str, Channel]
) -> list[Any]:
    """Return ReleaseInForce and DriftDetector, which compares the delivery with this release.

    Args:
      config: the configuration of the recommender.
      releases: the folder of the releases.
      trusted_keys: files of public keys, with one of which a release must be signed; empty for no check.
      statistics: table → its statistics.
    """
    inputs = {names.STATISTICS_INPUTS[table]: channel for table, channel in statistics.items()}
    code = code_digest("components.release_in_force.executor")
    warm_start = config.retrieval.warm_start
    in_force = ReleaseInForce(releases, code, trusted_keys, warm_start, **inputs).with_id(node_ids.DELIVERY_IN_FORCE)
    detector = DriftDetector(
        statistics=statistics,
        baseline_release=in_force.outputs["release"],
        settings=settings.drift_detector(config, releases, trusted_keys),
        code_digest=code_digest("components.drift_detector.executor"),
    ).with_id(node_ids.DRIFT_DETECTOR)
    return [in_force, detector]
