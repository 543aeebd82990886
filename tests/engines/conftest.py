"""Fixtures of the tests against servers: a place in each kind of object store, and what is submitted."""

import socket
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cache_servers
import object_servers
import pytest
import yaml
from fault_proxy import Proxy
from object_servers import BUCKET, Server

from serving.stores import cached
from serving.stores.cached import CachedStore
from serving.stores.sql import sqlite_url

KINDS = ("disk", "s3", "gs")
BUCKETS = ("s3", "gs")


@dataclass(frozen=True)
class Place:
    """An empty place for a test.

    Args:
      kind: one of `KINDS`.
      location: the folder or URI.
      environment: the environment variables by which clients find its server.
      server: its server; None for a disk.
    """

    kind: str
    location: str
    environment: dict[str, str] = field(default_factory=dict)
    server: Server | None = None


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """Return scheme → its running server."""
    with ExitStack() as stack:
        yield {
            kind: stack.enter_context(object_servers.running(kind, tmp_path_factory.mktemp(kind))) for kind in BUCKETS
        }


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the cache folder of the test."""
    monkeypatch.setenv("TWOSTEP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _place(kind: str, request: pytest.FixtureRequest, tmp_path: Path, cache: Path) -> Place:
    if kind == "disk":
        return Place(kind, str(tmp_path / "releases"))
    server = request.getfixturevalue("servers")[kind]
    environment = server.environment() | {"TWOSTEP_CACHE": str(cache)}
    return Place(kind, f"{kind}://{BUCKET}/{uuid.uuid4().hex}/films", environment, server)


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Return an empty place on disk or on a server."""
    place = _place(request.param, request, tmp_path, cache)
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    return place


@pytest.fixture(params=BUCKETS)
def bucket(request: pytest.FixtureRequest, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Return an empty place on a server."""
    place = _place(request.param, request, tmp_path, cache)
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    return place


@pytest.fixture
def proxy(bucket: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Return a proxy before the server of `bucket`; clients that are made with `through` go through it."""
    assert bucket.server is not None
    with Proxy(bucket.server.port, keep_host=bucket.kind == "s3") as proxy:
        yield proxy


@pytest.fixture
def through(bucket: Place, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Lead new clients through the proxy; return the environment that does so in another process."""
    assert bucket.server is not None
    environment = bucket.environment | bucket.server.environment(proxy.port)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


# ---- stores behind a Redis ----


@pytest.fixture(scope="module")
def redis_server() -> Iterator[cache_servers.Server]:
    """Return a server of Redis."""
    with cache_servers.running() as server:
        yield server


@pytest.fixture
def redis(redis_server: cache_servers.Server) -> cache_servers.Server:
    """Return the server, which runs and is empty."""
    if redis_server.process is None:
        redis_server.start()
    redis_server.client.config_set("maxmemory", 0)
    redis_server.client.flushall()
    return redis_server


@pytest.fixture
def make_cached(redis: cache_servers.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a function that opens a database behind Redis once more; `counts` of a store has its counts.

    What takes seconds in a server takes tenths of seconds.
    """
    for name, seconds in (("TRUST_S", 0.2), ("PAUSE_S", 0.4), ("RETRY_S", 0.05)):
        monkeypatch.setattr(cached, name, seconds)
    stores: list[Any] = []

    def make(url: Any = None, redis_url: str | None = None) -> Any:
        store: Any = CachedStore(url or sqlite_url(tmp_path / "store.sqlite"), redis_url or redis.url())
        store.counts = {"hit": 0, "miss": 0, "error": 0}
        store.count = lambda result, number: store.counts.update({result: store.counts[result] + number})
        stores.append(store)
        return store

    yield make
    for store in stores:
        store.close()


# ---- submission ----


@pytest.fixture(scope="session")
def specification_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a specification with a parameter of each type, two of them without a default."""
    from kfp import compiler, dsl

    @dsl.container_component
    def train(model: str, epochs: int, rate: float, quick: bool, sizes: list, options: dict):
        return dsl.ContainerSpec(image="python:3.11", command=["echo"], args=[model])

    @dsl.pipeline(name="shop")
    def shop(
        model: str,
        epochs: int,
        rate: float = 0.5,
        quick: bool = False,
        sizes: list = [1],  # noqa: B006 - a default in KFP's language
        options: dict = {"a": 1},  # noqa: B006
    ):
        train(model=model, epochs=epochs, rate=rate, quick=quick, sizes=sizes, options=options)

    file = tmp_path_factory.mktemp("specification") / "shop.yaml"
    compiler.Compiler().compile(shop, str(file))
    return file


@pytest.fixture
def silent() -> Iterator[str]:
    """Return the URL of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def write_config(tmp_path: Path) -> Any:
    """Return a function that writes a configuration with settings of `submit` and returns its file."""

    def write(**submit: Any) -> Path:
        file = tmp_path / "shop-config.yaml"
        file.write_text(yaml.safe_dump({"name": "shop", "data": {"root": "."}, "submit": submit}))
        return file

    return write
