"""The baselines and item similarities of rating neighbours, compared with those of Surprise."""

import numpy as np
import pyarrow as pa
import pytest
from surprise import KNNBaseline

from trainer.retrieval.ratings import neighbours as rating_neighbours
from trainer.retrieval.ratings.data import ratings_of
from trainer.retrieval.ratings.fitting import trainset

N_ITEMS = 21
COLD = 20


@pytest.fixture(scope="module")
def ratings():
    """Return ratings, at most one per (user, item) pair; the last item has no rating."""
    rng = np.random.default_rng(4)
    pairs = rng.choice(30 * COLD, 350, replace=False)
    users = pa.array([f"u{user}" for user in pairs // COLD])
    return ratings_of(users, (pairs % COLD).astype(np.int32), rng.integers(1, 6, 350).astype(np.float32), N_ITEMS, "x")


@pytest.fixture(scope="module")
def theirs(ratings):
    options = {"name": "pearson_baseline", "user_based": False, "shrinkage": 10}
    return KNNBaseline(sim_options=options, verbose=False).fit(trainset(ratings))


@pytest.fixture(scope="module")
def place(theirs):
    """Return item row → the inner id of the item in Surprise."""
    return [theirs.trainset.to_inner_iid(row) for row in range(COLD)]


def test_the_baseline_is_surprises(ratings, theirs, place):
    found = rating_neighbours.baseline(ratings)
    assert found.mean == pytest.approx(theirs.trainset.global_mean)
    np.testing.assert_allclose(found.users, theirs.bu, atol=1e-12)
    np.testing.assert_allclose(found.items[:COLD], theirs.bi[place], atol=1e-12)
    assert found.items[COLD] == 0


@pytest.mark.parametrize("neighbours", [5, 100])
def test_the_similarities_are_surprises(ratings, theirs, place, neighbours, monkeypatch):
    monkeypatch.setattr(rating_neighbours, "ROWS_AT_ONCE", 6)  # several blocks, of which the last is shorter
    base = rating_neighbours.baseline(ratings)
    found, alike = rating_neighbours.nearest(rating_neighbours.residuals(ratings, base), neighbours, 10)
    width = min(neighbours, N_ITEMS - 1)
    assert found.shape == alike.shape == (N_ITEMS, width)
    expected = np.maximum(theirs.sim[np.ix_(place, place)], 0)
    np.fill_diagonal(expected, 0)
    for item in range(COLD):
        np.testing.assert_allclose(alike[item], -np.sort(-np.r_[expected[item], 0])[:width], atol=1e-6)
        kept = alike[item] > 0
        np.testing.assert_allclose(expected[item, found[item, kept]], alike[item, kept], atol=1e-6)
        assert item not in found[item, kept]
    assert alike.max() > 0.3
    assert not alike[COLD].any()


def test_of_a_pair_rated_twice_the_latest_rating_counts():
    again = ratings_of(pa.array(["a", "b", "a"]), np.array([1, 1, 1], np.int32), np.array([1.0, 2.0, 5.0]), 2, "x")
    base = rating_neighbours.baseline(again)
    residual = rating_neighbours.residuals(again, base)
    assert residual.nnz == 2
    assert residual[0, 1] == pytest.approx(5 - base.mean - base.users[0] - base.items[1])


def test_a_rating_as_expected_is_a_rating_all_the_same():
    flat = ratings_of(pa.array(["a", "b"]), np.array([0, 1], np.int32), np.array([3.0, 3.0]), 2, "x")
    residual = rating_neighbours.residuals(flat, rating_neighbours.baseline(flat))
    assert residual.nnz == 2
    assert not residual.toarray().any()
