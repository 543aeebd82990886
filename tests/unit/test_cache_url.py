"""The URL of the cache, as the command line and the environment give it."""

import pickle

import pytest
import sqlalchemy

from core.errors import UsageError
from pipeline.commands import server_store
from pipeline.commands.server_process import Given
from serving.server.settings import ServerSettings


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost:6379/",
        "redis://:p%2Fw@[::1]:6379/3",
        "rediss://user:secret@cache.example.com/0?ssl_ca_certs=/etc/ca.pem",
    ],
)
def test_urls(url, monkeypatch):
    assert server_store.cache_url(url) == url
    monkeypatch.setenv("TWOSTEP_REDIS", url)
    assert server_store.cache_url(None) == url
    assert server_store.cache_url("redis://other") == "redis://other"


def test_there_is_none_by_default(monkeypatch):
    monkeypatch.delenv("TWOSTEP_REDIS", raising=False)
    assert server_store.cache_url(None) is None
    monkeypatch.setenv("TWOSTEP_REDIS", "")
    assert server_store.cache_url(None) is None


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("localhost:6379", "no scheme"),
        ("memcached://:secret@host", "memcached"),
        ("unix:///secret.sock", "unix"),
        ("redis://", "redis"),
        ("redis://:secret@host:port", "redis"),
        ("redis://:secret@host:70000", "redis"),
        ("redis://:secret@host/name", "redis"),
        ("redis://:secret@host/0?protocol=3", "redis"),
        ("rediss://:secret@host/0?ssl_no_such_option=1", "rediss"),
    ],
)
def test_what_is_no_url_is_refused_and_not_shown(url, found):
    with pytest.raises(UsageError, match="--cache: should be redis://HOST:PORT/NUMBER") as error:
        server_store.cache_url(url)
    assert str(error.value).endswith(f"found {found}")
    assert "secret" not in str(error.value)


def test_workers_are_given_the_url_and_do_not_show_it():
    store = sqlalchemy.make_url("postgresql://u:secret@host/x")
    given = Given("releases", (), (), store, "redis://:secret@host", ServerSettings(), None, False)
    assert pickle.loads(pickle.dumps(given)).cache == "redis://:secret@host"
    assert "secret" not in repr(given)
