"""Ratings as a trainset of Surprise, and the fitted factors: the model equals one fitted on Surprise's own data set."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from facts import facts
from surprise import NMF, SVD, Dataset, Reader, SVDpp

from core import progress
from core.errors import ModelError
from trainer.retrieval.ratings.data import ratings_of
from trainer.retrieval.ratings.fitting import factors_of, fit_factors, item_user_means, trainset

N_ITEMS = 12
ALGORITHMS = {
    "svd": lambda: SVD(n_factors=4, n_epochs=3, random_state=5),
    "pmf": lambda: SVD(n_factors=4, n_epochs=3, random_state=5, biased=False),
    "svdpp": lambda: SVDpp(n_factors=4, n_epochs=3, random_state=5, cache_ratings=True),
    "nmf": lambda: NMF(n_factors=4, n_epochs=3, random_state=5),
}


@pytest.fixture(scope="module")
def events():
    """Return unsorted ratings, with one (user, item) pair rated twice; items 0 and 11 have no rating."""
    rng = np.random.default_rng(3)
    users, items = rng.integers(0, 9, 60), rng.integers(1, 11, 60).astype(np.int32)
    users[7], items[7] = users[6], items[6]
    return pa.array([f"u{user}" for user in users]), items, rng.integers(1, 6, 60).astype(np.float32)


@pytest.fixture(scope="module")
def ratings(events):
    return ratings_of(*events, N_ITEMS, "svd")


def own_trainset(events):
    """Return the trainset that Surprise itself builds from a table of ratings."""
    users, items, values = events
    frame = pd.DataFrame({"user": users.to_pylist(), "item": items, "rating": values})
    return Dataset.load_from_df(frame, Reader(rating_scale=(1, 5))).build_full_trainset()


@pytest.mark.parametrize("name", ALGORITHMS)
def test_passes_are_reported_to_listeners_and_not_printed(ratings, name, capsys):
    with progress.listening(print):
        learned = fit_factors(ALGORITHMS[name](), ratings)
    assert capsys.readouterr().out == "epoch 1/3\nepoch 2/3\nepoch 3/3\n"
    np.testing.assert_array_equal(learned.items, factors_of(ALGORITHMS[name]().fit(trainset(ratings)), ratings).items)


def test_the_trainset_is_surprises_own(events, ratings):
    ours, theirs = trainset(ratings), own_trainset(events)
    assert list(ours.all_ratings()) == list(theirs.all_ratings())
    assert dict(ours.ur) == dict(theirs.ur)
    assert dict(ours.ir) == dict(theirs.ir)
    for what in ("n_users", "n_items", "n_ratings", "rating_scale", "global_mean"):
        assert getattr(ours, what) == pytest.approx(getattr(theirs, what)), what
    assert ours.to_inner_uid("u3") == theirs.to_inner_uid("u3")
    assert ours.to_inner_iid(4) == theirs.to_inner_iid(4)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_factors_predict_as_surprise_does(events, ratings, name):
    theirs = ALGORITHMS[name]().fit(own_trainset(events))
    learned = factors_of(ALGORITHMS[name]().fit(trainset(ratings)), ratings)
    assert (learned.implicit is not None) == (name == "svdpp")
    assert learned.items.shape == (N_ITEMS, 4)
    for user, user_id in enumerate(ratings.users.to_pylist()):
        for item in set(ratings.items.tolist()):
            rating = learned.items[item] @ learned.users[user]
            if learned.biased:
                rating += learned.mean + learned.user_bias[user] + learned.item_bias[item]
            assert np.clip(rating, 1, 5) == pytest.approx(theirs.predict(user_id, item).est, abs=1e-9)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_items_without_ratings_are_zero(ratings, name):
    learned = factors_of(ALGORITHMS[name]().fit(trainset(ratings)), ratings)
    for values in (learned.items, learned.item_bias):
        assert not values[[0, 11]].any()


def test_the_user_mean_of_an_item_is_over_the_users_who_rated_it(ratings):
    values = np.random.default_rng(1).normal(size=(len(ratings.users), 3))
    found = item_user_means(ratings, values)
    for item in range(N_ITEMS):
        who = ratings.user_rows[ratings.items == item]
        np.testing.assert_allclose(found[item], values[who].mean(axis=0) if len(who) else 0, atol=1e-12)


@pytest.mark.parametrize("values", [None, np.zeros(0, np.float32)])
def test_events_without_ratings_say_what_to_do(events, values):
    with pytest.raises(ModelError, match=facts("svd … `rating` … ials")):
        ratings_of(events[0], events[1], values, N_ITEMS, "svd")
