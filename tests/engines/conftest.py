"""Fixtures of the tests of submission: a small specification by KFP's own compiler, and configurations."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml


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
