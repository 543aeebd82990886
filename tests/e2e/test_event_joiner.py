"""The executor of EventJoiner: the number of shards does not change the rows; the report counts events in no split."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts

from components.event_joiner import executor, shards
from components.event_joiner.settings import JoinerSettings, Split
from core import examples, names
from core.arrow import STRINGS, event_types, read_arrow
from core.events import read_events
from core.files import read_json
from pipeline.config.beam import LOCAL
from transform.features import Features

USERS, ITEMS, EVENTS = 60, 20, 900
TYPES = event_types(has_rating=True) | {"about": pa.string(), "tags": STRINGS}


def tables():
    rng = np.random.default_rng(0)
    return {
        names.INTERACTIONS: pa.table(
            {
                names.USER_ID: [f"u{row}" for row in rng.integers(0, USERS, EVENTS)],
                names.ITEM_ID: [f"i{row}" for row in rng.integers(0, ITEMS, EVENTS)],
                names.TIMESTAMP: rng.integers(0, 12, EVENTS),
                names.RATING: rng.integers(1, 6, EVENTS).astype(np.float32),
            }
        ),
        names.USERS: pa.table(
            {names.USER_ID: [f"u{row}" for row in rng.permutation(USERS + 3)], "about": ["word " * 9] * (USERS + 3)}
        ),
        names.ITEMS: pa.table(
            {
                names.ITEM_ID: [f"i{row}" for row in range(ITEMS)],
                "tags": pa.array([["x", "y"][: row % 3] for row in range(ITEMS)], pa.list_(pa.string())),
            }
        ),
    }


def run(root: Path) -> tuple[dict[str, pa.Table], list[pa.Table], dict]:
    """Run the executor on Examples with two files per table; return the splits, the files of users and the report."""
    inputs = {}
    for table, rows in tables().items():
        uri = root / table
        half = len(rows) // 2
        for shard, part in enumerate((rows.slice(0, half), rows.slice(half))):
            examples.write_examples(part, examples.shard_path(str(uri), names.ALL, shard, 2))
        inputs[table] = [artifact(standard_artifacts.Examples, uri)]
        inputs[table][0].set_string_custom_property("sources", json.dumps([{"rows": len(rows)}]))
        if table == names.INTERACTIONS:
            schema = schema_pb2.Schema(feature=[schema_pb2.Feature(name=name) for name in rows.column_names])
            (root / "schema").mkdir()
            (root / "schema" / executor.SCHEMA_FILE).write_text(text_format.MessageToString(schema))
            inputs[f"{table}_schema"] = [artifact(standard_artifacts.Schema, root / "schema")]
        anomalies = root / f"{table}_anomalies" / f"Split-{names.ALL}"
        anomalies.mkdir(parents=True)
        (anomalies / "SchemaDiff.pb").write_bytes(anomalies_pb2.Anomalies().SerializeToString())
        inputs[f"{table}_anomalies"] = [artifact(standard_artifacts.ExampleAnomalies, anomalies.parent)]
    outputs = {"examples": [artifact(standard_artifacts.Examples, root / "joined")]}
    features = Features.model_validate({"user": {"about": "text"}, "item": {"tags": "multi_valued"}})
    settings = JoinerSettings(
        user=features.user,
        item=features.item,
        history_length=5,
        title=None,
        split=Split(method="leave_one_out"),
        seed=3,
        drop_unknown=False,
        max_dropped=0.05,
    )
    context = base_beam_executor.BaseBeamExecutor.Context(beam_pipeline_args=list(LOCAL))
    executor.Executor(context).Do(inputs, outputs, {"settings": settings.model_dump_json()})
    uri = root / "joined"
    found = {split: examples.read_examples(str(uri), split, TYPES) for split in (names.TRAIN, names.EVAL, names.TEST)}
    users = [read_arrow(path) for path in sorted((uri / names.USERS_FOLDER).glob("*.arrow"))]
    catalogue = read_arrow(uri / names.CATALOGUE_FILE)
    return found | {names.CATALOGUE: catalogue}, users, read_json(uri / names.REPORT_FILE)


def artifact(kind, uri):
    made = kind()
    made.uri = str(uri)
    return made


def in_order(table: pa.Table) -> pa.Table:
    keys = (names.USER_ID, names.TIMESTAMP, names.ITEM_ID, names.RATING)
    return table.sort_by([(key, "ascending") for key in keys if key in table.column_names]).combine_chunks()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(tmp_path_factory.mktemp("whole"))


def test_many_small_shards_hold_the_same_rows(tmp_path, monkeypatch, whole):
    monkeypatch.setattr(shards, "ROWS_A_SHARD", 130)
    monkeypatch.setattr(shards, "BYTES_AT_ONCE", 2_000)
    found, users, report = run(tmp_path)
    assert len(users) == 7
    assert len(whole[1]) == 1
    assert report == whole[2]
    for split in (names.TRAIN, names.EVAL, names.TEST):
        assert in_order(found[split]) == in_order(whole[0][split])
    assert found[names.CATALOGUE] == whole[0][names.CATALOGUE]
    assert in_order(pa.concat_tables(users)) == in_order(whole[1][0])
    for part in users:
        assert part[names.USER_ID].to_pylist() == sorted(part[names.USER_ID].to_pylist())
        assert all(chunk.nbytes <= 2_000 for column in part.columns for chunk in column.chunks)


def test_the_report_counts_the_events_of_no_split_and_the_users_know_them(whole):
    found, [users], report = whole
    assert sum(report["rows"].values()) + report["left_out"]["same_second"] == EVENTS
    assert report["left_out"]["same_second"] > 50
    assert report["dropped"] == {}
    assert {split: len(found[split]) for split in report["rows"]} == report["rows"]
    assert pc.sum(pc.list_value_length(users[names.EXCLUDE])).as_py() == EVENTS
    known = len(found[names.TRAIN]) + len(found[names.EVAL])
    for table, key in ((found[names.CATALOGUE], names.ITEM_ID), (users, names.USER_ID)):
        counts = pa.concat_tables([found[names.TRAIN], found[names.EVAL]])[key].value_counts().to_pylist()
        expected = {each["values"]: each["counts"] for each in counts}
        assert pc.sum(table[names.EVENT_COUNT]).as_py() == known
        for id_, count in zip(table[key].to_pylist(), table[names.EVENT_COUNT].to_pylist(), strict=True):
            assert count == expected.get(id_, 0)


def test_no_event_is_written_with_a_history(tmp_path):
    run(tmp_path)
    for split in (names.TRAIN, names.EVAL, names.TEST):
        found = examples.read_examples(str(tmp_path / "joined"), split, {names.HISTORY: STRINGS})
        assert len(found)
        assert pc.sum(pc.list_value_length(found[names.HISTORY])).as_py() == 0


def test_the_arrow_files_have_the_events_of_the_examples(tmp_path):
    run(tmp_path)
    item_columns = {"tags"}
    types = {name: type_ for name, type_ in TYPES.items() if name not in item_columns}
    for split in (names.TRAIN, names.EVAL, names.TEST):
        uri = str(tmp_path / "joined")
        assert len(found := read_events(uri, split, types))
        assert found.combine_chunks().equals(examples.read_examples(uri, split, types).combine_chunks())
    assert read_events(uri, names.TEST, {"no": pa.float32()})["no"].null_count == len(found)
