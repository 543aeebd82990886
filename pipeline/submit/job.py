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
      platform: what Kubernetes should do for it, such as mount Secrets; None for nothing.
    """

    name: str
    specification: dict[str, Any]
    parameters: dict[str, Any]
    platform: dict[str, Any] | None = None

    @property
    def documents(self) -> list[dict[str, Any]]:
        """Return the specification and, if there is one, that of the platform."""
        return [self.specification] if self.platform is None else [self.specification, self.platform]

    @property
    def specification_digest(self) -> str:
        """Return the SHA-256 of the specifications, independent of the order of their keys."""
        return _digest(self.specification if self.platform is None else self.documents)

    def schedule_digest(self, cron: str, settings: str) -> str:
        """Return the SHA-256 of all that a schedule of this job consists of.

        Args:
          cron: the cron expression with its time zone.
          settings: the settings of the orchestrator, as canonical JSON.
        """
        return _digest([*self.documents, self.parameters, cron, settings])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
