"""Crontab expressions as triggers of APScheduler, and the next time of one after a change of the clock."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MOST_SKIPPED = 10_000  # times that are looked at after the clock was set back


def trigger(expression: str, timezone: str) -> Any:
    """Return an `apscheduler.triggers.cron.CronTrigger`.

    In APScheduler 3 the weekday 0 is Monday, and a day has to match both the day of the month and the weekday. In a
    crontab 0 is Sunday, and either is enough. So weekdays are given by name, and both together are refused.

    Raises:
      ValueError: the expression or the time zone is wrong.
    """
    from apscheduler.triggers.cron import CronTrigger

    example = "such as `30 3 * * mon-fri`"
    fields = expression.split()
    if len(fields) != 5:
        raise ValueError(
            f"expression: should have minute, hour, day of the month, month and weekday, {example}; "
            f"found {expression!r}"
        )
    if fields[2] != "*" and fields[4] != "*":
        raise ValueError(
            f"expression: should restrict the day of the month or the weekday, not both, since programs differ in "
            f"what both together mean; found {expression!r}"
        )
    try:
        zone = ZoneInfo(timezone)
    except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise ValueError(f"timezone: should be a time zone such as UTC or Europe/Berlin; found {timezone!r}") from None
    try:
        made = CronTrigger(
            minute=fields[0],
            hour=fields[1],
            day=fields[2],
            month=fields[3].lower(),
            day_of_week=_named(fields[4].lower()),
            timezone=zone,
        )
    except ValueError as error:
        raise ValueError(f"expression: should be a crontab expression, {example}: {error}") from None
    if made.get_next_fire_time(None, datetime(2000, 1, 1, tzinfo=zone)) is None:
        raise ValueError(f"expression: should have a time; {expression!r} has none")
    return made


def _named(weekdays: str) -> str:
    """Return a field of weekdays as names; the numbers of a crontab are 0 to 7, and both ends are Sunday."""
    return ",".join(part for item in weekdays.split(",") for part in _days(item))


def _days(item: str) -> list[str]:
    span, slash, step = item.partition("/")
    first, dash, last = span.partition("-")
    low, high = ("0", "6") if span == "*" else (first, last if dash else ("6" if slash else first))
    if span == "*" and not slash:
        return ["*"]
    days = [_number(low), _number(high)]
    if not (not slash or step.isdecimal()) or (slash and int(step) < 1):
        raise ValueError(f"a step should be a number above 0; found {item!r}")
    if dash and days[1] == 0:
        days[1] = 7
    if days[0] > days[1]:
        raise ValueError(f"a range of weekdays should not end before it begins; found {item!r}")
    return [_WEEKDAYS[day] for day in range(days[0], days[1] + 1, int(step) if slash else 1)]


def _number(day: str) -> int:
    """Return the number of a weekday, from 0 for Sunday to 7. Raises: ValueError."""
    if day in _WEEKDAYS:
        return _WEEKDAYS.index(day)
    if day.isdecimal() and int(day) < len(_WEEKDAYS):
        return int(day)
    raise ValueError(f"a weekday should be 0 to 7 or a name such as mon; found {day!r}")


def next_fire(stored: datetime, trigger: Any, now: datetime, has_fired: Callable[[datetime], bool]) -> datetime:
    """Return the next time of a trigger, given the time that is stored for it.

    The stored time is kept if it lies in the past, as a missed time, or is the next one. If the clock was wrong and is
    set back, the stored time may lie too far ahead: then the first time from now on that has not fired yet is returned,
    so that no time is used twice and none is lost.
    """
    fire = trigger.get_next_fire_time(None, now)
    for _ in range(_MOST_SKIPPED):
        if fire is None or fire >= stored:
            return stored
        if not has_fired(fire):
            return fire
        fire = trigger.get_next_fire_time(fire, fire + timedelta(microseconds=1))
    return stored
