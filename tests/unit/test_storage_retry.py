"""The repetition of requests, with a bound on its time."""

import time

import pytest
from facts import facts

from core.storage import errors, retry


def test_a_request_is_repeated_until_it_succeeds(monkeypatch):
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    failures = [errors.UnavailableError("busy"), errors.UnreachableError("no answer")] * 4

    def attempt() -> str:
        if failures:
            raise failures.pop()
        return "done"

    assert retry.within(60, attempt) == "done"
    for number, pause in enumerate(pauses):
        longest = min(0.1 * 2**number, 5)
        assert longest / 2 <= pause <= longest


def test_an_error_that_stays_is_raised_after_the_time():
    begin = time.monotonic()
    attempts = []

    def attempt() -> None:
        attempts.append(1)
        raise errors.UnavailableError("busy")

    with pytest.raises(errors.UnavailableError) as caught:
        retry.within(0.5, attempt)
    assert time.monotonic() - begin < 0.6
    assert 2 <= len(attempts) <= 6
    assert f"busy (tried {len(attempts)} times" in str(caught.value)


@pytest.mark.parametrize("kind", [errors.DeniedError, errors.ConflictError, errors.ObjectMissingError, ValueError])
def test_an_error_that_does_not_pass_is_raised_at_once(kind):
    attempts = []

    def attempt() -> None:
        attempts.append(1)
        raise kind("no")

    with pytest.raises(kind, match=facts("no")):
        retry.within(60, attempt)
    assert len(attempts) == 1
