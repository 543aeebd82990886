"""TableExampleGen: TFX's FileBasedExampleGen with our executor; the artifact type and the cache are those of TFX.

The spans are chosen before the DAG is built (`pipeline.config.spans`), since TFX itself can only choose a single span.
"""

import core.tf  # noqa: F401

from google.protobuf import struct_pb2
from tfx.components.example_gen.component import FileBasedExampleGen
from tfx.dsl.components.base import executor_spec
from tfx.proto import example_gen_pb2

from components.table_example_gen.executor import CODE, ORIGINS, SPAN, SPANS, SPEC, Driver, Executor
from components.table_example_gen.sources import TableSource
from components.table_example_gen.spec import TableSpec
from core import names


class TableExampleGen(FileBasedExampleGen):
    """A node that reads the files of one table into Examples with the single split `all`."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
    DRIVER_CLASS = Driver

    def __init__(self, spec: TableSpec, source: TableSource, code_digest: str):
        """Wire the component.

        Args:
          spec: the columns of the table.
          source: the files of the table, from the chosen spans.
          code_digest: the digest of the code that reads the table, part of the cache key.
        """
        settings = struct_pb2.Struct()
        settings.update({SPEC: spec.canonical_json(), CODE: code_digest})
        if source.spans:
            settings.update({SPANS: list(source.spans), SPAN: source.span})
        if source.origins:
            settings.update({ORIGINS: list(source.origins)})
        custom_config = example_gen_pb2.CustomConfig()
        custom_config.custom_config.Pack(settings)
        one_split = example_gen_pb2.SplitConfig.Split(name=names.ALL, hash_buckets=1)
        super().__init__(
            input_base=source.base,
            input_config=example_gen_pb2.Input(
                splits=[example_gen_pb2.Input.Split(name=names.ALL, pattern="\n".join(source.patterns))],
            ),
            output_config=example_gen_pb2.Output(split_config=example_gen_pb2.SplitConfig(splits=[one_split])),
            custom_config=custom_config,
        )
