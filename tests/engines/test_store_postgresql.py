"""The store of a server in a real PostgreSQL."""

import database_servers
import pytest
import sqlalchemy
from store_contract import CHECKS

from serving.stores.sql import SqlStore
from serving.stores.store import StoreError


@pytest.fixture(scope="module")
def database():
    with database_servers.running() as server:
        yield server


@pytest.fixture
def store(database, request):
    name = f"store_{abs(hash(request.node.name))}"
    database.ask(f"CREATE DATABASE {name}")
    store = SqlStore(url(database.port, name))
    yield store
    store.close()


def url(port, name):
    return sqlalchemy.URL.create(
        "postgresql+pg8000", database_servers.USER, database_servers.PASSWORD, "127.0.0.1", port, name
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_postgresql(store, check):
    check(store)


def test_a_server_that_is_not_there_is_named(database):
    with pytest.raises(StoreError, match="cannot be used") as error:
        SqlStore(url(1, "store")).users(["u"])
    assert database_servers.PASSWORD not in str(error.value)
