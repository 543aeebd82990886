"""TableExampleGen under TFX's own runner: spans, source files, cache, and error messages."""

import core.tf  # noqa: F401

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest
from facts import lacking

from components.table_example_gen import keys
from components.table_example_gen.sources import matching
from components.table_example_gen.spec import TableSpec
from core import names
from core.errors import DataError
from core.examples import read_examples
from core.files import read_json, sha256
from pipeline.config import spans
from pipeline.config.beam import LOCAL
from pipeline.config.data import Spans

EVENTS = TableSpec(table="interactions", rating_range=(1, 5))
USERS = TableSpec(table="users", features={"age": {"kind": "numeric"}}, on_duplicate="drop", max_dropped=0.5)


def write_events(folder: Path, span: int, users: list[str]) -> Path:
    count = len(users)
    table = {"user_id": users, "item_id": ["i"] * count, "timestamp": list(range(count)), "rating": [4.0] * count}
    path = folder / f"span-{span}" / "events.csv"
    path.parent.mkdir(parents=True)
    pa.csv.write_csv(pa.table(table), path)
    return path


def run(root: Path, spec: TableSpec, pattern: str, code_digest: str = "1", newest: int = 1):
    """Run the component alone; return its newest artifact and the number of executions that did not come from cache."""
    from tfx import v1 as tfx
    from tfx.orchestration import metadata

    from components.table_example_gen.component import TableExampleGen

    source = spans.choose({spec.table: pattern}, Spans(newest=newest), str(root / "data"), matching)[spec.table]
    connection = tfx.orchestration.metadata.sqlite_metadata_connection_config(str(root / "metadata.db"))
    pipeline = tfx.dsl.Pipeline(
        pipeline_name="table",
        pipeline_root=str(root / "run"),
        components=[TableExampleGen(spec, source, code_digest)],
        enable_cache=True,
        metadata_connection_config=connection,
        beam_pipeline_args=list(LOCAL),
    )
    tfx.orchestration.LocalDagRunner().run(pipeline)
    with metadata.Metadata(connection) as handle:
        ran = [e for e in handle.store.get_executions() if e.last_known_state == e.COMPLETE]
        return max(handle.store.get_artifacts_by_type("Examples"), key=lambda artifact: artifact.id), len(ran)


def test_spans_sources_and_cache(tmp_path):
    path = write_events(tmp_path / "data", 1, ["a", "b"])
    artifact, ran = run(tmp_path, EVENTS, "span-{SPAN}/events.csv")
    assert ran == 1
    assert artifact.custom_properties["span"].int_value == 1
    assert artifact.custom_properties["payload_format"].string_value == "FORMAT_TF_EXAMPLE"
    assert artifact.custom_properties["file_format"].string_value == "tfrecords_gzip"
    assert json.loads(artifact.properties["split_names"].string_value) == [names.ALL]
    sources = json.loads(artifact.custom_properties["sources"].string_value)
    assert sources == [{"file": str(path), "sha256": sha256(path), "rows": 2}]
    assert read_json(Path(artifact.uri) / names.REPORT_FILE)["rows_written"] == 2
    table = read_examples(artifact.uri, names.ALL, EVENTS.types())
    assert table.to_pydict() == {
        "user_id": ["a", "b"],
        "item_id": ["i", "i"],
        "timestamp": [0, 1],
        "rating": [4.0, 4.0],
    }

    assert run(tmp_path, EVENTS, "span-{SPAN}/events.csv") == (artifact, 1), "the same again comes from the cache"
    write_events(tmp_path / "data", 2, ["c"])
    newer, ran = run(tmp_path, EVENTS, "span-{SPAN}/events.csv")
    assert (newer.custom_properties["span"].int_value, ran) == (2, 2)
    assert read_examples(newer.uri, names.ALL, EVENTS.types())["user_id"].to_pylist() == ["c"]
    assert run(tmp_path, EVENTS, "span-{SPAN}/events.csv", code_digest="2")[1] == 3, "new code runs"
    other = EVENTS.model_copy(update={"rating_range": (0, 5)})
    assert run(tmp_path, other, "span-{SPAN}/events.csv", code_digest="2")[1] == 4, "a new specification runs"


