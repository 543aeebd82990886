"""The execution of a specification with small tasks: what they get and return, failures, and a stop in the middle."""

import importlib.metadata
import io
import json
import threading
import time

import pytest
import yaml
from rich.console import Console

from core.errors import TwostepError, UsageError
from pipeline import cli
from pipeline.commands import run_compiled
from pipeline.runners.compiled import execution
from pipeline.runners.compiled.launcher import Bucket
from pipeline.runners.compiled.rules import SpecificationError
from pipeline.runners.progress import Progress

# The container of a task: appends its name to the text of its input and returns metadata; `{behaviour}` comes first.
CONTAINER = """
import json, os, pathlib, sys
given = json.loads(sys.argv[-1])
mounts = os.environ.get("TWOSTEP_MOUNTS")
def folder(artifact):
    uri = artifact["uri"]
    return pathlib.Path(mounts, uri.replace("://", "/", 1)) if mounts else pathlib.Path(uri)
name = given["inputs"]["parameterValues"]["name"]
before = ""
for listed in given["inputs"]["artifacts"].values():
    [artifact] = listed["artifacts"]
    before = (folder(artifact) / "text").read_text() + json.dumps(artifact["type"]) + json.dumps(artifact["metadata"])
output, metadata, code = {"artifacts": {}}, {"list": [1], "flag": True}, 0
exec(given["inputs"]["parameterValues"]["behaviour"])
for key, listed in given["outputs"]["artifacts"].items():
    [artifact] = listed["artifacts"]
    folder(artifact).mkdir(parents=True, exist_ok=True)
    (folder(artifact) / "text").write_text(before + name)
    output["artifacts"][key] = {"artifacts": [{"uri": artifact["uri"], "metadata": metadata}]}
file = pathlib.Path(given["outputs"]["outputFile"])
file.parent.mkdir(parents=True, exist_ok=True)
file.write_text(json.dumps(output))
sys.exit(code)
"""
TYPE = {"instanceSchema": "title: tfx.Examples\n"}


def specification(**behaviour):
    """Return a specification of the tasks First and Second; `behaviour` is Python that a task runs."""
    declared = {"name": {"parameterType": "STRING"}, "behaviour": {"parameterType": "STRING"}}
    components, executors, tasks = {}, {}, {}
    for name in ("First", "Second"):
        components[name] = {
            "executorLabel": name, "inputDefinitions": {"parameters": declared, "artifacts": {}},
            "outputDefinitions": {"artifacts": {"made": {"artifactType": TYPE}}},
        }  # fmt: skip
        command = ["python", "-c", CONTAINER, "--target", "kubeflow"]
        executors[name] = {"container": {"image": "none", "command": command, "args": ["{{$}}"]}}
        constants = {"name": name, "behaviour": behaviour.get(name.lower(), "")}
        parameters = {key: {"runtimeValue": {"constant": value}} for key, value in constants.items()}
        tasks[name] = {"componentRef": {"name": name}, "inputs": {"parameters": parameters}}
    tasks["Second"]["dependentTasks"] = ["First"]
    made = {"taskOutputArtifact": {"producerTask": "First", "outputArtifactKey": "made"}}
    tasks["Second"]["inputs"]["artifacts"] = {"read": made}
    components["Second"]["inputDefinitions"]["artifacts"] = {"read": {"artifactType": TYPE}}
    count = {"parameterType": "NUMBER_INTEGER", "defaultValue": 1}
    return {
        "schemaVersion": "2.1.0", "sdkVersion": f"tfx-{importlib.metadata.version('tfx')}",
        "pipelineInfo": {"name": "small"}, "components": components, "deploymentSpec": {"executors": executors},
        "root": {"inputDefinitions": {"parameters": {"count": count}}, "dag": {"tasks": tasks}},
    }  # fmt: skip


def run(folder, spec, target="kubeflow", **more):
    bucket = Bucket("s3://bucket" if target == "kubeflow" else str(folder / "store"), str(folder / "store"))
    progress = Progress(Console(file=io.StringIO()))
    return execution.run(spec, {"count": 1}, bucket, target, folder / "runs" / "1", progress, 2, **more), progress


def test_on_kubeflow_an_input_has_no_type_and_wrapped_metadata(tmp_path):
    made, progress = run(tmp_path, specification())
    assert [result.node for result in progress.results] == ["First", "Second"]
    uri = made["Second"]["made"]["uri"]
    assert uri == "s3://bucket/pipeline/small/1/Second/made"
    text = (tmp_path / "store/pipeline/small/1/Second/made/text").read_text()
    metadata = {"list": {"list": [1]}, "flag": 1.0, "display_name": "First-made"}
    assert text == "First" + json.dumps({"instanceSchema": ""}) + json.dumps(metadata) + "Second"
    assert not list((tmp_path / "runs").rglob("mounts"))


