"""The lineage in ML Metadata: from a release back to source files, or from a file forward to releases.

This module imports ML Metadata, but neither TensorFlow nor TFX.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.errors import UsageError
from core.names import RELEASE_TYPE
from core.times import utc
from pipeline.lineage.graph import (
    ADDRESS,
    COMPARED_WITH,
    SOURCES,
    VERSION,
    Artifact,
    Direction,
    Execution,
    Lineage,
    sources_of,
)


def trace(store: Any, roots: int | Sequence[int], direction: Direction = "back") -> Lineage:
    """Return the lineage of artifacts, back to their source files or forward to all artifacts made from them.

    Args:
      store: an `ml_metadata.MetadataStore`.
      roots: the id of an artifact, or of several.
      direction: `back` or `forward`.

    Raises:
      UsageError: there is no such artifact.
    """
    roots = (roots,) if isinstance(roots, int) else tuple(roots)
    protos = {artifact.id: artifact for artifact in store.get_artifacts_by_id(list(roots))}
    missing = [each for each in roots if each not in protos]
    if missing:
        raise UsageError(f"artifact:{missing[0]}: no artifact of the recorded runs has this id")
    executions: dict[int, Execution] = {}
    frontier = list(roots)
    while frontier:
        # One request per layer, since the cost is per request.
        new = _executions(store, frontier, direction, known=executions)
        executions |= {each.id: each for each in new}
        reached = [each for one in new for each in (one.inputs if direction == "back" else one.outputs)]
        shown = reached + [each for one in new if direction == "back" for each in one.compared_with]
        frontier = [each for each in dict.fromkeys(reached) if each not in protos]
        unknown = [each for each in dict.fromkeys(shown) if each not in protos]
        protos |= {artifact.id: artifact for artifact in store.get_artifacts_by_id(unknown)} if unknown else {}
    types = {each.id: each.name for each in store.get_artifact_types()}
    artifacts = {id_: _artifact(proto, types[proto.type_id]) for id_, proto in sorted(protos.items())}
    kept = {id_: _within(execution, artifacts) for id_, execution in sorted(executions.items())}
    return Lineage(direction, roots, artifacts, kept)


def release_artifact(store: Any, version: str, pipeline: str | None = None) -> int:
    """Return the id of the artifact of a release. Raises: UsageError, with the recorded versions.

    Args:
      store: an `ml_metadata.MetadataStore`.
      version: the version of the release.
      pipeline: the name of the pipeline that made it; None for any.
    """
    known: dict[str, int] = {}
    types = {each.id for each in store.get_artifact_types() if each.name == RELEASE_TYPE}
    for artifact in sorted(_artifacts(store, pipeline) if types else (), key=lambda each: each.id):
        if artifact.type_id in types:
            known[str(_properties(artifact).get(VERSION, ""))] = artifact.id
    if version not in known:
        versions = f"Recorded releases: {', '.join(filter(None, known))}" if any(known) else "There is no release yet"
        raise UsageError(f"{version}: is not a recorded release. {versions}")
    return known[version]


def release_folders(store: Any, pipeline: str | None = None) -> dict[str, list[Path]]:
    """Return the address of each recorded release → the folders of its artifacts.

    Args:
      store: an `ml_metadata.MetadataStore`.
      pipeline: the name of the pipeline that made it; None for any.
    """
    types = {each.id for each in store.get_artifact_types() if each.name == RELEASE_TYPE}
    folders: dict[str, list[Path]] = {}
    for artifact in _artifacts(store, pipeline) if types else ():
        address = _properties(artifact).get(ADDRESS)
        if artifact.type_id in types and address:
            folders.setdefault(str(address), []).append(Path(artifact.uri))
    return folders


def artifacts_of_file(store: Any, file: str | Path, pipeline: str | None = None) -> list[int]:
    """Return the ids of the artifacts read from a source file. Raises: UsageError, with the recorded files.

    Args:
      store: an `ml_metadata.MetadataStore`.
      file: the file.
      pipeline: the name of the pipeline that read it; None for any.
    """
    path = Path(file).absolute()
    ids, known = [], set()
    for artifact in _artifacts(store, pipeline):
        for source in sources_of(_properties(artifact)):
            known.add(source.file)
            # The recorded path is relative to the folder of the tables, or absolute.
            if (
                str(file) == source.file
                or path == Path(source.file)
                or path.as_posix().endswith("/" + source.file.lstrip("/"))
            ):
                ids.append(artifact.id)
    if not ids:
        files = f"Recorded files: {', '.join(sorted(known))}" if known else "No file is recorded yet"
        raise UsageError(f"{file}: no recorded artifact was read from this file. {files}")
    return list(dict.fromkeys(ids))


def context_of(store: Any, pipeline: str) -> int | None:
    """Return the id of the context of a pipeline, by its name; None if it has not run yet."""
    context = store.get_context_by_type_and_name("pipeline", pipeline)
    return None if context is None else context.id


def _artifacts(store: Any, pipeline: str | None) -> list[Any]:
    """Return all artifacts, or those of one pipeline."""
    if pipeline is None:
        return list(store.get_artifacts())
    context = context_of(store, pipeline)
    return [] if context is None else list(store.get_artifacts_by_context(context))


def _within(execution: Execution, artifacts: dict[int, Artifact]) -> Execution:
    """Return an execution with only the inputs and outputs that are in `artifacts`."""
    inputs, outputs = (
        tuple(each for each in ids if each in artifacts) for ids in (execution.inputs, execution.outputs)
    )
    return replace(execution, inputs=inputs, outputs=outputs)


def _executions(store: Any, artifact_ids: list[int], direction: Direction, known: Iterable[int]) -> list[Execution]:
    """Return the executions with these artifacts as outputs (back) or inputs (forward), without the known ones."""
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    # INTERNAL_OUTPUT is left out: a Resolver has it for artifacts that other nodes made.
    event_types = {
        "back": (mlmd.Event.OUTPUT, mlmd.Event.DECLARED_OUTPUT),
        "forward": (mlmd.Event.INPUT, mlmd.Event.DECLARED_INPUT),
    }[direction]
    events = store.get_events_by_artifact_ids(artifact_ids)
    reads = {
        each.execution_id
        for each in events
        if each.type in event_types and not (direction == "forward" and _compared(each))
    }
    ids = sorted(reads - set(known))
    # Cached executions are left out: their artifacts belong to the execution that made them.
    protos = [
        each
        for each in (store.get_executions_by_id(ids) if ids else [])
        if each.last_known_state != mlmd.Execution.CACHED
    ]
    if not protos:
        return []
    inputs: dict[int, list[int]] = {}
    compared: dict[int, list[int]] = {}
    outputs: dict[int, list[int]] = {}
    for event in store.get_events_by_execution_ids([each.id for each in protos]):
        if event.type in (mlmd.Event.INPUT, mlmd.Event.DECLARED_INPUT):
            group = compared if _compared(event) else inputs
        elif event.type in (mlmd.Event.OUTPUT, mlmd.Event.DECLARED_OUTPUT):
            group = outputs
        else:
            continue
        group.setdefault(event.execution_id, []).append(event.artifact_id)
    return [_execution(store, each, inputs, outputs, compared) for each in protos]


def _compared(event: Any) -> bool:
    """Return whether an input is a baseline of a comparison."""
    return any(step.key.startswith(COMPARED_WITH) for step in event.path.steps if step.WhichOneof("value") == "key")


def _execution(
    store: Any, proto: Any, inputs: dict[int, list[int]], outputs: dict[int, list[int]], compared: dict[int, list[int]]
) -> Execution:
    """Return an execution of ML Metadata with its inputs and outputs."""
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    began, ended = proto.create_time_since_epoch, proto.last_update_time_since_epoch
    return Execution(
        id=proto.id,
        node=_node(store, proto),
        state=mlmd.Execution.State.Name(proto.last_known_state),
        started=utc(began / 1000),
        seconds=round(max(0, ended - began) / 1000, 3),
        inputs=tuple(sorted(inputs.get(proto.id, ()))),
        outputs=tuple(sorted(outputs.get(proto.id, ()))),
        compared_with=tuple(sorted(compared.get(proto.id, ()))),
    )


def _node(store: Any, execution: Any) -> str:
    """Return the id of the node of an execution, from its context of type `node`, `<pipeline>.<node>`."""
    for context in store.get_contexts_by_execution(execution.id):
        if context.type == "node":
            return context.name.rpartition(".")[2]
    return (execution.type or "?").rpartition(".")[2]


def _artifact(proto: Any, type_name: str) -> Artifact:
    """Return an artifact of ML Metadata."""
    properties = _properties(proto)
    sources = tuple(sources_of(properties))
    shown = {name: value for name, value in properties.items() if name != SOURCES and value != ""}
    return Artifact(proto.id, type_name, proto.uri, utc(proto.create_time_since_epoch / 1000), shown, sources)


def _properties(artifact: Any) -> dict[str, Any]:
    """Return the custom properties of an artifact as Python values."""
    return {name: _value(value) for name, value in artifact.custom_properties.items()}


def _value(value: Any) -> Any:
    """Return a property as a Python value."""
    kind = value.WhichOneof("value") or "string_value"
    content = getattr(value, kind)
    if kind != "struct_value":
        return content
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(content)


def latest_output(store: Any, node: str, output: str, pipeline: str | None = None) -> Path:
    """Return the folder of the latest artifact of an output of a node.

    Args:
      store: an `ml_metadata.MetadataStore`.
      node, output: the id of the node and the key of its output.
      pipeline: the name of the pipeline; None for any.

    Raises:
      UsageError: the node has not produced this output yet.
    """
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    contexts = [
        each
        for each in store.get_contexts_by_type("node")
        if (each.name.endswith(f".{node}") if pipeline is None else each.name == f"{pipeline}.{node}")
    ]
    executions = {each.id for context in contexts for each in store.get_executions_by_context(context.id)}
    events = store.get_events_by_execution_ids(sorted(executions)) if executions else []
    made = [
        event.artifact_id
        for event in events
        if event.type == mlmd.Event.OUTPUT and any(step.key == output for step in event.path.steps)
    ]
    if not made:
        raise UsageError(f"{node} has not run yet. Run the pipeline first: twostep run CONFIG")
    [artifact] = store.get_artifacts_by_id([max(made)])
    return Path(artifact.uri)
