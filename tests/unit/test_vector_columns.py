"""Columns of vectors: text and lists become lists of the configured size; other values are errors."""

import pyarrow as pa
import pytest
from facts import lacking

from components.table_example_gen.conversion import vector


def of(values, type_=None):
    return vector(pa.array(values, type_), " ", 2)


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        (["1 -2.5", "", None, " 3e0 4"], pa.string()),
        ([[1, -2.5], [], None, [3, 4]], pa.list_(pa.float64())),
        ([["1", "-2.5"], [], None, ["3", "4"]], pa.large_list(pa.string())),
        ([[1, -2.5], None, None, [3, 4]], pa.list_(pa.float32(), 2)),
    ],
)
def test_vectors_are_read_from_text_and_from_lists(values, type_):
    values = [value.strip() if isinstance(value, str) else value for value in values]
    found, faults = of(values, type_)
    assert faults == []
    assert found.to_pylist() == [[1, -2.5], None, None, [3, 4]]
    assert found.type == pa.list_(pa.float32())
    assert of([], type_)[0].type == found.type


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("1 2 3", "wrong_size"),
        ("1", "wrong_size"),
        ("1 x", "not_a_number"),
        ("1 x 2", "not_a_number"),
        ("1 NaN", "missing_number"),
        ("1 1e99", "not_finite"),
    ],
)
def test_a_row_that_is_no_vector_is_one_fault_and_null(cell, reason):
    found, faults = of(["0 0", cell, "5 6"])
    assert found.to_pylist() == [[0, 0], None, [5, 6]]
    assert [(fault.reason, fault.bad.tolist(), fault.fatal) for fault in faults] == [
        (reason, [False, True, False], False)
    ]


def test_a_fault_says_how_many_numbers_there_should_be():
    [fault] = of(["1 2 3"])[1]
    assert lacking(fault.found, "{value} … 2") == []


def test_a_column_of_another_type_is_a_fault_of_all_of_it():
    for values in ([1.5], [[{"a": 1}, {"a": 2}]]):
        found, [fault] = of(values)
        assert found.to_pylist() == [None]
        assert fault.fatal
