"""What a server answered in the last hour."""

import pytest

from serving.server import activity
from serving.server.activity import MINUTES, Activity


@pytest.fixture
def now(monkeypatch):
    """Return the time as a list of one number, which a test changes."""
    now = [60_000_000.0]
    monkeypatch.setattr(activity.time, "time", lambda: now[0])
    return now


def test_answers_are_counted_by_minute_arm_and_reason(now):
    made = Activity(["a", "b"])
    made.answered(None, None)
    now[0] += 60
    made.answered("a", "popular")
    made.answered("a", None)
    found = made.summary()
    assert (found.answers, found.arms, found.degraded) == (3, {"all users": 1, "a": 2}, {"popular": 1})
    assert len(found.minutes) == MINUTES
    assert [(each.minute, each.answers, each.degraded) for each in found.minutes[-3:]] == [
        (59_999_940, 0, 0), (60_000_000, 1, 0), (60_000_060, 2, 1),
    ]  # fmt: skip


def test_what_is_older_than_an_hour_is_not_counted(now):
    made = Activity()
    made.answered(None, None)
    made.took(0.5)
    now[0] += 59 * 60
    assert made.summary().answers == 1
    now[0] += 60
    found = made.summary()
    assert (found.answers, found.p50_ms) == (0, None)
    now[0] += 1020 * 60  # the minute takes the place of the first
    made.answered(None, None)
    assert made.summary().answers == 1


def test_quantiles_are_within_five_per_cent(now):
    made = Activity()
    for ms in range(1, 101):
        made.took(ms / 1000)
    found = made.summary()
    assert 50 <= found.p50_ms <= 50 * 1.05
    assert 99 <= found.p99_ms <= 99 * 1.05
    assert found.minutes[-1].p50_ms == found.p50_ms
    made.took(0)
    assert made.summary().p50_ms == found.p50_ms


def test_a_time_beyond_the_last_class_is_in_the_last(now):
    made = Activity()
    made.took(1e9)
    assert made.summary().p50_ms == pytest.approx(0.1 * 1.05 ** (activity.CLASSES - 1), rel=1e-4)


def test_the_workers_of_a_server_are_counted_together(now, monkeypatch, tmp_path):
    workers = []
    for number in (1, 2):
        monkeypatch.setattr(activity.os, "getpid", lambda number=number: number)
        workers.append(Activity(["a"], tmp_path))
    one, other = workers
    one.answered("a", "no_store")
    one.took(0.001)
    now[0] += 60
    other.answered("a", None)
    other.answered(None, None)
    for _ in range(3):
        other.took(0.5)
    (tmp_path / f"activity-3{activity.SUFFIX}").write_bytes(b"not yet complete")
    found = one.summary()
    assert found == other.summary()
    assert (found.answers, found.arms, found.degraded) == (3, {"all users": 1, "a": 2}, {"no_store": 1})
    assert [each.answers for each in found.minutes[-2:]] == [1, 2]
    assert 500 <= found.p50_ms <= 525
    now[0] += 59 * 60
    assert one.summary().answers == 2, "a worker that answers nothing any more has old minutes"
