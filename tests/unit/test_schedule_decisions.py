"""What is due, what a run ended with, and what follows, in pure functions."""

from dataclasses import replace

import pytest

from components.drift_detector.drift import Finding
from pipeline.schedule import decisions, drift
from pipeline.schedule.decisions import Result
from pipeline.schedule.records import Delivery, Run
from pipeline.schedule.settings import Schedule

NOW = 1_000_000.0
SPANS = Schedule(new_span=True)
CRON = {"expression": "0 3 * * *"}
TO_RUN = Schedule(drift={"action": "run", "excess": 2})
TO_STOP = Schedule(new_span=True, drift={"action": "stop"})


def delivery(*spans, signature="now"):
    return Delivery(tuple(spans), tuple(f"interactions: e-{span}.csv" for span in spans), signature)


def run(state="waiting", spans=("1",), signature="old", number=1, **changes):
    made = Run("new_span", f"f{number}", "train", NOW, NOW, state=state, number=number)
    return replace(made, delivery=delivery(*spans, signature=signature), **changes)


# ---- new spans ----


def test_the_first_delivery_is_new_and_then_it_is_read():
    asked = decisions.new_run([], delivery("1"), SPANS, NOW)
    assert (asked.trigger, asked.kind, asked.state, asked.attempt) == ("new_span", "train", "waiting", 1)
    assert "e-1.csv" in asked.reason
    for state in decisions.READ:
        assert decisions.new_run([run(state)], delivery("1"), SPANS, NOW) is None


def test_a_window_of_spans_is_new_if_one_of_them_is():
    assert decisions.new_run([run("released", ("1", "2"))], delivery("2", "3"), SPANS, NOW) is not None
    assert decisions.new_run([run("released", ("1", "2", "3"))], delivery("2", "3"), SPANS, NOW) is None
    assert (
        decisions.new_run([run("held_back", ("1",)), run("released", ("2",))], delivery("1", "2"), SPANS, NOW) is None
    )


def test_a_new_version_of_a_span_is_new():
    first = Delivery(("1",), ("interactions: e-1-v1.csv",), "a")
    done = replace(run("released"), delivery=first)
    assert decisions.new_run([done], replace(first, files=("interactions: e-1-v2.csv",)), SPANS, NOW) is not None


def test_nothing_is_new_while_a_run_is_open_or_without_spans():
    for state in decisions.OPEN:
        assert decisions.new_run([run(state)], delivery("2"), SPANS, NOW) is None
    assert decisions.new_run([], Delivery(), SPANS, NOW) is None
    assert decisions.new_run([], delivery("1"), Schedule(cron=CRON), NOW) is None


@pytest.mark.parametrize("state", decisions.GIVEN_UP)
def test_what_failed_is_given_up_until_a_file_or_the_configuration_changes(state):
    failed = run(state, signature="now")
    assert decisions.new_run([failed], delivery("1"), SPANS, NOW) is None
    again = decisions.new_run([failed], delivery("1", signature="changed"), SPANS, NOW)
    assert again is not None
    assert again.fire != failed.fire


def test_an_older_time_changes_no_decision():
    """The same records give the same decision at any time, so a clock that is set repeats nothing."""
    for now in (0.0, NOW, 10 * NOW):
        assert decisions.new_run([run("released")], delivery("1"), SPANS, now) is None
        assert decisions.new_run([run("released")], delivery("2"), SPANS, now) is not None


def test_a_run_has_read_what_was_selected_before_and_after_it():
    assert decisions.surely_read(delivery("1", "2"), delivery("2", "3")).files == delivery("2").files
    assert decisions.surely_read(delivery("1"), Delivery()).files == ()


# ---- results ----


@pytest.mark.parametrize(
    ("code", "answer", "stopping", "state"),
    [
        (0, {"release": "b"}, False, "released"),
        (0, {"release": "a"}, False, "unchanged"),
        (3, {"reason": "ndcg", "error": None}, False, "held_back"),
        (2, {"error": "wrong"}, False, "refused"),
        (1, {"error": "bad row"}, False, "failed"),
        (1, None, False, "failed"),
        (-9, None, False, "killed"),
        (143, {"error": "interrupted"}, False, "killed"),
        (None, None, False, "killed"),
        (143, None, True, "stopped"),
        (-15, None, True, "stopped"),
        (0, {"release": "b"}, True, "released"),
        (3, {"reason": "ndcg"}, True, "held_back"),
    ],
)
def test_the_result_of_a_process(code, answer, stopping, state):
    found = decisions.result(code, answer, "a", stopping)
    assert found.state == state
    assert found.reason or state in ("released", "unchanged")
    assert found.release == (answer or {}).get("release")


# ---- repeats ----


def following(done, earlier=(), settings=SPANS, **changes):
    current = run("running", number=9, fire="f", **changes)
    return decisions.follows(current, Result(done, "x"), [*earlier, current], settings, NOW)


