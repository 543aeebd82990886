"""What a ranker learns from beside the candidates: sampled negatives, and right answers that were missed."""

import numpy as np
import pyarrow as pa

from components.candidate_generator import sampling
from core import names
from core.queries import Queries

N = 100
COUNTS = np.r_[np.full(10, 1000), np.ones(N - 10)].astype(np.int64)  # ten items have nearly all events


def queries(relevant):
    nothing = pa.array([[]] * len(relevant), pa.list_(pa.string()))
    offsets = np.r_[0, np.cumsum([len(each) for each in relevant])].astype(np.int64)
    users = pa.table({names.USER_ID: [str(row) for row in range(len(relevant))]})
    items = np.array([item for each in relevant for item in each], np.int32)
    return Queries(users, np.zeros(len(relevant), np.int64), nothing, nothing, offsets, items)


ROWS = np.stack([np.arange(20, 40), np.arange(50, 70)]).astype(np.int32)
SEEN = np.array([[90, 91, -1], [0, 1, 2]])


def test_with_nothing_sampled_and_nothing_missed_the_list_is_the_retriever_s():
    rows, ranks, missed = sampling.learning_rows(ROWS, queries([[21], []]), SEEN, COUNTS, (0.0, 0.0), 1)
    np.testing.assert_array_equal(rows[:, :18], ROWS[:, :18])
    np.testing.assert_array_equal(ranks[:, :18], np.broadcast_to(np.arange(18), (2, 18)))
    assert (rows[:, 18:] == -1).all()
    assert not missed.any()


def test_what_was_missed_takes_the_last_places_and_is_marked():
    rows, ranks, missed = sampling.learning_rows(ROWS, queries([[5, 21, 7], [99]]), SEEN, COUNTS, (0.0, 0.0), 1)
    assert rows[:, 18:].tolist() == [[5, 7], [99, -1]]
    assert missed[:, 18:].tolist() == [[True, True], [True, False]]
    assert not missed[:, :18].any()
    assert (ranks[missed] == 20).all()


def test_no_more_of_what_was_missed_than_there_are_places():
    rows, _, missed = sampling.learning_rows(ROWS, queries([range(70, 90), []]), SEEN, COUNTS, (0.0, 0.0), 1)
    assert missed.sum(axis=1).tolist() == [2, 0]
    assert rows[0, 18:].tolist() == [70, 71]


def test_which_of_the_retriever_s_stay_does_not_tell_what_is_right():
    """Else a ranker would learn that what stands far down is right."""
    few, many = (
        sampling.learning_rows(ROWS, queries([right, [1]]), SEEN, COUNTS, (0.1, 0.1), 1)[0]
        for right in ([22], [*range(33, 40), *range(70, 90)])
    )
    np.testing.assert_array_equal(few[:, :14], ROWS[:, :14])
    np.testing.assert_array_equal(many[:, :14], ROWS[:, :14])


def test_negatives_are_drawn_by_their_shares():
    many = np.tile(np.arange(20, 60, dtype=np.int32), (500, 1))
    nobody = np.full((500, 1), -1)
    asked = queries([[] for _ in range(500)])
    rows, ranks, _ = sampling.learning_rows(many, asked, nobody, COUNTS, (0.25, 0.25), 1)
    np.testing.assert_array_equal(rows[:, :16], many[:, :16])
    assert (ranks[:, 16:] == 40).all()
    popular, uniform = (part[part >= 0] for part in (rows[:, 16:26], rows[:, 26:36]))
    assert (popular < 10).mean() > 0.9
    assert 0.02 < (uniform < 10).mean() < 0.2


def test_nothing_right_seen_retrieved_or_drawn_before_is_sampled():
    many = np.tile(np.arange(20, 60, dtype=np.int32), (200, 1))
    seen, right = np.tile(np.arange(60, 70), (200, 1)), [[70, 71]] * 200
    rows, _, missed = sampling.learning_rows(many, queries(right), seen, np.ones(N, np.int64), (0.2, 0.3), 1)
    sampled = np.where(missed, -1, rows)[:, 16:]
    assert (sampled >= 0).any()
    assert not np.isin(sampled, [*range(20, 36), *range(60, 72)]).any()
    for row in rows:
        assert len(set(row[row >= 0])) == (row >= 0).sum()


def test_a_seed_draws_the_same_and_another_does_not():
    one, again, other = (
        sampling.learning_rows(ROWS, queries([[], []]), SEEN, COUNTS, (0.0, 0.5), seed)[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
