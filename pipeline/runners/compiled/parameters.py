"""The runtime parameters of a compiled pipeline, and how a task applies them to the parameters of its node.

A specification gives each of them a default, and a run may set another value. A task gets those that it needs as inputs
with the prefix `run-`, and sets them in the settings of its node, which are JSON in strings.
"""

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

PREFIX = "run-"
SEED, DATA, SPANS, IMAGE, RELEASES, SERVING = "seed", "data", "spans", "image", "releases", "serving"
KEYS, FINGERPRINT = "keys", "fingerprint"
UNKNOWN = "unknown"  # the fingerprint of a table that nobody looked at before the run
# Constants that a task needs beside its node's own parameters.
TABLES, SCHEMA, NODE, SIGNING_KEY, TRUSTED_KEYS = "tables", "schema", "node", "signing-key", "trusted-keys"

# runtime parameter -> the setting that it sets
_KEYS = {SEED: "seed", RELEASES: "releases", SERVING: "base_directory", KEYS: "signing_key"}


def needed(parameters: Mapping[str, Any]) -> set[str]:
    """Return the runtime parameters among `_KEYS` that set something in the parameters of a node."""
    return {name for name, key in _KEYS.items() if any(_holds(value, key) for value in parameters.values())}


def applied(parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters of a node with the runtime parameters set, and these by name.

    Args:
      parameters: the inputs of a task: the parameters of its node, and runtime parameters with the prefix `run-`.
    """
    run = {name.removeprefix(PREFIX): value for name, value in parameters.items() if name.startswith(PREFIX)}
    own = {name: value for name, value in parameters.items() if not name.startswith(PREFIX)}
    if SEED in run:
        run[SEED] = int(run[SEED])  # Kubeflow hands numbers over as floating-point numbers
    for name in _KEYS.keys() & run.keys():
        change = functools.partial(_value, name, run[name])
        own = {each: _with_setting(value, _KEYS[name], change) for each, value in own.items()}
    return own, run


def _value(name: str, new: Any, old: Any) -> Any:
    """Return the new value of a setting; the folder of a pushed model and the file of a key keep their last part."""
    return f"{new}/{old.rpartition('/')[2]}" if name in (SERVING, KEYS) else new


def with_texts(value: Any, new: Mapping[str, str]) -> Any:
    """Return a value with each string that is a key of `new` replaced, also inside strings of JSON."""
    if isinstance(value, str):
        if value in new:
            return new[value]
        parsed = _parsed(value)
        after = with_texts(parsed, new)
        return value if after == parsed else json.dumps(after, sort_keys=True)
    if isinstance(value, dict):
        return {name: with_texts(each, new) for name, each in value.items()}
    return [with_texts(each, new) for each in value] if isinstance(value, list) else value


def _holds(value: Any, key: str) -> bool:
    """Return whether a value has a setting `key` that is not null."""
    found: list[Any] = []

    def keep(old: Any) -> Any:
        found.append(old)
        return old

    _with_setting(value, key, keep)
    return bool(found)


def _with_setting(value: Any, key: str, change: Callable[[Any], Any]) -> Any:
    """Return a value with each setting `key` changed that is not null, also inside strings of JSON."""
    if isinstance(value, str):
        before = _parsed(value)
        after = _with_setting(before, key, change)
        return value if after == before else json.dumps(after, sort_keys=True)
    if isinstance(value, dict):
        return {
            name: change(each) if name == key and each is not None and not isinstance(each, dict | list)
            else _with_setting(each, key, change)
            for name, each in value.items()
        }  # fmt: skip
    if isinstance(value, list):
        return [_with_setting(each, key, change) for each in value]
    return value


def _parsed(text: str) -> Any:
    """Return the object or list in a string of JSON; None for another string."""
    try:
        return json.loads(text) if text[:1] in ("{", "[") else None
    except ValueError:
        return None
