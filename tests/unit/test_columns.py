"""The types of columns, and Arrow files."""

import pyarrow as pa
import pytest

from core import columns, names


def test_a_feature_s_type_is_that_of_its_kind():
    kinds = {"a": {"kind": "categorical"}, "b": {"kind": "multi_valued", "max_values": 3}, "c": {"kind": "numeric"}}
    assert columns.feature_types(kinds) == {"a": pa.string(), "b": pa.list_(pa.string()), "c": pa.float32()}
    assert columns.feature_types({}) == {}
    with pytest.raises(KeyError):
        columns.feature_types({"a": {"kind": "picture"}})


def test_events_have_a_rating_only_where_there_is_one():
    without = {names.USER_ID: pa.string(), names.ITEM_ID: pa.string(), names.TIMESTAMP: pa.int64()}
    assert columns.event_types(has_rating=False) == without
    assert columns.event_types(has_rating=True) == without | {names.RATING: pa.float32()}


def test_a_query_carries_who_what_when_and_the_user_s_features():
    assert columns.user_types({"age": {"kind": "numeric"}}) == {
        **columns.event_types(has_rating=False),
        "age": pa.float32(),
    }


def test_a_table_is_read_as_it_was_written(tmp_path):
    table = pa.table(
        {"id": ["a", None], "many": pa.array([["x", "y"], None]), "number": pa.array([1.5, None], pa.float32())}
    )
    columns.write_arrow(table, tmp_path / "new" / "table.arrow")
    assert columns.read_arrow(tmp_path / "new" / "table.arrow") == table
    columns.write_arrow(table.slice(0, 0), tmp_path / "empty.arrow")
    assert columns.read_arrow(str(tmp_path / "empty.arrow")) == table.slice(0, 0)
