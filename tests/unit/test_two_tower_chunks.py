"""The chunks of the two-tower's training: which events and histories they have."""

import numpy as np
import pytest

from trainer.retrieval.two_tower.chunks import Chunks, HistoryKind, Sequences, matches

USERS = np.array([1, 0, 1, 1, 0, 1, 2])
ITEMS = np.array([5, 1, 6, 7, 2, 8, 9], np.int32)
TIMES = np.array([10, 30, 20, 20, 40, 30, 5])
KINDS = [
    HistoryKind(True, False, 3),
    HistoryKind(True, False, 30, batch_size=4096),
    HistoryKind(True, True, 10),
    HistoryKind(False, False, 9),
]


def generator(seed=0):
    return np.random.default_rng(seed)


def histories_of(sequences, chunks):
    """Return event → the items of its history, of all events of the chunks."""
    events, rows = sequences.histories(chunks)
    found = {}
    for number, event in enumerate(events):
        columns = range(rows.first[number], rows.last[number])
        if rows.own is not None:
            columns = [column for column in columns if column != rows.own[number]]
        found[int(event)] = [int(rows.items[rows.row[number], column]) for column in columns]
    assert len(found) == len(events)
    return found


def random_events(n_events, n_users, n_seconds, seed=0):
    random = generator(seed)
    users, times = random.integers(0, n_users, n_events), random.integers(0, n_seconds, n_events)
    return users, np.arange(n_events, dtype=np.int32), times


def test_a_causal_history_has_the_items_of_earlier_seconds():
    sequences = Sequences(USERS, ITEMS, TIMES, HistoryKind(causal=True, from_start=False, length=9))
    histories = histories_of(sequences, sequences.chunks(generator()))
    assert [histories[event] for event in range(7)] == [[], [], [5], [5], [1], [5, 6, 7], []]


def test_only_the_latest_items_of_a_long_history_are_used():
    sequences = Sequences(USERS, ITEMS, TIMES, HistoryKind(causal=True, from_start=False, length=1))
    histories = histories_of(sequences, sequences.chunks(generator()))
    assert [histories[event] for event in range(7)] == [[], [], [5], [5], [1], [7], []]


def test_without_order_a_history_has_all_other_items_of_the_user():
    sequences = Sequences(USERS, ITEMS, TIMES, HistoryKind(causal=False, from_start=False, length=9))
    histories = histories_of(sequences, sequences.chunks(generator()))
    others = [{6, 7, 8}, {2}, {5, 7, 8}, {5, 6, 8}, {1}, {5, 6, 7}, set()]
    assert [set(histories[event]) for event in range(7)] == others


@pytest.mark.parametrize("n_seconds", [3, 40, 100_000])
@pytest.mark.parametrize("kind", KINDS, ids=["mean", "mean of a large batch", "state", "random"])
def test_chunks_of_random_events_give_the_histories_that_a_loop_gives(kind, n_seconds):
    users, items, times = random_events(3000, 17, n_seconds)
    sequences = Sequences(users, items, times, kind)
    order = np.lexsort((times, users))
    for _ in range(2):  # two epochs, which cut the sequences at different places
        chunks = sequences.chunks(generator())
        found = histories_of(sequences, chunks)
        assert sorted(found) == list(range(3000))
        for event, history in found.items():
            of_user = order[users[order] == users[event]]
            earlier = [int(items[other]) for other in of_user if times[other] < times[event]]
            if not kind.causal:
                assert set(history) < set(items[of_user])
                assert len(history) < kind.length + 1
                assert items[event] not in history
            elif kind.from_start:
                assert len(history) >= min(kind.length, len(earlier))
                assert history == earlier[len(earlier) - len(history) :]
            else:
                assert history == earlier[-kind.length :]


@pytest.mark.parametrize("n_seconds", [1, 3, 100_000])
@pytest.mark.parametrize("kind", KINDS[:2], ids=["mean", "state"])
def test_rows_stay_short_if_a_user_has_many_events_in_a_second(kind, n_seconds):
    sequences = Sequences(*random_events(3000, 2, n_seconds), kind)
    _, rows = sequences.histories(sequences.chunks(generator()))
    assert rows.items.shape[1] <= kind.length + 2 * kind.chunk


def test_an_epoch_has_chunks_of_all_users_in_another_order_than_the_last():
    sequences = Sequences(*random_events(3000, 17, 100_000), KINDS[0])
    random = generator()
    first, second = sequences.chunks(random), sequences.chunks(random)
    assert (first.end - first.start).max() <= KINDS[0].chunk
    assert (np.diff(first.start) < 0).any()
    assert set(first.start) != set(second.start)


def test_a_part_of_the_chunks_has_the_same_histories():
    sequences = Sequences(*random_events(500, 5, 100_000), KINDS[1])
    chunks = sequences.chunks(generator())
    whole = histories_of(sequences, chunks)
    half = len(chunks.start) // 2
    parts = [chunks.part(0, half), chunks.part(half, len(chunks.start))]
    assert all(isinstance(part, Chunks) for part in parts)
    assert {event: history for part in parts for event, history in histories_of(sequences, part).items()} == whole


def test_positives_are_the_items_of_the_users_at_every_position_of_the_pool():
    sequences = Sequences(USERS, ITEMS, TIMES, KINDS[0])
    pairs = sequences.positives(np.array([0, 6, 4]), np.array([8, 3, 9, 5]))
    assert sorted(map(tuple, pairs.tolist())) == [(0, 0), (0, 3), (1, 2)]


def test_matches_are_all_pairs_of_equal_values():
    pairs = np.stack(matches(np.array([3, 1, 3]), np.array([3, 2, 3, 1])), axis=1)
    assert sorted(map(tuple, pairs.tolist())) == [(0, 0), (0, 2), (1, 3), (2, 0), (2, 2)]
