"""Tables from buckets, BigQuery and Bigtable, on real servers: the same rows as from local Parquet files."""

import datetime
import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import table_servers
from facts import facts
from object_servers import BUCKET

from core.errors import UsageError
from core.examples import read_encoded
from core.storage import errors
from core.storage.storage import open_storage
from pipeline import config
from pipeline.cli import main
from pipeline.config import paths
from pipeline.runners.compiled.staging import Staging
from pipeline.sources import reading
from pipeline.sources.settings import BigQuery, Bigtable, SourceSettings

ROWS, USERS, ITEMS = 100_000, 2_000, 500
START = 1_700_000_000  # the first timestamp
SECONDS = 300  # for a run until the join
KINDS = ("s3", "gs", "bigquery", "bigtable")
TABLES = ("interactions", "users", "items")
COLUMNS = {
    "interactions": ("user_id", "item_id", "timestamp", "rating"),
    "users": ("user_id", "region"),
    "items": ("item_id", "price"),
}


# The interactions of `tables_of_test` in SQL.
INTERACTIONS = f"""
SELECT CONCAT('u', CAST(MOD(n * 7919, {USERS}) AS STRING)) AS user_id,
  CONCAT('i', CAST(MOD(n * n * 31, {ITEMS}) AS STRING)) AS item_id,
  {START} + n * 97 AS timestamp, (MOD(n, 9) + 2) / 2 AS rating
FROM UNNEST(GENERATE_ARRAY(0, {ROWS - 1})) AS n ORDER BY timestamp
"""


