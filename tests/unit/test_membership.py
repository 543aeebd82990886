"""Membership of integers: equal to NumPy's."""

import numpy as np
import pytest

from core.membership import is_in


@pytest.mark.parametrize("members", [0, 1, 5, 400])
def test_equal_to_numpy(members):
    random = np.random.default_rng(members)
    values = random.integers(-50, 50, (20, 7))
    among = random.integers(-40, 40, (members, 2))
    assert np.array_equal(is_in(values, among), np.isin(values, among))
    assert np.array_equal(is_in(values[:0], among), np.isin(values[:0], among))
