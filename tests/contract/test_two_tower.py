"""The two-tower model beyond the contract: its loss, its optimiser, its encoders of histories, and cold items."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import os
import threading
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from core import memory, names
from trainer.retrieval import fitting
from trainer.retrieval.fusion import model as fusion
from trainer.retrieval.registry import MODELS
from trainer.retrieval.two_tower import model as two_tower
from trainer.retrieval.two_tower import training
from trainer.retrieval.two_tower.batches import Batches
from trainer.retrieval.two_tower.chunks import HistoryKind, Sequences
from trainer.retrieval.two_tower.sequence import HistoryRanges, encoder
from trainer.retrieval.two_tower.settings import TwoTowerSettings
from trainer.retrieval.two_tower.training import LazyAdam, TwoTower

SEED = 7
SEQUENCES = ("gru", "sasrec")
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def towers(world, **settings):
    """Return the untrained model, its first training batch, and the training data."""
    chosen = TwoTowerSettings(batch_size=32, dim=8, **settings)
    data = world.retrieval_data()
    of_items, of_users = data.item_columns(), data.user_columns()
    known = {names.USER_ID: of_users[names.USER_ID], names.ITEM_ID: of_items[names.ITEM_ID][data.items]}
    tf.keras.utils.set_random_seed(SEED)
    model = TwoTower(chosen, data, {key: np.unique(ids) for key, ids in known.items()})
    sequences, sampling = two_tower.sequences(chosen, data), two_tower.sampling(chosen, data)
    batches = Batches(of_users, of_items, data.items, sequences, data.sizes, sampling, SEED)
    return model, next(iter(batches)), data


# ---- the loss ----


def queries_of(model, batch):
    ranges = HistoryRanges(batch["row"], batch["first"], batch["last"], batch.get("own"))
    return model.query(batch["query"], ranges).numpy()


@pytest.mark.parametrize(
    ("uniform", "exclude_positives", "negatives"), [(0, False, 1024), (16, False, 20), (16, True, 1024)]
)
def test_the_loss_is_a_softmax_over_the_negatives_less_log_q(world, uniform, exclude_positives, negatives):
    model, batch, data = towers(
        world,
        uniform_negatives=uniform,
        exclude_positives=exclude_positives,
        negatives=negatives,
        dropout=0.0,
        temperature=0.2,
    )
    queries, items = queries_of(model, batch), model.candidate(batch["candidate"]).numpy()
    row_of = {index: row for row, index in enumerate(data.item_columns()[names.ITEM_ID])}
    rows = np.array([row_of[index] for index in batch["candidate"][names.ITEM_ID]])
    share = min(32, negatives) * data.counts() / len(data.items) + uniform / data.n_items
    logits = queries @ items.T / 0.2 - np.log(share[rows])
    users, of_batch = data.user_columns()[names.USER_ID], batch["query"][names.USER_ID]
    losses = []
    for event, user in enumerate(of_batch):
        positives = data.items[users == user] if exclude_positives else [rows[event]]
        same_user = np.r_[of_batch == user, np.zeros(uniform, bool)]
        excluded = np.isin(rows, positives) | same_user
        counted = [place for place in batch["negative"] if not excluded[place]]
        assert 0 < len(counted) < len(batch["negative"])
        losses.append(np.log(np.exp(logits[event, [event, *counted]]).sum()) - logits[event, event])
    assert len(batch["negative"]) == min(len(queries), negatives) + uniform
    assert model.loss(batch).numpy() == pytest.approx(np.mean(losses), rel=1e-4)


def test_hard_negatives_are_the_closest_without_an_event_of_the_user(world):
    model, batch, data = towers(world, hard_negatives=3, dropout=0.0)
    queries, pool = queries_of(model, batch), model.candidate(batch["pool"]).numpy()
    users = data.user_columns()[names.USER_ID]
    items = data.item_columns()[names.ITEM_ID]
    logits = queries @ pool.T / 0.1  # the pool is the whole catalogue, so no correction for sampling is needed
    for row, user in enumerate(batch["query"][names.USER_ID]):
        positives = items[data.items[users == user]]
        assert len(positives)
        logits[row, np.isin(batch["pool"][names.ITEM_ID], positives)] = -np.inf
    expected = -np.sort(-logits, axis=1)[:, :3]
    found = model._hard(tf.constant(queries / 0.1), batch).numpy()
    np.testing.assert_allclose(-np.sort(-found, axis=1), expected, rtol=1e-4, atol=1e-4)
    with_hard, model.hard = model.loss(batch).numpy(), 0
    assert with_hard > model.loss(batch).numpy()


@pytest.mark.parametrize("blocks", [1, 3, 5])
def test_the_log_of_sums_and_its_gradients_are_those_of_the_masked_logits(blocks):
    random = np.random.default_rng(SEED)
    queries, candidates = (tf.constant(random.normal(size=(n, 3)).astype(np.float32) * 5) for n in (4, 7))
    excluded = tf.constant([[0, 1], [0, 1], [2, 6], [3, 0]])
    log_expected, upstream = tf.constant(random.normal(size=7).astype(np.float32)), tf.constant([1.0, 2.0, -1.0, 0.5])
    mask = np.zeros((4, 7), np.float32)
    mask[tuple(excluded.numpy().T)] = -np.inf

    def expected(queries, candidates):
        return tf.reduce_logsumexp(tf.matmul(queries, candidates, transpose_b=True) - log_expected + mask, axis=1)

    def value_and_gradients(function, *arguments):
        with tf.GradientTape() as tape:
            tape.watch([queries, candidates])
            value = function(queries, candidates, *arguments)
        return [value, *tape.gradient(value, [queries, candidates], upstream)]

    found = value_and_gradients(training.log_sum_exp, log_expected, excluded, blocks)
    for one, other in zip(found, value_and_gradients(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_query_without_negatives_has_no_gradient():
    queries, candidates = tf.ones([1, 2]), tf.ones([1, 2])
    with tf.GradientTape() as tape:
        tape.watch([queries, candidates])
        total = training.log_sum_exp(queries, candidates, tf.zeros([1]), tf.constant([[0, 0]]), 1)
    assert total[0] < -60
    for gradient in tape.gradient(total, [queries, candidates]):
        np.testing.assert_array_equal(gradient, np.zeros([1, 2]))


# ---- the optimiser ----


def test_rows_out_of_a_batch_stay_and_the_others_move_as_adam_moves_them():
    start = np.random.default_rng(SEED).normal(size=(5, 3)).astype(np.float32)
    lazy, stock = tf.Variable(start), tf.Variable(start)
    ours, theirs = LazyAdam(0.1), tf.keras.optimizers.legacy.Adam(0.1)
    touched = tf.constant([1, 3, 1])
    for step in range(3):
        gradient = tf.IndexedSlices(tf.constant(start[:3] + step), touched, (5, 3))
        ours.apply_gradients([(gradient, lazy)])
        theirs.apply_gradients([(gradient, stock)])
        np.testing.assert_allclose(lazy.numpy(), stock.numpy(), **CLOSE)
    other = tf.IndexedSlices(tf.constant(start[:1]), tf.constant([0]), (5, 3))
    before = lazy.numpy()
    ours.apply_gradients([(other, lazy)])
    theirs.apply_gradients([(other, stock)])
    np.testing.assert_array_equal(lazy.numpy()[1:], before[1:])
    assert (stock.numpy()[[1, 3]] != before[[1, 3]]).all()
    assert (lazy.numpy()[0] != before[0]).all()


# ---- histories ----


def whole(vectors, lengths):
    """Return the ranges of histories that are the first `lengths` [R] items of each row."""
    return HistoryRanges(np.arange(len(vectors)), np.zeros(len(vectors), np.int32), np.array(lengths, np.int32))


@pytest.mark.parametrize("kind", ["mean", *SEQUENCES])
def test_padding_changes_nothing_and_an_empty_history_is_zeros(kind):
    layer = encoder(TwoTowerSettings(dim=8, history=kind, blocks=2), longest=6)
    vectors = np.random.default_rng(SEED).normal(size=(3, 6, 8)).astype(np.float32)
    lengths = [3, 0, 6]
    full = layer(vectors, whole(vectors, lengths)).numpy()
    np.testing.assert_array_equal(full[1], 0)
    noisy = np.where(np.arange(6)[:, None] < np.array(lengths)[:, None, None], vectors, 9.0).astype(np.float32)
    np.testing.assert_allclose(layer(noisy, whole(vectors, lengths)), full, **CLOSE)
    np.testing.assert_allclose(layer(vectors[:1, :3], whole(vectors[:1], [3])), full[:1], **CLOSE)


@pytest.mark.parametrize("kind", SEQUENCES)
def test_a_sequence_model_depends_on_the_order_and_a_mean_does_not(kind):
    vectors = np.random.default_rng(SEED).normal(size=(1, 4, 8)).astype(np.float32)
    ranges = whole(vectors, [4])
    for name, differs in ((kind, True), ("mean", False)):
        layer = encoder(TwoTowerSettings(dim=8, history=name), longest=4)
        if name == "sasrec":
            layer.blocks[0].bias.assign([0.0, 1.0, 2.0, 3.0])  # before training, all distances are alike
        there, back = layer(vectors, ranges).numpy(), layer(vectors[:, [1, 0, 2, 3]], ranges).numpy()
        assert (np.abs(there - back).max() > 1e-3) == differs


def test_attention_depends_on_earlier_items_and_on_no_more_than_the_longest_history():
    block = encoder(TwoTowerSettings(dim=8, history="sasrec"), longest=3).blocks[0]
    vectors = np.random.default_rng(SEED).normal(size=(1, 6, 8)).astype(np.float32)
    before = block(vectors).numpy()
    changed = vectors.copy()
    changed[:, 2, :4] += 1.0
    moved = np.abs(before - block(changed).numpy()).max(axis=(0, 2)) > 1e-3
    assert moved.tolist() == [False, False, True, True, True, False]


@pytest.mark.parametrize("kind", ["mean", *SEQUENCES, "random"])
def test_packed_histories_are_encoded_as_each_history_alone(kind):
    random = np.random.default_rng(SEED)
    users, times = random.integers(0, 5, 200), random.integers(0, 60, 200)
    name = "mean" if kind == "random" else kind
    history = HistoryKind(causal=kind != "random", from_start=name != "mean", length=6)
    sequences = Sequences(users, np.arange(200, dtype=np.int32), times, history)
    _, rows = sequences.histories(sequences.chunks(random))
    vectors = random.normal(size=(200, 8)).astype(np.float32)
    layer = encoder(TwoTowerSettings(dim=8, history=name, blocks=2), longest=6)
    packed = layer(vectors[rows.items], HistoryRanges(rows.row, rows.first, rows.last, rows.own)).numpy()
    assert len(packed) == 200
    for event, (row, first, last) in enumerate(zip(rows.row, rows.first, rows.last, strict=True)):
        own = [] if rows.own is None else [rows.own[event] - first]
        items = np.delete(rows.items[row, first:last], own)
        alone = vectors[np.r_[items, 0]][np.newaxis]  # one item of padding, since a row is not empty
        np.testing.assert_allclose(packed[event], layer(alone, whole(alone, [len(items)]))[0], **CLOSE)


@pytest.mark.parametrize("name", SEQUENCES)
def test_packed_training_has_the_gradients_of_each_history_alone(name):
    random = np.random.default_rng(SEED)
    sequences = Sequences(
        random.integers(0, 3, 40), np.arange(40, dtype=np.int32), np.arange(40), HistoryKind(True, True, 6)
    )
    _, rows = sequences.histories(sequences.chunks(random))
    vectors = tf.Variable(random.normal(size=(40, 8)).astype(np.float32))
    wanted = random.normal(size=(40, 8)).astype(np.float32)
    layer = encoder(TwoTowerSettings(dim=8, history=name), longest=6)

    def one(event):
        items = np.r_[rows.items[rows.row[event], rows.first[event] : rows.last[event]], 0]
        return layer(tf.gather(vectors, items)[tf.newaxis], whole(items[np.newaxis], [len(items) - 1]))[0]

    with tf.GradientTape(persistent=True) as tape:
        ranges = HistoryRanges(rows.row, rows.first, rows.last)
        packed = tf.reduce_sum(layer(tf.gather(vectors, np.maximum(rows.items, 0)), ranges) * wanted)
        alone = tf.reduce_sum(tf.stack([one(event) for event in range(40)]) * wanted)
    for variable in (vectors, *layer.trainable_variables):
        found, expected = (tf.convert_to_tensor(tape.gradient(total, variable)) for total in (packed, alone))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("settings", [{"history": kind} for kind in SEQUENCES] + [{"causal_history": False}])
def test_every_kind_is_served_as_it_was_trained(world, settings, tmp_path):
    few = TwoTowerSettings(epochs=2, id_dropout=0.1, uniform_negatives=16, hard_negatives=4, **settings)
    fitted = two_tower.fit(few, world.retrieval_data(), SEED)
    query = {key: tf.constant(value) for key, value in world.odd_query().items()}
    query[names.HISTORY] = query[names.HISTORY][:, : world.features.history_length]
    scores = fitted.scores(query).numpy()
    fitted.save(str(tmp_path))
    signature = tf.saved_model.load(str(tmp_path)).signatures["embed_query"]
    left = {**query, names.HISTORY: tf.pad(query[names.HISTORY], [[0, 0], [2, 3]], constant_values="")}
    served = signature(**left)["embedding"].numpy() @ fitted.embeddings.numpy().T
    np.testing.assert_allclose(served, scores, **CLOSE)


def test_members_are_fitted_beside_each_other_where_memory_allows(world, monkeypatch):
    """The threads of the fits are those of a pool, or the one that calls."""
    threads, fit = [], fitting.fit

    def recorded(*arguments):
        threads.append(threading.current_thread().name.partition("_")[0])
        return fit(*arguments)

    monkeypatch.setattr(fusion.fitting, "fit", recorded)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    members = {label: {"model": "two_tower", "epochs": 1} for label in ("a", "b")}
    settings = MODELS.check("fusion", {"models": members})
    for gigabytes, expected in ((8, "member"), (1.5, "MainThread")):
        monkeypatch.setattr(memory, "available", lambda free=gigabytes: int(free * 1e9))
        fusion.fit(settings, world.retrieval_data(), SEED)
        assert set(threads) == {expected}
        threads.clear()


def test_members_that_are_fitted_in_threads_are_those_that_are_fitted_alone(world):
    """Two fits with a seed also give the same model."""
    params = {"sasrec": {"epochs": 2, "history": "sasrec"}, "gru": {"epochs": 2, "history": "gru", "dropout": 0.3}}
    members = {label: {"model": "two_tower", **each} for label, each in params.items()} | {"popularity": {}}
    data = world.retrieval_data()
    fused = fusion.fit(MODELS.check("fusion", {"models": members}), data, SEED)
    assert list(fused.members) == list(members)
    for label, each in params.items():
        alone = two_tower.fit(TwoTowerSettings(**each), data, SEED)
        np.testing.assert_array_equal(fused.members[label].embeddings.numpy(), alone.embeddings.numpy())


# ---- new items ----


def hidden_items(world, n_hidden=8):
    """Return the rows of some items and the data without their events; their genres predict which users like them."""
    data = world.retrieval_data()
    hidden = np.arange(n_hidden)
    kept = ~np.isin(data.items, hidden)
    users = data.users.filter(pa.array(kept))
    columns = {name: column[kept] for name, column in data.user_columns().items()}
    return hidden, replace(
        data,
        users=users,
        items=data.items[kept],
        timestamps=data.timestamps[kept],
        ratings=None,
        user_columns=lambda: columns,
        validation=None,
    )


def test_features_carry_items_that_no_event_has(world):
    """Users like even or odd items, and genres show which an item is. benchmarks/cold.py measures this on films."""
    hidden, data = hidden_items(world)
    settings = TwoTowerSettings(epochs=20, batch_size=64, learning_rate=0.01, temperature=0.3, id_dropout=0.5)
    fitted = two_tower.fit(settings, data, SEED)
    query = world.query(40)
    scores = fitted.scores({key: tf.constant(value) for key, value in query.items()}).numpy()[:, hidden]
    taste = np.array([int(user[1:]) % 2 for user in query[names.USER_ID]])
    own = np.where((taste == 0)[:, None], scores[:, 0::2], scores[:, 1::2])
    other = np.where((taste == 0)[:, None], scores[:, 1::2], scores[:, 0::2])
    assert (own[:, :, None] > other[:, None, :]).mean() > 0.7


@pytest.mark.parametrize("id_dropout", [0.0, 0.5])
def test_hidden_ids_train_the_out_of_vocabulary_vectors(world, id_dropout):
    model, batch, data = towers(world, id_dropout=id_dropout)
    model.loss(batch)
    tables = {names.USER_ID: model.query.users.table, names.ITEM_ID: model.candidate.items.table}
    before = {key: table.embeddings.numpy() for key, table in tables.items()}
    training.steps(model, 0.01, SEED)(batch)
    for key, table in tables.items():
        buckets = slice(data.sizes[key] - world.features.id_oov_buckets, None)
        moved = (table.embeddings.numpy() != before[key]).any(axis=1)[buckets]
        assert moved.all() == (id_dropout > 0)


def test_an_item_without_events_has_an_out_of_vocabulary_vector(world):
    hidden, data = hidden_items(world)
    fitted = two_tower.fit(TwoTowerSettings(epochs=1), data, SEED)
    size, buckets = data.sizes[names.ITEM_ID], world.features.id_oov_buckets
    index = data.item_columns()[names.ITEM_ID]
    looked_up = fitted.towers.candidate.items.index.numpy()[index]
    assert (looked_up[hidden] >= size - buckets).all()
    known = np.setdiff1d(data.items, hidden)
    np.testing.assert_array_equal(looked_up[known], index[known])
