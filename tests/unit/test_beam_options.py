"""The section `beam` of a configuration: its errors, and the options as Beam's own classes read them."""

import json
import re
from pathlib import Path

import pytest
from apache_beam.options import pipeline_options
from configurations import check_refused, load

from core.errors import UsageError
from pipeline.config import beam, paths

DATAFLOW = "project: my-project, region: europe-west4, temp_location: 'gs://b/tmp', image: 'eu.gcr.io/p/beam:1'"


def options(folder: Path, section: str) -> pipeline_options.PipelineOptions:
    loaded = load(folder, f"beam: {section}")
    arguments = loaded.beam.arguments(folder)
    found = pipeline_options.PipelineOptions(arguments)
    known = found.get_all_options(drop_default=True)
    names = {argument.removeprefix("--").partition("=")[0].replace("_plugin", "_plugins") for argument in arguments}
    assert {name.replace("no_use_", "use_") for name in names} <= known.keys(), "an argument that Beam does not know"
    return found


def of(found: pipeline_options.PipelineOptions, name: str, *keys: str) -> list[object]:
    view = found.view_as(getattr(pipeline_options, name))
    return [getattr(view, key) for key in keys]


def test_one_process_is_the_default(tmp_path):
    assert load(tmp_path, "{}").beam.arguments(tmp_path) == ["--runner=FnApiRunner", "--sdk_container_image=none"]
    assert paths.beam_arguments(load(tmp_path, "{}")) == load(tmp_path, "{}").beam.arguments(tmp_path)


def test_several_processes(tmp_path):
    found = options(tmp_path, "{processes: 3}")
    assert of(found, "DirectOptions", "direct_running_mode", "direct_num_workers") == ["multi_processing", 3]
    assert of(found, "StandardOptions", "runner") == ["FnApiRunner"]


def test_prism(tmp_path):
    found = options(tmp_path, "{runner: prism, prism: {location: bin/prism}}")
    assert of(found, "StandardOptions", "runner") == ["PrismRunner"]
    assert of(found, "PrismRunnerOptions", "prism_location") == [str(tmp_path / "bin/prism")]
    assert of(found, "PortableOptions", "environment_type", "environment_config") == ["LOOPBACK", None]
    found = options(tmp_path, "{runner: prism, prism: {location: /p, workers: 'localhost:50000'}}")
    assert of(found, "PortableOptions", "environment_type", "environment_config") == ["EXTERNAL", "localhost:50000"]


def test_flink(tmp_path):
    keys = "master: 'flink:8081', version: '1.20', parallelism: 8, image: 'r/beam:1'"
    found = options(tmp_path, f"{{runner: flink, flink: {{{keys}}}}}")
    assert of(found, "StandardOptions", "runner") == ["FlinkRunner"]
    assert of(found, "FlinkRunnerOptions", "flink_master", "flink_version", "parallelism") == ["flink:8081", "1.20", 8]
    assert of(found, "PortableOptions", "environment_type", "environment_config") == ["DOCKER", "r/beam:1"]
    assert of(found, "WorkerOptions", "sdk_container_image") == ["r/beam:1"]
    assert of(found, "SetupOptions", "beam_plugins") == [["core.tf"]]
    found = options(tmp_path, "{runner: flink, flink: {job_server: 'j:8099', environment: process, command: /boot}}")
    [endpoint, kind, value] = of(found, "PortableOptions", "job_endpoint", "environment_type", "environment_config")
    assert (endpoint, kind, json.loads(value)) == ("j:8099", "PROCESS", {"command": "/boot"})


def test_spark(tmp_path):
    keys = "master: 'spark://s:7077', job_server_jar: /j.jar, environment: external, workers: 'w:50000'"
    found = options(tmp_path, f"{{runner: spark, spark: {{{keys}}}}}")
    assert of(found, "StandardOptions", "runner") == ["SparkRunner"]
    assert of(found, "SparkRunnerOptions", "spark_master_url", "spark_job_server_jar") == ["spark://s:7077", "/j.jar"]
    assert of(found, "PortableOptions", "environment_type", "environment_config") == ["EXTERNAL", "w:50000"]


