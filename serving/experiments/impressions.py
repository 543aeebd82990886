"""The items that users were shown, from the logged answers of a store, as a table of impressions."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core import names
from core.files import replacing
from serving.stores.store import Store

SCHEMA = pa.schema(
    {
        names.USER_ID: pa.string(), names.ITEM_ID: pa.string(), names.TIMESTAMP: pa.int64(), "position": pa.int64(),
        "release": pa.string(), "experiment": pa.string(), "arm": pa.string(), "propensity": pa.float64(),
    }
)  # fmt: skip


def write(store: Store, file: Path, since: int = 0) -> int:
    """Write one row per shown item to a Parquet file, oldest first, and return the number of rows.

    An existing file is replaced when all rows are written. Memory holds the rows of one part of the answers.

    Args:
      store: the store.
      file: the file.
      since: the timestamp of the first answers, in seconds.
    """
    rows = 0
    with replacing(file) as partial, pq.ParquetWriter(partial, SCHEMA) as writer:
        for part in store.answer_parts(since):
            table = shown(part)
            writer.write_table(table)
            rows += len(table)
    return rows


def shown(answers: pa.Table) -> pa.Table:
    """Return one row per shown item, with the schema SCHEMA.

    The position is from 1 and counts the items that the request left out by `offset`.

    Args:
      answers: answers, as `serving.stores.logged.ANSWERS`.
    """
    items = answers["items"].combine_chunks()
    lengths = items.value_lengths().to_numpy()
    answer = np.repeat(np.arange(len(items)), lengths)
    index = np.arange(len(answer)) - np.repeat(lengths.cumsum() - lengths, lengths)
    of_answer = answers.drop_columns(["items"]).take(pa.array(answer))
    offset = pc.fill_null(of_answer["offset"], 0).to_numpy()
    columns = {names.ITEM_ID: items.flatten(), "position": pa.array(offset + index + 1, pa.int64())}
    return pa.table({name: columns[name] if name in columns else of_answer[name] for name in SCHEMA.names}, SCHEMA)
