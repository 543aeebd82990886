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
from core.release import signing
from pipeline import config
from pipeline.runners.compiled import keys, specification
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
        **{f"{node}-fingerprint": "unknown" for node in ("InteractionGen", "ItemGen", "UserGen")},
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


@pytest.fixture(scope="module")
def public_key(tmp_path_factory):
    """Return the file of a public key; that of the private key is not on this machine."""
    private, public = signing.make_keys(tmp_path_factory.mktemp("keys"))
    private.unlink()
    return public


def signed(public_key, **keys):
    """Return the changes to the configuration for signed releases."""
    release = {"signing_key": "secret/release-key.pem", "trusted_keys": [str(public_key)]}
    return {"release": release, "cluster": {**CLUSTER["cluster"], "keys": keys}}


def test_a_specification_names_the_key_and_mounts_the_secret_where_it_is_read(root, compiled, public_key):
    changes = signed(public_key, secret="shop-keys", folder="/keys")
    spec = compiled("kubeflow", **changes)
    assert str(public_key.parent) not in json.dumps(spec)
    assert spec["root"]["inputDefinitions"]["parameters"]["keys"]["defaultValue"] == "/keys"
    tasks = spec["root"]["dag"]["tasks"]
    given = {name: task["inputs"]["parameters"] for name, task in tasks.items()}
    assert {name for name, each in given.items() if "run-keys" in each} == {"DeliveryInForce", "ReleasePusher"}
    settings = json.loads(given["ReleasePusher"]["settings"]["runtimeValue"]["constant"])
    assert settings["signing_key"] == "/keys/release-key.pem"
    trusted = {name for name, each in given.items() if "run-trusted-keys" in each}
    evaluators = {"RetrievalEvaluator", "TwoStepEvaluator"}
    assert trusted == {*evaluators, "DriftDetector", "DeliveryInForce", "ReleasePusher"}
    texts = json.loads(given["DriftDetector"]["run-trusted-keys"]["runtimeValue"]["constant"])
    assert [*texts.values()] == [public_key.read_text()]
    loaded = config.Config.model_validate({**yaml.safe_load((root / "tests/golden/dag.yaml").read_text()), **changes})
    volume = {"secretName": "shop-keys", "mountPath": "/keys", "optional": True}
    executors = {f"{name}_executor": {"secretAsVolume": [volume]} for name in ("DeliveryInForce", "ReleasePusher")}
    assert keys.platform(loaded, spec) == {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}


def test_on_vertex_a_folder_of_the_containers_has_the_key(compiled, public_key):
    spec = compiled("vertex", **signed(public_key, folder="/gcs/private/shop"))
    assert spec["root"]["inputDefinitions"]["parameters"]["keys"]["defaultValue"] == "/gcs/private/shop"


@pytest.mark.parametrize(
    ("target", "keys", "message"),
    [
        ("kubeflow", None, r"cluster\.keys: .* set `cluster\.keys\.secret`"),
        ("vertex", {"secret": "shop-keys"}, r"cluster\.keys\.secret: Vertex AI mounts no Secrets"),
    ],
)
def test_a_pipeline_that_signs_needs_a_place_of_the_key(compiled, public_key, target, keys, message):
    changes = signed(public_key, **(keys or {}))
    if keys is None:
        changes["cluster"].pop("keys")
    with pytest.raises(UsageError, match=message):
        compiled(target, **changes)


def words_of_task(given):
    """Return the arguments of the task PairInForce or DeliveryInForce, with the message ExecutorInput."""
    words = ["--target", "kubeflow", "--executor_class_path", "components.release_in_force.executor.Executor"]
    return [*words, "--json_serialized_invocation_args", json.dumps(given), "--json_serialized_inputs_spec_args", "{}"]


@pytest.mark.parametrize("wrong", [False, True], ids=["missing", "wrong"])
def test_a_task_before_the_training_names_a_key_that_is_missing_or_wrong(tmp_path, public_key, capfd, wrong):
    if wrong:
        signing.make_keys(tmp_path / "keys")
    parameters = {
        "run-node": "DeliveryInForce",
        "run-keys": str(tmp_path / "keys"),
        "run-signing-key": signing.PRIVATE_FILE,
        "run-trusted-keys": json.dumps({"trusted-key-0.pem": public_key.read_text()}),
    }
    given = {"inputs": {"parameterValues": parameters}, "outputs": {"outputFile": str(tmp_path / "output.json")}}
    assert main(words_of_task(given)) == 1
    problem = "is not the private key of one of" if wrong else "is not in the container. Create the Secret"
    assert re.search(rf"twostep: {tmp_path}/keys/release-key.pem: .*{problem}", capfd.readouterr().err)


def test_a_task_that_fails_names_its_node_and_leaves_the_traceback_in_its_log(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("sys.argv", ["task"])
    given = {
        "inputs": {"parameterValues": {"run-node": "PairInForce"}},
        "outputs": {"outputFile": str(tmp_path / "output.json")},
    }
    assert main(words_of_task(given)) == 1
    log = capfd.readouterr().err
    assert "Traceback (most recent call last)" in log
    assert log.splitlines()[-2:] == [
        "twostep: PairInForce failed with KeyError: 'releases'", "The traceback is in the log of the task",
    ]  # fmt: skip
    assert not (tmp_path / "output.json").exists()


def test_machines_that_train_together_are_refused(compiled):
    with pytest.raises(UsageError, match=r"training\.machines: .* one container"):
        compiled("kubeflow", training={"machines": ["a:1", "b:1"]})


def test_trainers_need_the_gpus_that_they_train_on(compiled):
    gpus = {"training": {"gpus": 2}}
    resources = {
        node: {"accelerator": "nvidia.com/gpu", "accelerators": 2} for node in ("RetrievalTrainer", "RankingTrainer")
    }
    with pytest.raises(UsageError, match=r"resources\.RankingTrainer: should have at least 2 `accelerators`.*found 0"):
        compiled("kubeflow", resources=dict(list(resources.items())[:1]), **gpus)
    compiled("kubeflow", resources=resources, **gpus)
