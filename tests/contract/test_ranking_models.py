"""Properties of single ranking models and their layers, beyond the contract of all ranking models."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from core import names
from core.examples import shard_path, write_examples
from trainer.ranking import run_fn
from trainer.ranking.contract import PER_CANDIDATE, RankingData, list_ndcg, one_standard_error_rule
from trainer.ranking.deepfm import Pairs
from trainer.ranking.inputs import Attention, Mean, NetworkInputs, Signals
from trainer.ranking.registry import MODELS
from trainer.ranking.signals import computed_signals
from transform.features import Features

FEW = {"epochs": 3, "batch_size": 4, "learning_rate": 0.01}
SEED = 7
KNOWN_OF_SOME = "known_of_some"  # a signal


def fit(name, data, **params):
    few = {key: value for key, value in FEW.items() if key in MODELS[name].settings.model_fields}
    return MODELS[name].load()(MODELS.check(name, few | params), data, SEED)


def scores_of(ranker, columns):
    return ranker.scores({key: tf.constant(value) for key, value in columns.items()}).numpy()


def with_columns(data, make, **changes):
    """Return the data with columns added to train and validation; `make` computes them from the existing columns."""
    parts = {part: getattr(data, part) | make(getattr(data, part)) for part in ("train", "validation")}
    return dataclasses.replace(data, **parts, **changes)


def with_signal(data):
    """Return the data with a signal that decides the labels and is missing for a third of the candidates."""

    def make(columns):
        rng = np.random.default_rng(len(columns[names.LABEL]))
        value = rng.normal(size=columns[names.LABEL].shape).astype(np.float32)
        right = ((value > 1) & (columns[names.WEIGHT] > 0)).astype(np.float32)
        return {KNOWN_OF_SOME: np.where(rng.random(value.shape) < 0.3, np.nan, value), names.LABEL: right}

    return with_columns(data, make, retrieval_signals=(*PER_CANDIDATE, KNOWN_OF_SOME))


# ---- every model ----


@pytest.mark.parametrize("name", MODELS.entries)
def test_every_model_uses_every_signal(world, name):
    data = with_signal(world.ranking_data)
    ranker, _ = fit(name, data, **({"epochs": 10} if "epochs" in MODELS[name].settings.model_fields else {}))
    columns = data.validation
    scores = scores_of(ranker, columns)
    assert np.isfinite(scores[columns[names.WEIGHT] > 0]).all()
    ndcg = list_ndcg(scores, columns[names.LABEL], columns[names.WEIGHT], 10)
    retrieved = list_ndcg(-columns[names.RETRIEVAL_RANK], columns[names.LABEL], columns[names.WEIGHT], 10)
    assert ndcg > retrieved + 0.1


@pytest.mark.parametrize("name", MODELS.entries)
def test_where_nothing_learned_is_better_the_retrievers_order_stands_and_the_log_says_so(world, name):
    """In validation the retriever's order is perfect; in train the relevant items are last in this order."""

    def backwards(columns):
        first = columns[names.RETRIEVAL_RANK] < 3
        last = (columns[names.RETRIEVAL_RANK] > 6) & (columns[names.WEIGHT] > 0)
        of_train = columns[names.LABEL] is world.ranking_data.train[names.LABEL]
        return {names.LABEL: np.where(of_train, last, first).astype(np.float32)}

    data = with_columns(world.ranking_data, backwards)
    ranker, log = fit(name, data)
    assert log["kept_retrievers_order"]
    assert "importance" not in log  # no importance of inputs if the trees are not used
    filled = data.validation[names.WEIGHT] > 0
    scores = np.where(filled, scores_of(ranker, data.validation), -1e9)
    assert (np.diff(scores, axis=1)[filled[:, 1:]] <= 0).all()


