"""The queries and the items in each slice."""

import numpy as np
import pyarrow as pa
import pytest
from facts import facts

from components.recommender_evaluator import slices
from core.errors import UsageError


def as_dict(found):
    return {name: mask.tolist() for name, mask in found}


def test_queries_by_history_and_by_column_with_the_largest_first():
    features = pa.table({"gender": ["F", "M", None, "M", ""], "age": pa.array([7, 7, 9, None, 7], pa.int64())})
    found = slices.of_queries(features, np.array([True, False, True, True, True]))
    assert [name for name, _ in found] == [
        "user:warm", "user:cold", "gender=(none)", "gender=M", "gender=F", "age=7", "age=(none)", "age=9"
    ]  # fmt: skip
    assert as_dict(found)["user:cold"] == [False, True, False, False, False]
    assert as_dict(found)["gender=(none)"] == [False, False, True, False, True]
    assert as_dict(found)["gender=M"] == [False, True, False, True, False]
    assert as_dict(found)["age=7"] == [True, True, False, False, True]


def test_chunks_and_dictionaries_are_read_like_plain_strings():
    plain = pa.table({"x": ["a", "b", None, "a"]})
    chunked = pa.concat_tables([plain.slice(0, 1), plain.slice(1)])
    encoded = pa.table({"x": plain["x"].combine_chunks().dictionary_encode()})
    history = np.ones(4, dtype=bool)
    expected = as_dict(slices.of_queries(plain, history))
    assert as_dict(slices.of_queries(chunked, history)) == expected
    assert as_dict(slices.of_queries(encoded, history)) == expected


def test_rare_values_share_one_slice_and_a_column_covers_every_query():
    values = [str(number) for number in range(30)] + ["29", "28"]
    found = slices.of_queries(pa.table({"zip": values}), np.ones(32, dtype=bool))[2:]
    assert len(found) == slices.MAX_VALUES
    assert [name for name, _ in found[:2]] == ["zip=28", "zip=29"]
    assert found[-1].name == "zip=(other)"
    assert found[-1].mask.sum() == 11
    assert (sum(mask.astype(int) for _, mask in found) == 1).all()
    exact = slices.of_queries(pa.table({"zip": values[:20]}), np.ones(20, dtype=bool))[2:]
    assert len(exact) == 20
    assert all(name != "zip=(other)" for name, _ in exact)


def test_items_by_the_values_of_their_features():
    table = pa.table({"brand": ["k", None, "k"], "genres": pa.array([["x", "y"], [], None], pa.list_(pa.string()))})
    found = as_dict(slices.of_values(table))
    assert found == {
        "brand=k": [True, False, True],
        "brand=(none)": [False, True, False],
        "genres=(none)": [False, True, True],
        "genres=x": [True, False, False],
        "genres=y": [True, False, False],
    }
    assert slices.of_values(pa.table({})) == []


def test_no_columns_and_no_queries():
    assert [name for name, _ in slices.of_queries(pa.table({}), np.ones(3, dtype=bool))] == ["user:warm", "user:cold"]
    empty = pa.table({"x": pa.array([], pa.string())})
    assert len(slices.of_queries(empty, np.ones(0, dtype=bool))) == 2


def test_wrong_columns():
    with pytest.raises(UsageError, match=facts("'genres' … one value")):
        slices.of_queries(pa.table({"genres": [["a"], ["b"]]}), np.ones(2, dtype=bool))
    with pytest.raises(ValueError, match=facts("3 … found 2")):
        slices.of_queries(pa.table({"x": ["a", "b"]}), np.ones(3, dtype=bool))


@pytest.mark.parametrize(
    ("counts", "head"),
    [
        ([1, 5, 0, 4], [False, True, False, False]),  # item 1 has 5 of 10 events, which is half
        ([2, 4, 0, 4], [False, True, False, True]),  # item 1 has 4 of 10 events, so the head needs another item
        ([1, 1, 1, 1], [True, True, False, False]),  # of equal items, the first in the catalogue are the head
        ([0, 0, 0], [False, False, False]),
    ],
)
def test_head_is_the_fewest_items_that_make_half_of_train(counts, head):
    found = as_dict(slices.of_items(np.array(counts)))
    assert found["item:head"] == head
    assert found["item:tail"] == [not one for one in head]
    assert found["item:warm"] == [count > 0 for count in counts]
    assert found["item:cold"] == [count == 0 for count in counts]


def test_of_equally_popular_items_the_first_in_the_catalogue_are_the_head():
    # 100 items have 2 events and 900 have one. The 100 items and the first 350 others have half of the 1,100 events.
    counts = np.where(np.arange(1000) % 10 == 0, 2, 1)
    found = slices.of_items(counts)[2]
    assert found.name == "item:head"
    expected = np.sort(np.concatenate([np.flatnonzero(counts == 2), np.flatnonzero(counts == 1)[:350]]))
    assert np.array_equal(np.flatnonzero(found.mask), expected)
