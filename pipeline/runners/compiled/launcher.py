"""One task of a specification on this machine, as the driver and the launcher of a cluster run it.

On Kubeflow the driver gives inputs without types, metadata in wrappers and URIs of a bucket; the launcher downloads the
inputs to folders, starts the container's command, reads the output strictly, and uploads the outputs. On Vertex AI the
container does all of this itself. See docs/kubeflow.md.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import TwostepError
from core.storage import errors
from core.storage.storage import open_storage
from pipeline.runners.compiled.executor_input import artifacts, mounted
from pipeline.runners.compiled.task import MOUNTS
from pipeline.runners.processes import end_descendants

Artifact = dict[str, Any]  # name, uri, type, metadata
_INPUT = "{{$}}"


@dataclass(frozen=True)
class Bucket:
    """The bucket of a run.

    Args:
      uri: the URI that the tasks see.
      place: where its objects are: the URI itself, or a local folder that stands for it.
    """

    uri: str
    place: str

    def storage(self, uri: str) -> Any:
        """Return the storage of a URI in the bucket."""
        return open_storage(self.place + uri.removeprefix(self.uri))


@dataclass(frozen=True)
class Task:
    """A task that is ready to run.

    Args:
      name: the id of the node.
      component, executor: the entries of the specification.
      parameters: the values of its inputs.
      inputs: key → artifact.
      root: the URI below which its outputs are.
      folder: a new folder on this machine for its files and its log.
    """

    name: str
    component: Mapping[str, Any]
    executor: Mapping[str, Any]
    parameters: dict[str, Any]
    inputs: dict[str, Artifact]
    root: str
    folder: Path


class Processes:
    """The running containers, as processes; `stop` ends them all."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock, self._stopped = threading.Lock(), False

    def run(self, words: list[str], log: Path, environment: Mapping[str, str]) -> int:
        """Run a command with its output in a log file; return its exit code."""
        with open(log, "wb") as output:
            with self._lock:
                if self._stopped:
                    return -signal.SIGKILL
                process = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT, env=os.environ | environment)
                self._running.add(process)
            try:
                return process.wait()
            finally:
                with self._lock:
                    self._running.discard(process)

    def stop(self) -> None:
        """End all processes, and let no further one start."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                end_descendants(process.pid)  # Prism, and workers of Beam
                process.kill()


def run_on_kubeflow(task: Task, bucket: Bucket, processes: Processes) -> dict[str, Artifact]:
    """Run a task as on Kubeflow Pipelines; return key → output artifact. Raises: TwostepError if it fails."""
    outputs = _outputs(task)
    given = _executor_input(task, outputs, str(task.folder / "executor_output.json"))
    for _, artifact in artifacts(given, "inputs"):
        artifact["type"] = {"instanceSchema": ""}
        artifact["metadata"] = _wrapped(artifact["metadata"]) | {"display_name": artifact["name"]}
    mounts = task.folder / "mounts"
    for artifact in task.inputs.values():
        _download(bucket, artifact["uri"], mounts)
    _start(task, given, {MOUNTS: str(mounts)}, processes)
    file = task.folder / "executor_output.json"
    text = file.read_text(encoding="utf-8") if file.is_file() else "{}"
    made = _merged(task, outputs, _parsed(task, text))
    for artifact in made.values():
        folder = mounted(artifact["uri"], mounts)
        if folder is not None and folder.is_dir():
            bucket.storage(artifact["uri"]).upload(folder, "")
    shutil.rmtree(mounts, ignore_errors=True)
    return made


def run_on_vertex(task: Task, bucket: Bucket, processes: Processes) -> dict[str, Artifact]:
    """Run a task as on Vertex AI; return key → output artifact. Raises: TwostepError if it fails."""
    outputs = _outputs(task)
    output_file = f"{task.root}/executor_output.json"
    _start(task, _executor_input(task, outputs, output_file), {}, processes)
    folder, _, name = output_file.rpartition("/")
    return _merged(task, outputs, _parsed(task, open_storage(folder).read(name)[0].decode()))


def _outputs(task: Task) -> dict[str, Artifact]:
    """Return key → an output artifact without metadata, at the URI that a driver gives it."""
    declared = task.component.get("outputDefinitions", {}).get("artifacts", {})
    return {
        key: {"name": f"{task.name}-{key}", "uri": f"{task.root}/{key}", "type": each["artifactType"], "metadata": {}}
        for key, each in declared.items()
    }


def _executor_input(task: Task, outputs: dict[str, Artifact], output_file: str) -> dict[str, Any]:
    """Return the ExecutorInput message as a dictionary."""
    return {
        "inputs": {
            "parameterValues": dict(task.parameters),
            "artifacts": {key: {"artifacts": [dict(each)]} for key, each in task.inputs.items()},
        },
        "outputs": {
            "artifacts": {key: {"artifacts": [dict(each)]} for key, each in outputs.items()},
            "outputFile": output_file,
        },
    }


def _download(bucket: Bucket, uri: str, mounts: Path) -> None:
    folder = mounted(uri, mounts)
    if folder is not None:
        try:
            bucket.storage(uri).download("", folder)
        except errors.ObjectMissingError:  # the output of a task that wrote no file
            folder.mkdir(parents=True, exist_ok=True)


def _start(task: Task, given: dict[str, Any], environment: dict[str, str], processes: Processes) -> None:
    """Run the command of a task's container in a process. Raises: TwostepError if it fails."""
    container = task.executor["container"]
    command, *more = container["command"]
    python = sys.executable if command == "python" else command
    words = [python, *more, *(json.dumps(given) if word == _INPUT else word for word in container["args"])]
    log = task.folder / "log.txt"
    code = processes.run(words, log, environment)
    if code:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        told = [line.removeprefix("twostep: ") for line in lines if line.startswith("twostep: ")]
        raise TwostepError(f"{task.name}: {told[-1] if told else f'exit code {code}'}\nThe log is {log}")


def _parsed(task: Task, text: str) -> dict[str, Any]:
    """Return the output of a task, parsed as strictly as by Kubeflow's launcher. Raises: TwostepError."""
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    try:
        json_format.Parse(text, pipeline_spec_pb2.ExecutorOutput())
        output = json.loads(text)
    except (json_format.ParseError, ValueError) as error:
        raise TwostepError(f"{task.name}: its output cannot be read: {error}") from error
    for key, listed in output.get("artifacts", {}).items():
        for artifact in listed["artifacts"]:
            empty = [name for name, value in artifact.get("metadata", {}).items() if value is None]
            if empty:
                raise TwostepError(f"{task.name}: output {key}: the metadata {', '.join(empty)} are null")
    return output


def _merged(task: Task, outputs: dict[str, Artifact], output: Mapping[str, Any]) -> dict[str, Artifact]:
    """Return the output artifacts with the metadata, and the URIs, that the task returned."""
    made = {}
    for key, artifact in outputs.items():
        [returned] = output.get("artifacts", {}).get(key, {}).get("artifacts", [{}])
        made[key] = {
            **artifact,
            "uri": returned.get("uri", artifact["uri"]),
            "metadata": artifact["metadata"] | returned.get("metadata", {}),
        }
    return made


def _wrapped(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata as Kubeflow returns it: dictionaries and lists in wrappers, booleans as numbers."""
    wrapped: dict[str, Any] = {}
    for key, value in metadata.items():
        if isinstance(value, dict | list):
            wrapped[key] = {"struct" if isinstance(value, dict) else "list": value}
        else:
            wrapped[key] = float(value) if isinstance(value, bool) else value
    return wrapped
