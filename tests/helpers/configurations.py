"""Configurations for tests: the required keys and further keys of a test."""

from pathlib import Path

import pytest
import yaml
from facts import lacking

from core.errors import UsageError
from pipeline import config

BASE = {"name": "x", "data": {"root": "."}}


def load(folder: Path, text: str) -> config.Config:
    """Load a configuration of the required keys and the keys in a YAML text."""
    file = folder / "recommender.yaml"
    file.write_text(yaml.safe_dump(BASE | yaml.safe_load(text)))
    return config.load(file)


def check_refused(folder: Path, text: str, message: str) -> None:
    """Check that loading a configuration fails with these facts in the message, and without text of a library."""
    with pytest.raises(UsageError) as caught:
        load(folder, text)
    assert lacking(str(caught.value), message) == []
    assert str(caught.value).startswith(f"{folder}/recommender.yaml:\n")
    assert "Traceback" not in str(caught.value)
    assert "pydantic" not in str(caught.value)
