"""The pipeline of this machine: the nodes of the DAG with the files and folders that they read and write."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from pathlib import Path
from typing import Any

from tfx import v1 as tfx

from components.table_example_gen.sources import TableSource
from pipeline.config import Config, paths
from pipeline.config.beam import LOCAL
from pipeline.dag.nodes import Places, nodes


def build(config: Config, config_file: str | Path, tables: dict[str, TableSource] | None = None) -> tfx.dsl.Pipeline:
    """Return the pipeline of a run on this machine; see `local_places`."""
    return local_pipeline(config, nodes(config, local_places(config, config_file, tables)))


def upstream(config: Config, config_file: str | Path) -> dict[str, list[str]]:
    """Return node id → the ids of its upstream nodes, in the order of execution, without reading or writing a table."""
    root = str(paths.data_root(config, config_file))
    places = Places(
        tables={table: TableSource(root, (path,)) for table, path in config.data.paths.items()},
        releases=str(paths.releases_folder(config)),
        serving=str(paths.serving_folder(config)),
        schemas={table: str(file) for table, file in paths.schema_files(config, config_file).items()},
    )
    pipeline = tfx.dsl.Pipeline(
        pipeline_name=config.name, pipeline_root=str(paths.pipeline_root(config)), components=nodes(config, places)
    )
    return {node.id: sorted(each.id for each in node.upstream_nodes) for node in pipeline.components}


def local_places(config: Config, config_file: str | Path, tables: dict[str, TableSource] | None = None) -> Places:
    """Return the files and folders of the pipeline of this machine.

    Args:
      config, config_file: the configuration and its file.
      tables: the result of `paths.table_sources`, if it is known.
    """
    signing_key = str(paths.signing_key(config, config_file) or "")
    trusted_keys = tuple(map(str, paths.trusted_keys(config, config_file)))
    return Places(
        tables=paths.table_sources(config, config_file) if tables is None else tables,
        releases=str(paths.releases_folder(config)),
        serving=str(paths.serving_folder(config)),
        schemas=paths.frozen_schemas(config, config_file),
        signing_key=signing_key,
        trusted_keys=trusted_keys,
        key_digests=paths.key_digests([signing_key, *trusted_keys]),
    )


def local_pipeline(config: Config, components: list[Any]) -> tfx.dsl.Pipeline:
    """Return a local pipeline of these nodes; all pipelines of a recommender share one cache."""
    paths.run_folder(config).mkdir(parents=True, exist_ok=True)
    return tfx.dsl.Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(paths.pipeline_root(config)),
        components=components,
        enable_cache=True,
        metadata_connection_config=paths.metadata_database(config).message(),
        beam_pipeline_args=list(LOCAL),  # a run replaces them by those of the configured engine
    )
