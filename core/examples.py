"""Conversion of Arrow tables to files of tf.Examples and back, by column."""

import os
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.errors import DataError
from core.storage import shard_files

_SLICE = 1 << 14  # rows encoded at once, which bounds memory
_GZIP_LEVEL = 1  # half the time of the default level, for a quarter more bytes


def split_folder(uri: str, split: str) -> str:
    """Return the folder of `split` in an Examples artifact, in the layout of TFX."""
    return os.path.join(uri, f"Split-{split}")


def shard_path(uri: str, split: str, shard: int, shards: int) -> str:
    """Return the file of one shard of `split`, named as in TFX."""
    return os.path.join(split_folder(uri, split), f"data_tfrecord-{shard:05d}-of-{shards:05d}.gz")


def files(uri: str, split: str) -> list[str]:
    """Return the files of `split`, sorted by name; hidden files, which are incomplete, are left out.

    Raises:
      DataError: there are none.
    """
    folder = split_folder(uri, split)
    found = shard_files.listed(folder)
    if not found:
        raise DataError(folder, "the folder", "has no files of Examples", "Run the component that writes them again")
    return found


def write_examples(table: pa.Table | Iterable[pa.Table], path: str | os.PathLike) -> int:
    """Write a table, or several tables one after the other, as one gzipped TFRecord file.

    A null becomes an absent feature. The file gets its name only when it is complete.

    Args:
      table: columns of strings, bytes, integers or floats, or of lists of these.
      path: the path or URI of the file; its folder is created.

    Returns:
      The number of rows.

    Raises:
      DataError: a column has an unsupported type.
    """
    import core.tf  # noqa: F401

    import tensorflow as tf
    from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

    options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=_GZIP_LEVEL)
    encoder, rows = RecordBatchToExamplesEncoder(), 0
    with shard_files.writing(os.fspath(path)) as partial, tf.io.TFRecordWriter(str(partial), options) as writer:
        for batch in _slices([table] if isinstance(table, pa.Table) else table):
            for record in encoder.encode(batch):
                writer.write(record)
            rows += batch.num_rows
    return rows


def read_examples(uri: str, split: str, types: dict[str, pa.DataType]) -> pa.Table:
    """Return the columns in `types` of all files of a split, in the order of file names and rows.

    Args:
      uri: the URI of the Examples artifact.
      split: the split.
      types: column → `string`, `binary`, an integer or a float type, or a list of one of these.

    Returns:
      A table of exactly these columns and types. A missing scalar is null, a missing list is empty.

    Raises:
      DataError: the split has no files, or a column has several values in a row or another type.
    """
    return read_files(files(uri, split), types)


def read_files(paths: list[str], types: dict[str, pa.DataType]) -> pa.Table:
    """Return the columns in `types` of some files, as `read_examples` does."""
    return pa.Table.from_batches(read_batches(paths, types), schema=pa.schema(types))


def read_batches(paths: list[str], types: dict[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
    """Yield batches of the columns in `types` of some files, as `read_files` does."""
    folder = os.path.dirname(paths[0])
    schema = pa.schema(types)
    for decoded in read_encoded(paths, _SLICE, types):
        columns = [_unwrapped(decoded.column(name), name, type_, folder) for name, type_ in types.items()]
        yield pa.record_batch(columns, schema=schema)


def read_encoded(paths: list[str], rows: int, types: dict[str, pa.DataType] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield batches of `rows` rows of some files, each column a list of int64, float32 or binary.

    Args:
      paths: the paths or URIs of files of Examples.
      rows: the number of rows of a batch.
      types: the columns to read, as in `read_examples`; None for those that a batch has.

    Raises:
      DataError: a file cannot be read, or a column has another type.
    """
    import core.tf  # noqa: F401

    import tensorflow as tf
    from tensorflow_metadata.proto.v0 import schema_pb2
    from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

    kinds = {"int": schema_pb2.INT, "float": schema_pb2.FLOAT, "bytes": schema_pb2.BYTES}
    features = [schema_pb2.Feature(name=name, type=kinds[_kind(type_)]) for name, type_ in (types or {}).items()]
    schema = None if types is None else schema_pb2.Schema(feature=features).SerializeToString()
    decoder = ExamplesToRecordBatchDecoder(schema)
    with shard_files.reading_all(paths) as local:
        records = tf.data.TFRecordDataset(local, compression_type="GZIP", buffer_size=1 << 20).batch(rows).prefetch(2)
        serialized = records.as_numpy_iterator()
        while True:
            try:
                encoded = next(serialized, None)
                if encoded is None:
                    return
                decoded = decoder.DecodeBatch(encoded.tolist())
            except (RuntimeError, tf.errors.OpError) as error:
                folder = os.path.dirname(paths[0])
                todo = "Check the requested types" if types else "Run the component that writes them again"
                raise DataError(folder, "its Examples", f"cannot be decoded: {error}", todo) from error
            yield decoded


def _kind(type_: pa.DataType) -> str:
    """Return the kind in which a tf.Example stores values of `type_`: `int`, `float` or `bytes`."""
    if _is_list(type_):
        type_ = type_.value_type
    if pa.types.is_integer(type_):
        return "int"
    if pa.types.is_floating(type_):
        return "float"
    if type_ in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary()):
        return "bytes"
    raise DataError("Examples", f"type {type_}", "cannot be stored", "Use strings, integers, floats, or lists of them")


def _is_list(type_: pa.DataType) -> bool:
    """Return whether a type is a list."""
    return pa.types.is_list(type_) or pa.types.is_large_list(type_)


# ---- writing ----


def _slices(tables: Iterable[pa.Table]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of `tables` in batches whose columns are lists, as the encoder requires."""
    for table in tables:
        for batch in table.to_batches(max_chunksize=_SLICE):
            yield pa.record_batch([_wrapped(column) for column in batch.columns], names=batch.schema.names)


_STORED = {"int": pa.int64(), "float": pa.float32(), "bytes": pa.large_binary()}


def _wrapped(column: pa.Array) -> pa.Array:
    """Return a column as a column of lists, with the type in which a tf.Example stores the values."""
    stored = _STORED[_kind(column.type)]
    if _is_list(column.type):
        return column.cast(pa.large_list(stored))
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(valid)])
    values = column.cast(stored, safe=_kind(column.type) != "float").drop_null()
    mask = pa.array(~valid) if column.null_count else None
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values, mask=mask)


# ---- reading ----


def _unwrapped(column: pa.Array, name: str, type_: pa.DataType, folder: str) -> pa.Array:
    """Return a column of the decoder, which has lists only, in the requested type. Raises: DataError."""
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    values = column.flatten()
    if _is_list(type_):
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int64())
        return pa.LargeListArray.from_arrays(offsets, values).cast(type_)
    if lengths.max(initial=0) > 1:
        row, count = int(lengths.argmax()), int(lengths.max())
        found = f"{count} values in one row (such as {values[int(lengths[:row].sum())].as_py()!r})"
        raise DataError(folder, f"column {name!r}", found, "Request a list, or write one value per row")
    first = pa.array(np.cumsum(lengths) - lengths, mask=lengths == 0)
    return values.take(first).cast(type_)
