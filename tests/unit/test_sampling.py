"""The items that are added to the candidates in training lists: sampled items, impressions and missed items."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.candidate_generator import sampling
from components.candidate_generator.impressions import Pairs
from core import names
from core.errors import ModelError
from core.queries import Queries

N = 100
COUNTS = np.r_[np.full(10, 1000), np.ones(N - 10)].astype(np.int64)  # ten items have nearly all events


def queries(relevant):
    nothing = pa.array([[]] * len(relevant), pa.list_(pa.string()))
    offsets = np.r_[0, np.cumsum([len(each) for each in relevant])].astype(np.int64)
    users = pa.table({names.USER_ID: [str(row) for row in range(len(relevant))]})
    items = np.array([item for each in relevant for item in each], np.int32)
    return Queries(users, np.zeros(len(relevant), np.int64), nothing, nothing, offsets, items)


def training_rows(rows, query_set, seen, counts, shares, seed, impressions=((), ()), missed_weight=0.5):
    """Return the item rows of training lists, their ranks, and a mask of missed items.

    `impressions` are pairs of a query and an item, as two arrays.
    """
    pairs = Pairs(np.array(impressions[0], np.int64), np.array(impressions[1], np.int32))
    shares = (*shares, 0.0)[:3]
    return sampling.training_rows(rows, query_set, seen, counts, pairs, shares, missed_weight, seed)


ROWS = np.stack([np.arange(20, 40), np.arange(50, 70)]).astype(np.int32)
SEEN = np.array([[90, 91, -1], [0, 1, 2]])


def test_with_nothing_sampled_and_nothing_missed_the_list_is_the_retriever_s():
    rows, ranks, missed = training_rows(ROWS, queries([[21], []]), SEEN, COUNTS, (0.0, 0.0), 1)
    np.testing.assert_array_equal(rows[:, :18], ROWS[:, :18])
    np.testing.assert_array_equal(ranks[:, :18], np.broadcast_to(np.arange(18), (2, 18)))
    assert (rows[:, 18:] == -1).all()
    assert not missed.any()


def test_what_was_missed_takes_the_last_places_and_is_marked():
    rows, ranks, missed = training_rows(ROWS, queries([[5, 21, 7], [99]]), SEEN, COUNTS, (0.0, 0.0), 1)
    assert rows[:, 18:].tolist() == [[5, 7], [99, -1]]
    assert missed[:, 18:].tolist() == [[True, True], [True, False]]
    assert not missed[:, :18].any()
    assert np.isnan(ranks[missed]).all()


def test_no_more_of_what_was_missed_than_there_are_places():
    rows, _, missed = training_rows(ROWS, queries([range(70, 90), []]), SEEN, COUNTS, (0.0, 0.0), 1)
    assert missed.sum(axis=1).tolist() == [2, 0]
    assert rows[0, 18:].tolist() == [70, 71]


def test_missed_items_without_a_weight_take_no_places():
    query_set = queries([[5, 21, 7], [99]])
    rows, ranks, missed = training_rows(ROWS, query_set, SEEN, COUNTS, (0.0, 0.0), 1, missed_weight=0.0)
    np.testing.assert_array_equal(rows, ROWS)
    np.testing.assert_array_equal(ranks, np.broadcast_to(np.arange(20), (2, 20)))
    assert not missed.any()
    sampled = training_rows(ROWS, query_set, SEEN, COUNTS, (0.1, 0.1), 1, missed_weight=0.0)[0]
    np.testing.assert_array_equal(sampled[:, :16], ROWS[:, :16])


def test_which_of_the_retriever_s_stay_does_not_tell_what_is_right():
    """Otherwise a ranker could learn the label from the number of retrieved candidates."""
    few, many = (
        training_rows(ROWS, queries([right, [1]]), SEEN, COUNTS, (0.1, 0.1), 1)[0]
        for right in ([22], [*range(33, 40), *range(70, 90)])
    )
    np.testing.assert_array_equal(few[:, :14], ROWS[:, :14])
    np.testing.assert_array_equal(many[:, :14], ROWS[:, :14])


def test_negatives_are_drawn_by_their_shares():
    many = np.tile(np.arange(20, 60, dtype=np.int32), (500, 1))
    nobody = np.full((500, 1), -1)
    query_set = queries([[] for _ in range(500)])
    rows, ranks, _ = training_rows(many, query_set, nobody, COUNTS, (0.25, 0.25), 1)
    np.testing.assert_array_equal(rows[:, :16], many[:, :16])
    assert np.isnan(ranks[:, 16:]).all()
    popular, uniform = (part[part >= 0] for part in (rows[:, 16:26], rows[:, 26:36]))
    assert (popular < 10).mean() > 0.9
    assert 0.02 < (uniform < 10).mean() < 0.2


def test_nothing_right_seen_retrieved_or_drawn_before_is_sampled():
    many = np.tile(np.arange(20, 60, dtype=np.int32), (200, 1))
    seen, right = np.tile(np.arange(60, 70), (200, 1)), [[70, 71]] * 200
    rows, _, missed = training_rows(many, queries(right), seen, np.ones(N, np.int64), (0.2, 0.3), 1)
    sampled = np.where(missed, -1, rows)[:, 16:]
    assert (sampled >= 0).any()
    assert not np.isin(sampled, [*range(20, 36), *range(60, 72)]).any()
    for row in rows:
        assert len(set(row[row >= 0])) == (row >= 0).sum()


def test_a_seed_draws_the_same_and_another_does_not():
    one, again, other = (
        training_rows(ROWS, queries([[], []]), SEEN, COUNTS, (0.0, 0.5), seed)[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


# ---- impressions ----


def test_impressions_stand_before_what_was_missed_and_have_no_rank():
    impressions = ([0, 0, 1], [60, 61, 80])
    rows, ranks, missed = training_rows(ROWS, queries([[5], [99]]), SEEN, COUNTS, (0.0, 0.0, 0.15), 1, impressions)
    np.testing.assert_array_equal(rows[:, :15], ROWS[:, :15])
    assert sorted(rows[0, 15:18].tolist()) == [-1, 60, 61]
    assert rows[1, 15:18].tolist() == [80, -1, -1]
    assert rows[:, 18:].tolist() == [[5, -1], [99, -1]]
    assert np.isnan(ranks[:, 15:]).all()
    assert missed.tolist() == [[False] * 18 + [True, False]] * 2


def test_an_impression_that_is_retrieved_right_or_seen_takes_no_place():
    impressions = ([0] * 4 + [1] * 3, [20, 5, 90, 70, 69, 0, 20])  # 69 is retrieved, but not kept
    rows, *_ = training_rows(ROWS, queries([[5], []]), SEEN, COUNTS, (0.0, 0.0, 0.2), 1, impressions)
    assert rows[0, 14:18].tolist() == [70, -1, -1, -1]
    assert sorted(rows[1, 14:18].tolist()) == [-1, -1, 20, 69]


def test_of_more_than_fit_some_are_drawn_all_alike():
    many = np.tile(np.arange(20, 40, dtype=np.int32), (1000, 1))
    impressions = (np.repeat(np.arange(1000), 10), np.tile(np.arange(50, 60), 1000))
    query_set, nobody = queries([[] for _ in range(1000)]), np.full((1000, 1), -1)
    rows, again, other = (
        training_rows(many, query_set, nobody, COUNTS, (0.0, 0.0, 0.2), seed, impressions)[0][:, 14:18]
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(rows, again)
    assert (rows != other).any()
    assert all(len(set(row)) == 4 for row in rows.tolist())
    np.testing.assert_allclose(np.bincount(rows.ravel() - 50) / 1000, 0.4, atol=0.06)


def test_impressions_change_their_own_places_alone_and_without_any_these_stay_empty():
    given = ROWS, queries([[5], [99]]), SEEN, COUNTS, (0.1, 0.1, 0.2), 1
    without, some = training_rows(*given)[0], training_rows(*given, impressions=([0, 0, 1], [60, 61, 80]))[0]
    assert (without[:, 14:18] == -1).all()
    assert (some[:, 14:18] >= 0).sum(axis=1).tolist() == [2, 1]
    np.testing.assert_array_equal(np.delete(some, np.s_[14:18], axis=1), np.delete(without, np.s_[14:18], axis=1))


@given(st.data())
def test_lists_with_impressions_tell_nothing_and_hold_nothing_wrong(data):
    """The retriever's candidates stay the same; no added item is relevant or seen, and none occurs twice."""
    draw = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    count, width = data.draw(st.integers(1, 5)), data.draw(st.integers(4, 30))
    retrieved = np.stack([draw.permutation(N)[:width] for _ in range(count)]).astype(np.int32)
    right = [np.unique(draw.integers(0, N, draw.integers(0, 9))) for _ in range(count)]
    seen = draw.integers(-1, N, (count, 5))
    pairs = np.unique(draw.integers(0, count * N, draw.integers(0, 400)))
    shares = data.draw(st.sampled_from([(0.0, 0.0, 0.1), (0.1, 0.1, 0.3), (0.0, 0.2, 0.5)]))
    rows, ranks, _ = training_rows(retrieved, queries(right), seen, COUNTS, shares, 3, (pairs // N, pairs % N))
    places = [round(each * width) for each in (*shares, sampling.MISSED_SHARE)]
    kept = width - sum(places)
    np.testing.assert_array_equal(rows[:, :kept], retrieved[:, :kept])
    np.testing.assert_array_equal(ranks[:, :kept], np.broadcast_to(np.arange(kept), (count, kept)))
    assert np.isnan(ranks[:, kept:]).all()
    start = kept + places[0] + places[1]
    for query, row in enumerate(rows):
        impressions = row[start : start + places[2]]
        impressions = impressions[impressions >= 0]
        shown = pairs[pairs // N == query] % N
        assert np.isin(impressions, shown).all()
        assert not np.isin(impressions, [*right[query], *seen[query]]).any()
        filled = row[row >= 0]
        assert len(set(filled)) == len(filled)
        # A position for impressions is empty only if no impression is left.
        left = set(shown) - {*right[query], *seen[query], *filled}
        assert len(impressions) == places[2] or not left


def test_a_list_without_a_place_for_the_retriever_is_refused():
    with pytest.raises(ModelError, match=r"Raise `retrieval\.candidates`"):
        training_rows(ROWS[:, :10], queries([[], []]), SEEN, COUNTS, (0.5, 0.5), 1)
