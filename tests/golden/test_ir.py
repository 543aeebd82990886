"""The compiled DAG, compared with the recorded text dag.txt, so that no node changes by accident."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import contextlib
import difflib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from tfx.dsl.compiler.compiler import Compiler

from pipeline import config
from pipeline.dag import wiring

RECORDED = "dag.txt"
UPDATE = "TWOSTEP_UPDATE_GOLDEN"


@pytest.fixture(scope="module")
def here(root) -> Path:
    return root / "tests" / "golden"


@pytest.fixture
def compiled(here, tmp_path):
    """Return a function that compiles the DAG of dag.yaml, with changes to sections of the configuration."""

    def compile_(**changes: dict[str, Any]) -> Any:
        file = tmp_path / "dag.yaml"
        values = yaml.safe_load((here / "dag.yaml").read_text().replace("RUNS", str(tmp_path / "runs")))
        file.write_text(yaml.safe_dump(values | {key: values[key] | change for key, change in changes.items()}))
        return Compiler().compile(wiring.build(config.load(file), file))

    return compile_


def test_the_dag_is_as_recorded(here, compiled, tmp_path):
    found = "\n".join(_lines(compiled())).replace(str(tmp_path), "FOLDER") + "\n"
    recorded = here / RECORDED
    if os.environ.get(UPDATE) == "1":
        recorded.write_text(found, encoding="utf-8")
    before = recorded.read_text(encoding="utf-8") if recorded.is_file() else ""
    changes = "".join(
        difflib.unified_diff(before.splitlines(True), found.splitlines(True), f"{RECORDED}, recorded", "compiled now")
    )
    if changes:
        todo = f"{UPDATE}=1 pytest tests/golden rewrites {RECORDED}"
        pytest.fail(f"the DAG has changed. If it should: {todo}\n{changes}", False)


def test_built_twice_it_is_the_same(compiled):
    one, other = compiled(), compiled()
    assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)


@pytest.mark.parametrize(
    ("key", "setting", "nodes"),
    [
        ("evaluation", "max_queries", {"CandidateGenerator", "RetrievalEvaluator", "TwoStepEvaluator"}),
        ("evaluation", "max_ranking_queries", {"CandidateGenerator"}),
        ("retrieval", "validation_queries", {"RetrievalTrainer"}),
        ("ranking", "max_queries", {"CandidateGenerator"}),
    ],
)
def test_a_cap_of_queries_is_that_of_one_purpose(compiled, key, setting, nodes):
    before, after = _by_node(compiled()), _by_node(compiled(**{key: {setting: 77}}))
    changed = {node: set(after[node]) - set(before[node]) for node in before if after[node] != before[node]}
    assert set(changed) == nodes
    if key == "evaluation":  # only the number of lists on which TFMA evaluates the ranker
        assert changed["CandidateGenerator"] == {"  parameter settings.max_test_queries = 77"}


def test_impressions_have_nodes_of_their_own_and_reach_the_candidate_generator_alone(compiled):
    without = _by_node(compiled())
    impressions = {"path": "shown.csv", "on_unknown": "drop"}
    found = _by_node(compiled(data={"impressions": impressions}, ranking={"negatives": {"impressions": 0.2}}))
    own = {"ImpressionGen", "ImpressionStatisticsGen", "ImpressionSchemaGen", "ImpressionValidator"}
    assert set(found) == {*without, *own}
    of_statistics = {"DeliveryInForce", "DriftDetector", "ReleasePusher"}  # they read the statistics of the table
    assert {node for node in without if found[node] != without[node]} == {"CandidateGenerator", *of_statistics}
    assert set(found["CandidateGenerator"]) - set(without["CandidateGenerator"]) == {
        "  after ImpressionGen",
        "  after ImpressionValidator",
        "  in impressions: Examples examples of ImpressionGen, this run",
        "  in impressions_anomalies: ExampleAnomalies anomalies of ImpressionValidator, this run",
        "  parameter settings.impressions.drop_unknown = true",
        "  parameter settings.impressions.max_dropped = 0.05",
        "  parameter settings.negatives.impressions = 0.2",
    }
    assert set(without["CandidateGenerator"]) - set(found["CandidateGenerator"]) == {
        "  parameter settings.impressions = null",
        "  parameter settings.negatives.impressions = 0.0",
    }


def test_a_warm_start_gives_the_model_of_the_release_in_force_to_two_nodes(compiled):
    before, after = _by_node(compiled()), _by_node(compiled(retrieval={"warm_start": True}))
    assert set(before) == set(after)
    added = {node: set(after[node]) - set(before[node]) for node in before if after[node] != before[node]}
    base = "  in base_model: Model model of DeliveryInForce, this run"
    assert added == {
        "DeliveryInForce": {
            "  out model: Model",
            "  parameter trusted_keys = []",
            "  before RetrievalTrainer",
            "  before Transform",
        },
        "Transform": {"  after DeliveryInForce", base},
        "RetrievalTrainer": {"  after DeliveryInForce", base},
    }


def _by_node(ir: Any) -> dict[str, list[str]]:
    parts = [part.split("\n") for part in "\n".join(_lines(ir)).split("\n\n")[1:]]
    return {lines[0].partition(":")[0]: lines for lines in parts}


# ---- the DAG as text: one line per property, in a fixed order ----


def _lines(ir: Any) -> Iterator[str]:
    yield f"pipeline {ir.pipeline_info.id}"
    executors = _executors(ir)
    for node in (each.pipeline_node for each in ir.nodes):
        yield ""
        yield f"{node.node_info.id}: {node.node_info.type.name}"
        yield from executors.get(node.node_info.id, [])
        yield from (f"  after {each}" for each in sorted(node.upstream_nodes))
        yield from (f"  before {each}" for each in sorted(node.downstream_nodes))
        yield f"  cached: {node.execution_options.caching_options.enable_cache}"
        for key, value in sorted(node.inputs.inputs.items()):
            yield from (f"  in {key}: {each}" for each in sorted(map(_channel, value.channels)))
        for _, graph in sorted(node.inputs.input_graphs.items()):
            yield from _resolving(graph)
        yield from (
            f"  out {key}: {value.artifact_spec.type.name}" for key, value in sorted(node.outputs.outputs.items())
        )
        for key, value in sorted(node.parameters.parameters.items()):
            yield from _parameter(key, json_format.MessageToDict(value))


def _channel(channel: Any) -> str:
    """Return the source of an input: another node of this run, or the history of the pipeline."""
    contexts = {each.type.name: each.name.field_value.string_value for each in channel.context_queries}
    maker, when = contexts["node"].rpartition(".")[2], "this run" if "pipeline_run" in contexts else "any run"
    return f"{channel.artifact_query.type.name} {channel.output_key} of {maker}, {when}"


def _resolving(graph: Any) -> Iterator[str]:
    """Yield a line for the class of a Resolver's strategy, and one for the input of each of its arguments."""
    for node in (graph.nodes[key] for key in sorted(graph.nodes)):
        if node.HasField("op_node"):
            yield f"  picked by {node.op_node.op_type}"
        for key, source in sorted(node.dict_node.node_ids.items()):
            yield f"  picks {key}: {graph.nodes[source].input_node.input_key}"


