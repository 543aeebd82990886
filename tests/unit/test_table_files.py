"""Errors of table files that cannot be read: each names the problem and what to do."""

import os

import numpy as np
import pyarrow as pa
import pytest
from facts import lacking
from tables_of_tests import EVENTS, GOOD, HEADER, ITEMS, events, put, read, refused

from components.table_example_gen import files
from components.table_example_gen.spec import TableSpec

BAD_FILES = {
    "empty": ("e.csv", b"", "the file", "is empty (0 bytes)", "Deliver it again"),
    "blank": ("e.csv", b"\n\n", "the file", "only blank lines", "Deliver it again"),
    "header only": ("e.csv", HEADER, "the table", "has columns but no rows", "no rows"),
    "half a header": ("e.csv", HEADER.strip(), "the table", "has columns but no rows", "no rows"),
    "no rows": ("e.parquet", events().slice(0, 0), "the table", "has columns but no rows", "no rows"),
    "no header": ("e.csv", GOOD * 2, "the header", "seems to have no header: its first line is '1,2,880", "names of"),
    "other names": (
        "e.csv",
        "a,b\nx,y\n",
        "the header",
        "'user_id', 'item_id', 'timestamp', 'rating' in 'a,b'",
        "Name",
    ),
    "other separator": ("e.csv", HEADER.replace(",", ";"), "the header", "';'", "`data.interactions.separator`"),
    "case": (
        "e.csv",
        HEADER.replace("user_id", "UserID"),
        "the header",
        "'UserID'",
        "{user_id: UserID}",
    ),
    "missing": (
        "e.csv",
        "user_id,item_id,timestamp\n",
        "the header",
        "no column 'rating'",
        "data.interactions.columns",
    ),
    "missing in parquet": ("e.parquet", events().drop(["rating"]), "its columns", "no column 'rating'", "columns`"),
    "twice": ("e.csv", "user_id," + HEADER, "the header", "'user_id' … 2 times", "Rename"),
    "open quote": (
        "e.csv",
        HEADER + GOOD + '1,"2,3,4\n' + GOOD,
        "line 3",
        "quote",
        "truncated",
    ),
    "open last quote": ("e.csv", HEADER + GOOD + '1,2,3,"4\n', "line 3", "quote", "truncated"),
    "cut row": ("e.csv", HEADER + GOOD + "1,2", "line 3", "2 fields … header has 4", "last line"),
    "utf-16": ("e.csv", HEADER.encode("utf-16"), "the file", "UTF-16", "UTF-8"),
    "no parquet": (
        "e.parquet",
        b"PAR1\x15 and then nothing of use",
        "the file",
        "Parquet",
        "copy or export",
    ),
    "gzip as csv": ("e.csv", b"\x1f\x8b\x08" + b"x" * 20, "the file", "gzip … CSV", "Unpack"),
    "parquet as csv": ("e.csv", b"PAR1\x15" + b"x" * 20, "the file", "Parquet … CSV", "export"),
    "excel as csv": ("e.csv", b"PK\x03\x04" + b"x" * 20, "the file", "Excel … CSV", "export"),
    "page as csv": ("e.csv", "<!DOCTYPE html><html>", "the file", "HTML … CSV", "export"),
    "csv as parquet": ("e.parquet", HEADER + GOOD, "the file", "text … CSV … Parquet", "extension"),
    "json as parquet": (
        "e.parquet",
        '{"user_id": 1}',
        "the file",
        "text … CSV … Parquet",
        "extension",
    ),
    "pointer": ("e.parquet", "version https://git-lfs.github.com/spec/v1\n", "the file", "Git LFS", "export"),
    "ending": ("e.xlsx", b"x", "its name", "'.xlsx'", ".csv, .tsv, .txt or .parquet"),
}


@pytest.mark.parametrize(("name", "content", "place", "found", "todo"), BAD_FILES.values(), ids=list(BAD_FILES))
def test_bad_file(tmp_path, name, content, place, found, todo):
    path = put(tmp_path, name, content)
    for policy in ("error",) if found.endswith("has 4") else ("error", "drop"):
        message = refused(path, EVENTS.model_copy(update={"on_invalid": policy}))
        assert message.startswith(f"{path}: {place}: ")
        assert lacking(message, f"{found} … {todo}") == []


