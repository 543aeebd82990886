"""Nodes side by side in worker processes: order, errors, a killed worker, and a stopped run."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.errors import DataError, HeldBackError, TwostepError
from pipeline import cli
from pipeline.runners import failures, memory, workers

ROOT = Path(cli.__file__).resolve().parents[1]

# Left and Right do not depend on each other, Both depends on them. Each of the two waits for the file of the other, so
# a run ends only if they run at the same time. FAULT selects how Right fails; Left then waits until it is ended.
BESIDE = """
import os
import signal
import time
from pathlib import Path

from tfx import v1 as tfx

from core import progress
from core.errors import DataError

InputArtifact, OutputArtifact = tfx.dsl.components.InputArtifact, tfx.dsl.components.OutputArtifact
Examples = tfx.types.standard_artifacts.Examples
MEETING = Path(os.environ["MEETING"])


def meet(own, other):
    (MEETING / own).write_text(str(os.getpid()))
    progress.report(f"{own} waits")
    while not (MEETING / other).exists():
        time.sleep(0.01)


@tfx.dsl.components.component
def Left(left: OutputArtifact[Examples]):
    meet("left", "right")
    Path(left.uri, "left").write_text("left")


@tfx.dsl.components.component
def Right(right: OutputArtifact[Examples]):
    fault = os.environ.get("FAULT", "")
    Path(right.uri, "half").write_text("half of the output")
    if fault:
        while not (MEETING / "left").exists():
            time.sleep(0.01)
    if fault == "data":
        raise DataError("a.csv", "row 3", "is empty", "Fill it")
    if fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "endless":
        (MEETING / "right-began").write_text(str(os.getpid()))
        time.sleep(600)
    meet("right", "left")
    Path(right.uri, "right").write_text("right")


@tfx.dsl.components.component
def Both(left: InputArtifact[Examples], right: InputArtifact[Examples], both: OutputArtifact[Examples]):
    Path(both.uri, "both").write_text(Path(left.uri, "left").read_text() + Path(right.uri, "right").read_text())


def build(folder):
    left, right = Left(), Right()
    both = Both(left=left.outputs["left"], right=right.outputs["right"])
    return tfx.dsl.Pipeline(
        pipeline_name="beside",
        pipeline_root=f"{folder}/pipeline",
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            f"{folder}/metadata.sqlite"
        ),
        components=[left, right, both],
        enable_cache=True,
    )
"""

PROCESS = """
import json
import sys
from pathlib import Path
from rich.console import Console
from core.errors import TwostepError
from pipeline.commands.run import terminable
from pipeline.runners import local, workers
from pipeline.runners.logs import captured
from pipeline.runners.progress import Progress
folder = Path(sys.argv[1])
with captured(folder / "run.log") as terminal:
    import beside
    reporter = Progress(Console(file=terminal))
    error = None
    with terminable() as raise_if_stopped, workers.forked(2) as pool:
        try:
            local.run(beside.build(folder), reporter, raise_if_stopped=raise_if_stopped, workers=pool)
        except (TwostepError, KeyboardInterrupt) as caught:
            error = [type(caught).__name__, str(caught), getattr(caught, "exit_code", 0)]
    print(json.dumps({"error": error, "nodes": [[each.node, each.state] for each in reporter.results]}), file=terminal)
