"""The training batches of the two-tower model: causal histories, sampled negatives with their odds, and hidden ids."""

import numpy as np
import pytest

from core import names
from trainer.retrieval.two_tower.batches import Batches, Histories, Sampling, log_expected

USERS = np.array([1, 0, 1, 1, 0, 1, 2])
ITEMS = np.array([5, 1, 6, 7, 2, 8, 9], np.int32)
TIMES = np.array([10, 30, 20, 20, 40, 30, 5])
EVERY = np.arange(len(USERS))


def drawn(seed=0):
    return np.random.default_rng(seed)


def listed(rows):
    return [[int(item) for item in row if item >= 0] for row in rows]


def test_a_history_in_order_is_what_came_before_and_not_in_the_same_second():
    histories, count = Histories(USERS, ITEMS, TIMES, causal=True, longest=9, read=9).of(EVERY, drawn())
    assert listed(histories) == [[], [], [5], [5], [1], [5, 6, 7], []]
    assert count.tolist() == [0, 0, 1, 1, 1, 3, 0]


def test_of_a_long_history_the_latest_are_read():
    histories, count = Histories(USERS, ITEMS, TIMES, causal=True, longest=2, read=1).of(np.array([5, 3]), drawn())
    assert histories.tolist() == [[7], [5]]
    assert count.tolist() == [1, 1]


def test_without_order_a_history_is_all_others_of_the_user():
    histories, count = Histories(USERS, ITEMS, TIMES, causal=False, longest=9, read=9).of(EVERY, drawn())
    assert [set(row) for row in listed(histories)] == [{6, 7, 8}, {2}, {5, 7, 8}, {5, 6, 8}, {1}, {5, 6, 7}, set()]
    assert count.tolist() == [3, 1, 3, 3, 1, 3, 0]


def test_a_sample_of_a_history_is_even_and_leaves_the_event_out():
    size, read = 50, 10
    items = np.arange(size, dtype=np.int32)
    histories = Histories(np.zeros(size, int), items, items, causal=False, longest=size, read=read)
    draw = drawn()
    samples = [histories.of(np.array([17]), draw)[0][0] for _ in range(2000)]
    counts = np.bincount(np.concatenate(samples), minlength=size)
    assert all(len(set(sample)) >= read - 3 for sample in samples)
    assert counts[17] == 0
    np.testing.assert_allclose(np.delete(counts, 17), 2000 * read / (size - 1), rtol=0.2)
    assert histories.of(np.array([17]), draw)[1].tolist() == [size - 1]


def test_positives_are_the_items_of_the_users_at_every_position_of_the_pool():
    histories = Histories(USERS, ITEMS, TIMES, causal=True, longest=9, read=9)
    pairs = histories.positives(np.array([0, 6, 4]), np.array([8, 3, 9, 5]))
    assert sorted(map(tuple, pairs.tolist())) == [(0, 0), (0, 3), (1, 2)]


def test_log_expected_counts_both_ways_into_a_batch():
    counts = np.array([6, 3, 1, 0])
    np.testing.assert_allclose(np.exp(log_expected(counts, 20, 0))[:3], [12, 6, 2], rtol=1e-6)
    np.testing.assert_allclose(np.exp(log_expected(counts, 20, 8)), [14, 8, 4, 2], rtol=1e-6)


def batches(sampling, seed=0, n_events=1000, n_items=20):
    draw = drawn(1)
    users, items = draw.integers(0, 30, n_events), draw.integers(0, n_items, n_events).astype(np.int32)
    histories = Histories(users, items, np.arange(n_events), causal=True, longest=5, read=5)
    item_columns = {names.ITEM_ID: np.arange(1, n_items + 1), "genre": np.arange(n_items) % 3}
    sizes = {names.USER_ID: 1 + 30 + 4, names.ITEM_ID: 1 + n_items + 4}
    return Batches({names.USER_ID: users + 1, "age": users % 7}, item_columns, items, histories, sizes, sampling, seed)


