"""Sources of tables: their settings, the cache, requests and errors of BigQuery, and the messages of Spanner."""

import datetime
import decimal
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from facts import facts
from json_server import JsonServer, RefusedError, Request
from odd_sources import Odd

from core.errors import StorageError, UsageError
from core.files import sha256
from core.storage import errors
from pipeline import config
from pipeline.config.data import as_location, location_json
from pipeline.sources import bigquery, reading, spanner
from pipeline.sources.cache import Cache
from pipeline.sources.settings import SOURCES, BigQuery, Bigtable, Spanner

# ---- settings ----


def loaded(tmp_path: Path, data: str) -> config.Config:
    file = tmp_path / "shop.yaml"
    file.write_text(yaml.safe_dump({"name": "shop", "data": yaml.safe_load(data)}))
    return config.load(file)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ("{}", "data.items: should have exactly one of path, bigquery, bigtable, spanner; found none of them"),
        ("{path: a.csv, bigquery: {table: some-project.d.t}}", "found path, bigquery"),
        ("{bigquery: {table: d.t}}", "data.items.bigquery.table: should be project.dataset.table; found 'd.t'"),
        ("{bigquery: {table: some-project.d.t, query: SELECT 1}}", "data.items.bigquery: … either `table` or `query`"),
        ("{bigquery: {table: some-project.d.t, parameters: {a: 1}}}", "`parameters` belong to a `query`"),
        ("{bigquery: {query: SELECT 1, credentials: key.json}}", "data.items.bigquery.credentials: is not a known key"),
        ("{bigtable: {instance: i, table: t}}", "data.items.bigtable: … `columns`, `row_key` or both"),
        ("{bigtable: {instance: i, table: t, columns: {a: b}}}", "family:qualifier; found 'b'"),
        ("{bigtable: {instance: i, table: t, row_key: a, columns: {a: 'b:c'}}}", "both name the column 'a'"),
        ("{bigtable: {instance: i/j, table: t, row_key: a}}", "data.items.bigtable.instance: … id … found 'i/j'"),
        ("{spanner: {instance: i, database: d}}", "data.items.spanner: should have either `table` or `query`"),
    ],
)
def test_a_wrong_source_names_its_key(tmp_path, items, message):
    with pytest.raises(UsageError, match=facts(message)):
        loaded(tmp_path, f"{{root: ., items: {items}}}")


def test_a_root_is_needed_by_paths_alone_and_may_be_a_uri(tmp_path):
    source = "{bigtable: {instance: i, table: t, row_key: user_id}}"
    found = loaded(tmp_path, f"{{interactions: {source}, users: null, items: {source}}}")
    assert found.data.paths == {"interactions": "bigtable://i/t", "items": "bigtable://i/t"}
    with pytest.raises(UsageError, match="either `dataset` or `root`"):
        loaded(tmp_path, f"{{interactions: {source}, users: null}}")
    assert loaded(tmp_path, "{root: 's3://bucket/a/'}").data.root == "s3://bucket/a"
    with pytest.raises(UsageError, match=facts("data.root: … ftp://bucket")):
        loaded(tmp_path, "{root: 'ftp://bucket'}")


@pytest.mark.parametrize(
    ("source", "uri"),
    [
        (BigQuery(table="some-project.d.t"), "bigquery://some-project.d.t"),
        (Bigtable(project="some-project", instance="i", table="t", row_key="k"), "bigtable://some-project/i/t"),
        (Spanner(instance="i", database="d", table="t"), "spanner://i/d/t"),
    ],
)
def test_a_source_has_a_uri_and_survives_json(source, uri):
    assert source.uri == uri
    assert as_location(json.loads(json.dumps(location_json(source)))) == source
    assert type(source) in SOURCES.values()
    assert reading.reader(source).check


def test_the_uri_of_a_query_depends_on_its_parameters():
    query = BigQuery(query="SELECT @a", parameters={"a": 1})
    assert query.uri.startswith("bigquery://default/query/")
    assert query.uri != BigQuery(query="SELECT @a", parameters={"a": 2}).uri


# ---- the cache ----


def keep(cache: Cache, key: str, tag: str | None, text: str) -> Path:
    with cache.partial() as folder:
        file = folder / "new"
        file.write_text(text)
        return cache.keep(key, tag, file)


