"""The finished trials of a search as files, so that a search that was stopped goes on from them. No TensorFlow here."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.files import read_json, write_json

LINE = "trial "  # what the report of a finished trial starts with, and no other
# Of a Tuner's `custom_config`: what a trial's outcome depends on, beside its settings and the data.
_WORLD = ("step", "model", "features", "queries", "seed", "code")


@dataclass(frozen=True)
class Trial:
    """A finished trial.

    Args:
      number: its place in the search, from 1.
      params: settings; in a record all of the model's, else those that vary.
      score: NDCG@10 on eval.
      seconds: what it took; 0 where only the score was kept.
    """

    number: int
    params: dict[str, Any]
    score: float
    seconds: float = 0.0


def world_folder(folder: str | Path, config: Mapping[str, Any], examples: str, transform: str) -> Path:
    """Where the trials of one model on the same data, with the same code and seed, are kept.

    Args:
      folder: of all searches.
      config: the Tuner's `custom_config`.
      examples, transform: URIs of what the model is fitted on; an artifact's never changes what it holds.
    """
    world = [*(config[key] for key in _WORLD), examples, transform]
    return Path(folder) / f"{config['step']}-{_digest(world)}"


class Records:
    """The trials in a folder, each under a digest of its settings: asked again, it need not be run again."""

    def __init__(self, folder: Path):
        self.folder = folder

    def get(self, settings: Mapping[str, Any]) -> Trial | None:
        """The trial of a model with `settings`, if it was finished."""
        file = self._file(settings)
        return Trial(**read_json(file)) if file.is_file() else None

    def put(self, trial: Trial) -> None:
        """Keep a finished trial; its params are all settings of the model."""
        write_json(self._file(trial.params), asdict(trial))

    def all(self) -> list[Trial]:
        """Every finished trial, in the order they were run."""
        return sorted((Trial(**read_json(file)) for file in self.folder.glob("*.json")), key=lambda trial: trial.number)

    def _file(self, settings: Mapping[str, Any]) -> Path:
        return self.folder / f"{_digest(settings)}.json"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
