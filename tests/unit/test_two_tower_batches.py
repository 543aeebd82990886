"""The training batches of the two-tower model: their events, negatives with the log of their odds, and hidden ids."""

import numpy as np
import pytest

from core import names
from trainer.retrieval.two_tower.batches import Batches, Sampling, log_expected
from trainer.retrieval.two_tower.chunks import HistoryKind, Sequences

PLAIN = {"negatives": 4096, "uniform": 0, "pool": 0, "exclude_positives": False, "id_dropout": 0.0, "oov_buckets": 4}


def test_log_expected_counts_both_ways_into_a_batch():
    counts = np.array([6, 3, 1, 0])
    np.testing.assert_allclose(np.exp(log_expected(counts, 20, 0))[:3], [12, 6, 2], rtol=1e-6)
    np.testing.assert_allclose(np.exp(log_expected(counts, 20, 8)), [14, 8, 4, 2], rtol=1e-6)


def batches(seed=0, n_events=1000, n_items=20, **settings):
    random = np.random.default_rng(1)
    users, items = random.integers(0, 30, n_events), random.integers(0, n_items, n_events).astype(np.int32)
    sequences = Sequences(users, items, np.arange(n_events), HistoryKind(causal=True, from_start=False, length=5))
    item_columns = {names.ITEM_ID: np.arange(1, n_items + 1), "genre": np.arange(n_items) % 3}
    sizes = {names.USER_ID: 1 + 30 + 4, names.ITEM_ID: 1 + n_items + 4}
    user_columns = {names.USER_ID: users + 1, "age": users % 7}
    return Batches(user_columns, item_columns, items, sequences, sizes, Sampling(**PLAIN | settings), seed)


def item_rows(batch):
    """Return the item rows of the candidates of a batch without hidden ids."""
    return batch["candidate"][names.ITEM_ID] - 1


def test_an_epoch_has_each_event_once_with_its_own_columns():
    made = batches(batch_size=100)
    epochs = [list(made), list(made)]
    assert [len(epoch) for epoch in epochs] == [10, 10]
    rows = np.concatenate([item_rows(batch) for batch in epochs[0]])
    np.testing.assert_array_equal(np.sort(rows), np.sort(made.items))
    assert (rows != np.concatenate([item_rows(batch) for batch in epochs[1]])).any()
    for batch in epochs[0]:
        query, candidate, events = batch["query"], batch["candidate"], len(batch["row"])
        assert abs(events - 100) <= 4  # a chunk
        np.testing.assert_array_equal(query["age"], (query[names.USER_ID] - 1) % 7)
        np.testing.assert_array_equal(candidate["genre"], item_rows(batch) % 3)
        np.testing.assert_array_equal(batch["log_expected"], made.log_expected[item_rows(batch)])
        np.testing.assert_array_equal(batch["negative"], np.arange(events))
        for event, user in enumerate(query[names.USER_ID]):
            length = batch["last"][event] - batch["first"][event]
            columns = slice(batch["first"][event], batch["last"][event])
            history = query[names.HISTORY][batch["row"][event], columns] - 1
            of_user = made.items[made.user_columns[names.USER_ID] == user]
            assert 0 <= length <= 5
            assert set(history) <= set(of_user)
        keys = {"query", "row", "first", "last", "candidate", "log_expected", "negative", "excluded"}
        assert set(batch) == keys


def test_a_batch_larger_than_the_events_has_all_of_them():
    made = batches(batch_size=4096)
    [batch] = made
    assert len(batch["row"]) == 1000
    assert np.exp(made.log_expected).sum() == pytest.approx(1000, rel=1e-4)


def test_the_number_of_negatives_does_not_grow_with_the_batch():
    made = batches(batch_size=500, negatives=60, uniform=7)
    for batch in made:
        events = len(batch["row"])
        chosen, uniform = batch["negative"][:60], batch["negative"][60:]
        assert len(set(chosen)) == 60
        assert chosen.max() < events
        np.testing.assert_array_equal(uniform, np.arange(events, events + 7))
    assert np.exp(made.log_expected).sum() == pytest.approx(67, rel=1e-4)


def test_uniform_negatives_and_a_pool_come_from_the_whole_catalogue():
    made = batches(batch_size=100, uniform=50, pool=64)
    for batch in made:
        events = len(batch["row"])
        assert len(item_rows(batch)) == len(batch["log_expected"]) == events + 50
        np.testing.assert_array_equal(np.sort(batch["pool"][names.ITEM_ID]), np.arange(1, 21))  # the whole catalogue
        pairs = batch["pool_excluded"]
        assert pairs[:, 0].max() < events
        assert pairs[:, 1].max() < 20
    uniform = np.concatenate([item_rows(batch)[-50:] for _ in range(40) for batch in made])
    np.testing.assert_allclose(np.bincount(uniform, minlength=20), 1000, rtol=0.2)


@pytest.mark.parametrize("exclude_positives", [False, True])
def test_what_is_no_negative_of_an_event_is_excluded(exclude_positives):
    batch = next(iter(made := batches(batch_size=100, negatives=80, uniform=50, exclude_positives=exclude_positives)))
    of_user = {user: set(made.items[made.user_columns[names.USER_ID] == user]) for user in range(1, 31)}
    users, rows, events = batch["query"][names.USER_ID], item_rows(batch), len(batch["row"])
    expected = set()
    for event, user in enumerate(users):
        for number, place in enumerate(batch["negative"]):
            own, same_user = rows[place] == rows[event], place < events and users[min(place, events - 1)] == user
            if rows[place] in of_user[user] if exclude_positives else own or same_user:
                expected.add((event, number))
    assert 0 < len(expected) < events * 130
    assert set(map(tuple, batch["excluded"].tolist())) == expected


def test_hidden_ids_are_out_of_vocabulary_ones():
    made = batches(batch_size=1000, id_dropout=0.3)
    [batch] = made
    for known, ids in ((30, batch["query"][names.USER_ID]), (20, batch["candidate"][names.ITEM_ID])):
        hidden = ids > known
        assert hidden.mean() == pytest.approx(0.3, abs=0.05)
        assert set(ids[hidden]) == set(range(known + 1, known + 5))
    kept = item_rows(batch) < 20
    np.testing.assert_array_equal(item_rows(batch)[kept] % 3, batch["candidate"]["genre"][kept])
    assert (made.item_columns[names.ITEM_ID] <= 20).all()  # ids are hidden in the batch, not in the data


def test_batches_are_the_same_under_a_seed_and_others_under_another():
    first, same, other = (
        np.concatenate([item_rows(batch) for batch in batches(seed, batch_size=100, uniform=10, id_dropout=0.3)])
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, same)
    assert len(first) != len(other) or (first != other).any()
