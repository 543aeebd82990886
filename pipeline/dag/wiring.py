"""The pipeline of this machine: the nodes of the DAG with the files and folders that they read and write."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from pathlib import Path
from typing import Any

from tfx import v1 as tfx

from pipeline.config import Config, paths
from pipeline.dag.nodes import Places, nodes

# The direct runner would try to fetch a binary of another runner first. Without an image, which no local run starts,
# TFX packs its own source for every node that uses Beam, and leaves 42 MB of it in the temporary folder each time.
BEAM_ARGS = ("--runner=FnApiRunner", "--sdk_container_image=none")


def build(config: Config, config_file: str | Path) -> tfx.dsl.Pipeline:
    """Return the pipeline of this machine."""
    return local_pipeline(config, nodes(config, local_places(config, config_file)))


def upstream(config: Config, config_file: str | Path) -> dict[str, list[str]]:
    """Return node id → the ids of the nodes that it reads from, in the order in which they run. Write nothing."""
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
    """Return the files and folders of the pipeline of this machine."""
    return Places(
        tables=paths.table_sources(config, config_file),
        releases=str(paths.releases_folder(config)),
        serving=str(paths.serving_folder(config)),
        schemas=paths.frozen_schemas(config, config_file),
        signing_key=str(paths.signing_key(config, config_file) or ""),
        trusted_keys=tuple(map(str, paths.trusted_keys(config, config_file))),
    )


def local_pipeline(config: Config, components: list[Any]) -> tfx.dsl.Pipeline:
    """Return nodes as a pipeline of this machine, which shares its cache with every other of the recommender."""
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