def test_failures_and_kills_are_repeated_with_doubled_waits_and_then_given_up():
    settings = Schedule(new_span=True, retries={"attempts": 3, "first_wait_seconds": 10})
    first = following("failed", settings=settings)
    assert (first.state, first.attempt, first.due, first.number, first.fire) == ("waiting", 2, NOW + 10, 0, "f")
    earlier = [run("killed", number=1, fire="f")]
    second = following("failed", earlier, settings, attempt=2)
    assert (second.attempt, second.due) == (3, NOW + 20)
    assert following("killed", [*earlier, run("failed", number=2, fire="f")], settings, attempt=3) is None


def test_wrong_use_and_a_release_held_back_are_not_repeated():
    for state in ("refused", "held_back", "released", "unchanged"):
        assert following(state) is None


def test_a_stopped_run_goes_on_and_does_not_count_as_a_failure():
    settings = Schedule(new_span=True, retries={"attempts": 2})
    earlier = [run("stopped", number=1, fire="f"), run("stopped", number=2, fire="f")]
    assert (following("stopped", earlier, settings, attempt=3).attempt) == 4
    assert following("failed", earlier, settings, attempt=3).attempt == 4


def test_waits_double_up_to_the_longest():
    retries = SPANS.retries
    assert [decisions.backoff(retries, each) for each in (1, 2, 3, 7, 2000)] == [60, 120, 240, 3600, 3600]


def test_a_repeat_is_due_at_its_time_or_when_the_clock_was_set_back():
    waiting = run(due=NOW + 60)
    assert not decisions.is_due(waiting, NOW + 59)
    assert decisions.is_due(waiting, NOW + 60)
    assert decisions.is_due(waiting, NOW - 3600)
    assert not decisions.is_due(run("running", due=NOW), NOW + 1)
    assert decisions.first_due([run("released"), waiting], NOW + 61) is waiting


# ---- drift ----


def test_on_drift_each_new_span_is_measured_first():
    for settings in (TO_RUN, TO_STOP):
        assert decisions.new_run([], delivery("1"), settings, NOW).kind == "measure"
    assert decisions.cron_run("t", Schedule(cron=CRON, drift={"action": "stop"}), NOW, False).kind == "measure"
    both = Schedule(cron=CRON, drift={"action": "run"})
    assert decisions.cron_run("t", both, NOW, False).kind == "train"
    assert decisions.new_run([], delivery("1"), both, NOW).trigger == "drift"


@pytest.mark.parametrize(
    ("settings", "excess", "state", "trains", "stops"),
    [
        (TO_RUN, 2.5, "drifted", True, False),
        (TO_RUN, 2.0, "skipped", False, False),
        (TO_RUN, None, "measured", True, False),  # a first delivery
        (TO_STOP, 1.5, "drifted", False, True),
        (TO_STOP, 1.0, "measured", True, False),
        (TO_STOP, None, "measured", True, False),
    ],
)
def test_drift_starts_a_run_or_stops_scheduling(settings, excess, state, trains, stops):
    measuring = run("running", kind="measure", number=4)
    done = decisions.with_drift(Result("released", "", "r"), excess, settings.drift)
    assert (done.state, done.run_id) == (state, "r")
    follower = decisions.follows(measuring, done, [measuring], settings, NOW)
    assert (follower is not None) == trains
    if follower is not None:
        assert (follower.kind, follower.attempt, follower.fire) == ("train", 1, measuring.fire)
    assert (decisions.stops(measuring, done, settings) is not None) == stops


def test_a_measurement_that_fails_is_repeated_as_a_measurement():
    measuring = run("running", kind="measure", number=4)
    failed = decisions.with_drift(Result("failed", "x", "r"), None, TO_STOP.drift)
    follower = decisions.follows(measuring, failed, [measuring], TO_STOP, NOW)
    assert (follower.kind, follower.attempt) == ("measure", 2)


def test_a_delivery_that_came_after_the_measurement_is_measured_too():
    measured = run("measured", kind="measure", fire="f")
    waiting = run("waiting", number=2, fire="f", signature="old")
    for settings in (TO_STOP, TO_RUN):
        on_drift = replace(waiting, trigger="drift")
        assert decisions.for_delivery(on_drift, delivery("1", signature="old"), [measured], settings).kind == "train"
        again = decisions.for_delivery(on_drift, delivery("2"), [measured], settings)
        assert (again.kind, again.attempt, again.delivery) == ("measure", 2, delivery("2"))
    for settings, trigger in ((SPANS, "new_span"), (Schedule(cron=CRON, drift={"action": "run"}), "cron")):
        free = replace(waiting, trigger=trigger)
        assert decisions.for_delivery(free, delivery("2"), [], settings) == replace(free, delivery=delivery("2"))


def test_to_resume_accepts_the_delivery_that_stopped_and_no_other():
    drifted = run("drifted", kind="measure", signature="now", reason="drift 3")
    accepted = decisions.resumed([drifted], delivery("1"), NOW)
    assert (accepted.kind, accepted.state, accepted.fire, accepted.number) == ("train", "waiting", drifted.fire, 0)
    assert decisions.resumed([drifted], delivery("1", signature="changed"), NOW) is None


def test_the_largest_drift_is_that_of_the_report():
    findings = [
        Finding("items", "year", "distance", 1, 2, 0.6, None, 0.3),
        Finding("items", None, "rows", 100, 10, 0.1, 0.5, 2.0),
    ]
    assert drift.largest([each.to_json() for each in findings]) == pytest.approx(5)
