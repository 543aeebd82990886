"""The statistics of weighted values, against naive ones on the values repeated by their weights."""

import collections
import string

import numpy as np
import pytest

from transform import statistics


@pytest.fixture(params=range(5))
def random(request):
    return np.random.default_rng(request.param)


def words(random, count):
    letters = list(string.ascii_lowercase[:3])
    return np.array(["".join(random.choice(letters, random.integers(0, 3))).encode() for _ in range(count)], object)


def test_a_vocabulary_has_the_most_frequent_values_of_the_weighted_rows(random):
    values, weights = words(random, 40), random.integers(1, 4, 40)
    counts = collections.Counter()
    for value, weight in zip(values, weights, strict=True):
        counts[value] += int(weight)
    expected = sorted(((count, value) for value, count in counts.items() if value and count >= 3), reverse=True)
    assert statistics.vocabulary(values, weights, 3, None) == [value for _, value in expected]
    assert statistics.vocabulary(values, weights, 3, 4) == [value for _, value in expected[:4]]


def test_values_that_do_not_fit_on_a_line_are_left_out():
    values = np.array([b"a b", b"", b"a\nb", b"c\r", "é".encode()], object)
    assert set(statistics.vocabulary(values, np.ones(5, np.int64), 1, None)) == {b"a b", "é".encode()}
    assert statistics.vocabulary(values[:0], np.zeros(0, np.int64), 1, None) == []


def test_moments_are_those_of_the_repeated_values(random):
    values, weights = random.normal(1e6, 3, 50).astype(np.float32), random.integers(0, 5, 50)
    repeated = np.repeat(values.astype(np.float64), weights)
    np.testing.assert_allclose(statistics.moments(values, weights), [repeated.mean(), repeated.var()], rtol=1e-9)


def test_no_values_have_moments_and_limits_of_0():
    nothing, weights = np.zeros(0, np.float32), np.zeros(0, np.int64)
    assert statistics.moments(nothing, weights).tolist() == [0, 0]
    assert statistics.limits(nothing).tolist() == [0, 0]
    assert statistics.quantiles(nothing, weights, 4).tolist() == [0, 0, 0]


def test_quantiles_divide_the_repeated_values_into_equal_buckets(random):
    values, weights = random.permutation(200).astype(np.float32), random.integers(1, 4, 200)
    bounds = statistics.quantiles(values, weights, 5)
    buckets = np.searchsorted(bounds, np.repeat(values, weights), side="right")
    sizes = np.bincount(buckets, minlength=5)
    assert np.abs(sizes - weights.sum() / 5).max() <= weights.max()
    assert statistics.quantiles(np.ones(3, np.float32), np.ones(3, np.int64), 3).tolist() == [1, 1]


def test_documents_are_counted_once_for_each_word_they_have(random):
    rows, indices, weights = random.integers(0, 6, 30), random.integers(0, 4, 30), random.integers(1, 5, 7)
    expected = [
        sum(int(weights[row]) for row in range(7) if ((rows == row) & (indices == word)).any())
        for word in range(int(indices.max()) + 1)
    ]
    assert statistics.document_counts(rows, indices, weights, int(indices.max()) + 1).tolist() == [
        *expected,
        weights.sum(),
    ]
    assert statistics.document_counts(rows[:0], indices[:0], weights, 0).tolist() == [weights.sum()]