def tables_of_test() -> dict[str, pa.Table]:
    draw, rows = np.random.default_rng(3), np.arange(ROWS)
    return {
        "interactions": pa.table(
            {
                "user_id": [f"u{n}" for n in rows * 7919 % USERS],
                "item_id": [f"i{n}" for n in rows * rows * 31 % ITEMS],
                "timestamp": START + rows * 97,
                "rating": (rows % 9 + 2) / 2,
            }
        ),
        "users": pa.table(
            {"user_id": [f"u{n}" for n in range(USERS)], "region": draw.choice(["nord", "süd", "öst"], USERS)}
        ),
        "items": pa.table(
            {"item_id": [f"i{n}" for n in range(ITEMS)], "price": np.round(draw.lognormal(1, 1, ITEMS), 2)}
        ),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the tables as Parquet files."""
    folder = tmp_path_factory.mktemp("tables")
    for name, table in tables_of_test().items():
        pq.write_table(table, folder / f"{name}.parquet")
    return folder


@pytest.fixture(scope="module")
def sources(folder: Path, servers: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Return kind of source → the section `data` of a configuration; the servers run and hold the tables."""
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        environment = {name: value for server in servers.values() for name, value in server.environment().items()}
        for start in (table_servers.bigquery, table_servers.bigtable):
            environment |= stack.enter_context(start(tmp_path_factory.mktemp(start.__name__)))
        for name, value in environment.items():
            patch.setenv(name, value)
        found: dict[str, Any] = {"local": {"root": str(folder)}}
        for scheme in ("s3", "gs"):
            found[scheme] = {"root": f"{scheme}://{BUCKET}/tables"}
            open_storage(f"{scheme}://{BUCKET}/tables").upload(folder, "")
        names = {"interactions": table_servers.make_in_bigquery("interactions", INTERACTIONS)}
        names |= {table: table_servers.load_bigquery(folder / f"{table}.parquet") for table in ("users", "items")}
        found["bigquery"] = {table: {"bigquery": {"table": name}} for table, name in names.items()}
        found["bigtable"] = {}
        for table in TABLES:
            cells = {column: f"{table_servers.FAMILY}:{column}" for column in COLUMNS[table]}
            name = table_servers.load_bigtable(folder / f"{table}.parquet")
            source = {"instance": table_servers.INSTANCE, "table": name, "columns": cells}
            found["bigtable"][table] = {"bigtable": source}
        yield found


@pytest.fixture
def write(tmp_path: Path, cache: Path) -> Any:
    """Return `table_servers.write_config` for the folder of the test, whose cache is empty."""
    return functools.partial(table_servers.write_config, tmp_path)


def command(*words: str | Path, code: int = 0) -> tuple[str, str]:
    """Run a command of twostep in a process of its own; return its stdout and stderr."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    line = [sys.executable, "-m", "pipeline.cli", *map(str, words)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout, done.stderr


def comparable(run: Path) -> dict[str, Any]:
    """Return node and file → the columns of its Examples; their bytes differ in the order of features."""
    found = {}
    for node in ("InteractionGen", "UserGen", "ItemGen", "EventJoiner"):
        folder = run / "pipeline" / node / "examples"
        for file in sorted(folder.rglob("*.gz")):
            batches = read_encoded([str(file)], 1 << 20)
            name = "/".join(file.relative_to(folder).parts[1:])
            found[f"{node}/{name}"] = [{key: batch[key] for key in sorted(batch.schema.names)} for batch in batches]
    return found


def recorded(file: Path) -> dict[str, dict[str, Any]]:
    """Return the name of each source in the metadata of the run → its record."""
    store = paths.metadata_database(config.load(file)).open()
    texts = [each.custom_properties["sources"].string_value for each in store.get_artifacts_by_type("Examples")]
    return {source["file"]: source for text in texts if text for source in json.loads(text)}


@pytest.fixture(scope="module")
def local(sources, tmp_path_factory):
    """Return the outputs of a run from the local files."""
    file = table_servers.write_config(tmp_path_factory.mktemp("local"), sources["local"])
    command("run", file, "--until", "EventJoiner")
    return comparable(file.parent / "run")


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_makes_the_same_examples_as_from_local_files_and_is_cached(kind, sources, local, write):
    file = write(sources[kind])
    command("run", file, "--until", "EventJoiner")
    made = comparable(file.parent / "run")
    assert made.keys() == local.keys()
    assert len(made["InteractionGen/Split-all/data_tfrecord-00000-of-00001.gz"][0]["user_id"]) == ROWS
    for name in made:
        assert made[name] == local[name], name
    found = recorded(file)
    assert {name: each["rows"] for name, each in found.items()} == {
        origin(kind, table): rows for table, rows in zip(TABLES, (ROWS, USERS, ITEMS), strict=True)
    }
    assert all(len(each["sha256"]) == 64 for each in found.values())
    nodes = json.loads(command("run", file, "--until", "EventJoiner", "--json")[0])["nodes"]
    assert {each["state"] for each in nodes if each["node"] in ("InteractionGen", "UserGen", "ItemGen")} == {"cached"}


def origin(kind: str, table: str) -> str:
    """Return the name of a table in the lineage."""
    return {
        "bigquery": f"bigquery://{table_servers.PROJECT}.{table_servers.DATASET}.{table}",
        "bigtable": f"bigtable://{table_servers.INSTANCE}/{table}",
    }.get(kind, f"{kind}://{BUCKET}/tables/{table}.parquet")


@pytest.mark.parametrize("kind", KINDS)
def test_a_check_reads_all_rows_and_a_check_of_the_configuration_none(kind, sources, write, cache, capsys):
    file = write(sources[kind])
    assert main(["config", "check", str(file)]) == 0
    assert not cache.exists()
    assert main(["data", "check", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.partition("{")[2].join(["{", ""]))
    assert {each["table"]: each["rows"] for each in told["tables"]} == dict(
        zip(TABLES, (ROWS, USERS, ITEMS), strict=True)
    )


def test_a_dry_run_reads_no_table(sources, write, cache):
    told = json.loads(command("run", write(sources["s3"]), "--dry-run", "--json")[0])
    assert told["tables"]["users"] == {"pattern": "users.parquet", "files": 1, "spans": []}
    assert not cache.exists()


@pytest.mark.parametrize("kind", ["s3", "bigquery"])
def test_a_compiled_task_reads_the_same_source(kind, sources, cache, tmp_path):
    locations = {"users": "users.parquet"} if kind == "s3" else sources[kind]
    parameters = {
        "input_base": f"s3://{BUCKET}/tables",
        "input_config": json.dumps({"splits": [{"name": "all", "pattern": "users"}]}),
        "custom_config": json.dumps({"custom_config": {"@type": "x", "value": {}}}),
    }
    Staging(tmp_path / "task", None, []).stage_parameters(parameters, {"tables": json.dumps({"users": locations})})
    [pattern] = [each["pattern"] for each in json.loads(parameters["input_config"])["splits"]]
    assert pq.read_table(Path(parameters["input_base"]) / pattern) == tables_of_test()["users"]
    assert Path(parameters["input_base"]).is_relative_to(tmp_path / "task")
    assert json.loads(parameters["custom_config"])["custom_config"]["value"] == {"origins": [origin(kind, "users")]}


# ---- BigQuery and Bigtable ----


def rows_of(source: SourceSettings) -> pa.Table:
    [file] = reading.fetch({"users": source})["users"].files()
    return pq.read_table(file)


def test_a_query_is_read_and_a_changed_table_is_read_again(sources, cache):
    name = table_servers.make_in_bigquery("changing", "SELECT 1 AS n, 'a' AS t, DATE '2024-05-01' AS d, [1, 2] AS l")
    table = BigQuery(table=name)
    first = rows_of(table)
    assert first.to_pylist() == [{"n": 1, "t": "a", "d": datetime.date(2024, 5, 1), "l": [1, 2]}]
    before = {path: path.stat().st_ino for path in cache.rglob("*.parquet")}
    assert rows_of(table) == first
    assert {path: path.stat().st_ino for path in cache.rglob("*.parquet")} == before
    table_servers.make_in_bigquery("changing", "SELECT 2 AS n")
    assert rows_of(table).to_pylist() == [{"n": 2}]
    query = BigQuery(query=f"SELECT n + 1 AS m FROM `{name}`", project=table_servers.PROJECT)
    assert rows_of(query).to_pylist() == [{"m": 3}]
    empty = BigQuery(query=f"SELECT n FROM `{name}` WHERE n > 5", project=table_servers.PROJECT)
    assert (rows_of(empty).num_rows, rows_of(empty).column_names) == (0, ["n"])


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        (
            BigQuery(table="test-project.shop.none"),
            errors.ObjectMissingError,
            "bigquery://test-project.shop.none: … name",
        ),
        (BigQuery(query="SELEC 1"), UsageError, "bigquery://default/query/ … Syntax error … Correct it"),
        (BigQuery(query="SELECT nope FROM `test-project.shop.users`"), UsageError, "Unrecognized name: nope"),
        (Bigtable(instance="x", table="none", row_key="k"), errors.ObjectMissingError, "bigtable://x/none: … name"),
        (
            Bigtable(instance=table_servers.INSTANCE, table="users", columns={"a": "f:a", "b": "g:region"}),
            UsageError,
            "found none of a: f:a, b: g:region. Correct `columns`",
        ),
    ],
)
def test_a_wrong_source_is_an_error_with_its_name(source, kind, message, sources, cache):
    with pytest.raises(kind, match=facts(message)):
        reading.fetch({"users": source})
    assert not list(cache.rglob("*.parquet"))


def test_a_sparse_table_of_bigtable_has_a_row_for_each_key(sources, cache):
    from google.cloud.bigtable import Client
    from google.cloud.bigtable.data import BigtableDataClient, RowMutationEntry, SetCell

    Client(table_servers.PROJECT, admin=True).instance("sparse").table("t").create(
        column_families={"f": None, "g": None}
    )
    with BigtableDataClient(project=table_servers.PROJECT) as client:
        client.get_table("sparse", "t").bulk_mutate_rows(
            [
                RowMutationEntry("k1", [SetCell("f", "a", b"1", 1000), SetCell("f", "a", b"2", 2000)]),
                RowMutationEntry("k2", [SetCell("f", "other", b"3"), SetCell("g", "a", b"4")]),
                RowMutationEntry("k3", [SetCell("f", "b.c", b"5"), SetCell("f", "bxc", b"6")]),
            ]
        )
    keyed = Bigtable(instance="sparse", table="t", row_key="id", columns={"a": "f:a", "b": "f:b.c"})
    assert rows_of(keyed).to_pylist() == [
        {"id": b"k1", "a": b"2", "b": None},
        {"id": b"k2", "a": None, "b": None},
        {"id": b"k3", "a": None, "b": b"5"},
    ]
    keys = Bigtable(instance="sparse", table="t", row_key="id")
    assert rows_of(keys)["id"].to_pylist() == [b"k1", b"k2", b"k3"]
    two = Bigtable(instance="sparse", table="t", columns={"a": "g:a"})
    assert rows_of(two).to_pylist() == [{"a": b"4"}]
