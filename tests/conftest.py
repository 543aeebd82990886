"""Fixtures and hooks for all tests: the folder of the code, a dataset, and the distribution of tests to workers."""

import gc
import signal
from pathlib import Path
from typing import Any

import pytest

from pipeline import datasets

SHARED = ("e2e", "contract")  # folders whose tests share a run of the DAG, or fitted models
APART = (
    "test_readme.py",
    "test_two_tower.py",
    "test_fitting.py",
    "test_ranking_models.py",
    "test_tuning.py",
    "test_runner.py",
    "test_table_example_gen.py",
    "test_csv_example_gen.py",
    "test_statistics_gen.py",
    "test_bench.py",
    "test_warm_start.py",
)  # files in these folders that a worker runs by themselves, since they share little or nothing with the others
ENGINES = (
    "test_beam_runners.py",
    "test_sources.py",
    "test_metadata_database.py",
    "test_compiled_runs.py",
    "test_week.py",
    "test_spark.py",
)  # the slowest files of tests/engines
FIRST = (*SHARED, *APART, *ENGINES, "test_releases_killed.py")  # the slowest folders and files; they start first


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the slowest tests first, so that no worker runs a slow test at the end while the others are idle."""

    def order(item: pytest.Item) -> int:
        scope = _scope(item.path)
        return FIRST.index(scope) if scope in FIRST else len(FIRST)

    items.sort(key=order)


def _scope(file: Path) -> str:
    """Return the name of the group of tests that one worker runs: a folder, or the file itself."""
    return file.parent.name if file.parent.name in SHARED and file.name not in APART else file.name


def pytest_sessionstart() -> None:
    """Prepare the process of a worker.

    Garbage collection is off while the tests are imported, since it slows imports; see `core.garbage`. A shell ignores
    SIGINT in background jobs, and some tests send it.
    """
    gc.disable()
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return a scheduler that gives all tests with the same `_scope` to one worker, so that they share fixtures.

    `--dist loadgroup` would do this with a suffix of the test ids, but pytest 9 drops the suffix.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFits(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _scope(Path(nodeid.partition("::")[0]))

    return ByFits(config, log)


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the folder of the code."""
    return Path(datasets.__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def movielens() -> Path:
    """Return the folder of MovieLens-100K, downloaded if needed; its terms do not allow a copy in the repository."""
    return datasets.get("movielens-100k", log=lambda line: None)
