"""Nodes side by side in worker processes: order, errors, a killed worker, and a stopped run."""

import contextlib
import json
import os
import signal
import time
from pathlib import Path

import beside_run
import pytest

from core import memory
from core.errors import DataError, HeldBackError, TwostepError
from pipeline.runners import failures, workers


class Run:
    """A process that runs the pipeline of three nodes with two workers."""

    def __init__(self, twostep, folder: Path, fault: str = ""):
        self.folder, self.meeting = folder, folder / "meeting"
        self.meeting.mkdir(exist_ok=True)
        for file in [*self.meeting.iterdir(), *folder.glob("answer.json")]:
            file.unlink()
        self.process = twostep.process(beside_run.run, folder, fault)

    def when(self, name: str) -> int:
        """Wait for a file of a node, and return the process id in it."""
        while not (file := self.meeting / name).exists() or not file.read_text():
            assert self.process.is_alive()
            time.sleep(0.02)
        return int(file.read_text())

    def answer(self) -> dict:
        self.process.join(300)
        return json.loads((self.folder / "answer.json").read_text())


def is_alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    return False


def test_nodes_run_side_by_side_and_later_come_from_the_cache(twostep, tmp_path):
    answer = Run(twostep, tmp_path).answer()
    assert answer["error"] is None
    assert sorted(answer["nodes"][:2]) == [["Left", "done"], ["Right", "done"]]
    assert answer["nodes"][2] == ["Both", "done"]
    [both] = tmp_path.glob("pipeline/Both/both/*/both")
    assert both.read_text() == "leftright"
    again = Run(twostep, tmp_path).answer()
    assert sorted(again["nodes"]) == [["Both", "cached"], ["Left", "cached"], ["Right", "cached"]]


@pytest.mark.parametrize(("fault", "error"), [("data", ["DataError", 1]), ("killed", ["WorkerLostError", 1])])
def test_a_failed_node_is_named_ends_the_others_and_the_run_resumes(twostep, tmp_path, fault, error):
    run = Run(twostep, tmp_path, fault)
    left, answer = run.when("left"), run.answer()
    name, message, code = answer["error"]
    assert [name, code] == error
    expected = {"data": ["a.csv", "row 3"], "killed": ["Right", "resume"]}[fault]
    assert [fact for fact in expected if fact not in message] == []
    assert answer["nodes"] == [["Right", "failed"]]
    assert not is_alive(left)
    assert not list(tmp_path.glob("pipeline/Right/right/*/half"))
    resumed = Run(twostep, tmp_path).answer()
    assert resumed["error"] is None
    assert sorted(resumed["nodes"]) == [["Both", "done"], ["Left", "done"], ["Right", "done"]]


def test_a_stopped_run_ends_its_workers_and_resumes(twostep, tmp_path):
    run = Run(twostep, tmp_path, "endless")
    pids = [run.when("left"), run.when("right-began")]
    os.kill(run.process.pid, signal.SIGTERM)
    answer = run.answer()
    assert answer["error"][0] == "KeyboardInterrupt"
    assert answer["nodes"] == []
    assert not any(map(is_alive, pids))
    assert Run(twostep, tmp_path).answer()["error"] is None


def test_workers_end_with_a_process_that_is_killed(twostep, tmp_path):
    run = Run(twostep, tmp_path, "endless")
    pids = [run.when("left"), run.when("right-began")]
    run.process.kill()
    run.process.join()
    deadline = time.monotonic() + 30
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert Run(twostep, tmp_path).answer()["error"] is None


@pytest.mark.parametrize(
    ("cores", "gigabytes", "expected"), [(1, 64, 1), (2, 64, 2), (2, 1.5, 1), (2, 0, 1), (64, 64, workers.MOST)]
)
def test_the_number_of_workers_is_bounded_by_cores_and_memory(monkeypatch, cores, gigabytes, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    monkeypatch.setattr(memory, "available", lambda: int(gigabytes * 1e9))
    assert workers.number() == expected


def test_the_memory_of_a_container_bounds_what_is_available(monkeypatch, tmp_path):
    machine = memory.available()
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    for name, text in (("memory.max", "9000"), ("memory.current", "5000"), ("memory.stat", "anon 3000\nfile 2000")):
        (tmp_path / name).write_text(text)
    assert memory.available() == 9000 - (5000 - 2000)
    (tmp_path / "memory.max").write_text("max")
    assert memory.available() == pytest.approx(machine, rel=0.2)


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
