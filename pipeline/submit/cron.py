"""Cron expressions of five fields, checked before an orchestrator gets them."""

import zoneinfo

from core.errors import UsageError
from core.printable import one_line


def check(expression: str) -> str:
    """Return a cron expression with single spaces. Raises: UsageError if it is none of five fields."""
    from apscheduler.triggers.cron import CronTrigger

    fields = expression.split()
    try:
        if len(fields) != 5:
            raise ValueError(f"{len(fields)} fields")
        CronTrigger.from_crontab(expression)
    except ValueError as error:
        raise UsageError(
            "--schedule: should be a cron expression of five fields, minute, hour, day, month and weekday, such as "
            f"'30 3 * * sun'; found {one_line(expression)} ({one_line(error)})"
        ) from None
    return " ".join(fields)


def check_zone(name: str) -> str:
    """Return the name of a time zone. Raises: UsageError if the IANA database does not have it."""
    if name not in zoneinfo.available_timezones():
        raise UsageError(
            f"--timezone: should be a name of the IANA database, such as Europe/Rome; found {one_line(name)}"
        )
    return name
