"""Lengths of time in seconds."""

DAY = 86_400
YEAR = 365.2425 * DAY  # the mean year of the Gregorian calendar
