"""The store of releases with several writers at once, and with a writer that is killed at each of its steps."""

import itertools
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from core import durable
from core.release import pushed, reader, writer

TIMES = 3  # how often one place in the code counts as a step; about twenty files pass through it
NOON = datetime(2025, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Return a folder in memory, if the machine has one, because these tests write thousands of small files."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


def half_there(store: Path) -> list[str]:
    return [path.name for path in store.rglob(".*.partial")]


# ---- several writers ----


def at_once(*work: Callable[[], None]) -> None:
    """Run each function in a separate process, all at the same time."""
    context = multiprocessing.get_context("fork")
    start = context.Barrier(len(work))

    def when_all_are_there(each: Callable[[], None]) -> None:
        start.wait()
        each()

    processes = [context.Process(target=when_all_are_there, args=(each,)) for each in work]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * len(work)


def test_two_who_push_at_once_do_not_mix_and_none_is_forgotten(tmp_path, store, make_parts):
    def push(text: str, second: int) -> None:
        parts = make_parts(tmp_path / text, text)
        for number in range(20):
            writer.publish(store, parts, {"by": text}, created=NOON + timedelta(minutes=number, seconds=second))

    at_once(lambda: push("one", 0), lambda: push("two", 30))
    found = reader.versions(store)
    assert len(found) == 40
    for version in found:
        reader.verify(store, version)
        model = (store / version / "retrieval/saved_model.pb").read_text()
        assert model == reader.manifest(store, version)["facts"]["by"]
    in_force = [*reader.history(store), reader.current(store)]
    assert sorted(in_force) == sorted(found)
    for seconds in ("00Z", "30Z"):  # the releases of each writer came into force in their order
        own = [version for version in in_force if version[13:16] == seconds]
        assert own == sorted(own)
        assert len(own) == 20
    assert not half_there(store)


def test_two_who_push_the_same_at_once_make_one_release_of_it(tmp_path, store, make_parts):
    def push(folder: str) -> None:
        parts = make_parts(tmp_path / folder)
        for number in range(20):
            writer.publish(store, parts, {}, created=NOON + timedelta(minutes=number))

    at_once(lambda: push("a"), lambda: push("b"))
    assert len(reader.versions(store)) == 20
    for version in reader.versions(store):
        reader.verify(store, version)
    assert not half_there(store)


def test_readers_find_the_current_release_whole_while_others_push_and_collect(tmp_path, store, make_parts, publish):
    publish("first", 0)
    until = time.monotonic() + 1

    def push(text: str, second: int) -> None:
        parts = make_parts(tmp_path / text, text)
        for number in itertools.count(1):
            if time.monotonic() > until:
                break
            writer.publish(store, parts, {}, created=NOON + timedelta(minutes=number, seconds=second))
            writer.collect(store, 1)

    def read() -> None:
        while time.monotonic() < until:
            with reader.reading(store) as folder:
                shutil.copytree(folder, tmp_path / "copy")  # fails if a file is deleted during the copy
                assert len(list(durable.entries(tmp_path / "copy"))) == 9
                shutil.rmtree(tmp_path / "copy")

    at_once(lambda: push("one", 0), lambda: push("two", 30), read)
    assert len(reader.versions(store)) <= 4
    reader.verify(store)


def test_a_publisher_at_work_is_not_swept_away_and_a_dead_one_is(store, publish):
    publish("one", 0)
    dead = store / ".1.dead.partial"  # process 1 is alive, but does not hold the lock of a publisher
    (dead / "retrieval").mkdir(parents=True)
    with writer._partial_folder(store) as partial:
        assert not dead.exists()
        publish("two", 1)
        writer.collect(store, 1)
        assert partial.is_dir()
    assert not partial.exists()


# ---- a writer that is killed ----


def killed_at(number: int, work: Callable[[], Any]) -> bool:
    """Run `work` in a child process that kills itself at its step `number`; return whether it reached this step.

    A step is an operation on the file system, found by Python's audit events, or an executed line of the module
    `durable`. A place in the code counts as a step only the first `TIMES` times.
    """
    child = os.fork()
    if child == 0:
        seen = 0
        times: Counter[tuple[str, str, int]] = Counter()

        def step(event: str, frame: FrameType) -> None:
            nonlocal seen
            place = event, frame.f_code.co_filename, frame.f_lineno
            times[place] += 1
            seen += times[place] <= TIMES
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

        def audit(event: str, _: tuple) -> None:
            if event in ("open", "fcntl.flock") or event.startswith(("os.", "shutil.", "tempfile.")):
                step(event, sys._getframe(1))

        def trace(frame: FrameType, event: str, _: object) -> Any:
            if frame.f_code.co_filename != durable.__file__:
                return None
            if event == "line":
                step(event, frame)
            return trace

        code = 1
        try:
            sys.addaudithook(audit)
            sys.settrace(trace)
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL)
    return status != 0


