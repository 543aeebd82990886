"""The state of a schedule, for readers: as lines, and as an object of JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pipeline.schedule.records import Run
from pipeline.schedule.settings import Schedule

_SHOWN = 20  # the number of latest runs that are shown
_WORDS = {"held_back": "held back"}


def triggers(settings: Schedule) -> str:
    """Return in words what starts runs."""
    words = []
    if settings.cron is not None:
        words.append(f"cron {settings.cron.expression} ({settings.cron.timezone})")
    if settings.polls:
        kind = "new span" if settings.new_span else "new span that has drifted"
        words.append(f"{kind}, looked for every {settings.poll_seconds:g} s")
    if settings.drift is not None and settings.drift.action == "stop":
        words.append("stops on drift")
    return "; ".join(words)


def facts(
    name: str,
    settings: Schedule,
    runs: Sequence[Run],
    next_fires: dict[str, float],
    stopped: str | None,
    process: int | None,
) -> dict[str, Any]:
    """Return the state of a schedule as an object of JSON.

    Args:
      name: the name of the recommender.
      settings: the settings of the schedule.
      runs: its records, oldest first.
      next_fires: job → its next time in seconds since 1970-01-01 UTC.
      stopped: the reason for which scheduling is stopped; None if it is not.
      process: the id of the process that schedules; None if there is none.
    """
    return {
        "name": name,
        "process": process,
        "stopped": stopped,
        "triggers": triggers(settings),
        "next": {job: iso(time) for job, time in next_fires.items()},
        "waiting": [run_facts(run) for run in runs if run.state == "waiting"],
        "runs": [run_facts(run) for run in reversed(runs) if run.state != "waiting"][:_SHOWN],
    }


def run_facts(run: Run) -> dict[str, Any]:
    """Return a record as an object of JSON, with its times as in ISO 8601."""
    values = asdict(run)
    delivery = values.pop("delivery")
    times = {key: iso(values.pop(key)) for key in ("due", "created", "started", "ended")}
    return {"number": values.pop("number"), **values, "spans": delivery["spans"], "files": delivery["files"], **times}


def lines(facts: dict[str, Any]) -> list[str]:
    """Return the state of a schedule as lines, the latest runs first."""
    found = [
        f"{facts['name']}: "
        + ("not running" if facts["process"] is None else f"scheduled by process {facts['process']}"),
        f"starts runs  {facts['triggers']}",
    ]
    found += [f"next         {time} ({job})" for job, time in facts["next"].items()]
    if facts["stopped"] is not None:
        found.append(f"stopped      {facts['stopped']}; continue with --resume")
    for run in facts["waiting"]:
        found.append(f"waiting      run {run['number']}, {run['kind']}, from {run['due']}: {run['reason']}")
    for run in facts["runs"]:
        spans = f", spans {', '.join(run['spans'])}" if run["spans"] else ""
        times = f"{run['started'] or run['created']} – {run['ended'] or 'now'}"
        release = f", release {run['release']}" if run["release"] else ""
        state = _WORDS.get(run["state"], run["state"])
        why = f"{run['kind']} by {run['trigger']}{spans}{release}"
        found.append(f"run {run['number']:<4}     {state:<10} {times}  {why}")
        if run["reason"]:
            found += [f"             {line}" for line in run["reason"].splitlines()]
    return found


def sentence(run: Run) -> str:
    """Return the result of a run in words."""
    made = {"released": f"released {run.release}", "unchanged": f"unchanged, {run.release} stays in force"}
    words = made.get(run.state, _WORDS.get(run.state, run.state))
    return words if run.state in made or not run.reason else f"{words}: {run.reason}"


def iso(seconds: float | None) -> str | None:
    """Return a time in ISO 8601, in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
