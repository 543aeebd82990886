"""What is due, what a run ended with, and what follows. Pure functions of records and of the time that they are given.

Which data is new is decided by the spans in the records. A time decides only when a repeated run is due.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.schedule.records import Delivery, Run, State
from pipeline.schedule.settings import OnDrift, Retries, Schedule

READ: tuple[State, ...] = ("released", "unchanged", "held_back", "skipped")  # results after which spans are not new
GIVEN_UP: tuple[State, ...] = ("failed", "killed", "refused", "drifted")
REPORTED: tuple[State, ...] = ("failed", "killed", "held_back", "refused", "drifted", "missed")
REPEATED: tuple[State, ...] = ("failed", "killed")
OPEN: tuple[State, ...] = ("waiting", "running")
_WRONG_USE, _HELD_BACK = 2, 3  # exit codes of `twostep run`


@dataclass(frozen=True)
class Result:
    """The result of a process.

    Args:
      state: the state of its record.
      reason: the error, or why there is no release.
      run_id, release: of `twostep run`; None if it has none.
    """

    state: State
    reason: str
    run_id: str | None = None
    release: str | None = None


def result(exit_code: int | None, answer: Mapping[str, Any] | None, in_force: str | None, stopping: bool) -> Result:
    """Return the result of a run that trains.

    Args:
      exit_code: the exit code; negative for the signal that ended the process, None if it is unknown.
      answer: what `twostep run --json` printed; None if it did not come to its end.
      in_force: the release in force before the run.
      stopping: whether the run was ended because the scheduler ends.
    """
    answer = answer or {}
    run_id, release = answer.get("run"), answer.get("release")
    reason = answer.get("error") or answer.get("reason") or ""
    ended = exit_code is None or exit_code < 0 or exit_code > 128
    if stopping and ended:
        return Result("stopped", "the scheduler was stopped", run_id)
    if exit_code is None or ended:
        signal = "" if exit_code is None else f" by signal {-exit_code if exit_code < 0 else exit_code - 128}"
        return Result("killed", f"the run was ended{signal} before its end", run_id)
    if exit_code == _HELD_BACK:
        return Result("held_back", reason, run_id)
    if exit_code:
        return Result("refused" if exit_code == _WRONG_USE else "failed", reason or "no message", run_id)
    return Result("unchanged" if release is not None and release == in_force else "released", reason, run_id, release)


def with_drift(done: Result, excess: float | None, bound: OnDrift) -> Result:
    """Return the result of a run that measured drift, from its result as a process.

    Args:
      done: the result of the process.
      excess: the largest change as a multiple of its bound; None if there was nothing to compare with.
      bound: the configured action.
    """
    if done.state not in ("released", "unchanged"):
        return done
    drifted = excess is not None and excess > bound.excess
    against = "no earlier release to compare with" if excess is None else f"drift {excess:.3g} times its bound"
    reason = f"{against}, {bound.excess:g} accepted"
    if drifted:
        return Result("drifted", reason, done.run_id)
    state: State = "skipped" if bound.action == "run" and excess is not None else "measured"
    return Result(state, reason, done.run_id)


def new_run(runs: Sequence[Run], delivery: Delivery, settings: Schedule, now: float) -> Run | None:
    """Return the run that a delivery asks for; None if it has no new span, or a run on it is open or given up.

    A delivery whose runs failed is given up until one of its files or the configuration changes.
    """
    unread = unread_files(runs, delivery)
    if not settings.polls or not unread or any(run.state in OPEN for run in runs):
        return None
    same = [run for run in runs if run.delivery.signature == delivery.signature]
    if any(run.state in GIVEN_UP for run in same):
        return None
    measures = settings.drift is not None
    return Run(
        trigger="new_span" if settings.new_span else "drift",
        fire=f"{delivery.signature[:16]}.{len(same)}",
        kind="measure" if measures else "train",
        due=now,
        created=now,
        reason=f"new: {', '.join(unread)}",
        delivery=delivery,
    )


def unread_files(runs: Iterable[Run], delivery: Delivery) -> list[str]:
    """Return the patterns of spans in a delivery that no run with a result in `READ` has read."""
    read = {file for run in runs if run.state in READ for file in run.delivery.files}
    return [file for file in delivery.files if file not in read]


def for_delivery(run: Run, delivery: Delivery, runs: Iterable[Run], settings: Schedule) -> Run:
    """Return a run that is to start on a delivery: as it is, or as a measurement, if this delivery was not measured."""
    on_drift = settings.drift is not None and (settings.drift.action == "stop" or run.trigger == "drift")
    if not on_drift or run.kind == "measure" or run.delivery.signature == delivery.signature:
        return replace(run, delivery=delivery)
    attempts = [each.attempt for each in runs if (each.fire, each.kind) == (run.fire, "measure")]
    return replace(run, kind="measure", attempt=max(attempts, default=0) + 1, delivery=delivery)


def surely_read(before: Delivery, after: Delivery) -> Delivery:
    """Return what a run has read for sure: what was selected both before and after it."""
    files = tuple(file for file in before.files if file in after.files)
    return replace(before, files=files)


def cron_run(fire: str, settings: Schedule, now: float, missed: bool) -> Run:
    """Return the run for a time of `cron`."""
    measures = settings.drift is not None and settings.drift.action == "stop"
    return Run(
        trigger="cron",
        fire=fire,
        kind="measure" if measures else "train",
        due=now,
        created=now,
        state="missed" if missed else "waiting",
        reason=f"no run could be started within {settings.grace_seconds} s" if missed else f"time {fire}",
        ended=now if missed else None,
    )


def follows(run: Run, done: Result, runs: Sequence[Run], settings: Schedule, now: float) -> Run | None:
    """Return the run that follows the result of a run: a repeated one, or one that trains after a measurement."""
    following = replace(
        run, number=0, state="waiting", due=now, created=now, started=None, ended=None, run_id=None, exit_code=None
    )
    if done.state == "stopped":
        return replace(following, attempt=run.attempt + 1)
    if done.state in REPEATED:
        earlier = [
            each
            for each in runs
            if (each.fire, each.kind) == (run.fire, run.kind) and each.number != run.number and each.state in REPEATED
        ]
        failures = len(earlier) + 1
        if failures >= settings.retries.attempts:
            return None
        wait = backoff(settings.retries, failures)
        reason = f"repeated after {failures} {'failures' if failures > 1 else 'failure'}"
        return replace(following, attempt=run.attempt + 1, due=now + wait, reason=reason)
    if run.kind == "measure" and settings.drift is not None:
        trains = "drifted" if settings.drift.action == "run" else "measured"
        first = settings.drift.action == "run" and done.state == "measured"  # nothing to compare with
        if done.state == trains or first:
            return replace(following, kind="train", attempt=1, reason=done.reason)
    return None


def backoff(retries: Retries, failures: int) -> float:
    """Return the seconds before the next run after a number of failures: doubled each time, up to the longest wait."""
    return min(retries.first_wait_seconds * 2.0 ** min(failures - 1, 64), retries.max_wait_seconds)


def stops(run: Run, done: Result, settings: Schedule) -> str | None:
    """Return the reason for which scheduling stops after a run; None if it goes on."""
    if done.state != "drifted" or settings.drift is None or settings.drift.action != "stop":
        return None
    spans = f" (spans {', '.join(run.delivery.spans)})" if run.delivery.spans else ""
    return f"the delivery of run {run.number}{spans} has drifted: {done.reason}"


def is_due(run: Run, now: float) -> bool:
    """Return whether a waiting run may start. After the clock was set back to before its record, it may as well."""
    return run.state == "waiting" and (now >= run.due or now < run.created)


def first_due(runs: Iterable[Run], now: float) -> Run | None:
    """Return the oldest waiting run that may start."""
    return next((run for run in runs if is_due(run, now)), None)


def resumed(runs: Sequence[Run], delivery: Delivery, now: float) -> Run | None:
    """Return the run that trains on the delivery that stopped scheduling; None if the delivery has changed since."""
    drifted = [run for run in runs if run.state == "drifted" and run.kind == "measure"]
    if not drifted or drifted[-1].delivery.signature != delivery.signature:
        return None
    accepted = replace(drifted[-1], number=0, kind="train", state="waiting", attempt=1, due=now, created=now)
    return replace(
        accepted, started=None, ended=None, run_id=None, exit_code=None, reason=f"accepted: {drifted[-1].reason}"
    )
