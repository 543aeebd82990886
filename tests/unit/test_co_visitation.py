"""Co-visitation compared with a loop over all pairs of events; the time window, ties, and data without pairs."""

import numpy as np
import pyarrow as pa
import pytest
from facts import facts
from hypothesis import given, settings
from hypothesis import strategies as st

from core import names
from core.errors import ModelError
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.neighbours import co_visitation
from trainer.retrieval.neighbours.settings import CoVisitationSettings
from transform.features import Features


def data(users, items, timestamps, n_items):
    return RetrievalData(
        features=Features(),
        catalogue=pa.table({names.ITEM_ID: [f"i{row}" for row in range(n_items)]}),
        users=pa.array([f"u{user}" for user in users], pa.string()),
        items=np.array(items, np.int32),
        timestamps=np.array(timestamps, np.int64),
    )


def related(model):
    """Return the kept weights as a dense [N, N] matrix."""
    columns = model.neighbours.numpy()
    found = np.zeros((len(columns), len(columns)))
    np.add.at(found, (np.arange(len(columns))[:, np.newaxis], columns), model.weights.numpy())
    return found


def by_definition(users, items, timestamps, n_items, chosen):
    """Return the relatedness [N, N] by a loop over all pairs of events."""
    found = np.zeros((n_items, n_items))
    for one in range(len(users)):
        for other in range(len(users)):
            near = abs(int(timestamps[one]) - int(timestamps[other])) <= chosen.seconds
            if users[one] == users[other] and items[one] != items[other] and near:
                found[items[one], items[other]] += 1
    counts, exponent = np.bincount(items, minlength=n_items), chosen.popularity_exponent
    with np.errstate(invalid="ignore", divide="ignore"):
        below = np.outer(counts ** (1 - exponent), counts**exponent) + chosen.shrinkage
        return np.where(found > 0, found / below, 0)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 4, 2**20]),
    st.integers(0, 30),
    st.sampled_from([0.0, 0.25, 1.0]),
    st.sampled_from([0.0, 2.0]),
)
def test_items_are_related_by_their_pairs_in_time(seed, at_once, seconds, exponent, shrinkage):
    random = np.random.default_rng(seed)
    count = random.integers(1, 40)
    users, items, timestamps = (random.integers(0, most, count) for most in (3, 6, 60))
    chosen = CoVisitationSettings(seconds=seconds, popularity_exponent=exponent, shrinkage=shrinkage)
    expected = by_definition(users, items, timestamps, 6, chosen)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(co_visitation, "PAIRS_AT_ONCE", at_once)
        try:
            found = related(co_visitation.fit(chosen, data(users, items, timestamps, 6), 0))
        except ModelError:
            found = np.zeros((6, 6))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_most_related_are_kept_and_ties_are_by_item():
    fitted = co_visitation.fit(
        CoVisitationSettings(neighbours=2), data([0, 0, 0, 0, 1, 1], [3, 2, 1, 0, 0, 3], [7] * 6, 4), 0
    )
    assert fitted.neighbours.numpy()[0].tolist() == [3, 1]
    assert fitted.half_life == 3.0


def test_the_order_of_rows_changes_nothing():
    random = np.random.default_rng(0)
    users, items, timestamps = (random.integers(0, most, 200) for most in (9, 30, 500))
    shuffled = random.permutation(200)
    one, other = (
        co_visitation.fit(CoVisitationSettings(), data(users[rows], items[rows], timestamps[rows], 30), 0)
        for rows in (np.arange(200), shuffled)
    )
    np.testing.assert_array_equal(one.neighbours.numpy(), other.neighbours.numpy())
    np.testing.assert_array_equal(one.weights.numpy(), other.weights.numpy())


def test_a_crowded_second_takes_bounded_time(monkeypatch):
    monkeypatch.setattr(co_visitation, "MOST_LATER", 2)
    found = related(co_visitation.fit(CoVisitationSettings(), data([0] * 5, range(5), [1] * 5, 5), 0))
    assert (found > 0).sum(axis=1).tolist() == [2, 3, 4, 3, 2]


def test_days_between_events_are_refused_with_what_to_do():
    day = 86_400
    with pytest.raises(ModelError, match=facts("within 120 seconds … Raise `seconds` … item_knn")):
        co_visitation.fit(CoVisitationSettings(), data([0, 0, 1, 1], [0, 1, 0, 1], [0, day, 0, day], 2), 0)


@pytest.mark.parametrize(
    ("users", "items", "n_items"),
    [([], [], 2), ([0], [0], 1), ([0, 1], [0, 1], 2), ([0, 0], [1, 1], 2)],
    ids=["nothing", "one event", "one each", "one item twice"],
)
def test_without_two_items_of_a_user_nothing_is_related(users, items, n_items):
    fitted = co_visitation.fit(CoVisitationSettings(), data(users, items, [5] * len(items), n_items), 0)
    assert fitted.neighbours.shape == (n_items, n_items - 1)
    assert not fitted.weights.numpy().any()