def test_other_bytes_of_the_same_size_and_time_are_no_cache_hit(tmp_path):
    path = write_events(tmp_path / "data", 1, ["a", "b"])
    assert run(tmp_path, EVENTS, "span-1/events.csv")[1] == 1
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b'"a"', b'"z"'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    artifact, ran = run(tmp_path, EVENTS, "span-1/events.csv")
    assert ran == 2
    assert read_examples(artifact.uri, names.ALL, EVENTS.types())["user_id"].to_pylist() == ["z", "b"]


def test_several_spans_are_one_table(tmp_path):
    for span, user in ((1, "a"), (2, "b"), (4, "c")):
        write_events(tmp_path / "data", span, [user])
    artifact, _ = run(tmp_path, EVENTS, "span-{SPAN}/events.csv", newest=2)
    assert artifact.custom_properties["spans"].string_value == "2, 4"
    assert artifact.custom_properties["span"].int_value == 4
    report = read_json(Path(artifact.uri) / names.REPORT_FILE)
    assert report["spans"] == ["2", "4"]
    assert read_examples(artifact.uri, names.ALL, EVENTS.types())["user_id"].to_pylist() == ["b", "c"]


def test_a_shard_a_file_and_keys_across_files(tmp_path, monkeypatch):
    monkeypatch.setattr(keys, "KEYS_A_SHARD", 1)  # keys in several shards; Examples have one shard per file
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "users-1.csv").write_text("user_id,age\n1,30\n2,\n")
    (tmp_path / "data" / "users-2.csv").write_text("user_id,age\n3,20\n1,99\n")
    artifact, _ = run(tmp_path, USERS, "users-*.csv")
    shards = sorted(path.name for path in Path(artifact.uri).glob("Split-all/*"))
    assert shards == ["data_tfrecord-00000-of-00002.gz", "data_tfrecord-00001-of-00002.gz"]
    table = read_examples(artifact.uri, names.ALL, USERS.types())
    assert table.to_pydict() == {"user_id": ["1", "2", "3"], "age": [30.0, None, 20.0]}
    report = read_json(Path(artifact.uri) / names.REPORT_FILE)
    assert (report["rows_read"], report["rows_written"], report["dropped"]) == (4, 3, {"duplicate": 1})


def test_bad_rows_of_all_files_are_one_error(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "users-1.csv").write_text("user_id,age\n1,old\n")
    (tmp_path / "data" / "users-2.csv").write_text("user_id,age\n,20\n")
    with pytest.raises(DataError) as caught:
        run(tmp_path, USERS, "users-*.csv")
    assert "users-1.csv: line 2, column 'age': 'old'" in str(caught.value)
    assert lacking(str(caught.value), "users-2.csv: line 2, column 'user_id': … empty") == []


def test_no_file_matches(tmp_path):
    pattern = "users-*.csv"
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError) as caught:
        run(tmp_path, USERS, pattern)
    assert str(tmp_path / "data") in str(caught.value)
    assert pattern in str(caught.value)


def test_statistics_of_the_examples(tmp_path):
    """The reader of StatisticsGen finds the split and ignores the report in the same artifact."""
    import apache_beam as beam
    from tfx.components.util import tfxio_utils
    from tfx.types import standard_artifacts

    write_events(tmp_path / "data", 1, ["a", "b"])
    found, _ = run(tmp_path, EVENTS, "span-1/events.csv")
    artifact = standard_artifacts.Examples()
    artifact.set_mlmd_artifact(found)
    factory = tfxio_utils.get_tfxio_factory_from_artifact([artifact], telemetry_descriptors=["test"])
    pattern = str(Path(artifact.uri) / "Split-all" / "*")
    out = tmp_path / "rows"
    with beam.Pipeline(argv=list(LOCAL)) as pipeline:
        batches = pipeline | factory([pattern]).BeamSource()
        batches | beam.Map(lambda batch: str(batch.num_rows)) | beam.io.WriteToText(str(out), shard_name_template="")
    assert sum(int(line) for line in out.read_text().split()) == 2
