"""Real servers of tables on free ports of the loopback interface: crucible for BigQuery, Google's emulator of Bigtable.

They hold the tables of a folder of Parquet files, one table for each file.
"""

import contextlib
import csv
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import object_servers
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

PROJECT, DATASET, INSTANCE = "test-project", "shop", "test-instance"
FAMILY = "f"
_TYPES = {pa.string(): "STRING", pa.int64(): "INT64", pa.float64(): "FLOAT64"}


@contextlib.contextmanager
def bigquery(folder: Path) -> Iterator[dict[str, str]]:
    """Run crucible in the block; yield the environment by which clients find it. `folder` is for its files."""
    port, program = object_servers.free_port(), object_servers.engines().built("crucible")
    environment = os.environ | {"PYTHONPATH": str(program.parents[1])}
    command = [sys.executable, str(program), "serve", "--dialect", "bigquery", "--port", str(port)]
    with object_servers.served(command, port, folder, environment):
        yield {"BIGQUERY_EMULATOR_HOST": f"http://127.0.0.1:{port}", "GOOGLE_CLOUD_PROJECT": PROJECT}


@contextlib.contextmanager
def bigtable(folder: Path) -> Iterator[dict[str, str]]:
    """Run the emulator of Bigtable in the block; yield the environment by which clients find it."""
    port, program = object_servers.free_port(), object_servers.engines().built("bigtable-emulator")
    with object_servers.served(
        [str(program), "-host", "127.0.0.1", "-port", str(port)], port, folder, dict(os.environ)
    ):
        yield {"BIGTABLE_EMULATOR_HOST": f"127.0.0.1:{port}", "GOOGLE_CLOUD_PROJECT": PROJECT}


def load_bigquery(file: Path) -> str:
    """Load a Parquet file into a table of the server in the environment; return its full name."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    client = bigquery.Client(PROJECT, AnonymousCredentials())
    client.create_dataset(DATASET, exists_ok=True)
    rows, name = pq.read_table(file), f"{PROJECT}.{DATASET}.{file.stem}"
    schema = [bigquery.SchemaField(field.name, _TYPES[field.type]) for field in rows.schema]
    text = io.StringIO(newline="")
    csv.writer(text).writerows(zip(*rows.to_pydict().values(), strict=True))
    load = bigquery.LoadJobConfig(schema=schema, source_format="CSV", write_disposition="WRITE_TRUNCATE")
    client.load_table_from_file(io.BytesIO(text.getvalue().encode()), name, job_config=load).result()
    return name


def make_in_bigquery(name: str, select: str) -> str:
    """Make a table of the server in the environment from a query, or replace it; return its full name.

    Loading rows from a file takes the server a millisecond for each.
    """
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    client = bigquery.Client(PROJECT, AnonymousCredentials())
    client.create_dataset(DATASET, exists_ok=True)
    name = f"{PROJECT}.{DATASET}.{name}"
    client.query(f"CREATE OR REPLACE TABLE `{name}` AS {select}").result()
    return name


def load_bigtable(file: Path) -> str:
    """Load a Parquet file into a table of the server in the environment, with row keys in its order; return its id."""
    from google.cloud.bigtable import Client
    from google.cloud.bigtable.data import BigtableDataClient, RowMutationEntry, SetCell

    table = Client(PROJECT, admin=True).instance(INSTANCE).table(file.stem)
    table.create(column_families={FAMILY: None})
    with BigtableDataClient(project=PROJECT) as client, client.get_table(INSTANCE, file.stem) as rows:
        for number, batch in enumerate(pq.ParquetFile(file).iter_batches(10_000)):
            rows.bulk_mutate_rows(
                [
                    RowMutationEntry(
                        f"{number * 10_000 + place:09}",
                        [SetCell(FAMILY, key, str(value).encode()) for key, value in row.items() if value is not None],
                    )
                    for place, row in enumerate(batch.to_pylist())
                ]
            )
    return file.stem


def write_config(folder: Path, data: dict[str, Any]) -> Path:
    """Write a configuration with a section `data`; return its file."""
    features = {"user": {"region": "categorical"}, "item": {"price": "numeric"}}
    file = folder / "shop.yaml"
    file.write_text(yaml.safe_dump({"name": "shop", "run_folder": "run", "data": data, "features": features}))
    return file
