"""The conversion of Arrow tables to tf.Examples and back."""

import core.tf  # noqa: F401

import numpy as np
import pyarrow as pa
import pytest
from facts import facts

from core import examples
from core.errors import DataError

TABLE = pa.table(
    {
        "id": ["a", "ü", None],
        "raw": pa.array([b"\xff", None, b""], pa.binary()),
        "count": pa.array([1, None, -(2**40)], pa.int64()),
        "score": pa.array([0.5, None, float("-inf")], pa.float32()),
        "tags": pa.array([["x", "y"], [], ["z"]], pa.list_(pa.string())),
        "sizes": pa.array([[1], [2, 3], []], pa.large_list(pa.int64())),
        "vector": pa.array([[1.0], [], [2.0, 3.0]], pa.list_(pa.float32())),
    }
)
TYPES = dict(zip(TABLE.schema.names, TABLE.schema.types, strict=True))


def write(table, uri, shard=0, shards=1):
    return examples.write_examples(table, examples.shard_path(str(uri), "all", shard, shards))


def test_what_is_written_is_read(tmp_path):
    assert write(TABLE, tmp_path) == 3
    assert examples.read_examples(str(tmp_path), "all", TYPES).equals(TABLE)
    assert [path.name for path in tmp_path.rglob("*.gz")] == ["data_tfrecord-00000-of-00001.gz"]


def test_a_null_is_an_absent_feature(tmp_path):
    import tensorflow as tf

    write(TABLE.slice(1, 1), tmp_path)
    (path,) = tmp_path.rglob("*.gz")
    (record,) = tf.data.TFRecordDataset(str(path), compression_type="GZIP").as_numpy_iterator()
    features = tf.train.Example.FromString(record).features.feature
    assert features["id"].bytes_list.value == ["ü".encode()]
    assert not [name for name in ("count", "score", "raw") if features[name].WhichOneof("kind")]


def test_rows_keep_their_order_over_batches_and_files(tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "_SLICE", 7)
    values = pa.table({"n": pa.array(np.arange(100))})
    write(values.slice(60), tmp_path, shard=1, shards=2)
    assert write((values.slice(n, 20) for n in (0, 20, 40)), tmp_path, shard=0, shards=2) == 60
    assert examples.read_examples(str(tmp_path), "all", {"n": pa.int64()}).equals(values)


def test_other_widths_are_cast(tmp_path):
    table = pa.table({"i": pa.array([1, None], pa.int8()), "f": [0.1, None], "l": pa.array([["x"], None])})
    write(table, tmp_path)
    types = {"f": pa.float32(), "i": pa.int32(), "l": pa.list_(pa.string())}
    read = examples.read_examples(str(tmp_path), "all", types)
    assert read.to_pydict() == {"f": [np.float32(0.1), None], "i": [1, None], "l": [["x"], []]}
    assert dict(zip(read.schema.names, read.schema.types, strict=True)) == types


def test_absent_columns_are_null_or_empty(tmp_path):
    write(TABLE, tmp_path)
    read = examples.read_examples(str(tmp_path), "all", {"no": pa.float32(), "none": pa.list_(pa.string())})
    assert read.to_pydict() == {"no": [None] * 3, "none": [[]] * 3}


def test_no_rows(tmp_path):
    assert write(TABLE.slice(0, 0), tmp_path) == 0
    assert examples.read_examples(str(tmp_path), "all", TYPES).equals(TABLE.slice(0, 0))


def test_a_failure_leaves_no_file(tmp_path):
    def tables():
        yield TABLE
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        write(tables(), tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_cannot_be_stored_or_read_is_an_error(tmp_path):
    with pytest.raises(DataError, match="type bool"):
        write(pa.table({"x": [True]}), tmp_path)
    with pytest.raises(DataError, match=facts("Split-all: … Examples")):
        examples.read_examples(str(tmp_path), "all", TYPES)
    write(TABLE, tmp_path)
    with pytest.raises(DataError, match=facts("column 'tags' … 2 values … b'x'")):
        examples.read_examples(str(tmp_path), "all", {"tags": pa.string()})
    with pytest.raises(DataError, match="decoded"):
        examples.read_examples(str(tmp_path), "all", {"id": pa.int64()})
