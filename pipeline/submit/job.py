"""The job that is submitted: a compiled specification with the values of its parameters, and its digest."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Job:
    """A specification to run.

    Args:
      name: the name of the recommender, under which runs and schedules are found.
      specification: a PipelineSpec of schema 2.1.
      parameters: the values of root parameters; the others have defaults in the specification.
    """

    name: str
    specification: dict[str, Any]
    parameters: dict[str, Any]

    @property
    def specification_digest(self) -> str:
        """Return the SHA-256 of the specification, independent of the order of its keys."""
        return _digest(self.specification)

    def schedule_digest(self, cron: str, settings: str) -> str:
        """Return the SHA-256 of all that a schedule of this job consists of.

        Args:
          cron: the cron expression with its time zone.
          settings: the settings of the orchestrator, as canonical JSON.
        """
        return _digest([self.specification, self.parameters, cron, settings])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
