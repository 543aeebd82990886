"""The execution of a compiled specification on this machine, task by task, as on Kubeflow Pipelines or Vertex AI."""

import importlib.metadata
import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from core.errors import TwostepError, UsageError
from pipeline.config.beam import is_distributed
from pipeline.runners.compiled import launcher, rules, specification_file
from pipeline.runners.compiled.launcher import Artifact, Bucket, Processes, Task
from pipeline.runners.ordering import side_by_side
from pipeline.runners.progress import NodeResult, Progress

RUN_ON = {"kubeflow": launcher.run_on_kubeflow, "vertex": launcher.run_on_vertex}
_TARGET = "--target"  # the argument of a task's command that says where it runs


def read(file: Path) -> dict[str, Any]:
    """Return a specification from a file, after a check.

    Raises:
      UsageError: the file holds no specification.
      SpecificationError: it is no specification that this version can run.
    """
    found = specification_file.read(file)
    if found is None:
        raise UsageError(f"{file}: should be a compiled specification; `twostep compile` writes one")
    spec, _ = found  # no cluster, so nothing to mount
    rules.check(spec)
    expected = f"tfx-{importlib.metadata.version('tfx')}"
    if spec.get("sdkVersion") != expected:
        raise rules.SpecificationError(
            f"{file}: sdkVersion should be {expected}; found {spec.get('sdkVersion')!r}. Compile it again"
        )
    for name, executor in spec["deploymentSpec"]["executors"].items():
        if _TARGET not in executor.get("container", {}).get("command", ()):
            raise rules.SpecificationError(
                f"{file}: {name}: its command should be that of a task of twostep; a specification of another program "
                "runs on a cluster only"
            )
    return spec


def target_of(spec: Mapping[str, Any]) -> str:
    """Return the platform that a specification was compiled for, `kubeflow` or `vertex`."""
    executor = next(iter(spec["deploymentSpec"]["executors"].values()))
    command = executor["container"]["command"]
    target: str = command[command.index(_TARGET) + 1]
    return target


def uses_engine(spec: Mapping[str, Any]) -> bool:
    """Return whether Beam steps of a task may run on other machines, so that the task reads and writes URIs."""
    containers = [each["container"] for each in spec["deploymentSpec"]["executors"].values()]
    return any(is_distributed(re.findall(r"^--runner=.*", "\n".join(each["args"]), re.M)) for each in containers)


def default_values(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the default of each runtime parameter."""
    return {name: each["defaultValue"] for name, each in spec["root"]["inputDefinitions"]["parameters"].items()}


def run(
    spec: Mapping[str, Any],
    values: Mapping[str, Any],
    bucket: Bucket,
    target: str,
    folder: Path,
    reporter: Progress,
    count: int,
    raise_if_stopped: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, Artifact]]:
    """Run all tasks of a specification; return task → key → output artifact.

    Args:
      spec: the specification.
      values: the value of each runtime parameter.
      bucket: where the artifacts are.
      target: `kubeflow` or `vertex`, which of them to behave as.
      folder: a new folder for the logs of this run; its name is the id of the run.
      reporter: shows the progress of each task.
      count: the maximum number of tasks that run side by side.
      raise_if_stopped: see `ordering.side_by_side`.
    Raises:
      TwostepError: a task failed; the message names it and its log.
    """
    tasks, made, processes = spec["root"]["dag"]["tasks"], dict[str, dict[str, Artifact]](), Processes()
    reporter.set_nodes(list(tasks))
    root = f"{bucket.uri}/pipeline/{spec['pipelineInfo']['name']}/{folder.name}"
    began = time.monotonic()

    def run_task(name: str) -> NodeResult:
        since = time.monotonic()
        task = _task(spec, name, values, made, f"{root}/{name}", folder / name, target)
        try:
            with reporter.running(name):
                made[name] = RUN_ON[target](task, bucket, processes)
        except TwostepError:
            reporter.node_finished(NodeResult(name, "failed", time.monotonic() - since))
            raise
        result = NodeResult(name, "done", time.monotonic() - since, len(made[name]))
        reporter.node_finished(result)
        return result

    upstream = {name: set(task.get("dependentTasks", ())) for name, task in tasks.items()}
    results = list(side_by_side(upstream, run_task, count, raise_if_stopped, processes.stop))
    reporter.run_finished(results, time.monotonic() - began)
    return made


def _task(
    spec: Mapping[str, Any],
    name: str,
    values: Mapping[str, Any],
    made: Mapping[str, Mapping[str, Artifact]],
    root: str,
    folder: Path,
    target: str,
) -> Task:
    """Return a task whose upstream tasks have ended."""
    folder.mkdir(parents=True)
    described = spec["root"]["dag"]["tasks"][name]
    component = spec["components"][described["componentRef"]["name"]]
    executor = json.loads(json.dumps(spec["deploymentSpec"]["executors"][component["executorLabel"]]))
    command = executor["container"]["command"]
    command[command.index(_TARGET) + 1] = target
    inputs = described.get("inputs", {})
    parameters = {
        key: values[source["componentInputParameter"]]
        if "componentInputParameter" in source
        else source["runtimeValue"]["constant"]
        for key, source in inputs.get("parameters", {}).items()
    }
    artifacts = {
        key: made[source["taskOutputArtifact"]["producerTask"]][source["taskOutputArtifact"]["outputArtifactKey"]]
        for key, source in inputs.get("artifacts", {}).items()
    }
    return Task(name, component, executor, parameters, artifacts, root, folder)
