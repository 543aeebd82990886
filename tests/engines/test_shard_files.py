"""Single files on disk, on S3 and on Google Cloud Storage are read and written in the same way."""

import contextlib
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from components.table_example_gen import keys, table
from components.table_example_gen.spec import TableSpec
from core import arrow, events
from core.errors import DataError
from core.storage import errors, shard_files
from core.storage.storage import open_storage
from pipeline.config.data import Spans
from pipeline.sources import tables

NOW = 2_000_000_000


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Return the folder of temporary files, which the test should leave empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def write(file, text):
    with shard_files.writing(file) as partial:
        partial.write_text(text)


def test_a_file_is_read_as_it_was_written(place):
    file = f"{place.location}/deep/er/file.txt"
    for text in ("one", "another one"):
        write(file, text)
        with shard_files.reading(file) as local:
            assert local.read_text() == text
            assert (str(local) == file) == (place.kind == "disk")  # a local file is read without a copy
        assert shard_files.size(file) == len(text)
    assert [each.key for each in open_storage(place.location).entries()] == ["deep/er/file.txt"]


def test_nothing_is_written_if_the_block_fails(place):
    file = f"{place.location}/file"
    write(file, "before")
    with contextlib.suppress(ZeroDivisionError), shard_files.writing(file) as partial:
        partial.write_text(f"half{1 / 0}")
    with shard_files.reading(file) as local:
        assert local.read_text() == "before"
    assert len(open_storage(place.location).entries()) == 1


def test_files_are_listed_by_name_without_hidden_ones_and_folders(place):
    for name in ("b.json", "a.json", "c.txt", ".d.json", "folder/e.json"):
        write(f"{place.location}/{name}", name)
    found = shard_files.listed(place.location, "*.json")
    assert found == [f"{place.location}/a.json", f"{place.location}/b.json"]
    assert shard_files.listed(f"{place.location}/none") == []
    shard_files.delete([*found, f"{place.location}/missing"])
    assert shard_files.listed(place.location) == [f"{place.location}/c.txt"]


def test_several_files_are_read_in_the_order_in_which_they_are_named(place):
    files = [f"{place.location}/{name}" for name in ("x/2", "x/1", "y/1")]
    for file in files:
        write(file, file)
    write(f"{place.location}/x/another", "")
    with shard_files.reading_all(files) as local:
        assert [Path(each).read_text() for each in local] == files
        assert len({Path(each).parent for each in local}) == 2


def test_a_missing_file_is_named(bucket):
    with (
        pytest.raises(errors.ObjectMissingError, match=f"{bucket.location}/none"),
        shard_files.reading(f"{bucket.location}/none"),
    ):
        pass


def test_arrow_files_and_events_are_the_same_bytes_everywhere(place, tmp_path):
    rows = pa.table({"user_id": ["a", "b", "a"], "timestamp": [3, 1, 2]})
    types = {"user_id": pa.string(), "timestamp": pa.int64(), "rating": pa.float32()}
    for folder in (str(tmp_path / "local"), place.location):
        arrow.write_arrow(rows, f"{folder}/table.arrow")
        events.write_events(rows, folder, "train", "00000-of-00001")
        assert arrow.read_arrow(f"{folder}/table.arrow") == rows
        assert events.read_events(folder, "train", types)["timestamp"].to_pylist() == [3, 1, 2]
        with pytest.raises(DataError, match="has no files of events"):
            events.read_events(folder, "eval", types)
    for name in ("table.arrow", "events/train/00000-of-00001.arrow"):
        assert open_storage(place.location).read(name)[0] == (tmp_path / "local" / name).read_bytes()


# ---- tables ----


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_is_checked_and_read_where_it_is_and_errors_name_the_object(bucket, tmp_path, suffix):
    local, there = (f"{folder}/events{suffix}" for folder in (tmp_path, bucket.location))
    rows = pa.table({"user_id": ["a", "b", "a"], "item_id": ["x", "x", "x"], "timestamp": [1, 2, 1]})
    writer = pa.csv.write_csv if suffix == ".csv" else pa.parquet.write_table
    for place in (local, there):
        with shard_files.writing(place) as partial:
            writer(rows, partial)
    spec = TableSpec(table="interactions", features={}, on_duplicate="error")
    [ours, theirs] = [table.check_table([place], spec, NOW)[0] for place in (local, there)]
    [[problem], [of_object]] = ours.problems, theirs.problems
    assert (problem.file, of_object.file) == (local, there)
    assert of_object[1:] == problem[1:]
    assert theirs.report["files"] == [{**ours.report["files"][0], "file": there}]
    kept = pa.concat_tables(table.clean_tables(there, spec, NOW, theirs.repeats[there]))
    assert kept.num_rows == 2
    assert kept == pa.concat_tables(table.clean_tables(local, spec, NOW, ours.repeats[local]))
    assert keys.shards_for([there]) == 1


def test_a_table_that_is_replaced_while_workers_read_it_is_an_error(bucket, tmp_path):
    write(f"{bucket.location}/users.csv", "user_id\n1\n")
    output = f"{bucket.location}/output"

    def read(after):
        found = tables.shared("users", {"users": "*.csv"}, Spans(), bucket.location, output, tmp_path)
        with found as source:
            assert source.files() == [f"{bucket.location}/users.csv"]
            assert source.origins == ()
            after()

    read(lambda: None)
    with pytest.raises(errors.ObjectChangedError, match=r"users\.csv: should stay the same while it is read"):
        read(lambda: write(f"{bucket.location}/users.csv", "user_id\n2\n"))
    open_storage(bucket.location).delete(["users.csv"])
    with pytest.raises(DataError, match=r"no file matches '\*\.csv'"):
        read(lambda: None)
