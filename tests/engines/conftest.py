"""Fixtures of the tests against servers: a place in each kind of object store, and what is submitted."""

import socket
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import object_servers
import pytest
import yaml
from fault_proxy import Proxy
from object_servers import BUCKET, Server

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
