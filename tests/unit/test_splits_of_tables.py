"""Splits that are not ordered in time: random, by folds, and given."""

import numpy as np
import pyarrow as pa
import pytest
from facts import lacking

from components.event_joiner import join, splits
from core import names
from core.errors import DataError

N = 20_000
USERS = pa.table({names.USER_ID: [f"u{row}" for row in range(50)]})
ITEMS = pa.table({names.ITEM_ID: [f"i{row}" for row in range(80)]})


@pytest.fixture(scope="module")
def events():
    rng = np.random.default_rng(0)
    return pa.table(
        {
            names.USER_ID: [f"u{one}" for one in rng.integers(0, 50, N)],
            names.ITEM_ID: [f"i{one}" for one in rng.integers(0, 80, N)],
            names.TIMESTAMP: rng.integers(0, 10**9, N),
            "part": rng.choice(["train", "train", "train", "test"], N),
        }
    )


def spec(method, **more):
    return join.JoinSpec(**{"method": method, "eval_share": 0.1, "test_share": 0.2, "seed": 7} | more)


def by_event(joined):
    """Return (user, item, time) of each event → its split."""
    return by_key(joined.table(np.ones(len(joined), bool)), joined.split)


def by_key(joined, split):
    """Return (user, item, time) of each row → its split."""
    keys = zip(*(joined[key].to_pylist() for key in (names.USER_ID, names.ITEM_ID, names.TIMESTAMP)), strict=True)
    return dict(zip(keys, split.tolist(), strict=True))


def drawn_of(users, items, times):
    return splits.shares(3, *(splits.hashes(pa.chunked_array([ids])) for ids in (users, items)), times)


METHODS = [("random", {}), ("kfold", {"fold": (2, 5)}), ("given", {"column": "part"})]


@pytest.mark.parametrize(("method", "more"), METHODS)
def test_neither_order_nor_shards_change_an_event_s_split(events, method, more):
    events = events.select([name for name in events.column_names if name != "part" or method == "given"])
    whole = by_event(join.join(events, USERS, ITEMS, spec(method, **more)))
    shuffled = events.take(pa.array(np.random.default_rng(1).permutation(N)))
    assert by_event(join.join(shuffled, USERS, ITEMS, spec(method, **more))) == whole
    sharded = {}
    for remainder in range(3):
        mine = np.array([int(user[1:]) % 3 == remainder for user in events[names.USER_ID].to_pylist()])
        sharded |= by_event(join.join(events.filter(pa.array(mine)), USERS, ITEMS, spec(method, **more)))
    assert sharded == whole


def test_another_seed_gives_another_split_with_the_same_shares(events):
    first, second = (join.join(events, USERS, ITEMS, spec("random", seed=seed)).split for seed in (7, 8))
    assert np.bincount(first) / N == pytest.approx([0.7, 0.1, 0.2], abs=0.01)
    # The splits of two seeds are independent, so they agree with the probability of chance.
    assert (first == second).mean() == pytest.approx(0.7**2 + 0.1**2 + 0.2**2, abs=0.015)


def test_no_column_decides_alone(events):
    """The events of one user, of one item or of one second have the same shares of splits as all events."""
    items, times = pa.array(["i0"] * 6000), np.zeros(6000, np.int64)
    several = pa.array([f"u{row}" for row in range(6000)])
    for users, things, when in (
        (several, items, times),
        (items, several, times),
        (items, items, np.arange(6000, dtype=np.int64)),
    ):
        drawn = drawn_of(users, things, when)
        assert np.histogram(drawn, 10, (0, 1))[0] / 600 == pytest.approx(np.ones(10), abs=0.15)
    pair = drawn_of(pa.array(["1", "2"]), pa.array(["2", "1"]), np.zeros(2, np.int64))
    assert pair[0] != pair[1]
    twice = drawn_of(pa.array(["1", "1"]), pa.array(["2", "2"]), np.zeros(2, np.int64))
    assert twice[0] == twice[1]
    assert len(drawn_of(pa.array([], pa.string()), pa.array([], pa.string()), np.zeros(0, np.int64))) == 0


def test_every_event_is_test_in_one_fold_and_eval_is_a_share_of_the_rest(events):
    found = [by_event(join.join(events, USERS, ITEMS, spec("kfold", fold=(fold, 5)))) for fold in range(1, 6)]
    parts = np.array([[one[key] for key in found[0]] for one in found])
    assert ((parts == 2).sum(axis=0) == 1).all()
    assert (parts == 2).mean(axis=1) == pytest.approx(np.full(5, 0.2), abs=0.01)
    assert ((parts == 1).sum(axis=1) / (parts != 2).sum(axis=1)) == pytest.approx(np.full(5, 0.1), abs=0.01)


def test_a_given_split_is_kept_and_its_column_goes(events):
    joined = join.join(events, USERS, ITEMS, spec("given", column="part"))
    split = joined.split
    assert "part" not in joined.table(split == 0).column_names
    found = by_event(joined)
    sure = by_key(events, np.array([["train", "eval", "test"].index(one) for one in events["part"].to_pylist()]))
    assert all((found[key] == 2) == (part == 2) for key, part in sure.items())
    assert (split == 1).sum() / (split != 2).sum() == pytest.approx(0.1, abs=0.01)
    split = join.join(events, USERS, ITEMS, spec("given", column="part", has_eval=True)).split
    assert set(split.tolist()) == {0, 2}


def test_a_column_of_the_given_split_is_checked():
    def checked(values):
        return splits.check_given(pa.chunked_array([pa.array(values, pa.string())]), "part")

    assert checked(["train", "eval", "test"])
    assert not checked(["train", "test"])
    for values, message in (
        (["train", "test", "valid", "valid"], "interactions: column 'part': 'valid' … (2 such"),
        (["train", None, "test"], "interactions: column 'part' … (1 such"),
        (["train", "eval"], "no event is test … train, eval"),
        (["test"], "no event is train … test"),
        ([], "train or test … no events"),
    ):
        with pytest.raises(DataError) as caught:
            checked(values)
        assert lacking(str(caught.value), message) == []
    with pytest.raises(ValueError, match="one of train, eval, test"):
        splits.given(pa.array(["train", "valid"]), np.zeros(2), False, 0.1)


@pytest.mark.parametrize(("method", "message"), [("kfold", "`fold`"), ("given", "`column`")])
def test_a_split_that_lacks_its_setting_is_refused(events, method, message):
    with pytest.raises(ValueError, match=message):
        join.join(events, USERS, ITEMS, spec(method))
