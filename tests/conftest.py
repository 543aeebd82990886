"""What tests of every kind share: where the code is, and the dataset that slices are cut from."""

import gc
from pathlib import Path
from typing import Any

import pytest

from pipeline import datasets

SHARED = {"contract", "e2e"}  # folders whose tests share fitted models, or a run of the DAG
APART = {"test_tuning.py", "test_two_tower.py", "test_bench.py"}  # of these, files with long fits of their own


def pytest_sessionstart() -> None:
    """Import all that tests import while no garbage is collected; see `core.collection`."""
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
            file = Path(nodeid.partition("::")[0])
            shared = file.parent.name in SHARED and file.name not in APART
            return file.parent.name if shared else file.as_posix()

    return ByFits(config, log)


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the code."""
    return Path(datasets.__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def movielens() -> Path:
    """The folder of MovieLens-100K, fetched if it is not here; its terms forbid to keep any of it in the repository."""
    return datasets.get("movielens-100k", say=lambda line: None)
