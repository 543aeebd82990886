"""The file of an experiment."""

from pathlib import Path

from pydantic import ValidationError

from core import mistakes
from core.errors import UsageError
from pipeline.config import yaml_file
from serving.experiments.settings import Experiment


def load(path: Path) -> Experiment:
    """Return the experiment that a YAML file describes. Raises: UsageError that names the file and the key."""
    values = yaml_file.read(path)
    if not isinstance(values, dict):
        raise UsageError(f"{path}: should be a mapping with `name` and `arms`; found {type(values).__name__}")
    try:
        return Experiment.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"{path}: {mistakes.explained(Experiment, error.errors()[0])}") from None
