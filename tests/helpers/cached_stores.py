"""What the tests of stores behind a Redis share: events of a user, and how they are read."""

import time

from serving.stores.store import Event


def event(number, user="u"):
    """Return an event with a number as its id and timestamp."""
    return Event(str(number), user, f"i{number}", number)


def numbers(store, user="u"):
    """Return the numbers of the events of a user."""
    return [int(each.id) for each in store.known([user], 50, True)[user].events]


def hits(store, user="u"):
    """Return whether a user is read from Redis."""
    before = store.counts["hit"]
    numbers(store, user)
    return store.counts["hit"] > before


def until(seen, seconds=20):
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.02)
