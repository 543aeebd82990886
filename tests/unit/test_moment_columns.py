"""Columns of timestamps: numbers, times, dates and text become seconds as 32-bit floats; other values are errors."""

from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from components.table_example_gen.conversion import moment


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1714521600, -1356998400, 4070908800, None], pa.int64()),
        pa.array([1714521600.25, -1356998400, 4070908800, float("nan")]),
        pa.array([1714521600, -1356998400, 4070908800, None], pa.timestamp("s", "UTC")),
        pa.array([1714521600_000, -1356998400_000, 4070908800_000, None], pa.timestamp("ms")),
        pa.array([date(2024, 5, 1), date(1927, 1, 1), date(2099, 1, 1), None]),
        pa.array(["2024-05-01", "1927-01-01T00:00Z", "4070908800.5", "NaN"]),
        pa.array(["1714521600", "-1356998400", "4070908800", ""]),
        pa.array(["2024-05-01T02:00:00+02:00", "1927-01-01", "2099-01-01 00:00", None]).dictionary_encode(),
    ],
)
def test_a_moment_may_be_long_ago_or_to_come_and_is_as_near_as_a_32_bit_float_comes(values):
    found, faults = moment(values)
    assert faults == []
    assert found.type == pa.float32()
    assert found.null_count == 1
    assert found[3].as_py() is None
    np.testing.assert_allclose(
        found.to_numpy(zero_copy_only=False)[:3], [1714521600, -1356998400, 4070908800], rtol=0, atol=128
    )
    assert moment(values[:0])[0].type == pa.float32()


@pytest.mark.parametrize(
    ("values", "reason", "message"),
    [
        (["0", "1714521600000", "5"], "time_unit", "milliseconds"),
        ([0, 1714521600000000, 5], "time_unit", "microseconds"),
        (["0", "soon", "5"], "not_a_time", "{value}"),
        (["0", "2024-13-01", "5"], "not_a_time", "{value}"),
        ([0.0, float("inf"), 5.0], "not_finite", "too large"),
    ],
)
def test_a_row_that_is_no_moment_is_a_fault(values, reason, message):
    _, faults = moment(pa.array(values))
    [fault] = [each for each in faults if each.reason == reason]
    assert message in fault.found
    assert fault.bad.tolist() == [False, True, False]


def test_a_column_of_another_type_is_refused_as_a_whole():
    [fault] = moment(pa.array([[1], [2]]))[1]
    assert fault.fatal
    assert "list<" in fault.found
