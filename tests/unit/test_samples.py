"""The sample lists of the report and the density of events, on a few queries."""

import numpy as np
import pyarrow as pa

from components.recommender_evaluator import samples
from core.queries import Queries

N_ITEMS = 30
CATALOGUE = pa.table(
    {
        "item_id": [f"i{row}" for row in range(N_ITEMS)],
        "title": [None if row == 3 else f"Title {row}" for row in range(N_ITEMS)],
    }
)


def queries(count, users=None):
    history = [[f"i{row}" for row in range(12)] for _ in range(count)]
    return Queries(
        users=pa.table({"user_id": users or [f"u{number}" for number in range(count)]}),
        time=np.zeros(count, np.int64),
        history=pa.array(history, pa.list_(pa.string())),
        seen=pa.array(history, pa.list_(pa.string())),
        relevant_offsets=np.arange(count + 1) * 2,
        relevant_items=np.tile(np.array([21, 25], np.int32), count),
    )


def drawn(count=8, title="title", seed=1, users=None, rows=None):
    rows = np.tile(np.arange(20, 32, dtype=np.int32), (count, 1)) if rows is None else rows
    rows[rows >= N_ITEMS] = -1
    scores = np.tile(np.linspace(3, 1, rows.shape[1], dtype=np.float32), (count, 1))
    return samples.sample(queries(count, users), rows, scores, CATALOGUE, title, seed)


def test_five_users_with_their_latest_items_and_ten_titles():
    found = drawn()
    assert len(found) == 5
    assert found[0]["history"][0] == "Title 11"
    assert found[0]["history"] == [f"Title {row}" if row != 3 else "i3" for row in range(11, 1, -1)]
    assert [each["item_id"] for each in found[0]["items"]] == [f"i{row}" for row in range(20, 30)]
    assert [each["item_id"] for each in found[0]["items"] if each["relevant"]] == ["i21", "i25"]
    assert found[0]["items"][0]["score"] == 3
    assert found[0]["relevant"] == 2


def test_the_seed_chooses_the_users_and_each_comes_once():
    assert drawn() == drawn()
    chosen = {tuple(each["user_id"] for each in drawn(seed=seed)) for seed in range(9)}
    assert len(chosen) > 1
    assert [each["user_id"] for each in drawn(users=["a", "b"] * 4)] == ["a", "b"]


def test_lists_may_be_short_and_items_without_titles():
    short = np.full((8, 3), -1, np.int32)
    short[:, 0] = 3
    [item] = drawn(rows=short)[0]["items"]
    assert (item["item_id"], item["title"]) == ("i3", "i3")
    assert drawn(title=None)[0]["items"][0]["title"] == "i20"


def test_density():
    users = pa.chunked_array([["a", "a", "a", "b"]])
    assert samples.density(users, np.array([0, 0, 1, 1]), 4) == {
        "events": 4,
        "users": 2,
        "items": 4,
        "pairs": 3,
        "filled": 3 / 8,
        "per_user": {"median": 2.0, "p95": 2.9},
        "per_item": {"median": 1.0, "p95": 2.0},
    }
