"""The records of a schedule in SQLite, the times of `cron` in the job store, and the state for readers."""

import logging
import pickle
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from facts import facts

from core.errors import TwostepError
from pipeline.schedule import status
from pipeline.schedule.records import Delivery, Records, Run
from pipeline.schedule.settings import Schedule
from pipeline.schedule.times import JOB, Times

RUN = Run("cron", "f", "train", 1.0, 2.0, delivery=Delivery(("1",), ("interactions: a",), "s"), reason="x")


@pytest.fixture
def records(tmp_path):
    return Records(tmp_path / "schedule.sqlite")


def test_a_record_is_read_as_it_was_stored(records, tmp_path):
    added = records.add(RUN)
    assert added.number == 1
    changed = records.update(added, state="running", started=3.5, in_force="r")
    assert Records(tmp_path / "schedule.sqlite").runs() == [changed]


def test_a_fire_is_stored_once(records):
    assert records.add(RUN) is not None
    assert records.add(RUN) is None
    assert len(records.runs()) == 1


def test_a_result_is_stored_with_what_follows_or_not_at_all(records):
    added = records.add(RUN)
    ended, following = records.finish(added, RUN.__class__(**{**vars(RUN), "attempt": 2}), "drift", state="failed")
    assert [ended, following] == records.runs()
    assert records.stopped() == "drift"
    with pytest.raises(Exception, match="UNIQUE"):
        records.finish(following, RUN, None, state="failed")
    assert records.runs()[-1].state == "waiting"
    records.resume(None)
    assert records.stopped() is None


def test_a_damaged_file_is_named(tmp_path):
    file = tmp_path / "schedule.sqlite"
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(TwostepError, match=facts(f"{file} … not a database … move it away")):
        Records(file)


# ---- times of cron ----


def times(records, **settings):
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    return Times(Schedule(cron={"expression": "0 * * * *"}, **settings), records)


def set_next(found, ago):
    """Set the next time of the job to a full hour at least `ago` ago."""
    when = (datetime.now(UTC) - ago).replace(minute=0, second=0, microsecond=0)
    found.modify_job(JOB, next_run_time=when)


def test_a_time_in_the_future_starts_nothing(records):
    found = times(records)
    assert found.fire(time.time()) == []
    assert records.next_fires()[JOB] > time.time()


def test_missed_times_are_caught_up_once_after_a_restart(records):
    first = times(records)
    set_next(first, timedelta(hours=5))
    first.shutdown()
    again = times(records)
    [run] = again.fire(time.time())
    assert (run.state, run.trigger) == ("waiting", "cron")
    assert datetime.fromisoformat(run.fire) > datetime.now(UTC) - timedelta(hours=1)  # the latest of them
    assert again.fire(time.time()) == []
    assert len(records.runs()) == 1


def test_missed_times_are_skipped_if_so_configured(records):
    found = times(records, missed="skip", grace_seconds=1)
    set_next(found, timedelta(hours=5))
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    if datetime.now(UTC) - hour < timedelta(seconds=2):
        time.sleep(2)  # in the first second of an hour, its time is not missed
    [run] = found.fire(time.time())
    assert run.state == "missed"
    assert run.ended is not None


def test_a_time_that_is_due_again_is_not_used_twice(records):
    found = times(records)
    set_next(found, timedelta(0))
    assert len(found.fire(time.time())) == 1
    set_next(found, timedelta(0))  # as after a kill between the record and the job store
    assert found.fire(time.time()) == []
    assert len(records.runs()) == 1


def test_the_next_time_is_corrected_if_the_clock_was_ahead(records):
    found = times(records)
    found.modify_job(JOB, next_run_time=datetime.now(UTC) + timedelta(days=400))
    found.fire(time.time())
    assert records.next_fires()[JOB] < time.time() + 3601


class Touch:
    """An object that creates a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_a_job_that_is_not_json_is_made_again_and_never_unpickled(records, tmp_path):
    times(records).shutdown()
    with records.engine.begin() as connection:
        state = pickle.dumps(Touch(tmp_path / "executed"))
        connection.exec_driver_sql("UPDATE apscheduler_jobs SET job_state = ?", (state,))
    logging.disable(logging.CRITICAL)
    again = times(records)
    logging.disable(logging.NOTSET)
    assert again.fire(time.time()) == []
    assert records.next_fires()[JOB] > time.time()
    assert not (tmp_path / "executed").exists()


def test_other_times_replace_the_job_and_none_remove_it(records):
    times(records).shutdown()
    daily = Times(Schedule(cron={"expression": "0 3 * * *", "timezone": "Asia/Tokyo"}), records)
    assert datetime.fromtimestamp(records.next_fires()[JOB], UTC).hour == 18
    daily.shutdown()
    Times(Schedule(new_span=True), records).shutdown()
    assert records.next_fires() == {}


# ---- for readers ----


def test_the_state_has_next_times_runs_and_reasons():
    settings = Schedule(new_span=True, cron={"expression": "0 3 * * *", "timezone": "Asia/Tokyo"})
    ended = Run(**{**vars(RUN), "state": "held_back", "reason": "ndcg 0.1\nbelow 0.2", "started": 5.0, "ended": 65.0})
    found = status.facts("shop", settings, [ended, RUN], {"cron": 0.0}, "drift", 42)
    assert found["runs"][0]["spans"] == ("1",)
    assert found["runs"][0]["ended"] == "1970-01-01T00:01:05+00:00"
    text = "\n".join(status.lines(found))
    for fact in ("shop: scheduled by process 42", "0 3 * * * (Asia/Tokyo)", "every 300 s", "held back", "spans 1"):
        assert fact in text
    assert "next         1970-01-01T00:00:00+00:00 (cron)" in text
    assert "stopped      drift" in text
    assert "\n             below 0.2" in text