def test_a_file_is_found_by_its_tag_and_kept_by_its_content(tmp_path):
    cache = Cache("s3://a/b", tmp_path)
    assert cache.find("x/[1].csv", "t1") is None
    first = keep(cache, "x/[1].csv", "t1", "one")
    assert keep(cache, "x/[1].csv", "t2", "one") == first
    second = keep(cache, "x/[1].csv", "t3", "two")
    assert [cache.find("x/[1].csv", tag) for tag in ("t1", "t2", "t3", "t4")] == [first, first, second, None]
    assert keep(cache, "x/[1].csv", None, "three").read_text() == "three"
    assert Cache("s3://a/c", tmp_path).find("x/[1].csv", "t1") is None
    source = cache.source({second: "s3://a/b/x/[1].csv"})
    assert source.files() == [str(second)]
    assert source.named(f"{second}: line 2") == "s3://a/b/x/[1].csv: line 2"
    assert not list(tmp_path.rglob("*.partial"))


def test_a_version_that_was_not_used_for_a_week_is_deleted(tmp_path):
    cache = Cache("s3://a/b", tmp_path)
    old, used = keep(cache, "a.csv", "t1", "one"), keep(cache, "a.csv", "t2", "two")
    changed = used.stat().st_mtime_ns
    for file in (old, used):
        os.utime(file, ns=(0, file.stat().st_mtime_ns))
    assert cache.find("a.csv", "t2") == used
    keep(cache, "a.csv", "t3", "three")
    assert (old.exists(), used.exists(), used.stat().st_mtime_ns) == (False, True, changed)
    assert cache.find("a.csv", "t1") is None


def test_a_folder_of_a_process_that_was_killed_is_deleted(tmp_path):
    cache = Cache("s3://a/b", tmp_path)
    (cache.folder / ".x.partial").mkdir(parents=True)
    with cache.partial() as used, cache.partial() as other:
        assert sorted(cache.folder.glob(".*")) == sorted([used, other])


def test_the_same_rows_make_the_same_bytes_in_batches_of_any_size(tmp_path):
    rows = pa.record_batch({"n": list(range(200_000)), "t": [f"t{n % 1000}" for n in range(200_000)]})
    digests = set()
    for size in (1_000, 9_999, 200_000):
        file = tmp_path / f"{size}.parquet"
        reading.write_parquet(iter([rows.slice(at, size) for at in range(0, 200_000, size)]), file)
        assert pq.read_table(file) == pa.Table.from_batches([rows])
        assert pq.read_metadata(file).num_row_groups == 4
        digests.add(sha256(file))
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("killed", "message"),
    [(True, "odd://source: … killed. Check the memory"), (False, "odd://source: … ZeroDivisionError: of a library")],
)
def test_a_reading_that_fails_unexpectedly_names_the_source_and_leaves_nothing(tmp_path, killed, message):
    with pytest.raises(StorageError, match=facts(message)):
        reading.fetch({"users": Odd(killed=killed)}, tmp_path)
    assert [path.name for path in tmp_path.glob("*/*")] == ["lock"]


# ---- BigQuery: what no emulator answers ----


