"""The Arrow types of the columns of interactions, and Arrow files and streams."""

from pathlib import Path

import pyarrow as pa

from core import names
from core.storage import shard_files

STRINGS = pa.list_(pa.string())


def event_types(has_rating: bool) -> dict[str, pa.DataType]:
    """Return the types of the columns of the interactions table."""
    types = {names.USER_ID: pa.string(), names.ITEM_ID: pa.string(), names.TIMESTAMP: pa.int64()}
    return types | ({names.RATING: pa.float32()} if has_rating else {})


def read_arrow(path: str | Path) -> pa.Table:
    """Return the table of an Arrow file at a path or a URI, mapped into memory."""
    with shard_files.reading(path) as file:
        return pa.ipc.open_file(pa.memory_map(str(file))).read_all()


def write_arrow(table: pa.Table, path: str | Path, compression: str | None = None) -> None:
    """Write a table to an Arrow file at a path or a URI. A file without compression is read without a copy."""
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with (
        shard_files.writing(path) as partial,
        pa.OSFile(str(partial), "wb") as file,
        pa.ipc.new_file(file, table.schema, options=options) as writer,
    ):
        writer.write_table(table)


def pack(table: pa.Table) -> bytes:
    """Return a table as a compressed Arrow stream, which Beam holds in a third of the memory of the table."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def unpack(stream: bytes) -> pa.Table:
    """Return the table that `pack` packed."""
    return pa.ipc.open_stream(stream).read_all()
