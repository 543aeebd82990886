"""Reads a table's files in Beam, a file a worker: first every file is checked, then what stays is written.

Beam carries what was found as data; the executor turns it into one error, so a user never meets a Beam traceback.
"""

import core.tf  # noqa: F401

import functools
import json
import os
import time
from typing import Any

import apache_beam as beam
from google.protobuf import struct_pb2
from tfx import types
from tfx.components.example_gen import driver, write_split
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import proto_utils

from components.table_example_gen.spec import Problem, TableSpec, as_error
from components.table_example_gen.table import FileCheck, Plan, check_file, clean_tables, make_plan
from core import names
from core.errors import DataError
from core.examples import shard_path, split_folder, write_examples

SPEC, CODE = "spec", "code"  # keys of the custom configuration
SOURCES = "sources"  # the artifact's property where lineage ends


class Driver(driver.FileBasedDriver):
    """TFX's own, with an error that names the folder where no delivery matches the pattern."""

    def resolve_exec_properties(self, exec_properties: dict[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        try:
            return super().resolve_exec_properties(exec_properties, *args, **kwargs)
        except ValueError as error:
            if "Cannot find matching" not in str(error):
                raise
            raise _no_file(*_inputs(exec_properties)) from error


class Executor(base_beam_executor.BaseBeamExecutor):
    """The executor of TableExampleGen."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Check the files, write `Split-all` and the report.

        Raises:
          DataError: no file matches, or the files hold what the specification does not allow; nothing is written then.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        examples = artifact_utils.get_single_instance(output_dict[standard_component_specs.EXAMPLES_KEY])
        base, pattern = _inputs(exec_properties)
        paths = sorted(path for path in fileio.glob(os.path.join(base, pattern)) if not fileio.isdir(path))
        if not paths:
            raise _no_file(base, pattern)
        report_path = os.path.join(examples.uri, names.REPORT_FILE)
        self._run(paths, _spec(exec_properties), examples.uri, report_path)
        with fileio.open(report_path) as file:
            report = json.loads(file.read())
        if report["problems"]:
            raise as_error([Problem(*problem) for problem in report["problems"]])
        examples.split_names = artifact_utils.encode_split_names([names.ALL])
        examples_utils.set_payload_format(examples, exec_properties[standard_component_specs.OUTPUT_DATA_FORMAT_KEY])
        file_format = exec_properties[standard_component_specs.OUTPUT_FILE_FORMAT_KEY]
        examples_utils.set_file_format(examples, write_split.to_file_format_str(file_format))
        sources = [{key: file[key] for key in ("file", "sha256", "rows")} for file in report["files"]]
        examples.set_string_custom_property(SOURCES, json.dumps(sources))

    def _run(self, paths: list[str], spec: TableSpec, uri: str, report_path: str) -> None:
        """One pipeline: check each file | plan for all | write each file."""
        fileio.makedirs(split_folder(uri, names.ALL))
        now = int(time.time())
        shards = {path: shard_path(uri, names.ALL, shard, len(paths)) for shard, path in enumerate(paths)}
        check = functools.partial(check_file, spec=spec, now=now, keep_keys=len(paths) > 1)
        with self._make_beam_pipeline() as pipeline:
            files = pipeline | "Files" >> beam.Create(paths) | "Spread" >> beam.Reshuffle()
            plan = (
                files
                | "Check" >> beam.Map(check).with_output_types(FileCheck)
                | "Gather" >> beam.combiners.ToList()
                | "Plan" >> beam.Map(make_plan, spec).with_output_types(Plan)
            )
            plan | "Report" >> beam.Map(_write_report, report_path)
            files | "Write" >> beam.Map(_write_shard, beam.pvalue.AsSingleton(plan), spec, now, shards)


def _write_report(plan: Plan, path: str) -> None:
    with fileio.open(path, "w") as file:
        file.write(json.dumps(plan.report | {"problems": plan.problems}, indent=2, ensure_ascii=False) + "\n")


def _write_shard(path: str, plan: Plan, spec: TableSpec, now: int, shards: dict[str, str]) -> None:
    if not plan.problems:
        write_examples(clean_tables(path, spec, now, plan.repeats[path]), shards[path])


def _inputs(exec_properties: dict[str, Any]) -> tuple[str, str]:
    """The folder and the pattern in it; the driver has put the span's number into the pattern."""
    config = example_gen_pb2.Input()
    proto_utils.json_to_proto(exec_properties[standard_component_specs.INPUT_CONFIG_KEY], config)
    return exec_properties[standard_component_specs.INPUT_BASE_KEY], config.splits[0].pattern


def _spec(exec_properties: dict[str, Any]) -> TableSpec:
    config = example_gen_pb2.CustomConfig()
    proto_utils.json_to_proto(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY], config)
    settings = struct_pb2.Struct()
    config.custom_config.Unpack(settings)
    return TableSpec.model_validate_json(settings[SPEC])


def _no_file(base: str, pattern: str) -> DataError:
    todo = "Put the table there, or correct its `path` or `data.root` in the configuration"
    return DataError(base, "the folder", f"no file matches {pattern!r}", todo)
