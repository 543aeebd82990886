"""The two-tower model beyond the contract: its loss, its optimiser, its encoders of histories, and cold items."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from core import names
from trainer.retrieval.two_tower import model as two_tower
from trainer.retrieval.two_tower import training
from trainer.retrieval.two_tower.batches import Batches
from trainer.retrieval.two_tower.sequence import encoder
from trainer.retrieval.two_tower.settings import TwoTowerSettings
from trainer.retrieval.two_tower.training import LazyAdam, TwoTower

SEED = 7
SEQUENCES = ("gru", "sasrec")
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def towers(world, **settings):
    """Return the untrained model, its first training batch, and the training data."""
    chosen = TwoTowerSettings(batch_size=32, dim=8, **settings)
    data = world.retrieval_data()
    of_items, of_users = two_tower.item_columns(data), two_tower.user_columns(data)
    known = {names.USER_ID: of_users[names.USER_ID], names.ITEM_ID: of_items[names.ITEM_ID][data.items]}
    tf.keras.utils.set_random_seed(SEED)
    model = TwoTower(chosen, data, {key: np.unique(ids) for key, ids in known.items()})
    histories, drawn = two_tower.histories(chosen, data), two_tower.sampling(chosen, data)
    batches = Batches(of_users, of_items, data.items, histories, data.sizes, drawn, SEED)
    return model, next(iter(batches)), data


# ---- the loss ----


def softmax_loss(logits):
    """Return the mean softmax cross-entropy with the diagonal as targets."""
    events = np.arange(len(logits))
    highest = logits.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(logits - highest).sum(axis=1)) + highest[:, 0] - logits[events, events]))


@pytest.mark.parametrize(("uniform", "exclude_positives"), [(0, False), (16, False), (16, True)])
def test_the_loss_is_a_softmax_over_the_batch_less_log_q(world, uniform, exclude_positives):
    model, batch, data = towers(
        world, uniform_negatives=uniform, exclude_positives=exclude_positives, dropout=0.0, temperature=0.2
    )
    queries = model.query(batch["query"], length=batch["history_length"]).numpy()
    items, rows = model.candidate(batch["candidate"]).numpy(), batch["rows"]
    share = 32 * data.counts() / len(data.items) + uniform / data.n_items
    logits = queries @ items.T / 0.2 - np.log(share[rows])
    users = two_tower.user_columns(data)[names.USER_ID]
    met = [data.items[users == user] if exclude_positives else [] for user in batch["query"][names.USER_ID]]
    no_negative = np.array([(rows == rows[row]) | np.isin(rows, met[row]) for row in range(32)])
    no_negative[np.arange(32), np.arange(32)] = False
    assert no_negative.any()
    assert logits.shape == (32, 32 + uniform)
    assert model.loss(batch).numpy() == pytest.approx(softmax_loss(np.where(no_negative, -np.inf, logits)), rel=1e-4)


def test_hard_negatives_are_the_closest_that_the_user_did_not_meet(world):
    model, batch, data = towers(world, hard_negatives=3, dropout=0.0)
    queries, pool = (
        model.query(batch["query"], length=batch["history_length"]).numpy(),
        model.candidate(batch["pool"]).numpy(),
    )
    users = two_tower.user_columns(data)[names.USER_ID]
    items = two_tower.item_columns(data)[names.ITEM_ID]
    logits = queries @ pool.T / 0.1  # the pool is the whole catalogue, so no correction for sampling is needed
    for row, user in enumerate(batch["query"][names.USER_ID]):
        met = items[data.items[users == user]]
        assert len(met)
        logits[row, np.isin(batch["pool"][names.ITEM_ID], met)] = -np.inf
    expected = -np.sort(-logits, axis=1)[:, :3]
    found = model._hard(tf.constant(queries), batch["pool"], batch["pool_positives"]).numpy()
    np.testing.assert_allclose(-np.sort(-found, axis=1), expected, **CLOSE)
    with_hard, model.hard = model.loss(batch).numpy(), 0
    assert with_hard > model.loss(batch).numpy()


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


@pytest.mark.parametrize("kind", ["mean", *SEQUENCES])
def test_padding_says_nothing_and_an_empty_history_is_zeros(kind):
    layer = encoder(TwoTowerSettings(dim=8, history=kind, blocks=2), longest=6)
    vectors = np.random.default_rng(SEED).normal(size=(3, 6, 8)).astype(np.float32)
    present = np.array([[1, 1, 1, 0, 0, 0], [0] * 6, [1] * 6], np.float32)
    met = present.sum(axis=1)
    full = layer(vectors, present, met).numpy()
    np.testing.assert_array_equal(full[1], 0)
    noisy = np.where(present[..., None] > 0, vectors, 9.0)
    np.testing.assert_allclose(layer(noisy, present, met), full, **CLOSE)
    np.testing.assert_allclose(layer(vectors[:1, :3], present[:1, :3], met[:1]), full[:1], **CLOSE)


@pytest.mark.parametrize("kind", SEQUENCES)
def test_a_sequence_model_knows_the_order_and_a_mean_does_not(kind):
    vectors = np.random.default_rng(SEED).normal(size=(1, 4, 8)).astype(np.float32)
    present, met = np.ones((1, 4), np.float32), np.array([4.0], np.float32)
    for name, differs in ((kind, True), ("mean", False)):
        layer = encoder(TwoTowerSettings(dim=8, history=name), longest=4)
        there, back = layer(vectors, present, met).numpy(), layer(vectors[:, [1, 0, 2, 3]], present, met).numpy()
        assert (np.abs(there - back).max() > 1e-3) == differs


def test_attention_looks_back_alone():
    layer = encoder(TwoTowerSettings(dim=8, history="sasrec", blocks=2), longest=5)
    vectors = tf.random.normal([1, 5, 8], seed=SEED)
    present = np.ones((1, 5), np.float32)
    layer(vectors, present, present.sum(axis=1))
    causal = tf.linalg.band_part(tf.ones([5, 5], tf.bool), -1, 0)[tf.newaxis]
    changed = tf.concat([vectors[:, :4], vectors[:, 4:] + 1.0], axis=1)
    before, after = (layer.blocks[0](each, each, causal).numpy() for each in (vectors, changed))
    np.testing.assert_allclose(before[:, :4], after[:, :4], **CLOSE)
    assert np.abs(before[:, 4] - after[:, 4]).max() > 1e-3


def test_a_sampled_history_weighs_what_the_whole_one_does():
    layer = encoder(TwoTowerSettings(dim=8), longest=9)
    same = np.ones((1, 9, 8), np.float32)
    whole = layer(same, np.ones((1, 9), np.float32), np.array([9.0], np.float32))
    part = layer(same[:, :3], np.ones((1, 3), np.float32), np.array([9.0], np.float32))
    np.testing.assert_allclose(part, whole, **CLOSE)
    np.testing.assert_allclose(whole, 3.0, **CLOSE)


@pytest.mark.parametrize("settings", [{"history": kind} for kind in SEQUENCES] + [{"causal_history": False}])
def test_every_kind_is_served_as_it_was_trained(world, settings, tmp_path):
    few = TwoTowerSettings(epochs=2, id_dropout=0.1, uniform_negatives=16, hard_negatives=4, **settings)
    fitted, again = (two_tower.fit(few, world.retrieval_data(), SEED) for _ in range(2))
    query = {key: tf.constant(value) for key, value in world.odd_query().items()}
    query[names.HISTORY] = query[names.HISTORY][:, : world.features.history_length]
    scores = fitted.scores(query).numpy()
    np.testing.assert_array_equal(scores, again.scores(query).numpy())
    fitted.save(str(tmp_path))
    signature = tf.saved_model.load(str(tmp_path)).signatures["embed_query"]
    left = {**query, names.HISTORY: tf.pad(query[names.HISTORY], [[0, 0], [2, 3]], constant_values="")}
    served = signature(**left)["embedding"].numpy() @ fitted.embeddings.numpy().T
    np.testing.assert_allclose(served, scores, **CLOSE)


# ---- new items ----


def hidden_items(world, n_hidden=8):
    """Return the rows of some items and the data without their events; their genres predict which users like them."""
    data = world.retrieval_data()
    hidden = np.arange(n_hidden)
    kept = ~np.isin(data.items, hidden)
    users = data.users.filter(pa.array(kept))
    columns = {name: column[kept] for name, column in data.transformed().items()}
    return hidden, replace(
        data,
        users=users,
        items=data.items[kept],
        timestamps=data.timestamps[kept],
        ratings=None,
        transformed=lambda: columns,
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
    training.steps(model, 0.01)(batch)
    for key, table in tables.items():
        buckets = slice(data.sizes[key] - world.features.id_oov_buckets, None)
        moved = (table.embeddings.numpy() != before[key]).any(axis=1)[buckets]
        assert moved.all() == (id_dropout > 0)


def test_an_item_without_events_has_an_out_of_vocabulary_vector(world):
    hidden, data = hidden_items(world)
    fitted = two_tower.fit(TwoTowerSettings(epochs=1), data, SEED)
    size, buckets = data.sizes[names.ITEM_ID], world.features.id_oov_buckets
    index = two_tower.item_columns(data)[names.ITEM_ID]
    looked_up = fitted.towers().candidate.items.index.numpy()[index]
    assert (looked_up[hidden] >= size - buckets).all()
    known = np.setdiff1d(data.items, hidden)
    np.testing.assert_array_equal(looked_up[known], index[known])