def test_truncated_parquet(tmp_path):
    whole = put(tmp_path, "whole.parquet", events()).read_bytes()
    assert "magic bytes" in refused(put(tmp_path, "e.parquet", whole[:-20]), EVENTS)
    damaged = whole[:4] + b"\x15" * 60 + whole[64:]
    assert lacking(refused(put(tmp_path, "d.parquet", damaged), EVENTS), "d.parquet: … Parquet") == []


def test_what_is_no_regular_file_is_never_opened(tmp_path):
    for name in ("e.csv", "e.parquet"):
        os.mkfifo(tmp_path / name)  # opening a FIFO would block until a writer opens it
        assert lacking(refused(tmp_path / name, EVENTS), f"{tmp_path / name}: … FIFO") == []
    os.symlink("/dev/zero", tmp_path / "zero.csv")
    assert "character device" in refused(tmp_path / "zero.csv", EVENTS)
    (tmp_path / "x.parquet").mkdir()
    assert lacking(refused(tmp_path / "x.parquet", EVENTS), "folder … `x.parquet/*.parquet`") == []


def test_a_number_of_a_vector_that_is_no_number(tmp_path):
    spec = TableSpec(table="items", features={"picture": {"kind": "embedding", "size": 2}})
    for lists in (pa.list_(pa.float32()), pa.list_(pa.float64(), 2), pa.large_list(pa.float64())):
        number = lists.value_type.to_pandas_dtype()
        rows = [[1, 2], [np.nan, 1], [0, 0], [np.inf, 0]]
        picture = pa.array([[number(value) for value in row] for row in rows], lists)
        path = put(tmp_path, "i.parquet", pa.table({"item_id": ["1", "2", "3", "4"], "picture": picture}))
        message = refused(path, spec)
        assert f"{path}: row 2, column 'picture': [nan, 1.0]" in message
        assert lacking(message, "row 4, column 'picture': [inf, 0.0] … too large") == []
    path = put(tmp_path, "i.csv", "item_id,picture\n1,1|2\n2,NaN|1\n")
    assert f"{path}: line 3, column 'picture': 'NaN|1'" in refused(path, spec)


def test_a_feature_without_any_value(tmp_path):
    for content in ("item_id,genres,year,maker,title\n1,,NaN,x,\n2,a,null,y,\n", None):
        if content is None:
            columns = {"item_id": ["1"], "genres": [["a"]], "year": pa.nulls(1), "maker": ["x"], "title": ["t"]}
            path = put(tmp_path, "i.parquet", pa.table(columns))
        else:
            path = put(tmp_path, "i.csv", content)
        assert lacking(refused(path, ITEMS), f"{path}: … 'year' … items … no value") == []


def test_rows_are_dropped_up_to_a_share(tmp_path):
    rows = [f"u{n},i,{n},3" for n in range(100)]
    path = put(tmp_path, "e.csv", HEADER + "\n".join([*rows[:95], *["u,i,x,3"] * 4, rows[0]]) + "\n")
    spec = EVENTS.model_copy(update={"on_invalid": "drop", "on_duplicate": "drop", "max_dropped": 0.05})
    assert read(path, spec)[1]["dropped_share"] == 0.05
    message = refused(path, spec.model_copy(update={"max_dropped": 0.049}))
    assert lacking(message, "5 of 100 rows … 5.00% … 1 duplicate, 4 not_a_time") == []
    assert lacking(message, "`data.interactions.max_dropped` … 0.049") == []


def test_a_header_may_begin_as_other_formats_do(tmp_path):
    for column in ("ORC", "PAR1", "BZh", "{id}", "[id]"):
        path = put(tmp_path, "u.csv", f"{column},user_id\n1,2\n")
        assert read(path, TableSpec(table="users"))[0].num_rows == 1


def test_missing_file(tmp_path):
    assert "No such file" in refused(tmp_path / "e.csv", EVENTS)


def test_a_quote_mark_inside_a_field_is_no_open_quote(tmp_path):
    path = put(tmp_path, "i.csv", 'item_id,genres,year,maker,title\n1,a,1,x,5" disk\n')
    assert read(path, ITEMS)[0]["title"].to_pylist() == ['5" disk']


def test_a_quote_that_swallows_a_large_file(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_BLOCK", 1 << 12)
    path = put(tmp_path, "e.csv", HEADER + GOOD + '1,"2,3,4\n' + "1,2,3,4\n" * 20_000)
    assert f"{path}: line 3: " in refused(path, EVENTS)
