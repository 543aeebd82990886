"""Items that are posted after the release was made."""

import pytest
from small_engine import N, recommender

from core.errors import UsageError
from serving import known_items
from serving.conditions import Condition
from serving.requests import Request
from serving.stores.sql import SqlStore, sqlite_url
from serving.stores.store import Item

WIDE = 40  # more candidates than there are items


@pytest.fixture
def store(tmp_path):
    store = SqlStore(sqlite_url(tmp_path / "store.sqlite"))
    yield store
    store.close()


@pytest.fixture
def served(tmp_path, store):
    return recommender(tmp_path / "release", store, candidates=WIDE, title="genre")


def listed(served, k=WIDE, **request):
    [answer] = served.view().recommend([Request("nobody", k, 100, **request)])
    if isinstance(answer, Exception):
        raise answer
    return [each.item for each in answer.items]


def of_genre(genre):
    return {"filters": (Condition(column="genre", any_of=(genre,)),)}


def post(served, store, item, **features):
    store.put_item(item, Item(features=features))
    served.refresh()


def test_a_posted_item_is_recommended_with_its_title(served, store):
    assert len(listed(served)) == N
    post(served, store, "new", genre="noir")
    assert listed(served)[0] == "new"  # the ranker of the tests prefers the last row
    assert len(listed(served)) == N + 1
    assert listed(served, **of_genre("noir")) == ["new"]
    assert served.items.item("new") == {
        "item": "new", "features": {"genre": "noir", "event_count": 0}, "posted": True, "hidden": False, "expires": None
    }  # fmt: skip
    assert served.items.titles_of(["new", "i1", "unknown"]) == ["noir", "horror", None]
    assert "new" not in listed(served, exclude=("new",))
    assert listed(served, only=("new", "i3")) == ["new", "i3"]


def test_several_are_added_one_after_the_other(served, store):
    for number in range(5):
        post(served, store, f"new{number}", genre="noir")
    for number in range(5, 8):
        store.put_item(f"new{number}", Item(features={"genre": "noir"}))
    served.refresh()
    assert set(listed(served, **of_genre("noir"))) == {f"new{number}" for number in range(8)}
    assert len(listed(served)) == len(set(listed(served))) == N + 8


def test_a_posted_item_can_be_hidden_expire_and_be_forgotten(served, store):
    post(served, store, "new", genre="noir")
    store.put_item("new", Item(hidden=True, features={"genre": "noir"}))
    served.refresh()
    assert "new" not in listed(served)
    store.put_item("new", Item(expires=101, features={"genre": "noir"}))
    served.refresh()
    assert "new" in listed(served)
    store.put_item("new", Item(expires=100, features={"genre": "noir"}))
    served.refresh()
    assert "new" not in listed(served)
    store.delete_item("new")
    served.refresh()
    assert served.items.item("new") is None
    assert len(listed(served)) == N
    post(served, store, "new", genre="noir")
    assert "new" in listed(served)


def test_features_that_are_posted_again_replace_those_before(served, store, monkeypatch):
    monkeypatch.setattr(known_items, "REPLACED", 3)
    for number in range(12):
        post(served, store, "new", genre=f"genre{number}")
        assert listed(served).count("new") == 1
        assert listed(served, **of_genre(f"genre{number}")) == ["new"]
        assert listed(served, **of_genre(f"genre{number - 1}")) == []
        assert len(served.engine.catalogue) <= N + 6  # rows of earlier features are forgotten
        assert served.explain(Request("nobody", 3, 100)).hidden == 0
    store.put_item("new", Item(hidden=True, features={"genre": "noir"}))
    served.refresh()
    assert served.explain(Request("nobody", 3, 100)).hidden == 1


def test_a_query_sees_one_state_of_the_items(served, store):
    before = served.view()
    post(served, store, "new", genre="noir")
    [answer] = before.recommend([Request("nobody", WIDE, 100)])
    assert len(answer.items) == N


def test_a_value_that_does_not_fit_the_release_is_missing(served, store):
    post(served, store, "new", genre=7, colour="red")
    assert served.items.item("new")["features"] == {"genre": None, "event_count": 0}
    assert "new" in listed(served)
    with pytest.raises(UsageError, match="colour"):
        listed(served, filters=(Condition(column="colour", any_of=("red",)),))


def test_arms_and_the_next_release_have_the_posted_items(tmp_path, store):
    served = recommender(tmp_path / "release", store, arms={"wide": WIDE})
    post(served, store, "new", genre="noir")
    [answer] = served.view("wide").recommend([Request("nobody", WIDE, 100)])
    assert answer.items[0].item == "new"
    following = recommender(tmp_path / "following", store, served, candidates=WIDE)
    assert "new" in listed(following)


def test_no_more_than_a_number_of_items_is_posted(served, store, monkeypatch):
    monkeypatch.setattr(known_items, "MOST_POSTED", 2)
    post(served, store, "new0", genre="noir")
    assert not served.items.full
    post(served, store, "new1", genre="noir")
    assert served.items.full
    post(served, store, "new2", genre="noir")
    assert set(listed(served, **of_genre("noir"))) == {"new0", "new1"}
