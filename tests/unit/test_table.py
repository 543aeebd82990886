"""Reading the file of a table: valid input, and errors that name file, row, column, value and what to do."""

from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pytest
from facts import lacking
from tables_of_tests import EVENTS, GOOD, HEADER, ITEMS, NOW, events, put, read, refused

from components.table_example_gen import files
from components.table_example_gen.spec import TableSpec

# ---- valid input ----


def test_csv_and_parquet_of_the_same_table_are_the_same(tmp_path):
    text = 'item_id,genres,year,maker,title,junk\n1,a||b|c,1995,x,One,?\n2,,,,,?\n3,d,NaN,x,"Th|ree, ""3""\n(2)",?\n'
    columns = {
        "item_id": pa.array([1, 2, 3], pa.int32()),
        "genres": [["a", "", "b", "c"], None, ["d"]],
        "year": pa.array([1995, None, None], pa.int16()),
        "maker": pa.array(["x", "", "x"]).dictionary_encode(),
        "title": pa.array(["One", None, 'Th|ree, "3"\n(2)'], pa.large_string()),
        "junk": [[1], [2], [3]],
    }
    from_csv, report = read(put(tmp_path, "items.csv", text), ITEMS)
    from_parquet, _ = read(put(tmp_path, "items.parquet", pa.table(columns)), ITEMS)
    assert from_csv.equals(from_parquet)
    assert dict(zip(from_csv.schema.names, from_csv.schema.types, strict=True)) == ITEMS.types()
    assert from_csv.to_pydict() == {
        "item_id": ["1", "2", "3"],
        "genres": [["a", "b"], None, ["d"]],
        "year": [1995.0, None, None],
        "maker": ["x", None, "x"],
        "title": ["One", None, 'Th|ree, "3"\n(2)'],
    }
    assert report["ignored_columns"] == ["junk"]


@pytest.mark.parametrize(
    "values",
    [
        ["880606923", "1970-01-02"],
        [" 880606923 ", "86400.0"],
        ["1997-11-27T05:02:03Z", "1970-01-02 00:00"],
        ["1997-11-27T07:02:03.250+02:00", "1970-01-02T00:00:00.999999999"],
        [880606923, 86400],
        [880606923.0, 86400.0],
        [datetime(1997, 11, 27, 5, 2, 3, tzinfo=UTC), datetime(1970, 1, 2, tzinfo=UTC)],
        pa.array([880606923_999, 86400_000], pa.timestamp("ms")),
        pa.array([880606923, 86400], pa.uint32()),
    ],
)
def test_timestamps(tmp_path, values):
    table, _ = read(put(tmp_path, "events.parquet", events(timestamp=values)), EVENTS)
    assert table["timestamp"].to_pylist() == [880606923, 86400]


def test_dates(tmp_path):
    table, _ = read(put(tmp_path, "e.parquet", events(timestamp=[date(1970, 1, 2), date(1970, 1, 3)])), EVENTS)
    assert table["timestamp"].to_pylist() == [86400, 172800]


def test_a_table_s_moments_are_read_as_seconds(tmp_path):
    spec = TableSpec(table="items", features={"released": {"kind": "timestamp"}})
    table, _ = read(put(tmp_path, "items.csv", "item_id,released\na,1997-11-27\nb,\n"), spec)
    assert table["released"].to_pylist() == [pytest.approx(880588800, abs=64), None]


def test_columns_may_have_other_names_and_separators(tmp_path):
    spec = EVENTS.model_copy(update={"columns": {"user_id": "user:token", "rating": "stars"}, "separator": "\t"})
    path = put(tmp_path, "events.tsv", "stars\tuser:token\titem_id\ttimestamp\n3\t1\t2\t4\n")
    assert read(path, spec)[0].to_pylist() == [{"user_id": "1", "item_id": "2", "timestamp": 4, "rating": 3.0}]


