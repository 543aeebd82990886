"""The output artifacts of a run: those in ML Metadata, made by this run or taken from the cache, or in a bucket."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from pipeline.lineage.database import Database
from pipeline.runners.progress import NodeResult


class Outcome(Protocol):
    """The output artifacts of a run."""

    def folder(self, node: str, output: str) -> Path:
        """Return the folder of an output of a node. Raises: KeyError if the run has no such output."""

    def properties(self, node: str, output: str) -> dict[str, Any]:
        """Return the custom properties of an output of a node. Raises: KeyError if the run has no such output."""


class RecordedOutcome(Outcome):
    """The output artifacts of a run in ML Metadata.

    Args:
      database: the database of ML Metadata.
      results: the results of the nodes, as the runner returned them.
    """

    def __init__(self, database: Database, results: Sequence[NodeResult]):
        store = database.open()
        nodes = {result.execution_id: result.node for result in results if result.execution_id is not None}
        self._artifacts: dict[tuple[str, str], Any] = {}
        events = store.get_events_by_execution_ids(list(nodes))
        artifacts = {
            artifact.id: artifact for artifact in store.get_artifacts_by_id([event.artifact_id for event in events])
        }
        for event in events:
            if event.type in (event.OUTPUT, event.INTERNAL_OUTPUT):
                key = next((step.key for step in event.path.steps if step.HasField("key")), "")
                self._artifacts[nodes[event.execution_id], key] = artifacts[event.artifact_id]

    def folder(self, node: str, output: str) -> Path:
        """Return the folder of an output; see `Outcome`."""
        return Path(self._artifacts[node, output].uri)

    def properties(self, node: str, output: str) -> dict[str, Any]:
        """Return the custom properties of an output; see `Outcome`."""
        values = self._artifacts[node, output].custom_properties.items()
        return {name: getattr(value, value.WhichOneof("value")) for name, value in values}
