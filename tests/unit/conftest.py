"""Fixtures of the tests of releases: functions that publish small releases and write pushed models."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import release_parts

from core.release import reader, writer

NOON = datetime(2025, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the releases; fsync is off to save time, since no test simulates a power failure."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    return tmp_path / "releases"


@pytest.fixture
def make_parts() -> Callable[..., dict[str, Path]]:
    """Return a function that writes the files of a release; `text` is the content of the retrieval model."""
    return release_parts.make_parts


@pytest.fixture
def publish(tmp_path: Path, store: Path, make_parts: Callable[..., dict[str, Path]]) -> Callable[..., str]:
    """Return a function that publishes a release with a text as retrieval model, created some minutes after noon."""

    def publish(text: str, minute: int, facts: Any = None, served: dict[str, Path] | None = None) -> str:
        parts = make_parts(tmp_path / f"source-{text}", text)
        return writer.publish(store, parts, facts or {}, served, NOON + timedelta(minutes=minute))

    return publish


@pytest.fixture
def push(tmp_path: Path) -> Callable[[int], dict[str, Path]]:
    """Return a function that writes the models of both steps to folders with a number as name, as the Pushers do."""

    def push(number: int) -> dict[str, Path]:
        pair = {
            step: tmp_path / "serving" / step / str(number + later)
            for later, step in enumerate((reader.RETRIEVAL, reader.RANKING))
        }
        for step, folder in pair.items():
            folder.mkdir(parents=True)
            (folder / "saved_model.pb").write_text(step)
        return pair

    return push
