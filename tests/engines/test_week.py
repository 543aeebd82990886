"""A week of a schedule: seven spans, of which one is corrupt, one has drifted, and one makes a worse model.

One run is killed. Each span ends as documented, only good models come into force, and the lineage tells the story.
"""

import os
import signal
import subprocess
from pathlib import Path

import deliveries
import pytest
from scheduling import TIMEOUT_S, Schedule, wait_for

from core.release import reader
from pipeline.lineage import records
from pipeline.lineage.database import SQLite

CORRUPT = deliveries.events(3).replace(",17", ",not a time ", 1)
OPEN = {"waiting", "running"}


@pytest.fixture(scope="module")
def week(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("week")
    deliveries.make(folder, drift={"action": "stop"})
    schedule = Schedule(root, folder)
    log = open(folder / "log.txt", "w")  # noqa: SIM115 - open as long as the processes

    def started(*options: str) -> subprocess.Popen:
        return schedule.start(schedule.file, *options, stderr=log)

    yield schedule, started
    if schedule.process is not None:
        os.kill(schedule.process, signal.SIGTERM)
    log.close()


def test_a_week(week):
    schedule, started = week
    releases = schedule.places.run_folder / "releases"
    scheduler = started()
    in_force: dict[int, str | None] = {}

    def ended(before: int, *states: str) -> None:
        """Wait until the runs after the first `before` ones have ended, and check that it was in these states."""
        wait_for(lambda: len(schedule.states) >= before + len(states) and not OPEN.intersection(schedule.states))
        assert schedule.states[before:] == list(states)

    def day(span: int, *states: str, content: str | None = None) -> None:
        """Deliver a span, and wait until the runs on it have ended in these states."""
        before = len(schedule.states)
        deliveries.deliver(schedule.folder, span, content)
        ended(before, *states)
        in_force[span] = reader.current(releases)

    day(1, "measured", "released")
    day(2, "measured", "released")
    day(3, "failed", "failed", content=CORRUPT)

    # Day 4: the run that trains is killed in the middle, and repeated.
    before = len(schedule.states)
    deliveries.deliver(schedule.folder, 4)
    training = wait_for(
        lambda: next((run for run in schedule.runs if run.state == "running" and run.kind == "train"), 0)
    )
    log = schedule.places.files(training.number).log
    wait_for(lambda: "RetrievalTrainer" in log.read_text())
    os.kill(schedule.child(training.number), signal.SIGKILL)
    wait_for(lambda: schedule.states[before : before + 2] == ["measured", "killed"])
    assert reader.current(releases) == in_force[3]
    ended(before, "measured", "killed", "released")
    in_force[4] = reader.current(releases)

    # Day 5: four times as many events. Scheduling stops until the delivery was corrected.
    day(5, "drifted", content=deliveries.events(5, times=4))
    assert scheduler.wait(TIMEOUT_S) == 3
    assert "has drifted" in schedule.status()["stopped"]
    refused = started("--once")
    assert refused.wait(TIMEOUT_S) == 3
    before = len(schedule.states)
    deliveries.deliver(schedule.folder, 5)
    scheduler = started("--resume")
    ended(before, "measured", "released")
    assert in_force[5] == in_force[4]
    in_force[5] = reader.current(releases)

    # Day 6: the users' events are random, so the model is worse than the rule allows.
    day(6, "measured", "held_back", content=deliveries.events(6, noise=1.0))
    day(7, "measured", "released")
    scheduler.terminate()
    assert scheduler.wait(TIMEOUT_S) == 143

    # Corrupt, killed, drifted and worse runs left the release in force as it was.
    assert in_force[3] == in_force[2]
    assert in_force[6] == in_force[5]
    assert len(set(in_force.values())) == 5

    check_story(schedule, in_force)


def check_story(schedule: Schedule, in_force: dict[int, str | None]) -> None:
    """Check that the records and the lineage say which span each release was made from, and why others made none."""
    made = {run.release: run.delivery.spans for run in schedule.runs if run.state == "released"}
    assert made == {in_force[span]: (f"{span:03}",) for span in (1, 2, 4, 5, 7)}
    reasons = {run.state: run.reason for run in schedule.runs}
    assert "events-003.csv" in reasons["failed"]
    assert "ndcg@5" in reasons["held_back"]
    assert "drift 2 times its bound" in reasons["drifted"]  # four times as many rows, and the bound is twice as many

    store = SQLite(schedule.places.run_folder / "metadata.sqlite").open()
    for span in range(1, 8):
        file = schedule.folder / "data" / f"events-{span:03}.csv"
        if span == 3:  # read by no run that came to its end
            continue
        forward = records.trace(store, records.artifacts_of_file(store, file), "forward")
        released = {
            str(each.properties["version"])
            for each in forward.artifacts.values()
            if each.type.rpartition(".")[2] == "Release" and "version" in each.properties
        }
        assert released == ({in_force[span]} if span != 6 else set()), span
        back = records.trace(store, records.release_artifact(store, str(in_force[span])))
        sources = {Path(source.file).name for each in back.artifacts.values() for source in each.sources}
        assert sources == {f"events-{5 if span == 6 else span:03}.csv", "items.csv"}


def test_a_run_only_on_drift(root, tmp_path):
    """The first span has no release to compare with, the second is like the first, and the third has drifted."""
    deliveries.make(tmp_path, new_span=False, drift={"action": "run"})
    schedule = Schedule(root, tmp_path)
    for span, times, expected in (
        (1, 1, ["measured", "released"]),
        (2, 1, ["skipped"]),
        (3, 4, ["drifted", "released"]),
    ):
        before = len(schedule.states)
        deliveries.deliver(tmp_path, span, deliveries.events(span, times))
        assert schedule.once()[0] == 0
        assert schedule.states[before:] == expected