def _executors(ir: Any) -> dict[str, list[str]]:
    """Return node → lines with the class of its executor and the arguments of Beam."""
    any_config = json_format.MessageToDict(ir.deployment_config)
    found: dict[str, list[str]] = {}
    for node, spec in any_config["executorSpecs"].items():
        beam = spec.get("beamPipelineArgs", [])
        python = spec.get("pythonExecutorSpec", spec)
        found[node] = [f"  by {python['classPath']}", *(f"  Beam {argument}" for argument in beam)]
    return found


def _parameter(key: str, value: dict[str, Any]) -> Iterator[str]:
    """Yield a line for a parameter, or a line per leaf if its value is JSON; JSON inside strings is decoded too."""
    if "runtimeParameter" in value:
        yield f"  parameter {key} at run time"
        return
    [found] = value["fieldValue"].values()
    for path, leaf in _leaves(key, found):
        masked = "DIGEST" if re.search(r"(^|\.)code(_digest)?$", path) else leaf
        yield f"  parameter {path} = {masked}"


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, str) and value[:1] in ("{", "["):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    if isinstance(value, dict) and value:
        for key in sorted(value):
            yield from _leaves(f"{path}.{key}", value[key])
    elif isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        for place, each in enumerate(value):
            yield from _leaves(f"{path}[{place}]", each)
    else:
        yield path, json.dumps(value, ensure_ascii=False)
