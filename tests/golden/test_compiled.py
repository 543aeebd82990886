"""The compiled specification of dag.yaml, compared with compiled.yaml and with the messages of Kubeflow."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import difflib
import importlib.metadata
import json
import os
import re
from typing import Any

import pytest
import yaml
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from core.errors import UsageError
from pipeline import config
from pipeline.runners.compiled import specification
from pipeline.runners.compiled import task as task_module
from pipeline.runners.compiled.task import main

UPDATE = "TWOSTEP_UPDATE_GOLDEN"
CLUSTER = {
    "cluster": {"root": "s3://bucket/golden", "image": "example/twostep:1"},
    "resources": {
        "RetrievalTrainer": {"cpu": 4, "memory_gb": 16.5, "accelerator": "nvidia-l4"},
        "ItemGen": {"cpu": 0.5},
    },
}


@pytest.fixture(scope="module")
def compiled(root, tmp_path_factory):
    """Return a function that compiles dag.yaml for a target, with changes to the configuration."""
    folder = tmp_path_factory.mktemp("compiled")

    def compile_(target: str, **changes: Any) -> dict[str, Any]:
        file = folder / "dag.yaml"
        text = (root / "tests" / "golden" / "dag.yaml").read_text().replace("RUNS", str(folder / "runs"))
        file.write_text(yaml.safe_dump(yaml.safe_load(text) | CLUSTER | changes))
        return specification.compile_(config.load(file), file, target)

    return compile_


@pytest.fixture(scope="module")
def kubeflow(compiled):
    return compiled("kubeflow")


def test_the_specification_is_as_recorded(root, kubeflow):
    text = yaml.safe_dump(kubeflow, sort_keys=True, width=120)
    version = re.escape(importlib.metadata.version("tfx"))
    found = re.sub(rf"tfx-{version}\b", "tfx-VERSION", re.sub(r"\b[0-9a-f]{16}\b", "DIGEST", text))
    recorded = root / "tests" / "golden" / "compiled.yaml"
    if os.environ.get(UPDATE) == "1":
        recorded.write_text(found, encoding="utf-8")
    before = recorded.read_text(encoding="utf-8") if recorded.is_file() else ""
    changes = "".join(difflib.unified_diff(before.splitlines(True), found.splitlines(True), "recorded", "compiled now"))
    if changes:
        pytest.fail(f"the specification has changed. If it should: {UPDATE}=1 pytest tests/golden\n{changes}", False)


@pytest.mark.parametrize("target", ["kubeflow", "vertex"])
def test_it_is_a_message_of_kubeflow_without_unknown_fields(compiled, target):
    spec = compiled(target)
    message = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    executors = pipeline_spec_pb2.PipelineDeploymentConfig()
    json_format.ParseDict(spec["deploymentSpec"], executors)
    assert len(message.root.dag.tasks) == len(executors.executors) == len(message.components)
    assert all(executor.HasField("container") for executor in executors.executors.values())
    commands = {tuple(executor.container.command) for executor in executors.executors.values()}
    assert commands == {("python", "-m", specification.TASK_MODULE, "--target", target)}


def test_each_runtime_parameter_has_a_default_and_reaches_the_nodes_that_use_it(kubeflow):
    root = kubeflow["root"]["inputDefinitions"]["parameters"]
    assert {name: each["defaultValue"] for name, each in root.items()} == {
        "seed": 42, "data": "s3://bucket/golden/data", "image": "example/twostep:1",
        "spans": root["spans"]["defaultValue"],
        "releases": "s3://bucket/golden/releases", "serving": "s3://bucket/golden/serving",
        "RetrievalTrainer-cpu": "4", "RetrievalTrainer-memory": "16.5G", "ItemGen-cpu": "0.5",
    }  # fmt: skip
    users: dict[str, set[str]] = {}
    for name, task in kubeflow["root"]["dag"]["tasks"].items():
        for source in task["inputs"]["parameters"].values():
            if "componentInputParameter" in source:
                users.setdefault(source["componentInputParameter"], set()).add(name)
    assert users["image"] == set(kubeflow["root"]["dag"]["tasks"])
    assert users["data"] == users["spans"] == {"InteractionGen", "ItemGen", "UserGen"}
    assert users["serving"] == {"RetrievalPusher", "RankingPusher"}
    assert {"RetrievalTrainer", "RankingTrainer", "CandidateIndex", "EventJoiner"} <= users["seed"]
    evaluators = {"RetrievalEvaluator", "TwoStepEvaluator"}
    in_force = {"DeliveryInForce", "RetrievalInForce", "PairInForce"}
    assert users["releases"] == {*evaluators, *in_force, "DriftDetector", "ReleasePusher"}


def test_nodes_that_read_or_write_beside_their_artifacts_are_not_cached(kubeflow):
    tasks = kubeflow["root"]["dag"]["tasks"]
    cached = {name for name, task in tasks.items() if task["cachingOptions"].get("enableCache")}
    assert {
        "ItemGen",
        "PairInForce",
        "DriftDetector",
        "TwoStepEvaluator",
        "ReleasePusher",
        "RankingPusher",
    } & cached == set()
    assert {"EventJoiner", "RetrievalTrainer", "RankingTrainer", "CandidateGenerator", "UserSchemaGen"} <= cached


def test_a_warm_start_compiles_for_a_cluster(root, compiled):
    retrieval = yaml.safe_load((root / "tests" / "golden" / "dag.yaml").read_text())["retrieval"]
    tasks = compiled("kubeflow", retrieval={**retrieval, "warm_start": True})["root"]["dag"]["tasks"]
    for node in ("Transform", "RetrievalTrainer"):
        source = tasks[node]["inputs"]["artifacts"]["base_model"]["taskOutputArtifact"]
        assert source == {"producerTask": "DeliveryInForce", "outputArtifactKey": "model"}
    assert not tasks["DeliveryInForce"]["cachingOptions"].get("enableCache")


def test_a_frozen_schema_travels_in_the_specification(root, compiled, tmp_path):
    for table in ("interactions", "users", "items"):
        (tmp_path / f"{table}.pbtxt").write_text(f'feature {{ name: "{table}" type: BYTES }}')
    data = yaml.safe_load((root / "tests" / "golden" / "dag.yaml").read_text())["data"]
    spec = compiled("kubeflow", data={**data, "schema_folder": str(tmp_path)})
    given = spec["root"]["dag"]["tasks"]["UserSchemaGen"]["inputs"]["parameters"]
    assert given["run-schema"]["runtimeValue"]["constant"] == 'feature { name: "users" type: BYTES }'
    assert str(tmp_path) not in json.dumps(spec)


DATAFLOW = {"project": "p", "region": "europe-west4", "temp_location": "gs://b/tmp", "image": "eu.gcr.io/p/beam:1"}


@pytest.mark.parametrize(
    ("runner", "options", "argument"),
    [
        ("prism", {"location": "/usr/local/bin/prism", "workers": "pool:50000"}, "--environment_config=pool:50000"),
        ("flink", {"master": "flink:8081", "image": "i"}, "--flink_master=flink:8081"),
        ("spark", {"job_server": "spark:8099", "image": "i"}, "--job_endpoint=spark:8099"),
        ("dataflow", DATAFLOW, "--temp_location=gs://b/tmp"),
    ],
)
def test_the_nodes_that_read_and_join_tables_run_on_the_engine_and_all_others_in_their_container(
    compiled, runner, options, argument
):
    spec = compiled("vertex", beam={"runner": runner, runner: options})
    tables = ("Interaction", "User", "Item")
    on_engine = {"EventJoiner", *(f"{table}{kind}" for table in tables for kind in ("Gen", "StatisticsGen"))}
    local = ["--runner=FnApiRunner", "--sdk_container_image=none"]
    for name, task in spec["root"]["dag"]["tasks"].items():
        label = spec["components"][task["componentRef"]["name"]]["executorLabel"]
        container = spec["deploymentSpec"]["executors"][label]["container"]
        _, beam = task_module._parser().parse_known_args([*container["command"][3:], *container["args"]])
        if name in on_engine:
            assert PipelineOptions(beam).view_as(StandardOptions).runner == f"{runner.title()}Runner", name
            assert argument in beam
        else:
            assert beam == local, name


def test_without_a_place_it_says_what_to_set(compiled):
    with pytest.raises(UsageError, match=r"cluster\.root: .* such as s3://bucket/golden"):
        compiled("kubeflow", cluster={})


def test_places_that_are_uris_already_are_kept(root, compiled):
    data = yaml.safe_load((root / "tests" / "golden" / "dag.yaml").read_text())["data"]
    spec = compiled("kubeflow", data={**data, "root": "gs://tables/shop"}, release={"folder": "gs://other/releases"})
    found = spec["root"]["inputDefinitions"]["parameters"]
    assert found["data"]["defaultValue"] == "gs://tables/shop"
    assert found["releases"]["defaultValue"] == "gs://other/releases"
    assert found["serving"]["defaultValue"] == "s3://bucket/golden/serving"


def test_a_pipeline_that_should_sign_its_releases_is_refused(compiled):
    with pytest.raises(UsageError, match=r"release\.signing_key: .* cannot sign releases"):
        compiled("kubeflow", release={"signing_key": "key.pem"})


def test_a_task_that_fails_names_its_node_and_leaves_the_traceback_in_its_log(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("sys.argv", ["task"])
    given = {
        "inputs": {"parameterValues": {"run-node": "PairInForce"}},
        "outputs": {"outputFile": str(tmp_path / "output.json")},
    }
    words = ["--target", "kubeflow", "--executor_class_path", "components.release_in_force.executor.Executor"]
    words += ["--json_serialized_invocation_args", json.dumps(given), "--json_serialized_inputs_spec_args", "{}"]
    assert main(words) == 1
    log = capfd.readouterr().err
    assert "Traceback (most recent call last)" in log
    assert log.splitlines()[-2:] == [
        "twostep: PairInForce failed with KeyError: 'releases'", "The traceback is in the log of the task",
    ]  # fmt: skip
    assert not (tmp_path / "output.json").exists()
