"""Schedules by name: put in place, pause, resume and delete. Each action can be repeated without harm."""

from collections.abc import Callable
from typing import Literal

from core.errors import UsageError
from pipeline.submit.job import Job
from pipeline.submit.target import Schedule, Target

Outcome = Literal["created", "replaced", "unchanged"]


def put(target: Target, job: Job, cron: str) -> tuple[Schedule, Outcome]:
    """Make the schedule of a job the only one of its name.

    A schedule with the same content is left as it is. Another one is replaced, since no orchestrator can change the
    specification of a schedule: the new one is created first, so that a failure leaves no recommender without a
    schedule; repeated, the command then deletes the old one. A paused schedule stays paused.

    Raises:
      SubmissionError: the orchestrator refused a request or cannot be reached.
    """
    existing = target.schedules(job.name)
    digest = target.digest(job, cron)
    same = next((each for each in existing if each.digest == digest), None)
    schedule = same or target.create_schedule(job, cron, bool(existing) and all(each.paused for each in existing))
    for each in existing:
        if each is not same:
            target.delete(each)
    return schedule, "unchanged" if same else "replaced" if existing else "created"


def pause(target: Target, name: str) -> list[Schedule]:
    """Pause the schedules of a name and return them. Raises: UsageError if there is none; SubmissionError."""
    return _for_each(target, name, lambda each: None if each.paused else target.pause(each))


def resume(target: Target, name: str) -> list[Schedule]:
    """Resume the schedules of a name and return them. Raises: UsageError if there is none; SubmissionError."""
    return _for_each(target, name, lambda each: target.resume(each) if each.paused else None)


def _for_each(target: Target, name: str, act: Callable[[Schedule], None]) -> list[Schedule]:
    existing = target.schedules(name)
    if not existing:
        raise UsageError(f"{name}: has no schedule. `twostep submit … --schedule CRON` creates one")
    for each in existing:
        act(each)
    return existing


def delete(target: Target, name: str) -> list[Schedule]:
    """Delete the schedules of a name and return them; none is no error. Raises: SubmissionError."""
    existing = target.schedules(name)
    for each in existing:
        target.delete(each)
    return existing
