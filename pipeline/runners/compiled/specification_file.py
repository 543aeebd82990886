"""Specifications in files, and the values of their parameters on the command line."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from core.errors import UsageError
from core.printable import one_line

MOST_BYTES = 20_000_000
SCHEMA = "2.1."
_KEYS = ("pipelineInfo", "root", "components", "deploymentSpec", "schemaVersion")
_TYPES: dict[str, tuple[str, tuple[type, ...]]] = {
    "NUMBER_INTEGER": ("an integer", (int,)),
    "NUMBER_DOUBLE": ("a number", (int, float)),
    "BOOLEAN": ("true or false", (bool,)),
    "LIST": ("a JSON list", (list,)),
    "STRUCT": ("a JSON object", (dict,)),
}


def write(spec: Mapping[str, Any], platform: Mapping[str, Any] | None) -> str:
    """Return the text of a file with a specification and, as a second document, that of the platform."""
    return yaml.safe_dump_all([spec] if platform is None else [spec, platform], sort_keys=True)


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any] | None] | None:
    """Return the specification in a YAML or JSON file, and that of the platform Kubernetes if there is one.

    The result is None if the file holds something else or cannot be read.

    Raises:
      UsageError: the file is a specification that cannot be submitted.
    """
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        return None
    try:
        documents = list(yaml.load_all(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except (yaml.YAMLError, ValueError):
        return None
    if not documents or not isinstance(documents[0], dict) or not {"pipelineInfo", "root"} <= documents[0].keys():
        return None
    [spec, *more] = documents
    if len(more) > 1 or any(not isinstance(each, dict) or each.keys() != {"platforms"} for each in more):
        raise UsageError(
            f"{path}: should be a PipelineSpec, and one more document at most, with the key `platforms`; found "
            f"{len(documents)} documents. Compile it again"
        )
    return spec, (more[0] if more else None)


def check(specification: dict[str, Any], source: str) -> None:
    """Check the keys that submission needs. Raises: UsageError, which names `source`."""
    lacking = [key for key in _KEYS if key not in specification]
    if lacking:
        raise UsageError(f"{source}: should be a PipelineSpec with {', '.join(_KEYS)}; lacks {', '.join(lacking)}")
    version = str(specification["schemaVersion"])
    if not version.startswith(SCHEMA):
        raise UsageError(f"{source}: schemaVersion should be {SCHEMA}x; found {one_line(version)}. Compile it again")
    info = specification["pipelineInfo"]
    name = info.get("name") if isinstance(info, dict) else None
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,127}", name):
        raise UsageError(
            f"{source}: pipelineInfo.name should be a name of lower-case letters, digits and dashes; found "
            f"{one_line(name)}"
        )


def parse_parameters(specification: dict[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Return name → value of the assignments `NAME=VALUE`, each with the type that the specification declares.

    Raises:
      UsageError: an assignment has no `=`, names no root parameter or one twice, has a value of another type, or a
        parameter without a default has no value.
    """
    inputs = specification["root"].get("inputDefinitions", {}).get("parameters", {})
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(f"--parameter: should be NAME=VALUE; found {one_line(assignment)}")
        if name not in inputs:
            known = ", ".join(inputs) or "none"
            raise UsageError(f"--parameter {one_line(name)}: is no parameter of the pipeline. Its parameters: {known}")
        if name in values:
            raise UsageError(f"--parameter {name}: is given twice. Keep one")
        values[name] = _value(name, text, inputs[name].get("parameterType", "STRING"))
    lacking = [
        name
        for name, each in inputs.items()
        if name not in values and "defaultValue" not in each and not each.get("isOptional")
    ]
    if lacking:
        raise UsageError(f"the pipeline needs values of {', '.join(lacking)}. Add `--parameter {lacking[0]}=VALUE`")
    return values


def _value(name: str, text: str, kind: str) -> Any:
    """Return `text` as a value of a parameter type; other types than those of JSON are text. Raises: UsageError."""
    if kind not in _TYPES:
        return text
    expected, types = _TYPES[kind]
    try:
        value = json.loads(text, parse_constant=_refuse)
    except ValueError:
        value = None
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise UsageError(f"--parameter {name}: should be {expected}; found {one_line(text)}")
    return value


def _refuse(constant: str) -> None:
    """Refuse NaN and the infinities, which JSON does not have. Raises: ValueError."""
    raise ValueError(constant)
