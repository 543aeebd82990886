"""Configurations of a test: the required keys, and what a test adds to them."""

from pathlib import Path

import pytest
import yaml
from facts import lacking

from core.errors import UsageError
from pipeline import config

BASE = {"name": "x", "data": {"root": "."}}


def load(folder: Path, text: str) -> config.Config:
    """Load a configuration of the required keys and those of a YAML text."""
    file = folder / "recommender.yaml"
    file.write_text(yaml.safe_dump(BASE | yaml.safe_load(text)))
    return config.load(file)


def check_refused(folder: Path, text: str, message: str) -> None:
    """Check that a configuration is refused by a message with these facts, and with nothing of a library."""
    with pytest.raises(UsageError) as caught:
        load(folder, text)
    assert lacking(str(caught.value), message) == []
    assert str(caught.value).startswith(f"{folder}/recommender.yaml:\n")
    assert "Traceback" not in str(caught.value)
    assert "pydantic" not in str(caught.value)
