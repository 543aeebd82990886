"""What tests of every kind share: where the code is, and the dataset that slices are cut from."""

from pathlib import Path

import pytest

from pipeline import datasets

SHARED = {"contract", "e2e"}  # folders whose tests share fitted models, or a run of the DAG


def pytest_itemcollected(item: pytest.Item) -> None:
    """Group the tests for `--dist loadgroup`: a folder that shares its fits is one group, else each file is."""
    folder, *rest = item.path.relative_to(Path(__file__).parent).parts
    item.add_marker(pytest.mark.xdist_group(folder if folder in SHARED else "/".join([folder, *rest])))


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the code."""
    return Path(datasets.__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def movielens() -> Path:
    """The folder of MovieLens-100K, fetched if it is not here; its terms forbid to keep any of it in the repository."""
    return datasets.get("movielens-100k", say=lambda line: None)
