"""The executor of TableExampleGen: checks all files of a table in Beam, then writes the valid rows.

Each file is read by one worker. Duplicate keys are found shard by shard, after a shuffle by the hash of the keys.
Workers return problems as data, and the executor raises one error for all problems, without a traceback of Beam.
"""

import core.tf  # noqa: F401

import functools
import json
import time
from collections.abc import Generator, Iterator
from typing import Any

import apache_beam as beam
from google.protobuf import struct_pb2
from tfx import types
from tfx.components.example_gen import driver, utils, write_split
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import proto_utils

from components.table_example_gen import keys
from components.table_example_gen.sources import TableSource, fingerprint
from components.table_example_gen.spec import Problem, TableSpec, as_error, dropped_text
from components.table_example_gen.table import FileCheck, Plan, check_file, clean_tables, make_plan
from core import names, progress
from core.arrow import pack, unpack
from core.examples import shard_path, write_examples
from core.storage import shard_files, uris

# Keys of the custom configuration.
SPEC, CODE, SPANS, SPAN, ORIGINS = "spec", "code", "spans", "span", "origins"
SOURCES = "sources"  # the artifact's property with the name, digest and number of rows of each source file


class Driver(driver.FileBasedDriver):
    """TFX's driver, but with the spans that the configuration selects, and a fingerprint of the files' content."""

    def resolve_exec_properties(self, exec_properties: dict[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Add the span and the fingerprint of the files.

        Raises:
          DataError: no file matches, or one cannot be read.
        """
        source = source_of(exec_properties)
        exec_properties[utils.SPAN_PROPERTY_NAME] = source.span
        exec_properties[utils.VERSION_PROPERTY_NAME] = None
        exec_properties[utils.FINGERPRINT_PROPERTY_NAME] = fingerprint(source.base, source.files())
        return exec_properties


class Executor(base_beam_executor.BaseBeamExecutor):
    """The executor of TableExampleGen."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Check the files, and write the Examples of the split `all` and the report.

        Raises:
          DataError: no file matches, or the files have problems; then nothing is written.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        examples = artifact_utils.get_single_instance(output_dict[standard_component_specs.EXAMPLES_KEY])
        source, spec = source_of(exec_properties), _spec(exec_properties)
        report_path = uris.joined(examples.uri, names.REPORT_FILE)
        self._run(source, spec, examples.uri, report_path)
        report = shard_files.read_json(report_path)
        if report["problems"]:
            raise as_error([Problem(*problem) for problem in report["problems"]])
        examples.split_names = artifact_utils.encode_split_names([names.ALL])
        examples_utils.set_payload_format(examples, exec_properties[standard_component_specs.OUTPUT_DATA_FORMAT_KEY])
        file_format = exec_properties[standard_component_specs.OUTPUT_FILE_FORMAT_KEY]
        examples_utils.set_file_format(examples, write_split.to_file_format_str(file_format))
        sources = [{key: file[key] for key in ("file", "sha256", "rows")} for file in report["files"]]
        examples.set_string_custom_property(SOURCES, json.dumps(sources))
        if source.spans:
            examples.set_string_custom_property(SPANS, ", ".join(source.spans))
        _report_rows(report)

    def _run(self, source: TableSource, spec: TableSpec, uri: str, report_path: str) -> None:
        """Run one Beam pipeline: check each file and the keys of each shard, plan the table, write each file."""
        paths = source.files()
        now = int(time.time())
        shards = {path: shard_path(uri, names.ALL, shard, len(paths)) for shard, path in enumerate(paths)}
        find = functools.partial(keys.repeats_of, spec=spec)
        with self._make_beam_pipeline() as pipeline:
            files = pipeline | "Files" >> beam.Create(paths) | "Spread" >> beam.Reshuffle()
            checked = files | "Check" >> beam.ParDo(_Check(spec, now, keys.shards_for(paths))).with_outputs(
                _Check.KEYS, main="checks"
            )
            repeats = (
                checked[_Check.KEYS]
                | "ByShard" >> beam.GroupByKey()
                | "Repeats" >> beam.MapTuple(lambda _, parts: find(map(unpack, parts)))
                | "GatherRepeats" >> beam.combiners.ToList()
                | "Merge" >> beam.Map(keys.merged)
            )
            plan = (
                checked["checks"]
                | "Gather" >> beam.combiners.ToList()
                | "Plan" >> beam.Map(make_plan, beam.pvalue.AsSingleton(repeats), spec).with_output_types(Plan)
            )
            plan | "Report" >> beam.Map(_write_report, report_path, source)
            files | "Write" >> beam.Map(_write_shard, beam.pvalue.AsSingleton(plan), spec, now, shards)


class _Check(beam.DoFn):
    """A Beam step that checks a file, yields the result and, as the output `KEYS`, the file's keys by shard."""

    KEYS = "keys"

    def __init__(self, spec: TableSpec, now: int, shards: int):
        self.spec, self.now, self.shards = spec, now, shards

    def process(self, path: str) -> Iterator[Any]:  # FileCheck, and tagged outputs
        check = yield from self._keys(path)
        yield check

    def _keys(self, path: str) -> Generator[Any, None, FileCheck]:
        batches = check_file(path, self.spec, self.now)
        while True:
            try:
                batch = next(batches)
            except StopIteration as stop:
                return stop.value
            if self.spec.on_duplicate != "keep":
                for shard, part in keys.by_shard(batch, self.spec, self.shards):
                    yield beam.pvalue.TaggedOutput(self.KEYS, (shard, pack(part)))


def _report_rows(report: dict[str, Any]) -> None:
    """Report the number of rows, and of dropped rows, as progress."""
    spans = f"spans {', '.join(report['spans'])}: " if report["spans"] else ""
    text = f"{spans}{report['rows_written']:,} rows"
    if report["dropped"]:
        text += f", dropped {dropped_text(report['dropped'], report['rows_read'])}"
    progress.report(text)


def _write_report(plan: Plan, path: str, source: TableSource) -> None:
    report = plan.report | {
        "files": [each | {"file": source.named(each["file"])} for each in plan.report["files"]],
        "spans": list(source.spans),
        "problems": [[source.named(part) for part in problem] for problem in plan.problems],
    }
    with shard_files.writing(path) as file:
        file.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_shard(path: str, plan: Plan, spec: TableSpec, now: int, shards: dict[str, str]) -> None:
    if not plan.problems:
        write_examples(clean_tables(path, spec, now, plan.repeats[path]), shards[path])


def source_of(exec_properties: dict[str, Any]) -> TableSource:
    """Return the files that a TableExampleGen node reads, from its execution properties."""
    config = example_gen_pb2.Input()
    proto_utils.json_to_proto(exec_properties[standard_component_specs.INPUT_CONFIG_KEY], config)
    settings = _settings(exec_properties)
    return TableSource(
        exec_properties[standard_component_specs.INPUT_BASE_KEY],
        tuple(config.splits[0].pattern.split("\n")),
        tuple(settings[SPANS]) if SPANS in settings else (),
        int(settings[SPAN]) if SPAN in settings else 0,
        tuple(settings[ORIGINS]) if ORIGINS in settings else (),
    )


def _spec(exec_properties: dict[str, Any]) -> TableSpec:
    return TableSpec.model_validate_json(_settings(exec_properties)[SPEC])


def _settings(exec_properties: dict[str, Any]) -> struct_pb2.Struct:
    config = example_gen_pb2.CustomConfig()
    proto_utils.json_to_proto(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY], config)
    settings = struct_pb2.Struct()
    config.custom_config.Unpack(settings)
    return settings