def test_an_epoch_has_each_event_once_with_its_own_columns():
    made = batches(Sampling(batch_size=100, uniform=0, pool=0, exclude_positives=False, id_dropout=0.0, oov_buckets=4))
    epochs = [list(made), list(made)]
    assert [len(epoch) for epoch in epochs] == [10, 10]
    rows = np.concatenate([batch["rows"] for batch in epochs[0]])
    np.testing.assert_array_equal(np.sort(rows), np.sort(made.items))
    assert (rows != np.concatenate([batch["rows"] for batch in epochs[1]])).any()
    for batch in epochs[0]:
        query, candidate = batch["query"], batch["candidate"]
        np.testing.assert_array_equal(query["age"], (query[names.USER_ID] - 1) % 7)
        np.testing.assert_array_equal(candidate[names.ITEM_ID], batch["rows"] + 1)
        np.testing.assert_array_equal(candidate["genre"], batch["rows"] % 3)
        np.testing.assert_array_equal((query[names.HISTORY] > 0).sum(axis=1), batch["history_length"])
        assert set(batch) == {"query", "history_length", "candidate", "rows", "log_expected"}


def test_a_batch_larger_than_the_events_is_all_of_them():
    made = batches(Sampling(batch_size=4096, uniform=0, pool=0, exclude_positives=False, id_dropout=0.0, oov_buckets=4))
    [batch] = made
    assert len(batch["rows"]) == 1000
    assert np.exp(made.log_expected).sum() == pytest.approx(1000, rel=1e-4)


def test_uniform_negatives_and_a_pool_come_from_the_whole_catalogue():
    made = batches(
        Sampling(batch_size=100, uniform=50, pool=64, exclude_positives=False, id_dropout=0.0, oov_buckets=4)
    )
    for batch in made:
        assert len(batch["candidate"][names.ITEM_ID]) == len(batch["log_expected"]) == 150
        np.testing.assert_array_equal(np.sort(batch["pool"][names.ITEM_ID]), np.arange(1, 21))  # the whole catalogue
        pairs = batch["pool_positives"]
        assert pairs[:, 0].max() < 100
        assert pairs[:, 1].max() < 20
    uniform = np.concatenate([batch["rows"][100:] for _ in range(40) for batch in made])
    np.testing.assert_allclose(np.bincount(uniform, minlength=20), 1000, rtol=0.2)


def test_other_items_of_a_user_are_not_negatives_of_an_event():
    made = batches(Sampling(batch_size=100, uniform=50, pool=0, exclude_positives=True, id_dropout=0.0, oov_buckets=4))
    batch = next(iter(made))
    histories = {user: set(made.items[made.user_columns[names.USER_ID] == user]) for user in range(1, 31)}
    expected = {
        (row, place)
        for row, user in enumerate(batch["query"][names.USER_ID])
        for place, item in enumerate(batch["rows"])
        if item in histories[user] and row != place
    }
    assert 0 < len(expected) < 100 * 150
    assert set(map(tuple, batch["positives"].tolist())) == expected


def test_hidden_ids_are_out_of_vocabulary_ones():
    made = batches(Sampling(batch_size=1000, uniform=0, pool=0, exclude_positives=False, id_dropout=0.3, oov_buckets=4))
    [batch] = made
    for known, ids in ((30, batch["query"][names.USER_ID]), (20, batch["candidate"][names.ITEM_ID])):
        hidden = ids > known
        assert hidden.mean() == pytest.approx(0.3, abs=0.05)
        assert set(ids[hidden]) == set(range(known + 1, known + 5))
    kept = batch["candidate"][names.ITEM_ID] <= 20
    np.testing.assert_array_equal(batch["candidate"][names.ITEM_ID][kept], batch["rows"][kept] + 1)
    assert (made.item_columns[names.ITEM_ID] <= 20).all()  # ids are hidden in the batch, not in the data


def test_batches_are_the_same_under_a_seed_and_others_under_another():
    sampling = Sampling(batch_size=100, uniform=10, pool=0, exclude_positives=False, id_dropout=0.3, oov_buckets=4)
    first, same, other = (
        np.concatenate([batch["candidate"][names.ITEM_ID] for batch in batches(sampling, seed)]) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()
