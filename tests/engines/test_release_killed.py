"""A process that is killed at each of its requests to a bucket: before the server gets it, and after."""

import itertools
from datetime import timedelta

import pytest
import release_parts
from fault_proxy import Fault, Request
from store_processes import NOON, Work, start

from core.release import bucket as bucket_module
from core.release.store import open_store


@pytest.fixture
def direct(bucket):
    """Return a store whose client has already found the server, so that it never goes through the proxy."""
    store = open_store(bucket.location, seconds=20)
    store.current()
    return store


@pytest.fixture
def killed(bucket, direct, proxy, through):
    """Return a function that does a work in a process which is killed at its request `number`; was it reached?"""

    def killed(number: int, after: bool, work: Work) -> bool:
        first, state = len(proxy.requests), {"pid": 0}

        def rule(request: Request) -> Fault | None:
            reached = request.number >= first + number
            return Fault(kill=state["pid"], after=after and request.number == first + number) if reached else None

        proxy.rule = lambda request: Fault(status=503) if not state["pid"] else rule(request)
        process = start(bucket.location, through, work)
        state["pid"] = process.pid
        process.join(60)
        assert process.exitcode in (0, -9)
        return process.exitcode != 0

    return killed


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_push_that_is_killed_at_any_request_leaves_a_whole_release_in_force(direct, killed, tmp_path, after):
    parts = release_parts.make_parts(tmp_path / "old", "old")
    outcomes = []
    for number in itertools.count(1):
        old = direct.publish(parts, {}, created=NOON + timedelta(days=number))  # publishing works after each kill
        assert direct.current() == old
        work = Work("push", (str(tmp_path / "new"), "new", 1, 24 * 60 * number + 1, 0))
        if not killed(number, after, work):
            break
        now = direct.current()
        outcomes.append("old" if now == old else "new")
        for version in direct.versions()[:2]:
            direct.verify(version)
        direct.collect(2)
    assert outcomes == sorted(outcomes, reverse=True)  # from one request on the new release is in force
    assert outcomes.count("old") > 10
    assert outcomes.count("new") == (1 if after else 0)
    strict = bucket_module.BucketStore(direct._storage, abandoned_after=timedelta(seconds=-10))
    strict.collect(2)  # what the killed ones left
    left = {each.key.split("/")[0] for each in direct._storage.entries() if "/" in each.key}
    assert left == set(direct.versions())


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_rollback_that_is_killed_at_any_request_leaves_the_one_or_the_other(direct, killed, tmp_path, after):
    one, two = (
        direct.publish(release_parts.make_parts(tmp_path / text, text), {}, created=NOON) for text in ("one", "two")
    )
    outcomes = []
    for number in itertools.count(1):
        if not killed(number, after, Work("roll_back", ())):
            break
        outcomes.append(direct.current())
        direct.verify()
        direct.rollback(two)
    assert outcomes == [two] * (len(outcomes) - 1) + [one if after else two]
    assert len(outcomes) > 10


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_collection_that_is_killed_at_any_request_leaves_whole_releases(direct, killed, tmp_path, after):
    minutes = itertools.count()
    parts = release_parts.make_parts(tmp_path / "some", "some")
    left = []
    for number in itertools.count(1, 3):  # each third request, since most delete one of many objects
        while len(direct.versions()) < 4:
            direct.publish(parts, {}, created=NOON + timedelta(minutes=next(minutes)))
        before = direct.versions()
        if not killed(number, after, Work("collect", (2,))):
            break
        found = direct.versions()
        left.append(len(found))
        assert found[:2] == before[:2]
        assert direct.current() == before[0]
        for version in found:
            direct.verify(version)
    assert set(left) == {2, 4}
    direct.collect(2)
    kept = {each.key.split("/")[0] for each in direct._storage.entries() if "/" in each.key}
    assert kept == set(direct.versions())