def test_a_rating_that_nobody_declared(tmp_path):
    spec = TableSpec(table="interactions")
    assert "rating" not in read(put(tmp_path, "a.csv", "user_id,item_id,timestamp\n1,2,3\n"), spec)[0].column_names
    assert read(put(tmp_path, "b.csv", HEADER + "1,2,3,-40\n"), spec)[0]["rating"].to_pylist() == [-40.0]
    assert "inf" in refused(put(tmp_path, "c.csv", HEADER + "1,2,3,inf\n"), spec)


def test_crlf_blank_lines_and_a_byte_order_mark(tmp_path):
    path = put(tmp_path, "e.csv", b"\xef\xbb\xbf" + b"\r\n" + HEADER.strip().encode() + b"\r\n\r\n1,2,3,4\r\n")
    assert read(path, EVENTS)[0].num_rows == 1


def test_spec_survives_json():
    assert TableSpec.model_validate_json(ITEMS.model_dump_json()) == ITEMS


# ---- invalid input ----

BAD_ROWS = {
    "empty id": (",2,3,4", "column 'user_id'", "empty", "on_invalid"),
    "float id": ("7,2.0,3,4", "column 'item_id'", "'2.0' … float", "whole numbers"),
    "bad byte": (b"7,\xffx,3,4", "column 'item_id'", r"'\\xffx' … UTF-8", "UTF-8"),
    "no time": ("7,2,soon,4", "column 'timestamp'", "'soon'", "ISO-8601"),
    "no such day": ("7,2,2023-02-30,4", "column 'timestamp'", "'2023-02-30'", "ISO-8601"),
    "fraction": ("7,2,1.5,4", "column 'timestamp'", "'1.5'", "whole seconds"),
    "empty time": ("7,2,,4", "column 'timestamp'", "empty", "whole seconds"),
    "milliseconds": ("7,2,880606923000,4", "column 'timestamp'", "milliseconds", "1,000:"),
    "microseconds": ("7,2,880606923000000,4", "column 'timestamp'", "microseconds", "1,000,000:"),
    "nanoseconds": ("7,2,880606923000000000,4", "column 'timestamp'", "nanoseconds", "1,000,000,000:"),
    "future": (f"7,2,{NOW + 90_000},4", "column 'timestamp'", "future", "clock"),
    "before 1970": ("7,2,-1,4", "column 'timestamp'", "'-1' … before 1970", "on_invalid"),
    "no rating": ("7,2,3,", "column 'rating'", "empty … NaN", "on_invalid"),
    "NaN rating": ("7,2,3,nan", "column 'rating'", "empty … NaN", "on_invalid"),
    "word rating": ("7,2,3,good", "column 'rating'", "'good'", "on_invalid"),
    "low rating": ("7,2,3,-1", "column 'rating'", "'-1' … [1, 5]", "`data.interactions.rating_range`"),
    "high rating": ("7,2,3,5.5", "column 'rating'", "'5.5' … [1, 5]", "`data.interactions.rating_range`"),
    "infinite": ("7,2,3,1e99", "column 'rating'", "'1e99' … too large", "on_invalid"),
    "few fields": ("7,2,3", "", "3 fields … header has 4", "last line"),
    "many fields": ("7,2,3,4,5", "", "5 fields … header has 4", "separators"),
}


@pytest.mark.parametrize(("row", "column", "found", "todo"), BAD_ROWS.values(), ids=list(BAD_ROWS))
def test_a_bad_row_is_reported_or_dropped(tmp_path, row, column, found, todo):
    row = row.encode() if isinstance(row, str) else row
    content = HEADER.encode() + GOOD.encode() + b"\n" + row + b"\n3,2,4,5\n"
    path = put(tmp_path, "events.csv", content)
    message = refused(path, EVENTS)
    assert message.startswith(f"{path}: line 4" + (f", {column}: " if column else ": "))  # line 3 is blank
    assert lacking(message, f"{found} … {todo} … `data.interactions.on_invalid: drop`") == []
    assert message.count("\n") == 0, "one error for one fault"
    table, report = read(path, EVENTS.model_copy(update={"on_invalid": "drop"}))
    assert table["user_id"].to_pylist() == ["1", "3"]
    assert (report["rows_read"], sum(report["dropped"].values())) == (3, 1)


