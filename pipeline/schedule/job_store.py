"""The job store of APScheduler with jobs as JSON, since its own job store executes what it reads (pickle)."""

import json
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from apscheduler.job import Job
from apscheduler.jobstores.base import ConflictingIdError
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.util import datetime_to_utc_timestamp, obj_to_ref

from pipeline.schedule import cron


def noted(expression: str, timezone: str) -> None:
    """Do nothing: the function of each job; the event of its execution has the time that it was meant for."""


class JsonJobStore(SQLAlchemyJobStore):
    """The job store for jobs that call `noted` at the times of a crontab expression; see `pipeline.schedule.cron`."""

    def add_job(self, job: Job) -> None:
        """Store a new job. Raises: ConflictingIdError if its id is stored already."""
        try:
            with self.engine.begin() as connection:
                connection.execute(sa.insert(self.jobs_t).values(id=job.id, **_row(job)))
        except sa.exc.IntegrityError:
            raise ConflictingIdError(job.id) from None

    def update_job(self, job: Job) -> None:
        """Replace a stored job."""
        with self.engine.begin() as connection:
            connection.execute(sa.update(self.jobs_t).where(self.jobs_t.c.id == job.id).values(**_row(job)))

    def _reconstitute_job(self, job_state: bytes) -> Job:
        """Return a job from its JSON. Raises: ValueError, KeyError or TypeError if it has another form."""
        values = json.loads(job_state)
        job = Job.__new__(Job)
        job.__setstate__(
            values
            | {
                "func": obj_to_ref(noted),
                "trigger": cron.trigger(*values["args"]),
                "executor": "default",
                "kwargs": {},
                "max_instances": 1,
                "next_run_time": datetime.fromisoformat(values["next_run_time"]),
            }
        )
        job._scheduler, job._jobstore_alias = self._scheduler, self._alias
        return job


def _row(job: Job) -> dict[str, Any]:
    values = {key: getattr(job, key) for key in ("id", "name", "args", "coalesce", "misfire_grace_time")}
    state = json.dumps(values | {"next_run_time": job.next_run_time.isoformat()})
    return {"next_run_time": datetime_to_utc_timestamp(job.next_run_time), "job_state": state.encode()}