def test_a_push_that_is_killed_at_any_step_leaves_a_whole_release_current(store, publish, push, make_parts):
    minutes = iter(range(10_000))
    pairs = {"old": push(10), "new": push(20)}
    outcomes: list[str] = []
    while True:
        old = publish("old", next(minutes), served=pairs["old"])  # publishing works after each kill
        assert reader.current(store) == old
        assert not half_there(store)
        (store / ".1.dead.partial/retrieval").mkdir(parents=True)  # a leftover, so that its deletion has steps too
        minute = next(minutes)
        if not killed_at(len(outcomes) + 1, lambda minute=minute: publish("new", minute, served=pairs["new"])):
            break
        now = reader.current(store)
        outcomes.append("old" if now == old else "new")
        for version in reader.versions(store)[:2]:
            reader.verify(store, version)
        config = (store / pushed.CONFIG_FILE).read_text()
        assert config.count("versions: 1") in (0, 2)  # both models of one release, or no file yet
        if now != old:  # killed after the new release came into force
            assert writer.rollback(store) == old
            assert (store / pushed.CONFIG_FILE).read_text().count("versions: 1") == 2
    assert outcomes == sorted(outcomes, reverse=True)  # from one step on the new release is in force
    assert outcomes.count("old") > 60
    assert outcomes.count("new") > 1


def test_a_rollback_that_is_killed_at_any_step_leaves_the_one_or_the_other(store, publish, push):
    one, two = publish("one", 0, served=push(10)), publish("two", 1, served=push(20))
    outcomes: list[str | None] = []
    while killed_at(len(outcomes) + 1, lambda: writer.rollback(store, one)):
        outcomes.append(reader.current(store))
        reader.verify(store)
        writer.rollback(store, two)
    assert set(outcomes) == {one, two}
    assert outcomes == sorted(outcomes, reverse=True)


def test_a_collection_that_is_killed_at_any_step_leaves_whole_releases(store, publish, push):
    serving = store.parent / "serving"
    minutes = iter(range(10_000))
    left: list[int] = []
    while True:
        while len(reader.versions(store)) < 4:
            minute = next(minutes)
            publish("some", minute, served=push(100 + 10 * minute))
        before = reader.versions(store)
        if not killed_at(len(left) + 1, lambda: writer.collect(store, 2, serving)):
            break
        found = reader.versions(store)
        left.append(len(found))
        assert found[:2] == before[:2]
        assert reader.current(store) == before[0]
        for version in found:
            folder = reader.resolve(store, version)
            for path in reader.manifest(store, version)["served"].values():
                assert (store / path / "saved_model.pb").is_file(), folder
        assert reader.previous(store) == before[1]
        numbered = [path for path in serving.glob("*/*") if path.name.isdecimal()]
        assert all((path / "saved_model.pb").is_file() for path in numbered)  # a server can load every model
    assert len(reader.versions(store)) == 2
    assert not half_there(store.parent)
    assert [len(list((serving / step).iterdir())) for step in pushed.STEPS] == [2, 2]
    assert set(left) == {2, 3, 4}
    assert len(left) > 60
