"""Fold-ins and predicted ratings of matrix factorisation, compared with those of the libraries that fit the factors."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp
import tensorflow as tf
from surprise import NMF, SVD, SVDpp
from threadpoolctl import threadpool_limits

from core import names
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.factors import ials
from trainer.retrieval.factors.settings import IALSSettings
from trainer.retrieval.ratings import knn_baseline
from trainer.retrieval.ratings import neighbours as rating_neighbours
from trainer.retrieval.ratings.data import ratings_of
from trainer.retrieval.ratings.fitting import factors_of, trainset
from trainer.retrieval.ratings.model import RatingModel
from trainer.retrieval.ratings.settings import KNNBaselineSettings, SVDSettings
from trainer.retrieval.registry import MODELS
from transform.features import Features

N_USERS, N_ITEMS, SEED = 50, 30, 3
COLD = N_ITEMS - 1


@pytest.fixture(scope="module")
def data() -> RetrievalData:
    """Return events with repeated (user, item) pairs; the last item has no events."""
    rng = np.random.default_rng(SEED)
    users, items = rng.integers(0, N_USERS, 900), rng.integers(0, COLD, 900) * rng.integers(0, 2, 900)
    return RetrievalData(
        features=Features(history_length=1000),
        catalogue=pa.table({names.ITEM_ID: [f"i{row}" for row in range(N_ITEMS)]}),
        users=pa.array([f"u{user}" for user in users]),
        items=items.astype(np.int32),
        timestamps=np.arange(900),
        ratings=np.clip(rng.normal(3, 1.5, 900) + items % 3, 1, 5).astype(np.float32),
    )


def test_an_ials_query_is_what_implicit_recalculates(data):
    from implicit.cpu.als import AlternatingLeastSquares

    fitted = ials.fit(IALSSettings(factors=8, alpha=0.7, iterations=5), data, SEED)
    theirs = AlternatingLeastSquares(factors=8, regularization=0.1 * 900 / N_USERS, iterations=5, random_state=SEED)
    met = [[], [1], [4, 4, 4, 2], [COLD, 3], list(range(N_ITEMS)), [0] * 30]
    theirs.item_factors = fitted.factors.numpy()
    rows = sp.csr_matrix((len(met), N_ITEMS), dtype=np.float32).tolil()
    for query, items in enumerate(met):
        for item in items:
            rows[query, item] += 1
    weights = ials.confidence(rows.tocsr(), 0.7)
    with threadpool_limits(1, "blas"):
        expected = theirs.recalculate_user(np.arange(len(met)), weights)
    width = max(map(len, met))
    padded = tf.constant([[*items, *[-1] * (width - len(items))] for items in met], tf.int64)
    np.testing.assert_allclose(fitted.query_vector(padded), expected, atol=1e-4)
    assert np.abs(expected[2]).max() > 0.01


def test_ials_is_the_same_model_on_any_number_of_threads(data):
    from implicit.cpu.als import AlternatingLeastSquares

    counts = sp.random(400, 300, 0.1, format="csr", dtype=np.float32, random_state=SEED)
    found = ials.item_factors(counts, IALSSettings(), 2.0, SEED)
    with threadpool_limits(1, "blas"):
        alone = AlternatingLeastSquares(64, regularization=2.0, iterations=10, random_state=SEED, num_threads=1)
        alone.fit(counts, show_progress=False)
    np.testing.assert_array_equal(found, alone.item_factors)


def test_a_user_new_since_the_fit_gets_the_answer_of_their_history(data):
    for name in ("ials", "bpr", "svd", "svdpp", "pmf", "nmf", "knn_baseline"):
        few = {} if name == "knn_baseline" else {"factors": 8, "iterations": 5}
        fitted = MODELS[name].load()(MODELS.check(name, few), data, SEED)
        query = {
            names.USER_ID: tf.constant(["new", "newer", "newest"]),
            names.HISTORY: tf.constant([["i1", "i2"], ["i9", "i8"], ["", ""]]),
        }
        scores = fitted.scores(query).numpy()
        assert np.ptp(scores[0] - scores[1]) > 1e-4, name
        assert np.ptp(scores[0] - scores[2]) > 1e-4, name
        assert np.isfinite(scores).all(), name


@pytest.mark.parametrize("name", ["ials", "bpr"])
def test_with_an_empty_history_items_without_events_come_last(data, name):
    fitted = MODELS[name].load()(MODELS.check(name, {"factors": 8}), data, SEED)
    query = {names.USER_ID: tf.constant(["new"]), names.HISTORY: tf.constant([[""]])}
    [scores] = fitted.scores(query).numpy()
    assert scores.argmax() == data.counts().argmax()
    assert scores[COLD] == scores.min()
    if name == "ials":
        order = np.argsort(-scores, kind="stable")
        assert (np.diff(data.counts()[order]) <= 0).all()


@pytest.mark.parametrize(
    "algorithm",
    [
        SVD(n_factors=8, n_epochs=100, lr_all=0.02, random_state=SEED),
        SVD(n_factors=8, n_epochs=100, lr_all=0.02, random_state=SEED, biased=False),
        SVDpp(n_factors=8, n_epochs=30, lr_all=0.02, random_state=SEED),
        NMF(n_factors=8, random_state=SEED),
    ],
    ids=["svd", "pmf", "svdpp", "nmf"],
)
def test_a_predicted_rating_is_surprises_own(data, algorithm, tmp_path):
    ratings = ratings_of(data.users, data.items, data.ratings, N_ITEMS, "svd")
    algorithm.fit(trainset(ratings))
    RatingModel(data, SVDSettings(), ratings, factors_of(algorithm, ratings)).save(str(tmp_path))
    predict = tf.saved_model.load(str(tmp_path)).signatures["predict"]
    users, items = ["u0", "u1", "u2", "nobody"], [*(f"i{row}" for row in range(N_ITEMS)), "unheard of"]
    pairs = [(user, item) for user in users for item in items]
    inputs = {names.USER_ID: [user for user, _ in pairs], names.ITEM_ID: [item for _, item in pairs]}
    found = predict(**{key: tf.constant(value) for key, value in inputs.items()})[names.RATING].numpy()
    raw = {f"i{row}": row for row in range(N_ITEMS)}
    expected = [algorithm.predict(user, raw.get(item, item)).est for user, item in pairs]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert max(expected) == 5.0 or isinstance(algorithm, NMF)  # some predictions were clipped to the range of ratings
    assert len(set(found.round(3))) > N_ITEMS


@pytest.mark.parametrize("name", ["svd", "svdpp", "knn_baseline"])
def test_a_rated_users_scores_are_their_predicted_ratings_less_their_bias(data, name):
    fitted = MODELS[name].load()(MODELS.check(name, {}), data, SEED)
    query = {names.USER_ID: tf.constant(["u4"]), names.HISTORY: tf.constant([[""]])}
    [scores] = fitted.scores(query).numpy()
    items = tf.constant([f"i{row}" for row in range(N_ITEMS)])
    predicted = fitted.predict(tf.fill([N_ITEMS], "u4"), items).numpy()
    inside = (predicted > 1) & (predicted < 5)
    assert inside.sum() > 5
    np.testing.assert_allclose(np.ptp((predicted - scores)[inside]), 0, atol=1e-5)


def test_neighbours_predict_as_their_equation_says(data):
    settings = KNNBaselineSettings(neighbours=6, shrinkage=3, damping=0.2)
    fitted = knn_baseline.fit(settings, data, SEED)
    ratings = ratings_of(data.users, data.items, data.ratings, N_ITEMS, "knn_baseline")
    base = rating_neighbours.baseline(ratings)
    residual = rating_neighbours.residuals(ratings, base)
    found, similar = rating_neighbours.nearest(residual, 6, 3)
    users, items = ["u0", "u7", "u3", "nobody", "u5", "nobody"], ["i0", "i2", "i28", "i4", "unheard of", "never"]
    expected = []
    for user, item in zip(users, items, strict=True):
        row = ratings.users.to_pylist().index(user) if user != "nobody" else None
        column = int(item[1:]) if item[1:].isdigit() else None
        rating = base.mean + (0 if row is None else base.users[row]) + (0 if column is None else base.items[column])
        if row is not None and column is not None:
            its = set(residual[row].indices.tolist())
            used = [
                (weight, residual[row, near])
                for near, weight in zip(found[column], similar[column], strict=True)
                if near in its
            ]
            assert any(weight > 0 for weight, _ in used)
            rating += sum(weight * above for weight, above in used) / (sum(weight for weight, _ in used) + 0.2)
        expected.append(np.clip(rating, 1, 5))
    np.testing.assert_allclose(fitted.predict(tf.constant(users), tf.constant(items)), expected, atol=1e-5)
