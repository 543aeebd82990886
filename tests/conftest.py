"""What tests of every kind share: where the code is, and the dataset that slices are cut from."""

import gc
from pathlib import Path
from typing import Any

import pytest

from pipeline import datasets

SHARED = ("e2e", "contract")  # folders whose tests share a run of the DAG, or fitted models
APART = ("test_two_tower.py", "test_tuning.py", "test_bench.py")  # of these, files with long fits of their own
FIRST = (*SHARED, *APART, "test_releases_killed.py")  # what takes longest; the others fill the gaps


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes longest first, so that no worker ends with it alone."""

    def order(item: pytest.Item) -> int:
        scope = _scope(item.path)
        return FIRST.index(scope) if scope in FIRST else len(FIRST)

    items.sort(key=order)


def _scope(file: Path) -> str:
    """Return what the tests of a file are dealt out with: the folder's others, or themselves alone."""
    return file.parent.name if file.parent.name in SHARED and file.name not in APART else file.name


def pytest_sessionstart() -> None:
    """Import all that tests import while no garbage is collected; see `core.garbage`."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Deal out the tests of a folder that shares its fits to one worker, and those of another folder file by file.

    (The marks of `--dist loadgroup` do that by a suffix of a test's id, which pytest 9 does not keep.)
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
    """Return the folder of MovieLens-100K, fetched if it is not here; its terms forbid to keep it in the repository."""
    return datasets.get("movielens-100k", log=lambda line: None)