"""


class Run:
    """A process that runs the pipeline of three nodes with two workers."""

    def __init__(self, folder: Path, fault: str = ""):
        module = folder / "module"
        module.mkdir(exist_ok=True)
        (module / "beside.py").write_text(BESIDE)
        self.meeting = folder / "meeting"
        self.meeting.mkdir(exist_ok=True)
        for file in self.meeting.iterdir():
            file.unlink()
        path = os.pathsep.join([str(ROOT), str(module)])
        environment = {**os.environ, "FAULT": fault, "PYTHONPATH": path, "MEETING": str(self.meeting)}
        command = [sys.executable, "-c", PROCESS, str(folder)]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    def when(self, name: str) -> int:
        """Wait for a file of a node, and return the process id in it."""
        while not (file := self.meeting / name).exists() or not file.read_text():
            assert self.process.poll() is None
            time.sleep(0.02)
        return int(file.read_text())

    def answer(self) -> dict:
        out, _ = self.process.communicate(timeout=300)
        return json.loads(out.splitlines()[-1])


def is_alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    return False


def test_nodes_run_side_by_side_and_later_come_from_the_cache(tmp_path):
    answer = Run(tmp_path).answer()
    assert answer["error"] is None
    assert sorted(answer["nodes"][:2]) == [["Left", "done"], ["Right", "done"]]
    assert answer["nodes"][2] == ["Both", "done"]
    [both] = tmp_path.glob("pipeline/Both/both/*/both")
    assert both.read_text() == "leftright"
    again = Run(tmp_path).answer()
    assert sorted(again["nodes"]) == [["Both", "cached"], ["Left", "cached"], ["Right", "cached"]]


@pytest.mark.parametrize(("fault", "error"), [("data", ["DataError", 1]), ("killed", ["WorkerLostError", 1])])
def test_a_failed_node_is_named_ends_the_others_and_the_run_resumes(tmp_path, fault, error):
    run = Run(tmp_path, fault)
    left, answer = run.when("left"), run.answer()
    name, message, code = answer["error"]
    assert [name, code] == error
    expected = {"data": ["a.csv", "row 3"], "killed": ["Right", "resume"]}[fault]
    assert [fact for fact in expected if fact not in message] == []
    assert answer["nodes"] == [["Right", "failed"]]
    assert not is_alive(left)
    assert not list(tmp_path.glob("pipeline/Right/right/*/half"))
    resumed = Run(tmp_path).answer()
    assert resumed["error"] is None
    assert sorted(resumed["nodes"]) == [["Both", "done"], ["Left", "done"], ["Right", "done"]]


def test_a_stopped_run_ends_its_workers_and_resumes(tmp_path):
    run = Run(tmp_path, "endless")
    pids = [run.when("left"), run.when("right-began")]
    run.process.send_signal(signal.SIGTERM)
    answer = run.answer()
    assert answer["error"][0] == "KeyboardInterrupt"
    assert answer["nodes"] == []
    assert not any(map(is_alive, pids))
    assert Run(tmp_path).answer()["error"] is None


def test_workers_end_with_a_process_that_is_killed(tmp_path):
    run = Run(tmp_path, "endless")
    pids = [run.when("left"), run.when("right-began")]
    run.process.kill()
    run.process.wait()
    deadline = time.monotonic() + 30
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert Run(tmp_path).answer()["error"] is None


@pytest.mark.parametrize(
    ("cores", "gigabytes", "expected"), [(1, 64, 1), (2, 64, 2), (2, 1.5, 1), (2, 0, 1), (64, 64, workers.MOST)]
)
def test_the_number_of_workers_is_bounded_by_cores_and_memory(monkeypatch, cores, gigabytes, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    monkeypatch.setattr(memory, "available", lambda: int(gigabytes * 1e9))
    assert workers.number() == expected


def test_without_fork_there_are_no_workers(monkeypatch):
    monkeypatch.delattr(os, "fork")
    assert workers.number() == 1
    with workers.forked(workers.number()) as pool:
        assert pool is None


def test_an_error_that_crosses_a_process_keeps_its_facts():
    error = failures.restored(json.loads(json.dumps(failures.described(DataError("a", "b", "c", "d")))))
    assert (type(error), str(error), error.place) == (DataError, str(DataError("a", "b", "c", "d")), "b")
    other = failures.restored(failures.described(HeldBackError("held back")))
    assert (isinstance(other, TwostepError), str(other), other.exit_code) == (True, "held back", 3)
