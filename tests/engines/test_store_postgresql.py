"""The store of a server in a real PostgreSQL, alone and behind a real Redis."""

import cache_servers
import database_servers
import pytest
import sqlalchemy
from store_contract import CHECKS

from serving.stores.cached import CachedStore
from serving.stores.sql import SqlStore
from serving.stores.store import StoreError


@pytest.fixture(scope="module")
def database():
    with database_servers.running() as server:
        yield server


@pytest.fixture(scope="module")
def cache():
    with cache_servers.running() as server:
        yield server


@pytest.fixture
def new(database, request):
    """Return the URL of a new database."""
    name = f"store_{abs(hash(request.node.name))}"
    database.ask(f"CREATE DATABASE {name}")
    return url(database.port, name)


@pytest.fixture
def store(new):
    store = SqlStore(new)
    yield store
    store.close()


@pytest.fixture
def cached_store(new, cache):
    store = CachedStore(new, cache.url())
    yield store
    store.close()


def url(port, name):
    return sqlalchemy.URL.create(
        "postgresql+pg8000", database_servers.USER, database_servers.PASSWORD, "127.0.0.1", port, name
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_postgresql(store, check):
    check(store)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_postgresql_and_redis(cached_store, check):
    check(cached_store)


def test_a_server_that_is_not_there_is_named(database):
    with pytest.raises(StoreError, match="cannot be used") as error:
        SqlStore(url(1, "store")).users(["u"])
    assert database_servers.PASSWORD not in str(error.value)
