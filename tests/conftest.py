"""What tests of every kind share: where the code is, and the dataset that slices are cut from."""

from pathlib import Path

import pytest

from pipeline import datasets


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the code."""
    return Path(datasets.__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def movielens() -> Path:
    """The folder of MovieLens-100K, fetched if it is not here; its terms forbid to keep any of it in the repository."""
    return datasets.get("movielens-100k", say=lambda line: None)
