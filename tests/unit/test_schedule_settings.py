"""The settings of `twostep schedule`, and crontab expressions."""

from datetime import UTC, datetime, timedelta

import pytest
from configurations import check_refused, load
from facts import facts

from pipeline.schedule import cron

DATED = "data: {root: ., interactions: {path: 'events-{SPAN}.csv'}}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schedule: {}", "  schedule: … `cron`, `new_span: true`"),
        ("schedule: {new_spam: true}", "  schedule.new_spam: … `new_span`"),
        ("schedule: {new_span: true}", "  schedule.new_span: … marks spans … {SPAN}"),
        ("schedule: {drift: {action: run}}", "  schedule.drift.action: … marks spans … {SPAN}"),
        (DATED + "schedule: {new_span: true, drift: {action: run}}", "  schedule: … either `new_span` … `drift"),
        (
            DATED + "drift: {action: stop}\nschedule: {new_span: true, drift: {action: stop}}",
            "  schedule.drift: … `drift.action: report`",
        ),
        ("schedule: {cron: {expression: '* * *'}}", "  schedule.cron: expression: … weekday … '* * *'"),
        ("schedule: {cron: {expression: '61 * * * *'}}", "  schedule.cron: expression: … 61"),
        ("schedule: {cron: {expression: '0 0 31 2 *'}}", "  schedule.cron: expression: … '0 0 31 2 *' has none"),
        ("schedule: {cron: {expression: '0 0 1 * mon'}}", "  schedule.cron: expression: … not both"),
        ("schedule: {cron: {expression: '0 0 * * 8'}}", "  schedule.cron: expression: … weekday … '8'"),
        (
            "schedule: {cron: {expression: '0 0 * * *', timezone: Mars}}",
            "  schedule.cron: timezone: … Europe/Berlin … 'Mars'",
        ),
        ("schedule: {cron: {expression: '0 0 * * *', timezone: ../x}}", "  schedule.cron: timezone: … '../x'"),
        (DATED + "schedule: {new_span: true, retries: {attempts: 0}}", "  schedule.retries.attempts: … 0 … at least 1"),
        (DATED + "schedule: {new_span: true, missed: never}", "  schedule.missed: … 'once' … 'skip' … 'never'"),
        (
            DATED + "schedule: {new_span: true, webhook: {url: 'http://a.example'}}",
            "  schedule.webhook.url: … https://",
        ),
        (DATED + "schedule: {new_span: true, webhook: {url: 'ftp://127.0.0.1'}}", "  schedule.webhook.url: … https://"),
        (
            DATED + "schedule: {new_span: true, webhook: {url: 'https://a:b@c.example'}}",
            "  schedule.webhook.url: … user",
        ),
        (DATED + "schedule: {new_span: true, webhook: {url: 'http://127.0.0.1.a.example'}}", "schedule.webhook.url"),
    ],
)
def test_a_wrong_schedule_is_refused(tmp_path, text, message):
    check_refused(tmp_path, text, message)


def test_webhooks_are_https_or_of_this_machine(tmp_path):
    for url in ("https://a.example/x?y=1", "http://127.0.0.1:80/x", "http://[::1]/", "http://localhost:1"):
        loaded = load(tmp_path, DATED + f"schedule: {{new_span: true, webhook: {{url: '{url}'}}}}")
        assert loaded.schedule.webhook.url == url


def test_without_the_section_there_is_no_schedule(tmp_path):
    assert load(tmp_path, "{}").schedule is None


# ---- crontab expressions ----


def fires(expression, count, timezone="UTC", start=datetime(2026, 1, 1, tzinfo=UTC)):
    trigger, found = cron.trigger(expression, timezone), []
    for _ in range(count):
        before = found[-1] if found else None
        found.append(trigger.get_next_fire_time(before, (before or start) + timedelta(microseconds=1)))
    return found


@pytest.mark.parametrize(
    ("weekdays", "expected"),
    [
        ("0", {6}),
        ("7", {6}),
        ("sun", {6}),
        ("1", {0}),
        ("MON-fri", {0, 1, 2, 3, 4}),
        ("1-5", {0, 1, 2, 3, 4}),
        ("5-7", {4, 5, 6}),
        ("fri-sun", {4, 5, 6}),
        ("0-6/2", {6, 1, 3, 5}),
        ("*/3", {6, 2, 5}),
        ("0,3", {6, 2}),
        ("*", set(range(7))),
    ],
)
def test_weekdays_are_those_of_a_crontab(weekdays, expected):
    assert {each.weekday() for each in fires(f"0 12 * * {weekdays}", 14)} == expected


@pytest.mark.parametrize("weekdays", ["8", "-1", "5-2", "1/0", "1/x", "", "monday", "1,,2"])
def test_wrong_weekdays_are_refused(weekdays):
    with pytest.raises(ValueError, match="expression"):
        cron.trigger(f"0 12 * * {weekdays}", "UTC")


def test_times_are_those_of_the_time_zone_in_summer_and_winter():
    found = fires("30 3 * * *", 3, "Europe/Berlin", datetime(2026, 3, 28, 0, tzinfo=UTC))
    assert [each.astimezone(UTC).hour for each in found] == [2, 1, 1]


def test_errors_of_expressions_name_an_example():
    with pytest.raises(ValueError, match=facts("30 3 * * mon-fri … 'x'")):
        cron.trigger("x", "UTC")


# ---- a clock that is set ----

DAILY = cron.trigger("0 3 * * *", "UTC")


def at(day, hour=3):
    return datetime(2026, 6, day, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    ("stored", "now", "fired", "expected"),
    [
        (at(10), at(9, 12), [at(9)], at(10)),  # nothing has happened
        (at(10), at(10, 12), [at(9)], at(10)),  # missed: kept, so that it is caught up or skipped
        (at(10), at(9, 2), [at(8), at(9)], at(10)),  # set back an hour: 3:00 of day 9 has fired and is not used twice
        (at(10), at(7, 2), [at(7), at(8), at(9)], at(10)),  # set back two days: none of these is used twice
        (at(25), at(9, 12), [at(8), at(9), at(24)], at(10)),  # was two weeks ahead and is right again: none is lost
        (at(25), at(24, 2), [at(9), at(24)], at(25)),
    ],
)
def test_a_clock_that_is_set_back_uses_no_time_twice_and_loses_none(stored, now, fired, expected):
    assert cron.next_fire(stored, DAILY, now, lambda each: each in fired) == expected
