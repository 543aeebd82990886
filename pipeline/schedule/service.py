"""The scheduler: finds out what is due, runs it as one process at a time, and records and reports the results."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from core import node_ids
from core.errors import HeldBackError, TwostepError, UsageError
from core.release.store import open_store
from pipeline import config
from pipeline.config import Config, paths
from pipeline.schedule import decisions, deliveries, drift, process, status
from pipeline.schedule.decisions import Result
from pipeline.schedule.places import Places
from pipeline.schedule.records import Delivery, Records, Run
from pipeline.schedule.settings import Schedule
from pipeline.schedule.times import Times
from pipeline.schedule.webhook import Reporter

_KEPT_FILES = 100  # the number of latest runs whose answer and progress are kept
_IDLE_S = 60.0  # the longest sleep, so that a clock that was set forward is noticed


class Scheduler:
    """The scheduler of one configuration; only one may exist for a run folder. See `opened`."""

    def __init__(self, loaded: Config, file: Path, settings: Schedule, records: Records, signals: process.Signals):
        self._config, self._file, self._settings = loaded, file.absolute(), settings
        self._records, self._signals = records, signals
        self._places = Places(paths.run_folder(loaded))
        self._reporter = Reporter(settings.webhook)
        self._times = Times(settings, records)
        self._waits_for = ""  # what has been logged as the reason to wait

    def close(self) -> None:
        """Close the job store and wait for reports that are being sent."""
        self._times.shutdown()
        self._reporter.close()

    def once(self) -> int:
        """Look for what is due once, run it, and return the exit code of the last run; 0 without one.

        Raises:
          HeldBackError: scheduling is stopped.
        """
        self._recover()
        self._look()
        return self._work()

    def forever(self) -> None:
        """Look for what is due and run it until a signal is received.

        Raises:
          HeldBackError: scheduling is stopped.
        """
        logging.info("%s: scheduling; what starts runs: %s", self._config.name, status.triggers(self._settings))
        self._recover()
        while not self._signals.received:
            self._look()
            self._work()
            began = time.monotonic()  # the clock of the system may be set
            while not self._signals.received:
                left = began + self._settings.poll_seconds - time.monotonic()
                if left <= 0:
                    break
                self._signals.sleep(min(left, self._until_next()))
                self._note(self._times.fire(time.time()))
                self._work()

    def resume(self) -> None:
        """Continue after scheduling has stopped; a run then trains on the delivery that stopped it, if it is unchanged.

        Raises:
          UsageError: scheduling is not stopped.
        """
        if self._records.stopped() is None:
            raise UsageError(f"{self._config.name}: scheduling is not stopped. Leave `--resume` out")
        run = decisions.resumed(self._records.runs(), self._selected(), time.time())
        self._records.resume(run)
        logging.info("scheduling goes on%s", "" if run is None else ": the delivery that stopped it is accepted")

    def _until_next(self) -> float:
        """Return the seconds until a time of `cron` or a waiting run is due, at most `_IDLE_S`."""
        now = time.time()
        times = [*self._records.next_fires().values()]
        times += [run.due for run in self._records.runs() if run.state == "waiting"]
        busy = 1.0 if any(each <= now for each in times) else 0.05
        return min(_IDLE_S, max(busy, min((each - now for each in times), default=_IDLE_S)))

    def _recover(self) -> None:
        """Record the results of runs that were in progress when an earlier scheduler was killed."""
        for run in self._records.runs():
            if run.state != "running":
                continue
            files = self._places.files(run.number)
            logging.warning("run %d: an earlier scheduler ended before it", run.number)
            process.wait_for_orphan(files, self._signals)
            answer = files.read_answer()
            self._finish(run, None if answer is None else answer.get("exit_code"))

    def _look(self) -> None:
        """Store the runs that times of `cron` and new spans ask for."""
        if self._records.stopped() is not None:
            return
        self._note(self._times.fire(time.time()))
        if not self._settings.polls:
            return
        try:
            delivery = deliveries.selected(config.load(self._file), self._file)
        except (TwostepError, OSError) as error:  # a delivery that is not complete yet
            self._wait(f"no complete delivery: {error}")
            return
        run = decisions.new_run(self._records.runs(), delivery, self._settings, time.time())
        if run is not None and (added := self._records.add(run)) is not None:
            self._note([added])

    def _note(self, added: list[Run]) -> None:
        for run in added:
            logging.info("run %d: %s, %s", run.number, run.state, run.reason)
            if run.state in decisions.REPORTED:
                self._report(run, None)

    def _work(self) -> int:
        """Run what is due, one process after the other; return the exit code of the last, 0 without one."""
        code = 0
        while not self._signals.received:
            stopped = self._records.stopped()
            if stopped is not None:
                raise HeldBackError(
                    f"scheduling is stopped: {stopped}. Check the delivery; then continue with "
                    f"`twostep schedule {self._file} --resume`"
                )
            run = decisions.first_due(self._records.runs(), time.time())
            if run is None:
                break
            if process.is_busy(self._places.run_folder):
                self._wait(f"another run is using {self._places.run_folder}")
                break
            self._waits_for = ""
            code = self._run(run)
        return code

    def _run(self, run: Run) -> int:
        """Run a waiting run to its end, record the result, and return its exit code."""
        before, in_force = self._selected(), self._in_force()
        files = self._places.files(run.number)
        files.delete()
        run = decisions.for_delivery(run, before, self._records.runs(), self._settings)
        run = self._records.update(run, state="running", started=time.time(), in_force=in_force)
        logging.info(
            "run %d: %s, attempt %d%s; progress in %s",
            *(run.number, "trains" if run.kind == "train" else "measures drift", run.attempt),
            *(f", spans {', '.join(before.spans)}" if before.spans else "", files.log),
        )
        until = ["--until", node_ids.DRIFT_DETECTOR] if run.kind == "measure" else []
        code = process.run(files, ["run", str(self._file), "--json", *until], self._signals)
        if code == UsageError.exit_code and process.is_busy(self._places.run_folder):
            self._records.update(run, state="waiting", started=None)
            return 0
        return self._finish(run, code)

    def _finish(self, run: Run, code: int | None) -> int:
        """Record and report the result of a process and what follows it; return its exit code, 1 for a killed one."""
        answer = self._places.files(run.number).read_answer()
        done = decisions.result(code, answer, run.in_force, bool(self._signals.received))
        if run.kind == "measure" and self._settings.drift is not None and done.run_id is not None and code == 0:
            try:
                done = decisions.with_drift(done, drift.excess(self._config, done.run_id), self._settings.drift)
            except TwostepError as error:
                done = Result("failed", str(error), done.run_id)
        delivery = decisions.surely_read(run.delivery, self._selected())
        now = time.time()
        following = decisions.follows(run, done, self._records.runs(), self._settings, now)
        stop = decisions.stops(run, done, self._settings)
        run, following = self._records.finish(
            replace(run, delivery=delivery),
            following,
            stop,
            state=done.state,
            reason=done.reason or run.reason,
            ended=now,
            run_id=done.run_id,
            exit_code=code,
            release=done.release,
        )
        level = logging.WARNING if run.state in decisions.REPORTED else logging.INFO
        logging.log(level, "run %d: %s", run.number, status.sentence(run))
        if following is not None and run.state != "stopped":
            logging.info("run %d: %s, in %.0f s", following.number, following.reason, following.due - now)
        if run.state in decisions.REPORTED:
            self._report(run, following)
        self._places.delete_files(run.number - _KEPT_FILES)
        return 1 if code is None or code < 0 else code

    def _report(self, run: Run, following: Run | None) -> None:
        self._reporter.report(
            {
                "recommender": self._config.name,
                "run": status.run_facts(run),
                "next_attempt": None if following is None else status.iso(following.due),
                "stopped": self._records.stopped(),
            }
        )

    def _in_force(self) -> str | None:
        """Return the release in force; None without one, and for a damaged file, which the run reports."""
        try:
            return open_store(paths.releases_folder(self._config)).current()
        except TwostepError:
            return None

    def _selected(self) -> Delivery:
        """Return the delivery that is selected now; an empty one if it cannot be selected, which the run reports."""
        try:
            return deliveries.selected(config.load(self._file), self._file)
        except (TwostepError, OSError):
            return Delivery()

    def _wait(self, reason: str) -> None:
        """Log the reason to wait, unless it is the same as before."""
        if reason != self._waits_for:
            logging.info("waiting: %s", reason)
            self._waits_for = reason


@contextmanager
def opened(file: Path, signals: process.Signals) -> Iterator[Scheduler]:
    """Yield the scheduler of a configuration, which is the only one of its run folder until the block ends.

    Raises:
      UsageError: the configuration is wrong or has no schedule, or another scheduler uses the run folder.
    """
    loaded = config.load(file)
    settings = required(loaded, file)
    places = Places(paths.run_folder(loaded))
    paths.check_run_folder(places.run_folder)
    with process.only_scheduler(places.lock) as alone:
        if not alone:
            found = process.scheduler_id(places.lock)
            raise UsageError(
                f"another scheduler uses {places.run_folder}{'' if found is None else f', process {found}'}. Stop it, "
                f"or see what it does: twostep schedule status {file}"
            )
        scheduler = Scheduler(loaded, file, settings, Records(places.records), signals)
        try:
            yield scheduler
        finally:
            scheduler.close()


def required(loaded: Config, file: Path) -> Schedule:
    """Return the settings of the schedule. Raises: UsageError if the configuration has none."""
    if loaded.schedule is None:
        raise UsageError(
            f"{file}: schedule: should say what starts runs, such as `schedule: {{new_span: true}}`; see `twostep "
            "config explain schedule`"
        )
    return loaded.schedule
