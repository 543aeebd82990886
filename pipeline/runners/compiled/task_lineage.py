"""The lineage of a task's outputs, which travels in the metadata of artifacts, since a task reads no ML Metadata."""

import base64
import hashlib
import json
import re
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from core.errors import UsageError
from core.times import utc
from pipeline.lineage import graph
from pipeline.lineage.graph import COMPARED_WITH, SOURCES, Artifact, Execution, Lineage
from pipeline.runners.compiled.executor_input import artifacts

KEY = "lineage"  # the key of the metadata with the lineage of an artifact


def packed(lineage: Lineage) -> str:
    """Return a lineage as text of a few KB: a task gets those of all its inputs in one argument of at most 128 KB."""
    text = json.dumps(graph.to_json(lineage), separators=(",", ":"))
    return base64.b85encode(zlib.compress(text.encode(), 9)).decode()


def unpacked(text: str) -> Lineage:
    """Return the lineage that `packed` has written. Raises: UsageError if it is something else."""
    try:
        value = json.loads(zlib.decompress(base64.b85decode(text)))
    except (ValueError, zlib.error) as error:
        raise UsageError(f"the lineage of an artifact cannot be read: {error}. Run the earlier task again") from None
    return graph.from_json(value)


def of_inputs(executor_input: Mapping[str, Any]) -> Lineage:
    """Return the lineage of the inputs of a task, without baselines of a comparison.

    Args:
      executor_input: the ExecutorInput message as a dictionary, with the URIs of the artifacts.
    """
    found, executions, roots = dict[int, Artifact](), dict[int, Execution](), []
    for key, artifact in artifacts(executor_input, "inputs"):
        text = artifact.get("metadata", {}).get(KEY)
        if text:
            lineage = unpacked(text)
            found |= lineage.artifacts
            executions |= lineage.executions
        if not key.startswith(COMPARED_WITH):
            roots.append(_id(artifact["uri"]))
    return Lineage("back", tuple(roots), found, executions)


def add(output: dict[str, Any], executor_input: Mapping[str, Any], inputs: Lineage, node: str, began: float) -> None:
    """Add the lineage to the metadata of each output of a task.

    Args:
      output: the ExecutorOutput message as a dictionary, with URIs; changed in place.
      executor_input: as for `of_inputs`.
      inputs: the lineage of the inputs.
      node: the id of the node.
      began: when the task began, in seconds since 1970.
    """
    types = {key: _title(each["type"]) for key, each in artifacts(executor_input, "outputs")}
    made = [_artifact(types[key], artifact, began) for key, artifact in _listed(output)]
    compared = [_id(each["uri"]) for key, each in artifacts(executor_input, "inputs") if key.startswith(COMPARED_WITH)]
    execution = Execution(
        id=_id(node + executor_input["outputs"]["outputFile"]),
        node=node,
        state="COMPLETE",
        started=utc(began),
        seconds=round(time.time() - began, 3),
        inputs=inputs.roots,
        outputs=tuple(each.id for each in made),
        compared_with=tuple(compared),
    )
    lineage = replace(
        inputs,
        artifacts={**inputs.artifacts, **{each.id: each for each in made}},
        executions={**inputs.executions, execution.id: execution},
    )
    for each, (_, artifact) in zip(made, _listed(output), strict=True):
        artifact["metadata"] = {**artifact["metadata"], KEY: packed(replace(lineage, roots=(each.id,)))}


def _title(kind: Mapping[str, str]) -> str:
    """Return the name of an artifact type as in ML Metadata."""
    found = re.search(r"^title: *(\S+)", kind.get("instanceSchema", ""), re.MULTILINE)
    return (found[1] if found else kind.get("schemaTitle", "?")).removeprefix("tfx.")


def _listed(output: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (key, artifact) of the output of a task."""
    return artifacts({"outputs": output}, "outputs")


def _artifact(kind: str, artifact: Mapping[str, Any], created: float) -> Artifact:
    """Return an output of a task as an artifact of a lineage."""
    metadata = artifact["metadata"]
    shown = {name: value for name, value in metadata.items() if name != SOURCES and value != ""}
    sources = tuple(graph.sources_of(metadata))
    return Artifact(_id(artifact["uri"]), kind, artifact["uri"], utc(created), shown, sources)


def _id(text: str) -> int:
    """Return a number for a URI or an execution, as ML Metadata has ids; not that of a release."""
    return 1 + int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")
