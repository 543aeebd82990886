"""The rules of Kubeflow Pipelines: a specification that follows them, and one broken rule at a time."""

import copy

import pytest

from pipeline.runners.compiled.rules import SpecificationError, check


def container(**more):
    return {"container": {"image": "{{$.inputs.parameters['run-image']}}", "command": ["python"], "args": [], **more}}


IMAGE = {"run-image": {"componentInputParameter": "image"}}
SPEC = {
    "schemaVersion": "2.1.0",
    "pipelineInfo": {"name": "shop"},
    "components": {
        "Gen": {
            "executorLabel": "Gen_executor",
            "inputDefinitions": {"parameters": {
                "run-image": {"parameterType": "STRING"}, "format": {"parameterType": "NUMBER_INTEGER"}}},
            "outputDefinitions": {"artifacts": {"examples": {}}},
        },
        "Trainer": {
            "executorLabel": "Trainer_executor",
            "inputDefinitions": {
                "parameters": {"run-image": {"parameterType": "STRING"}}, "artifacts": {"examples": {}}},
        },
    },
    "deploymentSpec": {"executors": {"Gen_executor": container(), "Trainer_executor": container()}},
    "root": {
        "inputDefinitions": {"parameters": {"image": {"parameterType": "STRING", "defaultValue": "twostep"}}},
        "dag": {"tasks": {
            "Gen": {"componentRef": {"name": "Gen"},
                    "inputs": {"parameters": {"format": {"runtimeValue": {"constant": 6.0}}, **IMAGE}}},
            "Trainer": {
                "componentRef": {"name": "Trainer"}, "dependentTasks": ["Gen"],
                "inputs": {"parameters": IMAGE, "artifacts": {"examples": {"taskOutputArtifact": {
                    "producerTask": "Gen", "outputArtifactKey": "examples"}}}}},
        }},
    },
}  # fmt: skip


def changed(path, value):
    """Return SPEC with the value at a path of keys changed; `...` deletes the key."""
    spec = copy.deepcopy(SPEC)
    *parents, last = path.split("/")
    place = spec
    for key in parents:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return spec


def test_a_right_specification_passes():
    check(SPEC)


TASKS, EXECUTORS = "root/dag/tasks", "deploymentSpec/executors"


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("schemaVersion", "2.0.0", "schemaVersion: should be 2.1.0"),
        ("pipelineInfo/name", "My_Shop", "pipelineInfo.name"),
        (f"{TASKS}/Trainer/dependentTasks", ["Gone"], "Trainer: depends on 'Gone'"),
        (f"{TASKS}/my_task", SPEC["root"]["dag"]["tasks"]["Gen"], "my_task: the id of a node"),
        (f"{TASKS}/Trainer/componentRef/name", "Gone", "Trainer: its component 'Gone'"),
        (f"{TASKS}/Gen/inputs/parameters/format", {"runtimeValue": {"constant": "6"}}, "Gen: parameter format: its"),
        (f"{TASKS}/Gen/inputs/parameters/format", {"runtimeValue": {"constant": 6.5}}, "Gen: parameter format: its"),
        (f"{TASKS}/Gen/inputs/parameters/format", {"taskOutputParameter": {}}, "Gen: parameter format: should be a"),
        (f"{TASKS}/Gen/inputs/parameters/format", {"componentInputParameter": "image"}, "should be NUMBER_INTEGER"),
        (f"{TASKS}/Gen/inputs/parameters/other", {"runtimeValue": {"constant": 1}}, "Gen: parameter other: is not"),
        (f"{TASKS}/Trainer/inputs/artifacts/examples/taskOutputArtifact/producerTask", "Gone", "input examples: no"),
        (f"{TASKS}/Gen/inputs/parameters/run-image", ..., "Gen: its container needs the parameter run-image"),
        ("root/inputDefinitions/parameters/image/defaultValue", ..., "root parameter image: has no default"),
        ("root/inputDefinitions/parameters/image/defaultValue", 3, "root parameter image: its default is no STRING"),
        (f"{EXECUTORS}/Gen_executor", {"resolver": {}}, "Gen: its executor should be a container; found resolver"),
        (f"{EXECUTORS}/Gen_executor", container(lifecycle={}), "Gen: its container has a hook"),
        (f"{EXECUTORS}/Gen_executor", ..., "Gen: has no executor"),
        ("root/dag/padding", "x" * 1_000_000, "bytes; at most"),
    ],
)
def test_a_broken_rule_is_named_with_its_node(path, value, words):
    with pytest.raises(SpecificationError) as raised:
        check(changed(path, value))
    assert words in str(raised.value)
    assert str(raised.value).count("\n") == 1  # and no other rule


def test_all_broken_rules_are_told_at_once():
    spec = changed(f"{EXECUTORS}/Gen_executor", {"resolver": {}})
    spec["root"]["dag"]["tasks"]["Trainer"]["dependentTasks"] = ["Gone"]
    with pytest.raises(SpecificationError) as raised:
        check(spec)
    assert str(raised.value).count("\n") == 2
