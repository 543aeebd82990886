"""The finished trials of a search as files, from which a stopped search continues. No TensorFlow here."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.files import read_json, write_json

LINE = "trial "  # the start of the progress lines of trials


@dataclass(frozen=True)
class Trial:
    """A finished trial.

    Args:
      number: the number in the search, from 1.
      params: in a record, all settings of the model; elsewhere only the settings that are searched.
      score: NDCG@10 on eval.
      seconds: the duration; 0 where only the score is known.
    """

    number: int
    params: dict[str, Any]
    score: float
    seconds: float = 0.0


def trials_folder(folder: str | Path, conditions: Mapping[str, Any], code: str, examples: str, transform: str) -> Path:
    """Return the folder of the trials that were run under the same conditions, with the same data and code.

    Args:
      folder: the folder of all searches.
      conditions: the settings that determine a score; see `trainer.step_settings.TunerSettings.conditions`.
      code: the digest of the code.
      examples, transform: the URIs of the Examples and of the transform graph that the model is fitted on. A URI
        identifies the data, since the content of an artifact never changes.
    """
    return Path(folder) / f"{conditions['step']}-{_digest([conditions, code, examples, transform])}"


class Records:
    """The trials in a folder, each in a file named by the digest of its settings."""

    def __init__(self, folder: Path):
        self.folder = folder

    def get(self, settings: Mapping[str, Any]) -> Trial | None:
        """Return the finished trial with `settings`; None where there is none."""
        file = self._file(settings)
        return Trial(**read_json(file)) if file.is_file() else None

    def put(self, trial: Trial) -> None:
        """Write a finished trial, whose params are all settings of the model."""
        write_json(self._file(trial.params), asdict(trial))

    def all(self) -> list[Trial]:
        """Return all finished trials, in the order of their numbers."""
        return sorted((Trial(**read_json(file)) for file in self.folder.glob("*.json")), key=lambda trial: trial.number)

    def _file(self, settings: Mapping[str, Any]) -> Path:
        """Return the file of the trial with `settings`."""
        return self.folder / f"{_digest(settings)}.json"


def _digest(value: Any) -> str:
    """Return the digest of a value as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
