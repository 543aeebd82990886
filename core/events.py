"""The joined events as Arrow files, one per split and shard.

The nodes of the pipeline read these files, since decoding the Examples of the same events takes ten times as long. They
have the events' ids, timestamps, ratings and user features. Features of items are in the catalogue.
"""

from pathlib import Path

import pyarrow as pa

from core import names
from core.arrow import read_arrow, write_arrow
from core.errors import DataError
from core.storage import shard_files, uris


def write_events(events: pa.Table, uri: str | Path, split: str, part: str) -> None:
    """Write the events of one shard of a split. Strings are stored once each.

    Args:
      events: the events.
      uri: the URI of the artifact of EventJoiner.
      split: the split.
      part: the name of the shard; `read_events` reads the shards in the order of their names.
    """
    columns = [
        column.dictionary_encode() if column.type == pa.string() else column
        for column in events.combine_chunks().itercolumns()
    ]
    file = uris.joined(_folder(uri, split), f"{part}.arrow")
    write_arrow(pa.table(columns, names=events.column_names), file, "lz4")


def read_events(uri: str | Path, split: str, types: dict[str, pa.DataType]) -> pa.Table:
    """Return the columns in `types` of the events of a split, in the order of the Examples.

    Args:
      uri: the URI of the artifact of EventJoiner.
      split: the split.
      types: column → type. A column that the events do not have is null.
    Raises:
      DataError: the split has no files.
    """
    files = shard_files.listed(_folder(uri, split), "*.arrow")
    if not files:
        raise DataError(_folder(uri, split), "the folder", "has no files of events", "Run EventJoiner again")
    tables = []
    for table in map(read_arrow, files):
        columns = [
            table[name].cast(type_) if name in table.column_names else pa.nulls(table.num_rows, type_)
            for name, type_ in types.items()
        ]
        tables.append(pa.table(columns, schema=pa.schema(types)))
    return pa.concat_tables(tables)


def _folder(uri: str | Path, split: str) -> str:
    """Return the folder of the files of a split."""
    return uris.joined(uri, names.EVENTS_FOLDER, split)
