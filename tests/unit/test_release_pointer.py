"""The pointer of a release store on a bucket: its changes, and what a damaged one says."""

import json

import pytest
from facts import facts

from core.errors import ReleaseError
from core.release import pointer
from core.release.pointer import Pointer

ONE, TWO, THREE, FOUR = (f"2025013{day}T120000Z-0123abcd" for day in range(4))
DIGEST = "0" * 64


def of(*versions: str) -> Pointer:
    state = Pointer()
    for version in versions:
        state = state.published(version, DIGEST)
    return state


def test_the_latest_publication_is_in_force_whatever_its_name():
    state = of(TWO, ONE)
    assert (state.current, state.names, state.history, state.earlier()) == (ONE, [TWO, ONE], (TWO,), [TWO])


def test_a_rollback_is_part_of_the_history():
    state = of(ONE, TWO).in_force(ONE)
    assert (state.current, state.history, state.earlier()) == (ONE, (ONE, TWO), [TWO])
    assert state.in_force(ONE) == state


@pytest.mark.parametrize(
    ("state", "keep", "outdated"),
    [
        (of(ONE, TWO, THREE, FOUR), 2, [ONE, TWO]),
        (of(ONE, TWO, THREE, FOUR), 1, [ONE, TWO]),
        (of(ONE, TWO, THREE, FOUR), 9, []),
        (of(ONE, TWO, THREE, FOUR).in_force(ONE), 1, [TWO, THREE]),
        (of(ONE, TWO, THREE, FOUR).in_force(ONE), 2, [TWO]),
        (of(ONE), 1, []),
    ],
)
def test_the_newest_and_those_in_force_last_are_kept(state, keep, outdated):
    assert state.outdated(keep) == outdated


def test_a_deleted_version_leaves_the_history_and_is_remembered():
    state = of(ONE, TWO, THREE).without([ONE])
    assert (state.names, state.history, state.deleted) == ([TWO, THREE], (TWO,), (ONE,))
    assert state.digest(ONE) is None
    assert state.digest(TWO) == DIGEST


def test_it_does_not_grow_without_end():
    state = of(ONE)
    for number in range(300):
        state = state.changed(str(number)).without(
            f"{10_000_000 * 10 + each}T120000Z-0123abcd" for each in range(5 * number, 5 * number + 5)
        )
    assert state.changes == tuple(map(str, range(200, 300)))
    assert len(state.deleted) == 1000
    assert len(state.content()) < 50_000


def test_its_content_is_read_back():
    state = of(ONE, TWO).in_force(ONE).without([TWO]).changed("x")
    assert pointer.parsed(state.content(), "s3://bucket/current.json") == state


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"format": 2}, "format"),
        ({"versions": [{"version": "x", "manifest": DIGEST}]}, "versions.0.version"),
        ({"more": 1}, "more"),
    ],
)
def test_another_content_is_refused_and_the_key_is_named(change, key):
    content = json.dumps(json.loads(of(ONE).content()) | change).encode()
    with pytest.raises(ReleaseError, match=facts(f"s3://bucket/current.json … {key} … Restore")):
        pointer.parsed(content, "s3://bucket/current.json")
    with pytest.raises(ReleaseError, match=facts("s3://bucket/current.json … JSON")):
        pointer.parsed(b"20250131T120000Z-0123abcd\n", "s3://bucket/current.json")
