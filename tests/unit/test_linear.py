"""The weights of EASE, compared with least squares per item, and of SLIM, checked by the optimality conditions."""

import numpy as np
import pytest
import scipy.sparse as sp
from facts import facts
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ModelError
from trainer.retrieval.linear import weights as linear

MATRICES = st.tuples(st.integers(1, 8), st.integers(1, 7), st.integers(0, 2**32 - 1)).map(
    lambda drawn: (np.random.default_rng(drawn[2]).random(drawn[:2]) < 0.5).astype(np.float32)
)


def table(columns, weights, n_items):
    """Return the kept weights as a dense [N, N] matrix."""
    found = np.zeros((n_items, n_items))
    np.put_along_axis(found, columns.astype(np.int64), weights, axis=1)
    return found


# ---- EASE ----


def least_squares(matrix, l2):
    """Return the weights w of the ridge regression of each item j: argmin ‖x_j - X w‖² + l2 ‖w‖² with w_j = 0."""
    n_items = matrix.shape[1]
    found = np.zeros((n_items, n_items))
    for item in range(n_items):
        others = np.delete(np.arange(n_items), item)
        gram = matrix[:, others].T @ matrix[:, others] + l2 * np.eye(n_items - 1)
        found[others, item] = np.linalg.solve(gram, matrix[:, others].T @ matrix[:, item])
    return found


@settings(max_examples=100, deadline=None)
@given(MATRICES, st.sampled_from([0.5, 5.0, 100.0]))
def test_ease_is_least_squares_without_the_item_itself(matrix, l2):
    columns, weights = linear.dense_weights(sp.csr_matrix(matrix), l2, 100, 1.0)
    assert (columns.dtype, weights.dtype) == (np.int32, np.float32)
    found, expected = table(columns, weights, matrix.shape[1]), least_squares(matrix.astype(np.float64), l2)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_ease_keeps_what_speaks_against_an_item():
    # No user has both items 0 and 1, and every user has items 2 and 3.
    matrix = np.array([[1, 0, 1, 1]] * 5 + [[0, 1, 1, 1]] * 5 + [[0, 0, 1, 1]] * 10)
    columns, weights = linear.dense_weights(sp.csr_matrix(matrix, dtype=np.float32), 1.0, 1, 1.0)
    expected = least_squares(matrix, 1.0)
    for row, column, weight in zip(expected, columns[:, 0], weights[:, 0], strict=True):
        assert abs(row).argmax() == column
        assert weight == pytest.approx(row[column], abs=1e-5)
    assert columns[:2, 0].tolist() == [1, 0]
    assert (weights[:2] < 0).all()


@pytest.mark.parametrize("rows", [1, 3, 8, 512])
@pytest.mark.parametrize("users", [30, 7])
def test_how_many_rows_are_held_at_once_changes_nothing(monkeypatch, rows, users):
    matrix = sp.csr_matrix(np.random.default_rng(0).random((users, 11)) < 0.4, dtype=np.float32)
    expected = linear.dense_weights(matrix, 2.0, 5, 1.0)
    monkeypatch.setattr(linear, "ROWS_AT_ONCE", rows)
    for found, before in zip(linear.dense_weights(matrix, 2.0, 5, 1.0), expected, strict=True):
        np.testing.assert_allclose(found, before, atol=1e-6)


def test_items_without_events_take_no_memory_and_have_no_weights():
    matrix = sp.csr_matrix(([1, 1, 1, 1], ([0, 0, 1, 1], [3, 70_000, 3, 9])), shape=(2, 100_000), dtype=np.float32)
    columns, weights = linear.dense_weights(matrix, 1.0, 50, 1e-6)
    assert columns.shape == weights.shape == (100_000, 2)
    assert set(np.flatnonzero(weights.any(axis=1))) == {3, 9, 70_000}
    assert set(columns[3]) == {9, 70_000}


def test_too_many_items_are_refused_with_the_figures():
    matrix = sp.csr_matrix(np.ones((3000, 2000), np.float32))
    with pytest.raises(ModelError, match=facts("2,000 items … 3,000 users … 0.0 GB … memory_gb … 0.01")):
        linear.dense_weights(matrix, 1.0, 10, 0.01)


@settings(max_examples=50, deadline=None)
@given(MATRICES, st.sampled_from([0.5, 100.0]), st.integers(0, 7))
def test_the_inverse_is_the_same_whichever_side_is_held(matrix, l2, start):
    inverse = linear.InverseGram(sp.csr_matrix(matrix), l2)
    assert len(inverse.inverse) == min(matrix.shape)
    expected = np.linalg.inv(matrix.T.astype(np.float64) @ matrix + l2 * np.eye(matrix.shape[1]))
    np.testing.assert_allclose(inverse.rows(slice(start, start + 3)), expected[start : start + 3], atol=2e-6)
    np.testing.assert_allclose(inverse.diagonal, np.diag(expected), atol=2e-6)


def test_no_events_no_weights():
    columns, weights = linear.dense_weights(sp.csr_matrix((0, 4), dtype=np.float32), 1.0, 10, 1.0)
    assert columns.shape == weights.shape == (4, 0)
    assert linear.sparse_weights(sp.csr_matrix((0, 4), dtype=np.float32), 1.0, 1.0).nnz == 0


# ---- SLIM ----


@settings(max_examples=60, deadline=None)
@given(MATRICES, st.sampled_from([0.0, 0.3, 1.5]), st.sampled_from([0.5, 10.0]))
def test_slim_is_at_the_optimum(matrix, l1, l2):
    """The gradient is 0 for a positive weight and not negative for a weight of 0 (Karush–Kuhn–Tucker)."""
    weights = linear.sparse_weights(sp.csr_matrix(matrix), l1, l2).toarray().astype(np.float64)
    assert (weights >= 0).all()
    assert (np.diag(weights) == 0).all()
    slope = matrix.T @ (matrix @ weights - matrix) + l2 * weights + l1
    off = ~np.eye(len(weights), dtype=bool)
    np.testing.assert_allclose(slope[off & (weights > 0)], 0, atol=0.02)
    assert (slope[off & (weights == 0)] > -0.02).all()


def test_slim_by_hand():
    # The weight w of item 0 for item 1: argmin ½ Σ (x_1 - w x_0)² + l2/2 w² + l1 w, so w = (2 - l1) / (3 + l2).
    matrix = sp.csr_matrix(np.array([[1, 1], [1, 1], [1, 0]], np.float32))
    assert linear.sparse_weights(matrix, 0.5, 2.0).toarray()[0, 1] == pytest.approx(1.5 / 5)
    assert linear.sparse_weights(matrix, 2.0, 2.0).nnz == 0