class BigQueryApi(JsonServer):
    """The answers of BigQuery that the tests need; `job` is the last requested job."""

    ROUTES = (
        ("POST", r"/bigquery/v2/projects/([^/]+)/jobs", "insert"),
        ("GET", r"/bigquery/v2/projects/([^/]+)/datasets/([^/]+)/tables/([^/]+)", "table"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.job: dict[str, Any] = {}
        self.refusal: tuple[int, str] | None = None

    def error(self, status: int, message: str) -> dict[str, Any]:
        """Return the body of an error of Google's APIs."""
        return {"error": {"code": status, "message": message, "errors": [{"reason": "x", "message": message}]}}

    def insert(self, request: Request) -> dict[str, Any]:
        """Answer a new job."""
        if self.refusal is not None:
            raise RefusedError(*self.refusal)
        self.job = json.loads(request.body)["configuration"]
        return {
            "configuration": self.job,
            "jobReference": {"projectId": request.parts[0], "jobId": "j", "location": "EU"},
            "statistics": {"totalBytesProcessed": "5000", "query": {"totalBytesProcessed": "5000"}},
            "status": {"state": "DONE"},
        }

    def table(self, request: Request) -> dict[str, Any]:
        """Answer the facts about a table."""
        if self.refusal is not None:
            raise RefusedError(*self.refusal)
        return {"tableReference": dict(zip(("projectId", "datasetId", "tableId"), request.parts, strict=True))}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[BigQueryApi]:
    """Return a server that clients of BigQuery ask."""
    with BigQueryApi() as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        yield server


def test_a_query_is_checked_without_a_bill_with_its_parameters_and_limit(api):
    query = BigQuery(
        query="SELECT @a, @b, @c, @d", parameters={"a": 1, "b": 2.5, "c": "x", "d": True}, max_bytes_billed=10_000
    )
    bigquery.check(query)
    assert api.job["dryRun"] is True
    assert api.job["query"]["maximumBytesBilled"] == "10000"
    parameters = {each["name"]: each["parameterType"]["type"] for each in api.job["query"]["queryParameters"]}
    assert parameters == {"a": "INT64", "b": "FLOAT64", "c": "STRING", "d": "BOOL"}
    with pytest.raises(UsageError, match=facts("max_bytes_billed, 4,999 bytes; it would read 5,000 … raise the limit")):
        bigquery.check(query.model_copy(update={"max_bytes_billed": 4_999}))


@pytest.mark.parametrize(
    ("status", "text", "kind", "message"),
    [
        (403, "Access Denied: Table t", errors.DeniedError, "bigquery:// … Access Denied … BigQuery Data Viewer"),
        (404, "Not found: Table t", errors.ObjectMissingError, "bigquery:// … does not exist … Correct its name"),
        (401, "Invalid Credentials", errors.NoCredentialsError, "no credentials … GOOGLE_APPLICATION_CREDENTIALS"),
        (400, "Unrecognized name: a", UsageError, "the request is wrong … Unrecognized name: a … Correct it"),
        (500, "Query exceeded limit for bytes billed: 10", UsageError, "at most `max_bytes_billed` … raise the limit"),
    ],
)
def test_a_refusal_says_what_to_do(api, monkeypatch, status, text, kind, message):
    monkeypatch.setattr("pipeline.sources.google.SECONDS", 1.0)
    api.refusal = status, text
    for source in (BigQuery(table="some-project.d.t"), BigQuery(query="SELECT 1")):
        for ask in (bigquery.check, bigquery.start):
            with pytest.raises(kind, match=facts(message)):
                ask(source)


# ---- Spanner: messages alone, since it has no emulator here ----


def results(fields: list[Any], *parts: list[list[Any]]) -> Any:
    """Return the client's result for partial results with these rows."""
    from google.cloud.spanner_v1 import PartialResultSet, ResultSetMetadata, StructType
    from google.cloud.spanner_v1._helpers import _make_value_pb
    from google.cloud.spanner_v1.streamed import StreamedResultSet

    metadata = ResultSetMetadata(row_type=StructType(fields=fields))
    messages = []
    for part in parts:
        message = PartialResultSet.pb()(metadata=ResultSetMetadata.pb(metadata))
        message.values.extend([_make_value_pb(value) for row in part for value in row])
        messages.append(PartialResultSet.wrap(message))
    return StreamedResultSet(iter(messages))


def field(name: str, code: str, inner: str | None = None) -> Any:
    from google.cloud.spanner_v1 import StructType, Type, TypeCode

    element = None if inner is None else Type(code=TypeCode[inner])
    return StructType.Field(name=name, type_=Type(code=TypeCode[code], array_element_type=element))


SOURCE = Spanner(instance="i", database="d", table="t")


def test_rows_of_spanner_become_columns_of_arrow(monkeypatch):
    monkeypatch.setattr(spanner, "_ROWS", 2)
    fields = [
        field("n", "INT64"), field("x", "FLOAT64"), field("b", "BOOL"), field("s", "STRING"), field("d", "DATE"),
        field("t", "TIMESTAMP"), field("m", "NUMERIC"), field("l", "ARRAY", "STRING"),
    ]  # fmt: skip
    when = datetime.datetime(2024, 5, 1, 12, 30, tzinfo=datetime.UTC)
    day, amount = datetime.date(2024, 5, 1), decimal.Decimal("1.5")
    row = [7, 0.5, True, "a", day, when, amount, ["x", "y"]]
    found = list(spanner.batches(results(fields, [row, row], [[None] * 8]), SOURCE))
    assert [each.num_rows for each in found] == [2, 1]
    assert found[0].to_pylist()[0] == dict(zip("nxbsdtml", row, strict=True))
    assert set(found[1].to_pylist()[0].values()) == {None}
    assert [str(each.type) for each in found[0].schema] == [
        "int64", "double", "bool", "string", "date32[day]", "timestamp[us, tz=UTC]", "decimal128(38, 9)",
        "list<item: string>",
    ]  # fmt: skip


def test_a_result_of_spanner_without_rows_has_its_columns():
    [batch] = spanner.batches(results([field("n", "INT64")], []), SOURCE)
    assert (batch.num_rows, batch.schema.names) == (0, ["n"])


def test_a_column_of_spanner_that_a_table_cannot_have_is_named():
    for wrong in ([field("a", "STRUCT")], [field("", "INT64")], [field("a", "INT64"), field("a", "INT64")]):
        with pytest.raises(UsageError, match=facts("spanner://i/d/t: … names, each once … AS or CAST")):
            list(spanner.batches(results(wrong, []), SOURCE))
