"""The store in a file of SQLite."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from store_contract import CHECKS

from serving.stores import kept
from serving.stores.sql import SqlStore, sqlite_url
from serving.stores.store import Item, StoreError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path):
    store = SqlStore(sqlite_url(tmp_path / "store.sqlite"))
    yield store
    store.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_sqlite(store, check):
    check(store)


def test_a_reader_does_not_wait_for_a_writer(store):
    with store._writing():
        assert store.users(["u"]) == {}


def test_items_of_a_database_without_versions_are_known_as_they_are(store, tmp_path):
    store.put_item("a", Item(True))
    store.put_item("b", Item(True))
    store.delete_item("b")
    store.close()
    with store._writing() as connection:
        kept.tables.drop_all(connection)
    again = SqlStore(sqlite_url(tmp_path / "store.sqlite"))
    assert again.items_at(again.items()[1]) == {"a": Item(True)}
    again.close()


KILLED = """
import itertools, sys
from pathlib import Path
from serving.stores.sql import SqlStore, sqlite_url
from serving.stores.store import Event

store = SqlStore(sqlite_url(Path(sys.argv[1])))
for number in itertools.count():
    store.add_events([Event(str(number), "u", "a", number)])
    print(number, flush=True)
"""


def test_what_was_added_survives_a_kill(tmp_path):
    file = tmp_path / "store.sqlite"
    command = [sys.executable, "-c", KILLED, str(file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    lines = [process.stdout.readline() for _ in range(30)]
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.readlines()
    process.wait()
    added = max(int(line) for line in lines if line.endswith("\n"))
    store = SqlStore(sqlite_url(file))
    found = {int(event.id) for event in store.histories(["u"], 10_000)["u"]}
    store.close()
    assert set(range(added + 1)) <= found


def test_a_place_that_cannot_be_used_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"no/store\.sqlite cannot be used: .*Try again later"):
        SqlStore(sqlite_url(tmp_path / "no" / "store.sqlite"))
