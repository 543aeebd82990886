"""The Arrow types of columns, and the reading and writing of Arrow files."""

import pyarrow as pa

from core import arrow, names


def test_events_have_a_rating_only_where_there_is_one():
    without = {names.USER_ID: pa.string(), names.ITEM_ID: pa.string(), names.TIMESTAMP: pa.int64()}
    assert arrow.event_types(has_rating=False) == without
    assert arrow.event_types(has_rating=True) == without | {names.RATING: pa.float32()}


def test_a_table_is_read_as_it_was_written(tmp_path):
    table = pa.table(
        {"id": ["a", None], "many": pa.array([["x", "y"], None]), "number": pa.array([1.5, None], pa.float32())}
    )
    arrow.write_arrow(table, tmp_path / "new" / "table.arrow")
    assert arrow.read_arrow(tmp_path / "new" / "table.arrow") == table
    arrow.write_arrow(table.slice(0, 0), tmp_path / "empty.arrow")
    assert arrow.read_arrow(str(tmp_path / "empty.arrow")) == table.slice(0, 0)
