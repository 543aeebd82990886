"""The wiring of the tables: each is read, described and checked by nodes of its own."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from typing import Any

from tfx import v1 as tfx

from components.table_example_gen.component import TableExampleGen
from components.table_example_gen.sources import TableSource
from core import names
from core.code import code_digest
from pipeline.config import Config
from pipeline.table_spec import table_spec
from transform.features import own_modules


def table_nodes(
    config: Config, sources: dict[str, TableSource], schemas: dict[str, str]
) -> tuple[dict[str, tuple], list[Any]]:
    """Return each table's Examples, schema and anomalies, and the nodes that make them.

    Args:
      config: the recommender's.
      sources: table → where its files lie.
      schemas: table → a frozen schema to import.
    """
    channels, made = {}, []
    for table in config.data.tables:
        name = names.NODE_NAMES[table]
        generator = TableExampleGen(
            spec=table_spec(config, table),
            source=sources[table],
            code_digest=code_digest("components.table_example_gen.executor", *own_modules(config.features)),
        ).with_id(f"{name}Gen")
        examples = generator.outputs["examples"]
        statistics = tfx.components.StatisticsGen(examples=examples).with_id(f"{name}StatisticsGen")
        if table in schemas:
            schema = tfx.components.ImportSchemaGen(schema_file=schemas[table]).with_id(f"{name}SchemaGen")
        else:
            schema = tfx.components.SchemaGen(statistics=statistics.outputs["statistics"], infer_feature_shape=False)
            schema = schema.with_id(f"{name}SchemaGen")
        validator = tfx.components.ExampleValidator(
            statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"]
        ).with_id(f"{name}Validator")
        channels[table] = (examples, schema.outputs["schema"], validator.outputs["anomalies"])
        made += [generator, statistics, schema, validator]
    return channels, made
