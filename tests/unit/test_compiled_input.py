"""What a task gets and returns: types, metadata, URIs and folders, and the lineage."""

import copy
import json
from pathlib import Path

import pytest

from core.errors import UsageError
from pipeline.lineage import graph
from pipeline.runners.compiled import task_lineage
from pipeline.runners.compiled.executor_input import mend, mended_output, mounted, own_spec

EXAMPLES = {"instanceSchema": "title: tfx.Examples\ntype: object\n"}
SPEC = {
    "artifacts": {"examples": {"artifactType": EXAMPLES}},
    "parameters": {"settings": {"parameterType": "STRING"}, "run-seed": {"parameterType": "NUMBER_INTEGER"}},
}
GIVEN = {
    "inputs": {
        "parameterValues": {"settings": '{"seed": 1}', "run-seed": 2.0},
        "artifacts": {
            "examples": {
                "artifacts": [
                    {
                        "name": "17",
                        "type": {"instanceSchema": ""},
                        "uri": "s3://bucket/run/Gen/examples",
                        "metadata": {
                            "split_names": '["all"]', "spans": {"list": [1, 2]}, "more": {"struct": {"a": 1}},
                            "display_name": "examples", "store_session_info": "x", "kept": {"a": 1, "b": 2},
                        },
                    }
                ]
            }
        },
    },
    "outputs": {
        "artifacts": {"model": {"artifacts": [{"type": EXAMPLES, "uri": "s3://bucket/run/Trainer/model"}]}},
        "outputFile": "/tmp/output.json",
    },
}  # fmt: skip


def test_uris_are_below_the_folders_of_the_launcher():
    assert mounted("gs://bucket/a/b", Path("/")) == Path("/gcs/bucket/a/b")
    assert mounted("s3://bucket/a", Path("/m")) == Path("/m/s3/bucket/a")
    assert mounted("minio://bucket/a", Path("/m")) == Path("/m/minio/bucket/a")
    assert mounted("/a/path", Path("/m")) is None


def test_an_input_gets_its_type_its_folder_and_plain_metadata():
    given = copy.deepcopy(GIVEN)
    run = mend(given, SPEC, lambda uri: uri.replace("s3://bucket", "/s3/bucket"))
    [artifact] = given["inputs"]["artifacts"]["examples"]["artifacts"]
    assert artifact["type"] == EXAMPLES
    assert artifact["uri"] == "/s3/bucket/run/Gen/examples"
    assert artifact["metadata"] == {
        "split_names": '["all"]', "spans": [1, 2], "more": {"a": 1}, "kept": {"a": 1, "b": 2},
    }  # fmt: skip
    assert given["outputs"]["artifacts"]["model"]["artifacts"][0]["uri"] == "/s3/bucket/run/Trainer/model"
    assert (run, given["inputs"]["parameterValues"]) == ({"seed": 2}, {"settings": '{"seed": 2}'})
    assert own_spec(SPEC)["parameters"] == {"settings": {"parameterType": "STRING"}}


def test_an_output_keeps_the_uri_that_it_was_given_and_has_no_null_and_no_folder():
    output = {
        "artifacts": {
            "model": {
                "artifacts": [
                    {
                        "uri": "/elsewhere",
                        "metadata": {"a": None, "b": "at /s3/bucket/x/y", "c": ["/s3/bucket/z"], "d": 1.0},
                    }
                ]
            }
        }
    }
    mended = mended_output(output, {"model": "s3://bucket/m"}, lambda text: text.replace("/s3/bucket", "s3://bucket"))
    assert mended["artifacts"]["model"]["artifacts"] == [
        {"uri": "s3://bucket/m", "metadata": {"b": "at s3://bucket/x/y", "c": ["s3://bucket/z"], "d": 1.0}}
    ]


def test_the_lineage_of_an_output_is_that_of_the_inputs_and_the_task():
    sources = json.dumps([{"file": "events.csv", "sha256": "00", "rows": 3}])
    first = {"inputs": {}, "outputs": {"artifacts": {"examples": {"artifacts": [
        {"type": EXAMPLES, "uri": "s3://bucket/run/Gen/examples"}]}}, "outputFile": "gen.json"}}  # fmt: skip
    made = {"artifacts": {"examples": {"artifacts": [
        {"uri": "s3://bucket/run/Gen/examples", "metadata": {"sources": sources, "spans": "1"}}]}}}  # fmt: skip
    task_lineage.add(made, first, task_lineage.of_inputs(first), "Gen", 0.0)
    second = copy.deepcopy(GIVEN)
    second["inputs"]["artifacts"] = {"examples": made["artifacts"]["examples"]}
    output = {"artifacts": {"model": {"artifacts": [{"uri": "s3://bucket/run/Trainer/model", "metadata": {}}]}}}
    inputs = task_lineage.of_inputs(second)
    task_lineage.add(output, second, inputs, "Trainer", 1.0)
    lineage = task_lineage.unpacked(output["artifacts"]["model"]["artifacts"][0]["metadata"]["lineage"])
    assert [each.node for each in lineage.executions.values()] == ["Gen", "Trainer"]
    [model] = lineage.roots
    [examples] = lineage.next(model)
    assert (lineage.artifacts[model].type, lineage.artifacts[model].uri) == (
        "Examples",
        "s3://bucket/run/Trainer/model",
    )
    assert lineage.artifacts[examples].properties == {"spans": "1"}
    assert lineage.artifacts[examples].sources == (graph.Source("events.csv", "00", 3),)
    assert lineage.next(examples) == []


def test_a_baseline_is_named_and_not_traced():
    given = copy.deepcopy(GIVEN)
    given["inputs"]["artifacts"]["baseline_release"] = given["inputs"]["artifacts"].pop("examples")
    inputs = task_lineage.of_inputs(given)
    assert inputs.roots == ()
    output = {"artifacts": {"model": {"artifacts": [{"uri": "s3://bucket/m", "metadata": {}}]}}}
    task_lineage.add(output, given, inputs, "Evaluator", 1.0)
    lineage = task_lineage.unpacked(output["artifacts"]["model"]["artifacts"][0]["metadata"]["lineage"])
    [execution] = lineage.executions.values()
    assert (execution.inputs, len(execution.compared_with)) == ((), 1)


def test_a_damaged_lineage_is_an_error_that_says_what_to_do():
    given = copy.deepcopy(GIVEN)
    for text in ("nonsense", "~~", task_lineage.packed(graph.Lineage("back", (), {}, {}))[:-4]):
        given["inputs"]["artifacts"]["examples"]["artifacts"][0]["metadata"]["lineage"] = text
        with pytest.raises(UsageError, match="Run the earlier task again"):
            task_lineage.of_inputs(given)
