"""The linear listwise softmax: loss, gradient and minimum, compared with other ways to compute them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import minimize

from core.errors import ModelError
from trainer.ranking import listwise

L2 = 0.03


def drawn(seed: int, relevant: float = 0.3) -> listwise.Lists:
    """Return lists of 1 to 9 candidates with 3 numbers and 5 values."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 10, 8)
    n = int(sizes.sum())
    gains = (rng.random(n) < relevant) * rng.choice([0.5, 1.0, 2.0], n)
    gains[0] = 1.0
    values = sparse.random_array((n, 5), density=0.3, format="csr", random_state=rng)
    return listwise.Lists(
        rng.normal(size=(n, 3)).astype(np.float32),
        values,
        np.repeat(rng.choice(50, 8, replace=False).cumsum(), sizes),
        gains,
    )


def naive_loss(weights: np.ndarray, lists: listwise.Lists, l2: float) -> float:
    """Return the loss, list by list."""
    scores, losses = np.c_[lists.numbers, lists.values.toarray()] @ weights, []
    for owner in np.unique(lists.owners):
        of_list, gains = scores[lists.owners == owner], lists.gains[lists.owners == owner]
        if gains.sum():
            losses.append(-(gains / gains.sum()) @ np.log(np.exp(of_list) / np.exp(of_list).sum()))
    return float(np.mean(losses) + l2 * (weights**2).sum())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_loss_and_gradient_are_those_of_the_definition(seed):
    lists = drawn(seed)
    weights = np.random.default_rng(seed + 1).normal(size=lists.size)
    value, gradient = listwise.loss(weights, lists, L2)
    assert value == pytest.approx(naive_loss(weights, lists, L2), rel=1e-9)
    step = 1e-5
    numerical = [
        (naive_loss(weights + step * each, lists, L2) - naive_loss(weights - step * each, lists, L2)) / (2 * step)
        for each in np.eye(len(weights))
    ]
    np.testing.assert_allclose(gradient, numerical, atol=1e-7)


def test_the_minimum_is_that_of_another_solver():
    for seed in range(3):
        lists = drawn(seed)
        weights, value, steps = listwise.minimum(lists, L2)
        other = minimize(naive_loss, np.zeros(len(weights)), args=(lists, L2), method="Powell", tol=1e-10)
        assert value <= other.fun + 1e-8
        np.testing.assert_allclose(weights, other.x, atol=1e-3)
        assert steps > 1


def test_far_scores_and_many_rows_are_no_difficulty(monkeypatch):
    lists = drawn(5)
    weights = np.full(lists.size, 400.0)
    value, gradient = listwise.loss(weights, lists, L2)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    monkeypatch.setattr(listwise, "ROWS_AT_ONCE", 3)
    in_parts = listwise.loss(weights, lists, L2)
    assert in_parts[0] == pytest.approx(value)
    np.testing.assert_allclose(in_parts[1], gradient)


def test_lists_without_a_relevant_candidate_change_nothing():
    lists = drawn(6)
    more = listwise.Lists(
        np.concatenate([lists.numbers, lists.numbers[:4]]),
        sparse.vstack([lists.values, lists.values[:4]], format="csr"),
        np.r_[lists.owners, [10_000] * 4],
        np.r_[lists.gains, np.zeros(4)],
    )
    np.testing.assert_allclose(listwise.minimum(more, L2)[0], listwise.minimum(lists, L2)[0], atol=1e-6)


@pytest.mark.parametrize(
    ("fault", "message"), [("nothing relevant", "relevant candidates; found none"), ("a number", "is not finite")]
)
def test_what_cannot_be_fitted_is_an_error(fault, message):
    lists = drawn(7)
    numbers, gains = lists.numbers.copy(), lists.gains.copy()
    if fault == "nothing relevant":
        gains[:] = 0
    else:
        numbers[0, 0] = np.nan
    with pytest.raises(ModelError, match=message):
        listwise.minimum(listwise.Lists(numbers, lists.values, lists.owners, gains), L2)


def test_the_variance_is_within_lists():
    lists = listwise.Lists(
        np.zeros((5, 1)), sparse.csr_array((5, 0)), np.array([0, 0, 3, 3, 3]), np.array([1.0, 0, 0, 1, 0])
    )
    contributions = np.array([5.0, 7.0, 100.0, 100.0, 103.0])
    within = [-1.0, 1.0, -1.0, -1.0, 2.0]
    assert listwise.variance(contributions, lists) == pytest.approx(np.mean(np.square(within)))
