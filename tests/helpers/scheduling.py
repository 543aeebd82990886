"""A schedule of a test: its folder, its schedulers as processes, and its records."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.schedule import process
from pipeline.schedule.places import Places
from pipeline.schedule.records import Records, Run
from pipeline.schedule.settings import Schedule as Settings
from pipeline.schedule.times import JOB, Times

TIMEOUT_S = 300


class Schedule:
    """A folder with a configuration, and its schedulers as processes."""

    def __init__(self, root: Path, folder: Path):
        self.folder, self.file, self.places = folder, folder / "week.yaml", Places(folder / "runs")
        self.environment = {**os.environ, "PYTHONPATH": str(root), "HOOK": "Bearer s3cret"}

    @property
    def runs(self) -> list[Run]:
        """Return the records, oldest first."""
        return Records(self.places.records).runs() if self.places.records.exists() else []

    @property
    def states(self) -> list[str]:
        return [run.state for run in self.runs]

    @property
    def process(self) -> int | None:
        """Return the id of the process that schedules."""
        return process.scheduler_id(self.places.lock)

    def start(self, *words: object, **keywords: Any) -> subprocess.Popen:
        command = [sys.executable, "-m", "pipeline.cli", "schedule", *map(str, words)]
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, text=True, **keywords)

    def status(self) -> Any:
        """Return what `twostep schedule status --json` prints."""
        return json.loads(self.start("status", self.file, "--json", stdout=subprocess.PIPE).communicate()[0])

    def once(self, *options: str) -> tuple[int, str]:
        """Run what is due; return the exit code and stderr."""
        started = self.start(self.file, "--once", *options, stderr=subprocess.PIPE)
        err = started.communicate(timeout=TIMEOUT_S)[1]
        return started.returncode, err

    def child(self, number: int) -> int:
        """Wait for the process of a run and return its id."""
        return int(wait_for(lambda: self.places.files(number).pid.read_text()))

    def set_next_time(self, ago: timedelta, **settings: Any) -> None:
        """Set the next time of `cron` in the job store, as if no scheduler had run since then."""
        self.places.folder.mkdir(parents=True, exist_ok=True)
        times = Times(Settings(**settings), Records(self.places.records))
        times.modify_job(JOB, next_run_time=(datetime.now(UTC) - ago).replace(second=0, microsecond=0))
        times.shutdown()


def wait_for(found: Callable[[], Any]) -> Any:
    """Return the first true value of a function; an error that a file is missing or empty counts as false."""
    until = time.monotonic() + TIMEOUT_S
    while time.monotonic() < until:
        try:
            if value := found():
                return value
        except (FileNotFoundError, ValueError):
            pass
        time.sleep(0.05)
    raise AssertionError(f"not seen in {TIMEOUT_S} s")


def alive(pid: int) -> bool:
    """Return whether a process exists that has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