def test_on_vertex_an_input_has_its_type(tmp_path):
    made, _ = run(tmp_path, specification(), "vertex")
    [text] = (tmp_path / "store").rglob("Second/made/text")
    assert json.dumps(TYPE) in text.read_text()
    assert made["Second"]["made"]["metadata"] == {"list": [1], "flag": True}


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("code = 3", "First: exit code 3"),
        ("print('twostep: the table is empty'); code = 1", "First: the table is empty"),
        ("metadata['reason'] = None", "First: output made: the metadata reason are null"),
        ("output['unknown'] = 1", "First: its output cannot be read"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "First: exit code -9"),
    ],
)
def test_a_task_that_fails_is_named_with_its_log_and_no_later_task_runs(tmp_path, behaviour, words):
    with pytest.raises(TwostepError) as raised:
        run(tmp_path, specification(first=behaviour))
    assert words in str(raised.value)
    assert not (tmp_path / "runs/1/Second").exists()
    assert not (tmp_path / "store").exists()  # nothing of a failed task is uploaded


def test_a_stop_ends_the_running_task(tmp_path):
    began, stop = tmp_path / "began", threading.Event()
    spec = specification(first=f"import time; pathlib.Path({str(began)!r}).touch(); time.sleep(60)")

    def raise_if_stopped():
        if stop.is_set():
            raise KeyboardInterrupt

    # A second task without inputs ends while the first runs, so that the runner looks whether it should stop.
    del spec["root"]["dag"]["tasks"]["Second"]["dependentTasks"]
    del spec["root"]["dag"]["tasks"]["Second"]["inputs"]["artifacts"]
    wait = f"\nimport time\nwhile not pathlib.Path({str(began)!r}).exists(): time.sleep(0.01)"
    spec["root"]["dag"]["tasks"]["Second"]["inputs"]["parameters"]["behaviour"]["runtimeValue"]["constant"] = wait
    spec["root"]["dag"]["tasks"]["Third"] = {**spec["root"]["dag"]["tasks"]["Second"], "dependentTasks": ["Second"]}
    watcher = threading.Thread(target=lambda: (_wait(began), stop.set()))
    watcher.start()
    since = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, spec, raise_if_stopped=raise_if_stopped)
    watcher.join()
    assert time.monotonic() - since < 30


def _wait(file):
    until = time.monotonic() + 30
    while not file.exists() and time.monotonic() < until:
        time.sleep(0.01)


def test_parameters_have_their_defaults():
    assert execution.default_values(specification()) == {"count": 1}


def test_a_specification_of_another_version_is_refused(tmp_path):
    file = tmp_path / "spec.yaml"
    file.write_text(yaml.safe_dump(specification()))
    assert execution.target_of(execution.read(file)) == "kubeflow"
    file.write_text(yaml.safe_dump(specification() | {"sdkVersion": "tfx-1.0.0"}))
    with pytest.raises(SpecificationError, match=r"sdkVersion should be tfx-[0-9.]+; found 'tfx-1.0.0'. Compile it"):
        execution.read(file)
    file.write_text(yaml.safe_dump(specification() | {"schemaVersion": "2.0.0"}))
    with pytest.raises(SpecificationError, match=r"schemaVersion: should be 2\.1\.0"):
        execution.read(file)


def test_a_specification_of_another_program_is_refused(tmp_path):
    spec = specification()
    spec["deploymentSpec"]["executors"]["Second"]["container"]["command"] = ["echo"]
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    with pytest.raises(SpecificationError, match="Second: its command should be that of a task of twostep"):
        execution.read(tmp_path / "spec.yaml")


@pytest.mark.parametrize("text", ["a: [", "- 1", "name: shop", "\x00"])
def test_a_file_that_is_no_specification_is_refused(tmp_path, text):
    (tmp_path / "spec.yaml").write_text(text)
    with pytest.raises(UsageError, match="should be a compiled specification"):
        execution.read(tmp_path / "spec.yaml")


def test_the_folders_of_older_runs_are_deleted(tmp_path):
    for name in ("2026-01-02", "2026-01-03", "2025-12-31"):
        (tmp_path / name / "First").mkdir(parents=True)
    run_compiled.collect(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2026-01-02", "2026-01-03"]
    run_compiled.collect(tmp_path / "missing", 2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--store", "s3://bucket"], "--store, --as and --parameter need --compiled"),
        (["--compiled", "spec.yaml", "--until", "Transform"], "--compiled runs all tasks"),
        (["--compiled", "spec.yaml", "--dry-run"], "--compiled runs all tasks"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(words, message, capsys):
    assert cli.main(["run", "shop.yaml", *words]) == 2
    assert message in capsys.readouterr().err
