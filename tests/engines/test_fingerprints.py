"""The fingerprints of tables in a bucket, with which a submitted run may take them from the orchestrator's cache."""

import json

import pytest
from facts import facts

from core.errors import StorageError
from core.storage.storage import open_storage
from pipeline.runners.compiled.staging import Staging
from pipeline.submit import fingerprints

PATHS = {"interactions": "events-{SPAN:3}.csv", "items": "items.csv"}
SPANS = '{"newest": 1}'
NODES = {"interactions": "InteractionGen", "items": "ItemGen"}


def specification(place, paths=PATHS):
    """Return the part of a compiled specification that reads tables, as `compile` writes it."""
    tasks = {}
    for table, node in NODES.items():
        constant = {"runtimeValue": {"constant": json.dumps({table: paths})}}
        source = {"componentInputParameter": f"{node}-fingerprint"}
        tasks[node] = {
            "inputs": {"parameters": {"run-tables": constant, "run-fingerprint": source}},
            "cachingOptions": {},
        }
    tasks["EventJoiner"] = {"cachingOptions": {"enableCache": True}}
    defaults = {"data": place, "spans": SPANS} | {f"{node}-fingerprint": "unknown" for node in NODES.values()}
    parameters = {name: {"parameterType": "STRING", "defaultValue": value} for name, value in defaults.items()}
    return {"root": {"inputDefinitions": {"parameters": parameters}, "dag": {"tasks": tasks}}}


def cached(spec):
    tasks = spec["root"]["dag"]["tasks"]
    return {name for name, task in tasks.items() if task["cachingOptions"].get("enableCache")}


@pytest.fixture
def storage(bucket):
    storage = open_storage(bucket.location)
    for name in ("events-001.csv", "events-002.csv", "items.csv"):
        storage.write(name, b"a\n1\n")
    return storage


def replaced(storage, key, content):
    storage.delete([key])
    storage.write(key, content)


def test_a_changed_file_changes_the_parameter_of_its_table_only(bucket, storage, capsys):
    spec = specification(bucket.location)
    first = fingerprints.added(spec, {}, print)
    assert cached(first[0]) == {"InteractionGen", "ItemGen", "EventJoiner"}
    assert fingerprints.added(spec, {}, print) == first
    replaced(storage, "items.csv", b"a\n2\n")
    replaced(storage, "events-001.csv", b"a\n2\n")  # is not selected
    second = fingerprints.added(spec, {}, print)
    assert second[0] == first[0]
    assert {name for name in first[1] if first[1][name] != second[1][name]} == {"ItemGen-fingerprint"}
    storage.write("events-003.csv", b"a\n1\n")  # a new span with the same content
    third = fingerprints.added(spec, {}, print)
    assert {name for name in first[1] if third[1][name] != second[1][name]} == {"InteractionGen-fingerprint"}
    assert (
        fingerprints.added(spec, {"spans": '{"first": 2, "last": 2}'}, print)[1]["InteractionGen-fingerprint"]
        == (first[1]["InteractionGen-fingerprint"])
    )
    assert cached(spec) == {"EventJoiner"}
    assert capsys.readouterr().out == ""


def test_tables_that_cannot_be_listed_are_not_cached(bucket):
    told = []
    spec = specification(bucket.location.replace("s3://", "s3://no").replace("gs://", "gs://no"))
    assert fingerprints.added(spec, {}, told.append) == (spec, {})
    assert "are read again in each run" in told[0]
    here = specification("/data")  # folders of a container, which nobody sees from here
    assert fingerprints.added(here, {}, told.append) == (here, {})
    given = fingerprints.added(spec, {"ItemGen-fingerprint": "mine"}, told.append)
    assert cached(given[0]) == {"ItemGen", "EventJoiner"}
    assert given[1] == {"ItemGen-fingerprint": "mine"}


def test_a_task_reads_what_was_submitted_or_fails(bucket, storage, tmp_path):
    _, values = fingerprints.added(specification(bucket.location), {}, print)

    def read(number):
        parameters = {"input_base": bucket.location, "input_config": '{"splits": [{}]}', "custom_config": "{}"}
        run = {"tables": json.dumps({"items": PATHS}), "spans": SPANS, "fingerprint": values["ItemGen-fingerprint"]}
        parameters["custom_config"] = json.dumps({"custom_config": {"value": {}}})
        (tmp_path / number).mkdir()
        Staging(tmp_path / number, None, []).stage_parameters(parameters, run)
        return parameters

    assert "items.csv" in read("1")["custom_config"]
    replaced(storage, "items.csv", b"a\n2\n")
    with pytest.raises(StorageError, match=facts(f"{bucket.location} … items … Submit again")):
        read("2")