def test_dataflow(tmp_path):
    more = "service_account: a@b.c, machine_type: n2-highmem-4, workers: 2, max_workers: 9, public_ips: false"
    found = options(tmp_path, f"{{runner: dataflow, dataflow: {{{DATAFLOW}, {more}, subnetwork: s}}}}")
    assert of(found, "StandardOptions", "runner") == ["DataflowRunner"]
    assert of(found, "GoogleCloudOptions", "project", "region", "temp_location", "service_account_email") == [
        *("my-project", "europe-west4"),
        *("gs://b/tmp", "a@b.c"),
    ]
    assert of(found, "WorkerOptions", "machine_type", "num_workers", "max_num_workers", "use_public_ips") == [
        *("n2-highmem-4", 2),
        *(9, False),
    ]
    assert of(found, "WorkerOptions", "subnetwork", "sdk_container_image") == ["s", "eu.gcr.io/p/beam:1"]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{runner: samza}", "beam.runner … 'local' … 'samza'"),
        ("{runner: prism}", "beam: … needs `prism`"),
        ("{runner: prism, prism: {}}", "beam.prism.location … required"),
        ("{runner: prism, processes: 2, prism: {location: p}}", "beam: … `processes` … prism"),
        ("{processes: 0}", "beam.processes … at least 1"),
        ("{runner: prism, prism: {location: p, workers: here}}", "beam.prism.workers … HOST:PORT … 'here'"),
        ("{flink: {master: 'f:1'}}", "beam.flink: … `image`"),
        ("{flink: {image: i}}", "beam.flink: … `master` … `job_server`"),
        ("{flink: {master: 'f:1', image: i, workers: 'w:1'}}", "beam.flink: … `workers` … docker"),
        ("{flink: {master: 'f:1', image: i, version: '1.2'}}", "beam.flink.version … '1.20'"),
        ("{spark: {master: 'http://s', image: i}}", "beam.spark.master … spark://HOST:PORT"),
        ("{spark: {job_server: 'j:1', job_server_jar: j, image: i}}", "beam.spark: … both"),
        ("{dataflow: {project: p}}", "beam.dataflow.region … required"),
        (f"{{dataflow: {{{DATAFLOW}, workers: 3, max_workers: 2}}}}", "beam.dataflow: … 3 … 2"),
        ("{dataflow: {region: here}}", "beam.dataflow.region … europe-west4 … 'here'"),
    ],
)
def test_a_wrong_section_names_the_key(tmp_path, section, message):
    check_refused(tmp_path, f"beam: {section}", message)


def test_dataflow_is_refused_before_a_run_that_it_could_not_do(tmp_path):
    loaded = load(tmp_path, f"{{run_folder: runs, beam: {{runner: dataflow, dataflow: {{{DATAFLOW}}}}}}}")
    folder = re.escape(str(tmp_path / "runs"))
    with pytest.raises(UsageError, match=rf"beam\.runner: .*cannot read the local folder {folder}.* --to vertex"):
        paths.beam_arguments(loaded)


def test_only_engines_of_other_machines_are_distributed(tmp_path):
    local = load(tmp_path, "beam: {processes: 2}")
    assert not beam.is_distributed(local.beam.arguments(tmp_path))
    assert not beam.is_distributed([])
    for section in ("{runner: prism, prism: {location: p}}", f"{{runner: dataflow, dataflow: {{{DATAFLOW}}}}}"):
        assert beam.is_distributed(load(tmp_path, f"beam: {section}").beam.arguments(tmp_path))


def test_a_server_that_does_not_answer_is_named_by_the_arguments_of_a_task(tmp_path):
    for section, message in (
        ("{runner: flink, flink: {job_server: 'localhost:9', image: i}}", "beam.flink.job_server: localhost:9"),
        ("{runner: prism, prism: {location: p}}", f"beam.prism.location: {tmp_path}/p is not a program"),
        (
            "{runner: spark, spark: {master: yarn, environment: external, workers: '[::1]:9'}}",
            r"beam.spark.workers: \[::1\]:9 does not answer",
        ),
    ):
        with pytest.raises(UsageError, match=message):
            beam.check_arguments(load(tmp_path, f"beam: {section}").beam.arguments(tmp_path))
