"""Tables and queries of BigQuery, as Arrow batches.

The credentials are Google's application default credentials; BIGQUERY_EMULATOR_HOST names another server, which is
asked without credentials.
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from core.errors import UsageError
from pipeline.sources import google
from pipeline.sources.reading import Reading
from pipeline.sources.settings import BigQuery

if TYPE_CHECKING:
    import pyarrow as pa

_ROLE = "the roles BigQuery Data Viewer and BigQuery Job User, and to read faster BigQuery Read Session User"
_LISTED = ("TABLE", "SNAPSHOT", "CLONE")  # kinds whose rows can be listed; others, such as views, are queried
_TYPES = {bool: "BOOL", int: "INT64", float: "FLOAT64", str: "STRING"}


def check(source: BigQuery) -> None:
    """Check that the table exists, or that the query could be run within its limit; nothing is billed."""
    with google.explained(source.uri, _ROLE):
        client = _client(source)
        if source.table is not None:
            client.get_table(source.table, retry=_retry(), timeout=google.SECONDS)
        else:
            job = _job(client, source, _text(source), dry_run=True)
            limit, needed = source.max_bytes_billed, job.total_bytes_processed or 0
            if limit is not None and needed > limit:
                raise UsageError(
                    f"{source.uri}: the query should read at most max_bytes_billed, {limit:,} bytes; it would read "
                    f"{needed:,}. Select fewer columns or partitions, or raise the limit"
                )


def start(source: BigQuery) -> Reading:
    """Run the query, or look up the version of the table."""
    with google.explained(source.uri, _ROLE):
        client = _client(source)
        if source.table is not None:
            table = client.get_table(source.table, retry=_retry(), timeout=google.SECONDS)
            if table.table_type in (None, *_LISTED):
                # Rows that are still in the streaming buffer change no version of the table.
                tag = None if table.streaming_buffer else f"{table.etag} {table.modified} {table.num_rows}"
                return Reading(tag, lambda: _batches(client, source, table))
        job = _job(client, source, _text(source))
        job.result(retry=_retry(), timeout=None)
        result = client.get_table(job.destination, retry=_retry(), timeout=google.SECONDS)
        tag = f"{job.destination} {result.etag} {result.modified} {result.num_rows}"
        return Reading(tag, lambda: _batches(client, source, result))


def _batches(client: Any, source: BigQuery, table: Any) -> "Iterator[pa.RecordBatch]":
    """Yield the rows of a table in its order: by the Storage API in one stream, or page by page where it is not."""
    with google.explained(source.uri, _ROLE):
        count = 0
        rows = client.list_rows(table, retry=_retry(), timeout=google.SECONDS)
        for batch in rows.to_arrow_iterable(bqstorage_client=_storage_client(), max_stream_count=1):
            count += 1
            yield batch
        if not count:
            empty = client.list_rows(table, max_results=0, retry=_retry()).to_arrow(create_bqstorage_client=False)
            yield from empty.to_batches() or [_empty(empty.schema)]


def _empty(schema: "pa.Schema") -> "pa.RecordBatch":
    import pyarrow as pa

    return pa.RecordBatch.from_pylist([], schema)


def _text(source: BigQuery) -> str:
    return source.query or f"SELECT * FROM `{source.table}`"


def _job(client: Any, source: BigQuery, text: str, dry_run: bool = False) -> Any:
    """Return the job of a query, started."""
    from google.cloud import bigquery

    settings = bigquery.QueryJobConfig()
    if dry_run:
        settings.dry_run, settings.use_query_cache = True, False
    if source.parameters:
        settings.query_parameters = [
            bigquery.ScalarQueryParameter(name, _TYPES[type(value)], value) for name, value in source.parameters.items()
        ]
    if source.max_bytes_billed is not None:
        settings.maximum_bytes_billed = source.max_bytes_billed
    return client.query(text, job_config=settings, retry=_retry(), timeout=google.SECONDS)


def _client(source: BigQuery) -> Any:
    from google.cloud import bigquery

    project = source.project or (source.table.rsplit(".", 2)[0] if source.table is not None else None)
    if os.environ.get("BIGQUERY_EMULATOR_HOST"):
        from google.auth.credentials import AnonymousCredentials

        project = project or os.environ.get("GOOGLE_CLOUD_PROJECT", "local")
        return bigquery.Client(project, AnonymousCredentials(), location=source.location)
    return bigquery.Client(project, location=source.location)


def _storage_client() -> Any:
    """Return a client of the Storage API; None where only pages can be read."""
    if os.environ.get("BIGQUERY_EMULATOR_HOST"):
        return None
    from google.cloud import bigquery_storage

    return bigquery_storage.BigQueryReadClient()


def _retry() -> Any:
    from google.cloud.bigquery.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(google.SECONDS)
