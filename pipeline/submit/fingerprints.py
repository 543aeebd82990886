"""The fingerprints of tables in a bucket, with which the tasks that read them can come from an orchestrator's cache.

The cache compares parameters and does not see a bucket. So a submitted run gets the fingerprints that the tables have
now as parameters, and the tasks may be cached; each of these tasks checks that it reads what was submitted. Nobody
looks at the tables before a run of a schedule, so its tasks are not cached.
"""

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any

from core.errors import TwostepError
from pipeline.config.data import Spans, as_location
from pipeline.runners.compiled.parameters import DATA, FINGERPRINT, PREFIX, SPANS, TABLES
from pipeline.sources import tables


def added(
    specification: Mapping[str, Any], values: Mapping[str, Any], say: Callable[[str], None]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a specification whose tasks with a known fingerprint may be cached, and the values of its parameters.

    Args:
      specification: the specification.
      values: the values of parameters that differ from their defaults. A fingerprint among them is kept.
      say: told why tables have no fingerprint if they cannot be listed from here.
    """
    spec, readers = copy.deepcopy(dict(specification)), _readers(specification)
    declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    all_values = {name: each.get("defaultValue") for name, each in declared.items()} | dict(values)
    result = dict(values)
    try:
        found = _fingerprints(spec, readers, all_values)
    except TwostepError as error:
        say(f"the tables are read again in each run, since they cannot be listed from here: {error}")
        found = {}
    for task, (table, parameter) in readers.items():
        if table in found:
            result.setdefault(parameter, found[table])
        if parameter in result:
            spec["root"]["dag"]["tasks"][task]["cachingOptions"] = {"enableCache": True}
    return spec, result


def _readers(spec: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the task that reads a table → the table, and the parameter with its fingerprint."""
    readers = {}
    for name, task in spec["root"].get("dag", {}).get("tasks", {}).items():
        given = task.get("inputs", {}).get("parameters", {})
        if PREFIX + FINGERPRINT in given:
            [table] = _tables(given)
            readers[name] = table, given[PREFIX + FINGERPRINT]["componentInputParameter"]
    return readers


def _tables(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the table of a task → the locations of all tables."""
    tables_: dict[str, Any] = json.loads(given[PREFIX + TABLES]["runtimeValue"]["constant"])
    return tables_


def _fingerprints(
    spec: Mapping[str, Any], readers: Mapping[str, tuple[str, str]], values: Mapping[str, Any]
) -> dict[str, str]:
    """Return table → its fingerprint now. Raises: TwostepError if the tables cannot be listed."""
    if not readers:
        return {}
    task = next(iter(readers))
    [locations] = _tables(spec["root"]["dag"]["tasks"][task]["inputs"]["parameters"]).values()
    selected = Spans.model_validate_json(values[SPANS]) if SPANS in values else Spans()
    return tables.fingerprints({name: as_location(each) for name, each in locations.items()}, selected, values[DATA])
