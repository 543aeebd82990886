"""The rules of Kubeflow's compiler and Argo's validator that a specification must follow, checked without a network."""

import json
import re
from collections.abc import Iterator
from typing import Any

from core.errors import TwostepError

SCHEMA_VERSION = "2.1.0"
_TASK = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9]*")
_PIPELINE = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
_PLACEHOLDER = re.compile(r"\{\{\$\.inputs\.parameters\['([^']*)'\]\}\}")
_TYPES: dict[str, tuple[type, ...]] = {"STRING": (str,), "NUMBER_INTEGER": (int,), "NUMBER_DOUBLE": (int, float)}
_LONGEST = 63  # characters of the name of a task, which becomes a label of Kubernetes
_LARGEST = 1_000_000  # bytes of a specification, which is kept in one object of Kubernetes


class SpecificationError(TwostepError):
    """A specification that Kubeflow Pipelines would refuse; the message names the node and the rule."""


def check(spec: dict[str, Any]) -> None:
    """Check a specification. Raises: SpecificationError with every broken rule."""
    broken = list(_broken(spec))
    if broken:
        raise SpecificationError("the specification breaks rules of Kubeflow Pipelines:\n" + "\n".join(broken))


def _broken(spec: dict[str, Any]) -> Iterator[str]:
    if spec.get("schemaVersion") != SCHEMA_VERSION:
        yield f"  schemaVersion: should be {SCHEMA_VERSION}; found {spec.get('schemaVersion')!r}. Compile it again."
        return
    name = spec.get("pipelineInfo", {}).get("name", "")
    if not _PIPELINE.fullmatch(name):
        yield f"  pipelineInfo.name: should be lower-case letters, digits and dashes, at most 128; found {name!r}"
    size = len(json.dumps(spec))
    if size > _LARGEST:
        yield f"  the specification has {size:,} bytes; at most {_LARGEST:,} fit into an object of Kubernetes"
    tasks, components = spec["root"]["dag"]["tasks"], spec["components"]
    root = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for parameter, definition in root.items():
        if "defaultValue" not in definition:
            yield f"  root parameter {parameter}: has no default value"
        elif not _fits(definition["defaultValue"], definition["parameterType"]):
            yield f"  root parameter {parameter}: its default is no {definition['parameterType']}"
    for task_name, task in tasks.items():
        component = components.get(task["componentRef"]["name"])
        if component is None:
            yield f"  {task_name}: its component {task['componentRef']['name']!r} does not exist"
            continue
        executors = spec["deploymentSpec"]["executors"]
        yield from (f"  {task_name}: {each}" for each in _of_task(task_name, task, component, tasks, components, root))
        yield from (f"  {task_name}: {each}" for each in _of_executor(executors.get(component["executorLabel"]), task))


def _of_task(name: str, task: dict, component: dict, tasks: dict, components: dict, root: dict) -> Iterator[str]:
    """Yield what is wrong with a task: its name, its inputs and the tasks that it depends on."""
    if not _TASK.fullmatch(name) or len(name) > _LONGEST:
        yield f"the id of a node should be at most {_LONGEST} letters, digits and dashes"
    for other in task.get("dependentTasks", ()):
        if other not in tasks:
            yield f"depends on {other!r}, which is no task"
    declared = component.get("inputDefinitions", {})
    for parameter, source in task.get("inputs", {}).get("parameters", {}).items():
        kind = declared.get("parameters", {}).get(parameter, {}).get("parameterType")
        if kind is None:
            yield f"parameter {parameter}: is not declared by the component"
        elif "componentInputParameter" in source:
            given = root.get(source["componentInputParameter"], {}).get("parameterType")
            if given != kind:
                yield f"parameter {parameter}: should be {kind}; root parameter is {given}"
        elif "runtimeValue" in source:
            if not _fits(source["runtimeValue"].get("constant"), kind):
                yield f"parameter {parameter}: its constant is no {kind}"
        else:
            yield f"parameter {parameter}: should be a constant or a root parameter; found {', '.join(source)}"
    for key, source in task.get("inputs", {}).get("artifacts", {}).items():
        made = source.get("taskOutputArtifact", {})
        producer = tasks.get(made.get("producerTask"))
        outputs = components[producer["componentRef"]["name"]].get("outputDefinitions", {}) if producer else {}
        if made.get("outputArtifactKey") not in outputs.get("artifacts", {}):
            yield f"input {key}: no earlier task makes it"


def _of_executor(executor: dict | None, task: dict) -> Iterator[str]:
    """Yield what is wrong with the executor of a task."""
    if executor is None:
        yield "has no executor"
        return
    if set(executor) - {"container", "importer"}:
        yield f"its executor should be a container; found {', '.join(executor)}, which Kubeflow does not run"
        return
    container = executor.get("container", {})
    if "lifecycle" in container:
        yield "its container has a hook before the cache check, which Kubeflow does not run"
    given = task.get("inputs", {}).get("parameters", {})
    texts = [container.get("image", ""), *map(str, container.get("resources", {}).values())]
    for parameter in (each for text in texts for each in _PLACEHOLDER.findall(text)):
        if parameter not in given:
            yield f"its container needs the parameter {parameter}, which the task does not get"


def _fits(value: Any, kind: str) -> bool:
    """Return whether a value has a type of Kubeflow; a whole number is an integer, however it is written."""
    if isinstance(value, bool):
        return kind == "BOOLEAN"
    if kind == "NUMBER_INTEGER" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(kind, ()))