@pytest.mark.parametrize(
    ("column", "values", "place", "found", "todo"),
    [
        ("user_id", [None, "1"], "row 1", "empty", "on_invalid"),
        ("user_id", [None, 1.0], "row 2", "1.0 … double", "1 and not 1.0"),
        ("item_id", [None, ["x"]], "row 2", "['x'] … list<element: string>", "text"),
        ("timestamp", ["1", "x"], "row 2", "'x'", "ISO-8601"),
        ("timestamp", [1.0, 1.5], "row 2", "1.5", "whole seconds"),
        ("timestamp", [True, False], "row 1", "True … bool", "times"),
        ("rating", ["1", "x"], "row 2", "'x'", "on_invalid"),
        ("rating", [1.0, np.nan], "row 2", "empty … NaN", "on_invalid"),
        ("rating", [date(2020, 1, 1)] * 2, "row 1", "date32", "numbers"),
    ],
)
def test_bad_value_in_parquet(tmp_path, column, values, place, found, todo):
    path = put(tmp_path, "events.parquet", events(**{column: values}))
    message = refused(path, EVENTS)
    assert message.startswith(f"{path}: {place}, column {column!r}: ")
    assert lacking(message, f"{found} … {todo}") == []


def test_a_wrong_type_cannot_be_dropped(tmp_path):
    path = put(tmp_path, "events.parquet", events(user_id=[1.0, 2.0]))
    assert "double" in refused(path, EVENTS.model_copy(update={"on_invalid": "drop"}))


def test_features_of_a_wrong_kind(tmp_path):
    path = put(tmp_path, "items.csv", "item_id,genres,year,maker,title\n1,a,old,x,One\n")
    assert "line 2, column 'year': 'old'" in refused(path, ITEMS)
    table = pa.table({"item_id": [1], "genres": [[1.5]], "year": [1], "maker": [2.5], "title": ["x"]})
    message = refused(put(tmp_path, "items.parquet", table), ITEMS)
    assert "row 1, column 'genres'" in message
    assert lacking(message, "row 1, column 'maker': 2.5 … double") == []


def test_all_kinds_of_problems_are_reported_at_once_with_their_number(tmp_path):
    rows = ["1,2,3,9", "1,2,4,9", ",2,3,4", "1,2,x,4", "5", "1,1,1,1", "1,1,1,1"]
    message = refused(put(tmp_path, "e.csv", HEADER + "\n".join(rows) + "\n"), EVENTS)
    assert len(message.splitlines()) == 5
    assert lacking(message, "line 2, column 'rating': '9' … [1, 5] … (2 such rows) … line 6: 1 fields … line 8: ") == []


def test_a_row_with_two_faults_is_dropped_once(tmp_path):
    path = put(tmp_path, "e.csv", HEADER + GOOD + ",2,x,9\n")
    _, report = read(path, EVENTS.model_copy(update={"on_invalid": "drop"}))
    assert report["dropped"] == {"missing_id": 1}


def test_nothing_left_is_an_error(tmp_path):
    path = put(tmp_path, "e.csv", HEADER + "1,2,880606923000,3\n" * 2)
    message = refused(path, EVENTS.model_copy(update={"on_invalid": "drop"}))
    assert lacking(message, f"{path}: … no valid rows … 2 time_unit") == []


def test_line_numbers_count_quoted_ends_of_line(tmp_path):
    content = 'item_id,genres,year,maker,title\n1,a,1,x,"two\nlines"\n2,a,b,x,y\n'
    assert "line 4, column 'year'" in refused(put(tmp_path, "i.csv", content), ITEMS)


