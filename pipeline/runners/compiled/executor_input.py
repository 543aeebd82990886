"""What a task of Kubeflow Pipelines or Vertex AI gets and returns, in the form that TFX's entry point expects.

Kubeflow gives inputs without their types, metadata in wrappers, and URIs of objects that its launcher has copied to
folders; it refuses null in the metadata of outputs, and uploads an output only if its URI is unchanged. Here the URIs
are replaced by folders, and back in what the task returns.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.runners.compiled.parameters import PREFIX, applied

# Metadata that TFX does not get: what Kubeflow adds to artifacts, and their lineage.
_OTHER = ("display_name", "store_session_info", "lineage")
_SCHEMES = ("gs", "s3", "minio")


def mounted(uri: str, mounts: Path) -> Path | None:
    """Return the folder below `mounts` to which Kubeflow's launcher copies the objects of a URI; None for no URI.

    The launcher uses `/gcs/<bucket>/<key>`, `/s3/<bucket>/<key>` and `/minio/<bucket>/<key>`.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme not in _SCHEMES:
        return None
    return mounts / ("gcs" if scheme == "gs" else scheme) / rest


def artifacts(executor_input: Mapping[str, Any], side: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (key, artifact) of the `inputs` or the `outputs` of a task."""
    for key, listed in executor_input.get(side, {}).get("artifacts", {}).items():
        for artifact in listed.get("artifacts", ()):
            yield key, artifact


def mend(executor_input: dict[str, Any], inputs_spec: Mapping[str, Any], local: Callable[[str], str]) -> dict[str, Any]:
    """Change the input of a task to what TFX's entry point expects; return the runtime parameters.

    Args:
      executor_input: the ExecutorInput message as a dictionary; changed in place.
      inputs_spec: the declared inputs of the component.
      local: a function from the URI of an artifact to its folder.
    """
    for key, artifact in artifacts(executor_input, "inputs"):
        kind = artifact.setdefault("type", {})
        if not kind.get("instanceSchema") and not kind.get("schemaTitle"):
            artifact["type"] = dict(inputs_spec["artifacts"][key]["artifactType"])
    for side in ("inputs", "outputs"):
        for _, artifact in artifacts(executor_input, side):
            artifact["uri"] = local(artifact["uri"])
            metadata = artifact.get("metadata", {})
            artifact["metadata"] = {key: _plain(value) for key, value in metadata.items() if key not in _OTHER}
    inputs = executor_input.setdefault("inputs", {})
    inputs["parameterValues"], run = applied(inputs.get("parameterValues", {}))
    return run


def own_spec(inputs_spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the declared inputs of a component without runtime parameters."""
    declared = inputs_spec.get("parameters", {})
    return {**inputs_spec, "parameters": {key: kind for key, kind in declared.items() if not key.startswith(PREFIX)}}


def mended_output(output: Mapping[str, Any], uris: Mapping[str, str], remote: Callable[[str], str]) -> dict[str, Any]:
    """Return the output of a task as Kubeflow expects it: with URIs in place of folders, and without null.

    Args:
      output: the ExecutorOutput message as a dictionary.
      uris: the key of an output → the URI that the task was given for it. The executor may have set another one, which
        the launcher would not upload.
      remote: a function from a path that begins with a folder of the task to the URI in its place.
    """
    result = dict(output)
    for key, listed in output.get("artifacts", {}).items():
        mended = []
        for artifact in listed.get("artifacts", ()):
            metadata = {name: _mapped(value, remote) for name, value in artifact.get("metadata", {}).items()}
            metadata = {name: value for name, value in metadata.items() if value is not None}
            mended.append({**artifact, "uri": uris[key], "metadata": metadata})
        result["artifacts"] = {**result["artifacts"], key: {"artifacts": mended}}
    return result


def _plain(value: Any) -> Any:
    """Return a value of metadata without the wrappers in which Kubeflow stores dictionaries and lists."""
    if isinstance(value, Mapping) and len(value) == 1:
        [(kind, content)] = value.items()
        if kind in ("struct", "list"):
            return content
    return value


def _mapped(value: Any, remote: Callable[[str], str]) -> Any:
    """Return a value of metadata with `remote` applied to each string in it."""
    if isinstance(value, str):
        return remote(value)
    if isinstance(value, Mapping):
        return {key: _mapped(each, remote) for key, each in value.items()}
    return [_mapped(each, remote) for each in value] if isinstance(value, list) else value
