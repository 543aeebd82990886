"""Conditions on the attributes of items, beside a naive reading of the rows."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.errors import UsageError
from serving.conditions import Condition
from serving.filters import Filters

TABLE = pa.table(
    {
        "item_id": ["a", "b", "c", "d"],
        "genre": [["x", "y"], [], ["y"], None],
        "brand": ["p", None, "q", "p"],
        "price": pa.array([1.5, None, float("nan"), 3.0]),
        "year": pa.array([1990, 2000, None, 2010]),
    }
)


def allowed(**condition):
    return [bool(each) for each in Filters(TABLE).allowed([Condition(**condition)])]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"column": "genre", "any_of": ["y"]}, "a c"),
        ({"column": "genre", "any_of": ["x", "z"]}, "a"),
        ({"column": "genre", "none_of": ["x"]}, "b c d"),
        ({"column": "brand", "any_of": ["p"]}, "a d"),
        ({"column": "brand", "none_of": ["p"]}, "b c"),
        ({"column": "price", "at_least": 2}, "d"),
        ({"column": "price", "at_most": 2}, "a"),
        ({"column": "year", "at_least": 1995, "at_most": 2005}, "b"),
        ({"column": "year", "any_of": [2010]}, "d"),
        ({"column": "year", "any_of": ["a"]}, ""),
        ({"column": "year", "any_of": [10**30]}, ""),
        ({"column": "year", "none_of": ["a", 1]}, "a b c d"),
        ({"column": "item_id", "any_of": ["a", "b"], "none_of": ["b"]}, "a"),
    ],
)
def test_items_that_fulfil_a_condition(condition, expected):
    found = [each for each, yes in zip("abcd", allowed(**condition), strict=True) if yes]
    assert " ".join(found) == expected


def test_several_conditions_hold_together():
    conditions = [Condition(column="brand", any_of=["p"]), Condition(column="year", at_least=2000)]
    assert Filters(TABLE).allowed(conditions).tolist() == [False, False, False, True]
    assert Filters(TABLE).allowed([]).all()


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"column": "colour", "any_of": ["x"]}, "no column 'colour'; they have item_id, genre"),
        ({"column": "brand", "at_least": 1}, "brand is no numeric column"),
    ],
)
def test_a_column_that_does_not_fit_is_named(condition, message):
    with pytest.raises(UsageError, match=message):
        allowed(**condition)


@pytest.mark.parametrize("condition", [{}, {"any_of": []}, {"at_least": float("nan")}, {"any": ["x"]}])
def test_a_condition_that_says_nothing_is_refused(condition):
    with pytest.raises(ValidationError):
        Condition(column="genre", **condition)


@given(
    st.lists(st.one_of(st.none(), st.lists(st.sampled_from("xyz"), max_size=3)), min_size=1, max_size=30),
    st.lists(st.sampled_from("xyzw"), min_size=1, max_size=3),
)
def test_lists_of_values_beside_a_naive_reading(column, values):
    table = pa.table({"tags": pa.array(column, pa.list_(pa.string()))})
    found = Filters(table).allowed([Condition(column="tags", any_of=values)])
    assert found.tolist() == [bool(set(each or ()) & set(values)) for each in column]
