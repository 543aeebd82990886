"""`twostep schedule` with real processes: results, repeats, restarts, signals, reports, and two schedulers."""

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import deliveries
import pytest
from scheduling import TIMEOUT_S, Schedule, alive, wait_for


@pytest.fixture
def make(root, tmp_path):
    """Return a function that writes a configuration with changes of its schedule."""

    def make(**changes: object) -> Schedule:
        deliveries.make(tmp_path, **changes)
        return Schedule(root, tmp_path)

    return make


def fail_at_once(schedule: Schedule) -> Path:
    """Deliver a span, and put a file in place of the folder of the logs, so that each run ends with exit code 1."""
    deliveries.deliver(schedule.folder, 1)
    obstacle = schedule.folder / "runs" / "logs"
    obstacle.parent.mkdir(exist_ok=True)
    obstacle.write_text("")
    return obstacle


def test_nothing_is_due_without_a_delivery_and_an_incomplete_one_waits(make):
    schedule = make()
    code, err = schedule.once()
    assert (code, schedule.states) == (0, [])
    assert "no complete delivery" in err
    assert "data.interactions" in err


def test_a_failed_run_is_repeated_given_up_and_tried_again_after_a_change(make):
    schedule = make()
    obstacle = fail_at_once(schedule)
    code, err = schedule.once()
    assert (code, schedule.states) == (1, ["failed", "failed"])
    assert str(obstacle) in err
    assert schedule.once()[0] == 0
    assert len(schedule.states) == 2  # given up
    deliveries.deliver(schedule.folder, 1)  # delivered again: another time of change
    assert schedule.once()[0] == 1
    assert schedule.states == ["failed"] * 4


def test_a_repeat_waits_and_survives_the_scheduler(make):
    schedule = make(retries={"attempts": 2, "first_wait_seconds": 2})
    fail_at_once(schedule)
    assert schedule.once()[0] == 1
    assert schedule.states == ["failed", "waiting"]
    time.sleep(2)
    assert schedule.once()[0] == 1
    assert schedule.states == ["failed", "failed"]


def test_wrong_use_is_not_repeated(make):
    schedule = make()
    deliveries.write_config(schedule.folder, retrieval={"model": "item_knn", "candidates": 5_000})
    deliveries.deliver(schedule.folder, 1)
    assert schedule.once()[0] == 2
    [run] = schedule.status()["runs"]
    assert (run["state"], run["exit_code"], run["spans"]) == ("refused", 2, ["001"])
    assert "retrieval.candidates" in run["reason"]
    assert schedule.once()[0] == 0
    assert len(schedule.states) == 1


def test_a_killed_run_harms_no_scheduler_and_is_repeated_and_reported(make):
    received = []

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            length = int(self.headers["Content-Length"])
            received.append((self.headers["Authorization"], json.loads(self.rfile.read(length))))
            self.send_response(500 if len(received) == 1 else 204)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/hook"
    schedule = make(webhook={"url": url, "secret_variable": "HOOK", "timeout_seconds": 5}, poll_seconds=0.5)
    deliveries.deliver(schedule.folder, 1)
    process = schedule.start(schedule.file, stderr=subprocess.PIPE)
    for number in (1, 2):
        os.kill(schedule.child(number), signal.SIGKILL)
    wait_for(lambda: schedule.states == ["killed", "killed"])
    wait_for(lambda: len(received) == 2)
    assert process.poll() is None
    process.terminate()
    err = process.communicate(timeout=TIMEOUT_S)[1]
    server.shutdown()
    assert process.returncode == 143
    assert "webhook: the address answered 500" in err
    assert "s3cret" not in err
    assert [secret for secret, _ in received] == ["Bearer s3cret"] * 2
    first, second = sorted((content for _, content in received), key=lambda content: content["run"]["number"])
    assert (first["recommender"], first["run"]["state"], first["run"]["exit_code"]) == ("week", "killed", -9)
    assert first["next_attempt"] is not None
    assert second["next_attempt"] is None


def test_an_address_that_does_not_answer_delays_no_run(make):
    schedule = make(webhook={"url": "http://127.0.0.1:9/", "timeout_seconds": 1})
    fail_at_once(schedule)
    code, err = schedule.once()
    assert (code, schedule.states) == (1, ["failed", "failed"])
    assert "webhook: the address could not be reached" in err


def test_a_second_scheduler_is_refused(make):
    schedule = make()
    first = schedule.start(schedule.file, stderr=subprocess.DEVNULL)
    wait_for(lambda: schedule.process == first.pid)
    code, err = schedule.once()
    assert code == 2
    assert f"process {first.pid}" in err
    assert schedule.status()["process"] == first.pid
    first.send_signal(signal.SIGINT)
    assert first.wait(TIMEOUT_S) == 130
    assert schedule.process is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_run_too_and_the_next_scheduler_goes_on(make, number):
    schedule = make()
    deliveries.deliver(schedule.folder, 1)
    first = schedule.start(schedule.file, stderr=subprocess.DEVNULL)
    child = schedule.child(1)
    wait_for(lambda: list((schedule.folder / "runs/logs").glob("*.log")))  # the run has begun
    first.send_signal(number)
    assert first.wait(TIMEOUT_S) == 128 + number
    assert not alive(child)
    assert schedule.states == ["stopped", "waiting"]
    second = schedule.start(schedule.file, stderr=subprocess.DEVNULL)
    schedule.child(2)
    second.terminate()
    second.wait(TIMEOUT_S)
    assert schedule.states == ["stopped", "stopped", "waiting"]


def test_a_scheduler_that_was_killed_is_followed_by_one_that_waits_for_its_run(make):
    schedule = make()
    deliveries.deliver(schedule.folder, 1)
    first = schedule.start(schedule.file, stderr=subprocess.DEVNULL)
    child = schedule.child(1)
    wait_for(lambda: list((schedule.folder / "runs/logs").glob("*.log")))
    first.kill()
    first.wait(TIMEOUT_S)
    assert alive(child)
    assert schedule.states == ["running"]
    second = schedule.start(schedule.file, stderr=subprocess.DEVNULL)
    wait_for(lambda: schedule.process == second.pid)
    time.sleep(0.5)
    assert schedule.states == ["running"]  # not started a second time
    os.kill(child, signal.SIGKILL)
    schedule.child(2)
    second.terminate()
    second.wait(TIMEOUT_S)
    assert schedule.states == ["killed", "stopped", "waiting"]


def test_a_run_by_hand_is_waited_for(make):
    schedule = make()
    deliveries.deliver(schedule.folder, 1)
    holder = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(); input()"
    (schedule.folder / "runs").mkdir()
    by_hand = subprocess.Popen(
        [sys.executable, "-c", holder, str(schedule.folder / "runs/.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    by_hand.stdout.readline()
    code, err = schedule.once()
    by_hand.communicate(b"\n")
    assert code == 0
    assert "another run is using" in err
    assert schedule.states == ["waiting"]


@pytest.mark.parametrize(("missed", "expected"), [("once", "failed"), ("skip", "missed")])
def test_missed_times_are_caught_up_once_or_skipped(make, missed, expected):
    settings = {
        "new_span": False,
        "cron": {"expression": "0 0 1 1 *"},
        "missed": missed,
        "grace_seconds": 1,
        "retries": {"attempts": 1},
    }
    schedule = make(**settings)
    fail_at_once(schedule)
    schedule.set_next_time(timedelta(hours=1), **settings)
    assert schedule.once()[0] == (1 if missed == "once" else 0)
    assert schedule.states == [expected]
    assert schedule.once()[0] == 0
    assert schedule.states == [expected]
