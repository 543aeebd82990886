"""Work on a store of releases in processes of their own, which share no memory, thread or connection with the test."""

import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import release_parts

from core import durable
from core.release.store import open_store

NOON = datetime(2025, 1, 31, 12, tzinfo=UTC)
_context = multiprocessing.get_context("forkserver")  # a fork of the test would inherit its connections
_context.set_forkserver_preload(["core.release.store", "core.release.bucket", "obstore", "google.cloud.storage"])


@dataclass(frozen=True)
class Work:
    """A task of a process: the name of a function of this module, and its arguments after the location."""

    function: str
    arguments: tuple[Any, ...]


def start(location: str, environment: dict[str, str], work: Work, barrier: Any = None) -> Any:
    """Start a process that does a work on the store at a location; return the process."""
    process = _context.Process(target=_run, args=(location, environment, work, barrier))
    process.start()
    return process


def at_once(location: str, environment: dict[str, str], *work: Work) -> None:
    """Do several works at the same time, and check that all succeed."""
    barrier = _context.Barrier(len(work))
    processes = [start(location, environment, each, barrier) for each in work]
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * len(work)


def _run(location: str, environment: dict[str, str], work: Work, barrier: Any) -> None:
    os.environ.update(environment)
    if barrier is not None:
        barrier.wait(60)
    function: Callable[..., None] = globals()[work.function]
    function(location, *work.arguments)


def push(location: str, folder: str, text: str, times: int, minute: int, second: int, collect: bool = False) -> None:
    """Publish releases with a text as retrieval model, one for each minute."""
    store, parts = open_store(location), release_parts.make_parts(Path(folder), text)
    for number in range(times):
        created = NOON + timedelta(minutes=minute + number, seconds=second)
        store.publish(parts, {"name": text}, created=created)
        if collect:
            store.collect(1)


def roll_back(location: str) -> None:
    """Put the release before in force."""
    open_store(location).rollback()


def collect(location: str, keep: int) -> None:
    """Delete old releases."""
    open_store(location).collect(keep)


def read(location: str, seconds: float) -> None:
    """Read the release in force, again and again, with all its files."""
    store, until, versions = open_store(location), time.monotonic() + seconds, set()
    while time.monotonic() < until:
        with store.reading() as folder:
            versions.add(folder.name)
            for name, path in durable.entries(folder):
                assert path.read_bytes(), name
            assert len(list(durable.entries(folder))) == 9
    assert len(versions) > 1
