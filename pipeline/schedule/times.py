"""The times of `cron`, as a job of APScheduler in the SQLite file of the schedule."""

import logging
from datetime import UTC, datetime

from apscheduler.events import EVENT_JOB_EXECUTED, EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers.base import BaseScheduler

from pipeline.schedule import cron, decisions
from pipeline.schedule.job_store import JsonJobStore, noted
from pipeline.schedule.records import Records, Run
from pipeline.schedule.settings import Schedule

JOB = "cron"


class Times(BaseScheduler):
    """A scheduler of APScheduler that is asked for what is due, and has no thread of its own."""

    def __init__(self, settings: Schedule, records: Records):
        super().__init__(
            jobstores={"default": JsonJobStore(engine=records.engine)},
            executors={"default": DebugExecutor()},
            timezone=UTC,
        )
        logging.getLogger("apscheduler").setLevel(logging.ERROR)  # the records say the same
        self._settings, self._records = settings, records
        self._added: list[Run] = []
        self._failure: Exception | None = None
        self.add_listener(self._on_fire, EVENT_JOB_EXECUTED | EVENT_JOB_MISSED)
        with records.errors():
            self.start(paused=True)
            self._set_job()

    def wakeup(self) -> None:
        """Do nothing, since `fire` is called anyway."""

    def shutdown(self, wait: bool = True) -> None:
        """Close the job store; its job is kept."""
        super().shutdown(wait)

    def fire(self, now: float) -> list[Run]:
        """Store a run for each time that is due, and a missed one for each that was due too long ago; return them.

        Raises:
          TwostepError: a record could not be stored.
        """
        self._added, self._failure = [], None
        with self._records.errors():
            self._set_back(datetime.fromtimestamp(now, UTC))
            self.resume()
            self._process_jobs()
            self.pause()
        if self._failure is not None:
            raise self._failure
        return self._added

    def _on_fire(self, event: JobExecutionEvent) -> None:
        """Store the run of a time; errors are kept for `fire`, since APScheduler only logs them."""
        fire = event.scheduled_run_time.astimezone(UTC)
        run = decisions.cron_run(
            _name(fire), self._settings, datetime.now(UTC).timestamp(), missed=event.code == EVENT_JOB_MISSED
        )
        try:
            added = self._records.add(run)
        except Exception as error:
            self._failure = error
        else:
            self._added += [] if added is None else [added]

    def _set_job(self) -> None:
        """Add, change or remove the job so that it is as configured; a job with the same times keeps its next time."""
        # `get_jobs` removes a job that this version cannot read; `get_job` would fail.
        job = next((each for each in self.get_jobs() if each.id == JOB), None)
        if self._settings.cron is None:
            if job is not None:
                self.remove_job(JOB)
            return
        times = (self._settings.cron.expression, self._settings.cron.timezone)
        kept = {} if job is None or tuple(job.args) != times else {"next_run_time": job.next_run_time}
        self.add_job(
            noted,
            cron.trigger(*times),
            times,
            id=JOB,
            misfire_grace_time=self._settings.grace_seconds if self._settings.missed == "skip" else None,
            coalesce=True,
            replace_existing=True,
            **kept,
        )

    def _set_back(self, now: datetime) -> None:
        """Correct the next time of the job if the clock was wrong and has been set back."""
        job = self.get_job(JOB)
        if job is None or job.next_run_time is None:
            return
        fired = {run.fire for run in self._records.runs() if run.trigger == "cron"}
        fire = cron.next_fire(job.next_run_time, job.trigger, now, lambda each: _name(each) in fired)
        if fire != job.next_run_time:
            self.modify_job(JOB, next_run_time=fire)


def _name(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds")