@pytest.mark.parametrize(("name", "kind"), [("mlp", "platt"), ("trees", "isotonic")])
def test_examples_get_calibrated_probabilities(world, name, kind, tmp_path):
    ranker, log = fit(name, world.ranking_data, calibration=kind)
    before, after = (log["probabilities"][when] for when in ("before", "after"))
    assert after["log_loss"] < before["log_loss"]
    inputs = world.ranking_inputs()
    ranker.save(str(tmp_path))
    served = tf.saved_model.load(str(tmp_path)).signatures
    found = served["rank_examples"](examples=tf.constant(inputs["rank_examples"]["examples"]))["probability"].numpy()
    scores = served["rank"](**{key: tf.constant(value) for key, value in inputs["rank"].items()})["score"].numpy()
    filled = inputs["rank"][names.ITEM_ID] != ""
    assert (found[~filled] == 0).all()
    expected = np.where(filled, ranker.probabilities(tf.constant(np.where(filled, scores, 0))).numpy(), 0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    labels = world.lists[1][names.LABEL]
    assert abs(found[filled].mean() - labels[filled].mean()) < 0.05
    order = np.argsort(scores[filled], kind="stable")
    assert (np.diff(found[filled][order]) >= -1e-6).all()


# ---- ages ----


@pytest.mark.parametrize("name", MODELS.entries)
def test_every_model_sees_how_old_a_candidate_is_and_not_when_it_was_released(world, name):
    def new_is_right(columns):
        days = columns["days_since_released"]
        return {names.LABEL: ((days < 2) & (columns[names.WEIGHT] > 0)).astype(np.float32)}

    data = with_columns(world.ranking_data, new_is_right)
    assert 0.05 < data.validation[names.LABEL].mean() < 0.5
    ranker, _ = fit(name, data, **({"epochs": 10} if "epochs" in MODELS[name].settings.model_fields else {}))
    scores = scores_of(ranker, data.validation)
    ndcg = list_ndcg(scores, data.validation[names.LABEL], data.validation[names.WEIGHT], 10)
    retrieved = -data.validation[names.RETRIEVAL_RANK]
    assert ndcg > list_ndcg(retrieved, data.validation[names.LABEL], data.validation[names.WEIGHT], 10) + 0.1
    # A ranker ignores the transformed timestamps and uses the ages that are computed from them.
    dated = data.validation | {
        "released": data.validation["released"] + 1,
        "signed_up": data.validation["signed_up"] + 1,
    }
    np.testing.assert_array_equal(scores_of(ranker, dated), scores)
    aged = data.validation | {"days_since_released": np.full_like(scores, np.nan)}
    assert not np.allclose(scores_of(ranker, aged), scores, atol=1e-4)


def test_each_of_two_rankers_of_trees_in_a_process_answers_for_itself(world):
    def by(sign):
        return lambda columns: {
            names.LABEL: ((sign * columns["price"] > 0.3) & (columns[names.WEIGHT] > 0)).astype(np.float32)
        }

    for sign in (1, -1):
        data = with_columns(world.ranking_data, by(sign))
        ranker, _ = fit("trees", data)
        scores = scores_of(ranker, data.validation)
        assert list_ndcg(scores, data.validation[names.LABEL], data.validation[names.WEIGHT], 10) > 0.9


def test_trees_say_what_they_made_of_each_column(world):
    def right(columns):
        near = columns["picture"][..., 1] > 0.2  # the second dimension of a vector
        return {names.LABEL: (near & (columns[names.WEIGHT] > 0)).astype(np.float32)}

    data = with_columns(world.ranking_data, right)
    _, log = fit("trees", data)
    importance = log["importance"]
    assert sorted(importance) == sorted(data.inputs)
    assert next(iter(importance)) == "picture"
    assert importance["picture"] > 0.5
    assert sum(importance.values()) == pytest.approx(1)
    assert list(importance.values()) == sorted(importance.values(), reverse=True)


# ---- the layers of the networks ----


def signal_data(values, weights):
    features = Features.model_validate({"item": {"released": "timestamp"}})
    alike = dict.fromkeys((names.RETRIEVAL_SCORE, *computed_signals(features)), np.zeros_like(weights))
    columns = alike | {"a": np.float32(values), "days_since_released": np.float32(values), names.WEIGHT: weights}
    return RankingData(features, None, {}, columns, columns, (names.RETRIEVAL_SCORE, "a"))


def test_signals_are_standardised_over_what_is_known_and_no_padding():
    values, weights = [[0.0, 2.0, np.nan], [4.0, 100.0, 100.0]], np.float32([[1, 1, 1], [1, 0, 0]])
    data = signal_data(values, weights)
    layer = Signals(data)
    found = layer({key: tf.constant(value) for key, value in data.train.items()}).numpy()
    deviation = np.std([0, 2, 4])
    logs = np.log1p([0, 2, 4])
    count = len(data.signals)
    assert found.shape == (2, 3, 2 * count)
    np.testing.assert_allclose(found[..., 1][weights > 0], [-2 / deviation, 0, 0, 2 / deviation], atol=1e-6)
    expected = (logs - logs.mean()) / logs.std()
    np.testing.assert_allclose(found[..., count + 1][weights > 0], [*expected[:2], 0, expected[2]], atol=1e-5)
    assert (found[..., [0, 2, count, count + 2]] == 0).all()  # constant signals are standardised to 0


def test_an_age_is_held_within_what_train_knew_and_what_a_candidate_came_with_is_not():
    data = signal_data([[1.0, 3.0, np.nan]], np.float32([[1, 1, 1]]))
    odd = np.float32([[-2.0, 30.0, np.nan]])  # released after the query, older than any in train, unknown
    inputs = data.train | {"a": odd, "days_since_released": odd}
    found = Signals(data)({key: tf.constant(value) for key, value in inputs.items()}).numpy()[0]
    np.testing.assert_allclose(found[:, data.signals.index("days_since_released")], [-1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(found[:, data.signals.index("a")], [-4, 28, 0], atol=1e-6)


def test_attention_is_the_sum_of_the_history_weighted_by_a_network_over_each_pair():
    rng = np.random.default_rng(1)
    history, candidate = rng.normal(size=(2, 4, 3)).astype(np.float32), rng.normal(size=(2, 5, 3)).astype(np.float32)
    present = np.float32([[1, 1, 0, 0], [1, 1, 1, 1]])
    layer = Attention()
    found = layer(*(tf.constant(values) for values in (history, present, candidate))).numpy()
    w_met, b, w_candidate, w_product = (
        layer.history_layer.kernel.numpy(),
        layer.history_layer.bias.numpy(),
        layer.candidate_layer.kernel.numpy(),
        layer.product_layer.kernel.numpy(),
    )
    out, out_bias = (weight.numpy() for weight in layer.weight.weights)
    expected = np.zeros_like(candidate)
    for q in range(2):
        for c in range(5):
            for h in np.flatnonzero(present[q]):
                pair = (
                    history[q, h] @ w_met
                    + b
                    + candidate[q, c] @ w_candidate
                    + (history[q, h] * candidate[q, c]) @ w_product
                )
                expected[q, c] += (np.maximum(pair, 0) @ out + out_bias) * history[q, h]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    mean = Mean()(*(tf.constant(values) for values in (history, present, candidate))).numpy()
    np.testing.assert_allclose(mean[:, 0], [history[0, :2].mean(axis=0), history[1].mean(axis=0)], rtol=1e-5)


def test_pairs_of_fields_are_the_sum_of_their_dot_products():
    rng = np.random.default_rng(2)

    def some(*shape):
        return tf.constant(rng.normal(size=shape), tf.float32)

    inputs = NetworkInputs(some(2, 5, 4), [some(2, 3), some(2, 1)], [some(2, 5, 3)], some(2, 5, 3), some(2, 1, 3))
    layer = Pairs(3)
    found = layer(inputs).numpy()[..., 0]
    number, signals = (project.kernel.numpy() for project in layer.project if project is not None)
    user = [np.repeat(each.numpy()[:, None], 5, axis=1) for each in inputs.user]
    fields = [inputs.candidate.numpy(), np.repeat(inputs.history.numpy(), 5, axis=1), user[0], user[1] @ number]
    fields += [inputs.item[0].numpy(), inputs.signals.numpy() @ signals]
    expected = sum((fields[i] * fields[j]).sum(axis=-1) for i in range(len(fields)) for j in range(i))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_history_can_be_weighed_anew_for_each_candidate(world):
    data = with_signal(world.ranking_data)
    (weighed, log), (mean, other) = (fit("dcn", data, history=how) for how in ("attention", "mean"))
    assert min(log["epoch"], other["epoch"]) > 0  # epoch 0 would mean that the retriever's order was kept
    assert not np.allclose(scores_of(weighed, data.validation), scores_of(mean, data.validation), atol=1e-4)


@pytest.mark.parametrize("loss", ["pointwise", "pairwise", "lambda", "approx_ndcg"])
def test_any_loss_can_be_chosen(world, loss):
    _, log = fit("mlp", world.ranking_data, loss=loss, epochs=1)
    assert np.isfinite([each["loss"] for each in log["curve"][1:]]).all()


# ---- two tasks ----


def dear_is_right_and_rated_high(columns):
    """Return labels and ratings: expensive items are relevant; every third candidate has a rating, 5 or 1."""
    dear = (columns["price"] > 0) & (columns[names.WEIGHT] > 0)
    rated = (np.arange(dear.size).reshape(dear.shape) % 3 == 0) & (columns[names.WEIGHT] > 0)
    rating = np.where(rated, np.where(dear, 5, 1), np.nan)
    return {names.LABEL: dear.astype(np.float32), names.RATING: rating.astype(np.float32)}


def test_ratings_are_learned_beside_relevance_and_join_the_score_as_configured(world):
    data = with_columns(world.ranking_data, dear_is_right_and_rated_high)
    ranker, log = fit("mmoe", data, epochs=10, rating_loss_weight=1.0, rating_score_weight=5.0)
    assert log["tasks"] == ["relevance", "rating"]
    columns = {key: tf.constant(value) for key, value in data.validation.items()}
    relevance, rating = (head.numpy() for head in ranker.model.heads(columns))
    np.testing.assert_allclose(scores_of(ranker, data.validation), relevance + 5 * rating, rtol=1e-4, atol=1e-4)
    dear, filled = data.validation["price"] > 0, data.validation[names.WEIGHT] > 0
    assert rating[dear & filled].mean() > rating[~dear & filled].mean() + 0.5  # in standard deviations of ratings


def test_without_ratings_relevance_is_the_only_task_and_the_log_says_so(world):
    data = with_columns(world.ranking_data, lambda columns: {names.RATING: np.full_like(columns[names.LABEL], np.nan)})
    _, log = fit("mmoe", data)
    assert log["tasks"] == ["relevance"]


def test_tasks_without_hidden_layers_predict_from_the_inputs(world):
    ranker, _ = fit("mmoe", world.ranking_data, hidden=())
    assert np.isfinite(scores_of(ranker, world.ranking_data.validation)).all()


# ---- the one-standard-error rule ----


def test_the_simplest_of_those_that_are_as_good_but_for_chance_is_kept():
    rng = np.random.default_rng(0)
    base = rng.random(200)
    noise = rng.normal(0, 0.3, 200)
    by_chance = base + noise - noise.mean() + 0.01  # the standard error of the difference is 0.02
    clearly = base + 0.05 + 0.1 * noise
    assert one_standard_error_rule(np.stack([base, by_chance])) == 0
    assert one_standard_error_rule(np.stack([base, clearly])) == 1
    assert one_standard_error_rule(np.stack([base, clearly, clearly + 0.001 * noise])) == 1
    assert one_standard_error_rule(np.stack([base + 0.2, clearly])) == 0
    assert one_standard_error_rule(np.stack([base, base])) == 0
    unknown = np.where(np.arange(200) < 20, np.nan, clearly)  # lists without a relevant item
    assert one_standard_error_rule(np.stack([np.where(np.isnan(unknown), np.nan, base), unknown])) == 1
    assert one_standard_error_rule(np.array([[0.1], [0.2]])) == 1


# ---- the lists in several files ----


def test_lists_in_several_files_are_those_of_one(world, tmp_path):
    table, lists = world.lists
    short = table[names.HISTORY].combine_chunks().value_lengths().to_numpy() < 3  # one file has short histories only
    assert 0 < short.sum() < len(short)
    for shard, chosen in enumerate((short, ~short)):
        write_examples(table.filter(pa.array(chosen)), shard_path(str(tmp_path), names.TRAIN, shard, 2))
    transform = world.events.transform
    apply = run_fn.transformer(world.features, transform)
    found = run_fn.read_transformed(str(tmp_path), names.TRAIN, world.features, apply)
    order = np.r_[np.flatnonzero(short), np.flatnonzero(~short)]
    expected = run_fn.transformed_lists(lists, world.features, transform)
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values[order], rtol=1e-5, err_msg=name)
