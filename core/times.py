"""Lengths of time in seconds, and timestamps as text."""

from datetime import UTC, datetime

DAY = 86_400
YEAR = 365.2425 * DAY  # the mean year of the Gregorian calendar


def utc(timestamp: float) -> str:
    """Return a timestamp, seconds since 1970, as text in UTC."""
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="seconds")
