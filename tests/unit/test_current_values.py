"""Values of released items that are posted later: filters, rules and titles read them, the models do not."""

import numpy as np
import pyarrow as pa
import pytest
from small_engine import GENRES, N, recommender

from core import names
from serving.conditions import Condition
from serving.current_values import read_at, with_values
from serving.requests import Request
from serving.rules import ListCap, Promotion
from serving.stores.sql import SqlStore, sqlite_url
from serving.stores.store import Item

READ_AT = 1000
WIDE = 40  # more candidates than there are items
NOIR = (Condition(column="genre", any_of=("noir",)),)
COLUMNS = {"stock": np.full(N, 5), "price": pa.array([float(row) for row in range(N)])}


@pytest.fixture
def store(tmp_path):
    store = SqlStore(sqlite_url(tmp_path / "store.sqlite"))
    yield store
    store.close()


@pytest.fixture
def served(tmp_path, store):
    return make(tmp_path / "release", store)


def make(folder, store, read_at=READ_AT, **others):
    settings = {"columns": COLUMNS, "candidates": WIDE, "title": "genre", "owner": "genre"}
    return recommender(folder, store, read_at=read_at, **settings | others)


def listed(served, user="nobody", k=WIDE, **request):
    [answer] = served.view().recommend([Request(user, k, 100, **request)])
    if isinstance(answer, Exception):
        raise answer
    return [each.item for each in answer.items]


def post(served, store, item, posted=READ_AT, **features):
    store.put_item(item, Item(features=features, posted=posted))
    served.refresh()


def in_stock():
    return {"filters": (Condition(column="stock", at_least=1),)}


def test_a_filter_reads_the_present_value(served, store):
    assert len(listed(served, **in_stock())) == N
    post(served, store, "i3", stock=0)
    post(served, store, "i5", stock=0)
    left = [f"i{row}" for row in range(N - 1, -1, -1) if row not in (3, 5)]
    assert listed(served, **in_stock()) == left
    assert len(listed(served)) == N, "only filters leave it out"
    post(served, store, "i3", stock=1)
    assert "i3" in listed(served, **in_stock())


def test_promotions_caps_owners_and_titles_read_the_present_value(served, store):
    post(served, store, "i0", genre="noir")
    promoted = served.view().recommend([Request("nobody", 3, 100, promotions=(Promotion(filters=NOIR, share=0.4),))])
    assert [(each.item, each.title) for each in promoted[0].items if each.item == "i0"] == [("i0", "noir")]
    assert "i0" in listed(served)
    assert "i0" not in listed(served, user="noir"), "the user `noir` owns it now"
    post(served, store, "i1", genre="noir")
    capped = listed(served, caps=(ListCap(column="genre", at_most=1),))
    assert len({"i0", "i1"} & set(capped)) == 1
    assert served.items.titles_of(["i0", "i2"]) == ["noir", GENRES[2]]


def test_other_columns_and_what_the_models_read_stay(served, store):
    before = served.engine.catalogue
    post(served, store, "i3", stock=0)
    assert served.engine.catalogue is before
    found = served.items.item("i3")
    assert found["features"] == {"genre": GENRES[3], "event_count": 3, "stock": 0, "price": 3.0}
    assert not found["posted"]


def test_a_value_may_be_taken_away_and_one_that_does_not_fit_changes_nothing(served, store):
    post(served, store, "i3", stock=None, price="dear", colour="red")
    assert served.items.item("i3")["features"] == {"genre": GENRES[3], "event_count": 3, "stock": None, "price": 3.0}
    post(served, store, "i4", price=0.5)
    assert served.items.item("i4")["features"]["price"] == 0.5
    assert "i3" not in listed(served, **in_stock())
    post(served, store, "i3", event_count=9, item_id="i9")
    assert served.items.item("i3")["features"]["event_count"] == 3


def test_the_values_end_when_they_are_forgotten_or_replaced(served, store):
    post(served, store, "i3", stock=0)
    store.put_item("i3", Item())
    served.refresh()
    assert "i3" in listed(served, **in_stock())
    post(served, store, "i3", stock=0)
    store.delete_item("i3")
    served.refresh()
    assert "i3" in listed(served, **in_stock())


def test_a_release_whose_items_were_read_later_has_its_own_values(tmp_path, served, store):
    post(served, store, "i3", stock=0)
    post(served, store, "new", genre="noir", stock=1)
    assert "i3" not in listed(served, **in_stock())
    later = make(tmp_path / "later", store, READ_AT + 1, before=served)
    assert "i3" in listed(later, **in_stock())
    assert "new" in listed(later, **in_stock()), "the release still lacks it"
    post(later, store, "i3", READ_AT + 1, stock=0)
    assert "i3" not in listed(later, **in_stock())


def test_posted_items_and_changed_ones_have_their_own_values(served, store):
    post(served, store, "i3", stock=0)
    post(served, store, "new", genre="noir", stock=1)
    post(served, store, "i4", stock=0)
    post(served, store, "new", genre="noir", stock=2)
    found = listed(served, **in_stock())
    assert "new" in found
    assert not {"i3", "i4"} & set(found)
    assert served.items.titles_of(["new"]) == ["noir"]


def test_a_query_and_a_past_state_see_one_state_of_the_values(served, store):
    before = served.view()
    _, state = store.items()
    post(served, store, "i3", stock=0)
    [answer] = before.recommend([Request("nobody", WIDE, 100, **in_stock())])
    assert len(answer.items) == N
    assert len(listed(served.as_at({}, state), **in_stock())) == N


def test_lists_and_texts_and_several_parts_of_a_table():
    table = pa.table({"item_id": ["a", "b", "c"], "genres": pa.array([["x"], [], ["y", "z"]], pa.list_(pa.string()))})
    table = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    changed = with_values(table, {2: {"genres": ["w"]}, 0: {"genres": "word"}, 1: {"genres": None}})
    assert changed["genres"].to_pylist() == [["x"], None, ["w"]]
    assert changed.column_names == table.column_names
    assert with_values(table, {}) is table


def test_the_time_at_which_the_items_were_read():
    def executions(*found):
        return {"lineage": {"executions": [{"node": node, "started": when} for node, when in found]}}

    manifest = {"created": "2026-01-01T00:00:10+00:00", "facts": {}}
    assert read_at(manifest) == 1767225610
    facts = executions(("InteractionGen", "2026-01-01T00:00:01+00:00"), ("ItemGen", "2026-01-01T00:00:02+00:00"))
    assert read_at(manifest | {"facts": facts}) == 1767225602
    assert read_at(manifest | {"facts": {"lineage": None}}) == 1767225610
    assert names.ITEMS in names.NODE_NAMES