def test_an_end_of_line_in_a_field_may_lie_anywhere(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_BLOCK", 1 << 12)
    path = put(tmp_path, "i.csv", "item_id,genres,year,maker,title\n" + '1,a,1,x,"two\nlines"\n' * 2000)
    table, _ = read(path, ITEMS.model_copy(update={"on_duplicate": "keep"}))
    assert table["title"].to_pylist() == ["two\nlines"] * 2000


def test_line_numbers_past_dropped_rows_and_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_BLOCK", 1 << 12)
    rows = [f"u{n},i,{n},3" for n in range(2000)]
    rows[5] = rows[700] = rows[1500] = "broken"
    rows[1700] = "u,i,x,3"
    path = put(tmp_path, "e.csv", HEADER + "\n".join(rows) + "\n")
    message = refused(path, EVENTS)
    assert "line 1702, column 'timestamp': 'x'" in message
    assert lacking(message, "line 7: 1 fields … header has 4 … (3 such rows)") == []
    table, report = read(path, EVENTS.model_copy(update={"on_invalid": "drop"}))
    assert report["dropped"] == {"not_a_time": 1, "malformed_row": 3}
    assert table["timestamp"].to_pylist() == [n for n in range(2000) if n not in (5, 700, 1500, 1700)]


# ---- repeated keys ----


def test_repeated_users(tmp_path):
    spec = TableSpec(table="users", max_dropped=0.5)
    path = put(tmp_path, "u.csv", "user_id\n1\n2\n1\n1\n")
    message = refused(path, spec)
    assert (
        lacking(message, f"{path}: line 4: user_id '1' … line 2 … (2 such rows) … `data.users.on_duplicate: drop`")
        == []
    )
    table, report = read(path, spec.model_copy(update={"on_duplicate": "drop"}))
    assert table["user_id"].to_pylist() == ["1", "2"]
    assert report["dropped"] == {"duplicate": 2}


def test_repeated_events(tmp_path):
    path = put(tmp_path, "e.csv", HEADER + "9,2,880606923,3\n" + GOOD + "1,2,880606923,5\n")
    message = refused(path, EVENTS)
    assert lacking(message, "line 4: … line 3: user_id '1', item_id '2', timestamp 880606923") == []
    assert "`data.interactions.on_duplicate`" in message
    dropped, _ = read(path, EVENTS.model_copy(update={"on_duplicate": "drop"}))
    assert dropped["rating"].to_pylist() == [3.0, 3.0]
    kept, report = read(path, EVENTS.model_copy(update={"on_duplicate": "keep"}))
    assert (kept.num_rows, report["dropped"]) == (3, {})


def test_impressions_are_who_was_shown_what_and_when(tmp_path):
    spec = TableSpec(table="impressions", columns={"timestamp": "at"}, max_dropped=1)
    path = put(tmp_path, "x.csv", "user_id,item_id,at,rating\n1,2,880606923,3\n,2,880606923,3\n1,2,880606923,4\n")
    message = refused(path, spec)
    assert lacking(message, "line 3, column 'user_id': … empty … `data.impressions.on_invalid: drop`") == []
    assert lacking(message, "line 4: … line 2: user_id '1', item_id '2', timestamp 880606923") == []
    assert "`data.impressions.on_duplicate`" in message
    table, report = read(path, spec.model_copy(update={"on_invalid": "drop", "on_duplicate": "drop"}))
    assert table.to_pylist() == [{"user_id": "1", "item_id": "2", "timestamp": 880606923}]
    assert (report["dropped"], report["ignored_columns"]) == ({"missing_id": 1, "duplicate": 1}, ["rating"])


def test_an_invalid_row_is_no_first_occurrence(tmp_path):
    path = put(tmp_path, "e.csv", HEADER + "1,2,3,99\n" + "1,2,3,4\n")
    spec = EVENTS.model_copy(update={"on_invalid": "drop", "on_duplicate": "drop"})
    assert read(path, spec)[0]["rating"].to_pylist() == [4.0]
