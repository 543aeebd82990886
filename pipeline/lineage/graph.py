"""The lineage of artifacts as a graph of executions and artifacts, and as JSON in the manifest of a release."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from core import node_ids
from core.errors import UsageError
from core.names import RELEASE_TYPE

Direction = Literal["back", "forward"]
VERSION = "version"  # custom property of a release
ADDRESS = "path"  # custom property with the folder or URI of a release
SOURCES = "sources"  # custom property of a table's Examples: JSON list of {file, sha256, rows}
# Inputs with this prefix are baselines of a comparison: they are shown, but their own lineage is not traced.
COMPARED_WITH = "baseline"
_OF_RELEASE = 0  # the id of the release, and of what made it; recorded ids begin at 1


@dataclass(frozen=True)
class Source:
    """A file that a table was read from."""

    file: str
    sha256: str = ""
    rows: int | None = None


@dataclass(frozen=True)
class Artifact:
    """An output of a node, with its custom properties and the source files that it was read from."""

    id: int
    type: str
    uri: str
    created: str
    properties: dict[str, Any] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True)
class Execution:
    """An execution of a node; cached executions are omitted."""

    id: int
    node: str
    state: str
    started: str
    seconds: float
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    compared_with: tuple[int, ...] = ()


@dataclass(frozen=True)
class Lineage:
    """The lineage of the root artifacts; the edges are the input and output ids of the executions."""

    direction: Direction
    roots: tuple[int, ...]
    artifacts: dict[int, Artifact]
    executions: dict[int, Execution]

    def maker(self, artifact_id: int) -> Execution | None:
        """Return the execution that produced an artifact."""
        return next((each for each in self.executions.values() if artifact_id in each.outputs), None)

    def next(self, artifact_id: int) -> list[int]:
        """Return the ids of the artifacts that an artifact was made from; if forward, of those made from it."""
        if self.direction == "back":
            maker = self.maker(artifact_id)
            ids: Iterable[int] = maker.inputs if maker else ()
        else:
            ids = (out for each in self.executions.values() if artifact_id in each.inputs for out in each.outputs)
        return [each for each in dict.fromkeys(ids) if each in self.artifacts]


def sources_of(properties: Mapping[str, Any]) -> list[Source]:
    """Return the source files in the custom properties of an artifact."""
    text = properties.get(SOURCES)
    if not text:
        return []
    return [Source(each["file"], each.get("sha256", ""), each.get("rows")) for each in json.loads(text)]


def to_json(lineage: Lineage) -> dict[str, Any]:
    """Return a lineage as JSON values: `direction`, `roots`, `artifacts` and `executions`."""
    value = {
        "direction": lineage.direction,
        "roots": lineage.roots,
        "artifacts": [asdict(each) for each in lineage.artifacts.values()],
        "executions": [asdict(each) for each in lineage.executions.values()],
    }
    plain: dict[str, Any] = json.loads(json.dumps(value))
    return plain


def from_json(value: Mapping[str, Any]) -> Lineage:
    """Return the lineage that `to_json` has written. Raises: UsageError if it is something else."""
    try:
        artifacts = [
            Artifact(**{**each, "sources": tuple(Source(**source) for source in each["sources"])})
            for each in value["artifacts"]
        ]
        lists = ("inputs", "outputs", "compared_with")
        executions = [
            Execution(**{**each, **{name: tuple(each[name]) for name in lists}}) for each in value["executions"]
        ]
        by_id = {each.id: each for each in artifacts}
        return Lineage(value["direction"], tuple(value["roots"]), by_id, {each.id: each for each in executions})
    except (KeyError, TypeError) as error:
        raise UsageError(f"the lineage in the release cannot be read: {error!r}. Make the release again") from None


def of_release(manifest: Mapping[str, Any], place: str) -> Lineage:
    """Return the lineage of a release from its manifest: the release, and all that it was made from.

    Args:
      manifest: the manifest, as `core.release.reader.manifest` returns it.
      place: the folder or URI of the release.
    Raises:
      UsageError: the manifest holds no lineage.
    """
    value = manifest["facts"].get("lineage")
    if not value:
        raise UsageError(f"release {manifest['version']}: its manifest holds no lineage; an earlier version wrote it")
    made_from = from_json(value)
    properties = {VERSION: manifest["version"], "content_digest": manifest["content_digest"]}
    release = Artifact(_OF_RELEASE, RELEASE_TYPE, place, manifest["created"], properties)
    pusher = Execution(
        _OF_RELEASE, node_ids.RELEASE_PUSHER, "COMPLETE", manifest["created"], 0.0, made_from.roots, (_OF_RELEASE,)
    )
    return Lineage(
        "back",
        (_OF_RELEASE,),
        {**made_from.artifacts, _OF_RELEASE: release},
        {**made_from.executions, _OF_RELEASE: pusher},
    )
