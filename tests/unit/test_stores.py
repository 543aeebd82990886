"""The store in a file of SQLite."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy
from store_contract import CHECKS

from serving.stores import kept
from serving.stores.sql import SqlStore, sqlite_url
from serving.stores.store import Event, Item, StoreError

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


def test_a_database_of_an_earlier_version_gets_the_columns_that_it_lacks(tmp_path):
    url = sqlite_url(tmp_path / "store.sqlite")
    earlier = sqlalchemy.create_engine(url)
    with earlier.begin() as connection:
        columns = "item_id TEXT PRIMARY KEY, state BIGINT NOT NULL, deleted BOOLEAN NOT NULL, hidden BOOLEAN NOT NULL"
        connection.exec_driver_sql(f"CREATE TABLE items ({columns}, expires BIGINT)")
        connection.exec_driver_sql("INSERT INTO items VALUES ('old', 1, 0, 1, 9)")
        connection.exec_driver_sql("CREATE TABLE item_state (id INTEGER PRIMARY KEY, state BIGINT)")
        connection.exec_driver_sql("INSERT INTO item_state VALUES (1, 1)")
    earlier.dispose()
    store = SqlStore(url)
    posted = Item(features={"genre": "noir"})
    store.put_item("new", posted)
    assert store.items()[0] == {"old": Item(True, 9), "new": posted}
    store.close()


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


def test_a_place_that_cannot_be_used_is_named_and_is_used_when_it_can_be(tmp_path):
    store = SqlStore(sqlite_url(tmp_path / "no" / "store.sqlite"))
    for _ in range(2):
        with pytest.raises(StoreError, match=r"no/store\.sqlite cannot be used: .*Try again later"):
            store.users(["u"])
        assert store.away
    (tmp_path / "no").mkdir()
    assert store.add_events([Event("1", "u", "i", 5)]) == [True]
    assert not store.away
    assert [event.id for event in store.histories(["u"], 1)["u"]] == ["1"]
    store.close()


def test_a_server_that_is_not_there_is_named_without_its_password():
    store = SqlStore(sqlalchemy.make_url("postgresql+pg8000://u:secret@127.0.0.1:1/store"))
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:1/store cannot be used") as error:
        store.users(["u"])
    assert store.away
    assert "secret" not in str(error.value)


def test_two_processes_begin_with_one_new_file(tmp_path):
    """Each makes the tables if the other did not; the journal is switched while the other has the file open."""
    program = (
        "import sys; from pathlib import Path\n"
        "from serving.stores.sql import SqlStore, sqlite_url\n"
        "from serving.stores.store import Event\n"
        "stores = [SqlStore(sqlite_url(Path(sys.argv[1]) / f'{number}.sqlite')) for number in range(20)]\n"
        "print(flush=True); sys.stdin.readline()\n"
        "for number, store in enumerate(stores): store.add_events([Event(sys.argv[2], 'u', 'i', number)])\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        for name in "ab"
    ]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.wait() for process in processes] == [0, 0]
    for number in range(20):
        store = SqlStore(sqlite_url(tmp_path / f"{number}.sqlite"))
        assert {event.id for event in store.histories(["u"], 9)["u"]} == {"a", "b"}
        store.close()
