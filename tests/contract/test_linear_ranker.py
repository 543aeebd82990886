"""The inputs and the score of the linear ranker."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from scipy import sparse

from core import names
from trainer.ranking import listwise
from trainer.ranking.linear import LinearScore, fit_score, in_parts
from trainer.ranking.linear_inputs import LinearInputs, standardised
from trainer.ranking.losses import softmax

SEED = 7


def as_tensors(columns):
    return {name: tf.constant(values) for name, values in columns.items()}


def test_scores_are_standardised_over_the_known_scores_of_the_candidates():
    nan, inf = np.nan, np.inf
    scores = np.float32(
        [
            [1, 2, 6, 100],  # the last is not inside
            [1e5, 1e5 + 1, 1e5 + 2, nan],
            [3, nan, 5, -inf],
            [0.1, 0.1, 0.1, 7],  # equal
            [4, 4, 4, 4],  # one candidate
            [nan, nan, -inf, inf],  # none is known
            [1, 2, 3, 4],  # none is inside
            [1, 1 + 1.2e-7, 1, 1],  # equal but for rounding
        ]
    )
    inside = np.ones(scores.shape, bool)
    inside[0, 3] = inside[3, 3] = False
    inside[4, 1:] = inside[6] = False
    found = standardised(tf.constant(scores[..., np.newaxis]), tf.constant(inside)).numpy()[..., 0]
    expected = np.zeros(scores.shape)
    for row in range(3):
        known = np.isfinite(scores[row])
        of_list = scores[row][known & inside[row]].astype(np.float64)
        expected[row, known] = (scores[row, known] - of_list.mean()) / of_list.std()
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found[0, 3] > 40


def test_it_is_the_loss_that_networks_are_trained_with():
    rng = np.random.default_rng(4)
    numbers, labels = rng.normal(size=(5, 6, 2)), (rng.random((5, 6)) < 0.4) * 1.0
    labels[:, 0], filled = 1.0, rng.random((5, 6)) < 0.8
    filled[:, 0] = True
    labels *= filled
    weights = np.array([0.7, -1.3])
    lists = listwise.Lists(numbers[filled], sparse.csr_array((filled.sum(), 0)), np.nonzero(filled)[0], labels[filled])
    expected = softmax(*(tf.constant(each, tf.float32) for each in (numbers @ weights, labels, filled)))
    assert listwise.loss(weights, lists, 0.0)[0] == pytest.approx(float(expected), rel=1e-5)


@pytest.fixture(scope="module")
def linear(world) -> LinearScore:
    return fit_score(0.03, world.ranking_data)[0]


def test_added_items_and_a_longer_list_do_not_change_the_scores_of_the_candidates(world, linear):
    """As many candidates as a list of train has determine the moments, whatever follows them."""
    columns = {name: values.copy() for name, values in world.ranking_data.validation.items()}
    depth = int(linear.inputs.depth)
    assert depth == columns[names.RETRIEVAL_RANK].shape[1]
    before = in_parts(linear, columns)
    longer = {}
    for name, values in columns.items():
        of_candidates = name in (*world.ranking_data.signals, names.ITEM_ID, names.LABEL, names.WEIGHT, names.RATING)
        if of_candidates or (values.ndim > 1 and values.shape[1] == depth and name not in (names.HISTORY,)):
            longer[name] = np.concatenate([values, values[:, :2]], axis=1)
        else:
            longer[name] = values
    longer[names.RETRIEVAL_SCORE][:, depth:] = 1e4
    longer[names.RETRIEVAL_RANK][:, depth] = np.nan  # a sampled negative
    longer[names.RETRIEVAL_RANK][:, depth + 1] = depth  # a candidate beyond the lists of train
    after = in_parts(linear, longer)
    np.testing.assert_allclose(after[:, :depth], before, rtol=1e-6)
    assert np.isfinite(after).all()


def test_the_scores_of_padding_have_no_effect(world, linear):
    columns = world.ranking_data.validation
    padding = columns[names.ITEM_ID] == 0
    assert padding.any()
    changed = columns | {names.RETRIEVAL_SCORE: np.where(padding, np.float32(1e4), columns[names.RETRIEVAL_SCORE])}
    before, after = (in_parts(linear, each) for each in (columns, changed))
    np.testing.assert_allclose(after[~padding], before[~padding], rtol=1e-6)


def test_with_sampled_negatives_fewer_candidates_determine_the_moments(world):
    data = world.ranking_data
    train = data.train | {names.RETRIEVAL_RANK: data.train[names.RETRIEVAL_RANK].copy()}
    train[names.RETRIEVAL_RANK][:, 9:] = np.nan
    inputs = LinearInputs(dataclasses.replace(data, train=train))
    assert inputs.depth == 9
    of_train = inputs.numbers(as_tensors(train)).numpy()[..., 0]
    as_served = inputs.numbers(as_tensors(data.train)).numpy()[..., 0]
    np.testing.assert_allclose(of_train, as_served, rtol=1e-6)
    filled = data.train[names.ITEM_ID] > 0
    first = np.where(filled[:, :9], data.train[names.RETRIEVAL_SCORE][:, :9].astype(np.float64), np.nan)
    expected = (first - np.nanmean(first, axis=1, keepdims=True)) / np.nanstd(first, axis=1, keepdims=True)
    np.testing.assert_allclose(of_train[:, :9][filled[:, :9]], expected[filled[:, :9]], rtol=1e-4, atol=1e-5)


def test_an_odd_list_is_scored(world, linear):
    columns = {name: values[:3].copy() for name, values in world.ranking_data.validation.items()}
    columns[names.ITEM_ID][0, 1:] = 0  # one candidate
    columns[names.RETRIEVAL_SCORE][1] = 2.5  # equal scores
    columns[names.RETRIEVAL_SCORE][2, 0] = -np.inf
    columns[names.RETRIEVAL_RANK][2, :] = np.nan
    assert np.isfinite(in_parts(linear, columns)).all()
